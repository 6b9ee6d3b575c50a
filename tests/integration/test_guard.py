"""No child outlives the worker: guards, real children, real signals."""

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import imageio_ffmpeg
import psutil
import pytest

from ffrtmp.domain.log import KEPT_LINES, LINE_BYTES
from ffrtmp.worker.process import (
    GUARD,
    ON_CANCEL,
    CannotStart,
    Deadline,
    Exit,
    run_guarded,
)
from ffrtmp.worker.tail import Tail

STUBBORN = str(Path(__file__).parents[1] / "fakes" / "stubborn")
SAY_PID = 'echo "$$"; exec sleep 100'


def ended_within(pid: int, seconds: float) -> bool:
    try:
        number = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([number], [], [], seconds)[0])
    finally:
        os.close(number)


@contextmanager
def guarded(*argv: str) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket, list[int]]]:
    """A guard without a worker, the socket to it, and the first line of its child: process ids."""
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    with ours:
        with theirs:
            guard = subprocess.Popen(
                [sys.executable, GUARD, *argv], stdin=theirs, stdout=subprocess.PIPE
            )
        with guard:
            assert guard.stdout is not None
            yield guard, ours, [int(word) for word in guard.stdout.readline().split()]


class FirstChunk:
    """Collects output, and tells when the first of it came."""

    def __init__(self) -> None:
        self.data = b""
        self.came = asyncio.Event()

    def __call__(self, chunk: bytes) -> None:
        self.data += chunk
        self.came.set()


def shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


# --- the guard alone -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "code"), [("exit 3", "3"), ("kill -SEGV $$", "-11"), ("true", "0")]
)
def test_the_guard_tells_how_its_child_ended(script: str, code: str) -> None:
    with guarded(*shell(script)) as (_, control, _pids):
        word, status, cpu, rss = control.recv(100).decode().split()
    assert (word, status) == ("exited", code)
    assert float(cpu) >= 0
    assert int(rss) > 0


def test_the_guard_tells_that_a_program_cannot_be_started() -> None:
    with guarded("/nowhere/ffmpeg") as (_, control, _pids):
        assert control.recv(100) == b"failed 2\n"


def test_a_closed_pipe_kills_the_whole_group_within_a_second() -> None:
    with guarded(*shell('sleep 100 & echo "$$ $!"; wait')) as (_, control, pids):
        assert len(pids) == 2
        control.close()
        assert all(ended_within(pid, 1) for pid in pids)


def test_a_child_that_is_stopped_or_stubborn_dies_with_the_pipe_all_the_same() -> None:
    with guarded(STUBBORN) as (_, control, [pid]):
        control.send(b"signal 15\nsignal 19\n")
        control.close()
        assert ended_within(pid, 1)


def test_a_signal_reaches_the_child_even_in_pieces() -> None:
    with guarded(*shell(SAY_PID)) as (_, control, [pid]):
        control.send(b"sign")
        control.send(b"al 15\n")
        assert control.recv(100).startswith(b"exited -15 ")
        assert ended_within(pid, 0)


def test_on_its_deadline_the_group_is_killed_by_the_guard_itself() -> None:
    with guarded(STUBBORN) as (_, control, [pid]):
        started = time.clock_gettime(time.CLOCK_BOOTTIME)
        control.send(b"deadline %f\n" % (started + 0.3))
        assert ended_within(pid, 2)
        assert time.clock_gettime(time.CLOCK_BOOTTIME) - started >= 0.3
        assert control.recv(100).startswith(b"exited -9 ")


def test_a_deadline_can_be_moved_and_lifted() -> None:
    with guarded(*shell(SAY_PID)) as (_, control, [pid]):
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        control.send(b"deadline %f\ndeadline %f\ndeadline 0\n" % (now + 0.1, now + 0.2))
        assert not ended_within(pid, 0.4)
        control.send(b"signal 9\n")
        assert ended_within(pid, 1)


def test_a_killed_guard_takes_its_child_with_it() -> None:
    with guarded(STUBBORN) as (guard, _, [pid]):
        guard.kill()
        assert ended_within(pid, 1)


def test_what_a_child_leaves_behind_in_its_group_is_killed() -> None:
    with guarded(*shell('sleep 100 & echo "$!"')) as (_, control, [left]):
        assert control.recv(100).startswith(b"exited 0 ")
        assert ended_within(left, 1)


# --- from the worker's side ----------------------------------------------------------------------


async def test_output_and_the_end_of_errors_are_kept() -> None:
    out = FirstChunk()
    script = "printf 'a\\nb'; printf 'one\\r\\ntwo\\377\\n' >&2; exit 4"
    end = await run_guarded(shell(script), feed=out)
    assert out.data == b"a\nb"
    assert (end.code, end.stderr, end.timed_out) == (
        4,
        ("one", "two\N{REPLACEMENT CHARACTER}"),
        False,
    )


async def test_a_child_gets_no_input_and_little_of_our_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SECRET", "secret")
    out = FirstChunk()
    await run_guarded(shell("cat; env"), feed=out)
    assert b"LC_ALL=C\n" in out.data
    assert b"SECRET" not in out.data


async def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(CannotStart, match="/nowhere/ffmpeg cannot be started: no such file"):
        await run_guarded(["/nowhere/ffmpeg"], feed=lambda _: None)


async def test_a_cancelled_child_is_asked_and_then_killed() -> None:
    out = FirstChunk()
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(run_guarded([STUBBORN], feed=out))
        await out.came.wait()
        asked = loop.time()
        task.cancel()
    assert task.cancelled()
    assert ON_CANCEL.grace <= loop.time() - asked < ON_CANCEL.grace + 2
    assert ended_within(int(out.data), 0)


async def test_a_stopped_child_is_killed_too() -> None:
    out = FirstChunk()
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(run_guarded(shell(SAY_PID), feed=out))
        await out.came.wait()
        os.kill(int(out.data), signal.SIGSTOP)
        task.cancel()
    assert ended_within(int(out.data), 0)


async def test_out_of_time_is_told_apart_from_any_exit_code() -> None:
    end = await run_guarded(
        shell("trap 'exit 0' INT; while :; do sleep 0.05; done"), feed=print, timeout=0.2
    )
    assert end.timed_out


async def test_a_child_whose_guard_was_killed_counts_as_killed() -> None:
    out = FirstChunk()
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(run_guarded(shell(SAY_PID), feed=out))
        await out.came.wait()
        psutil.Process(int(out.data)).parent().kill()
    assert task.result() == Exit(code=-signal.SIGKILL)
    assert ended_within(int(out.data), 1)


async def test_a_deadline_given_at_the_start_holds() -> None:
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    end = await run_guarded([STUBBORN], feed=lambda _: None, deadline=Deadline(now + 0.3))
    assert (end.code, end.fenced) == (-signal.SIGKILL, True)


async def test_a_deadline_that_moves_is_told_to_the_guard_of_a_running_child() -> None:
    out, deadline = FirstChunk(), Deadline(time.clock_gettime(time.CLOCK_BOOTTIME) + 60)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(run_guarded([STUBBORN], feed=out, deadline=deadline))
        await out.came.wait()
        deadline.move(time.clock_gettime(time.CLOCK_BOOTTIME) + 0.2)
    assert task.result().fenced
    assert ended_within(int(out.data), 0)
    deadline.move(0)  # nobody listens any more


async def test_a_child_that_a_stranger_kills_was_not_fenced() -> None:
    out = FirstChunk()
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        far = Deadline(time.clock_gettime(time.CLOCK_BOOTTIME) + 60)
        task = tasks.create_task(run_guarded([STUBBORN], feed=out, deadline=far))
        await out.came.wait()
        os.kill(int(out.data), signal.SIGKILL)
    assert (task.result().code, task.result().fenced) == (-signal.SIGKILL, False)


WORKER = """
import asyncio, sys
from ffrtmp.worker.process import run_guarded

async def main():
    say = lambda chunk: print("running", flush=True)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(2):
            tasks.create_task(run_guarded(sys.argv[1:], feed=say))

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_ffmpeg_outlives_a_killed_worker(number: signal.Signals) -> None:
    endless = ["-re", "-f", "lavfi", "-i", "testsrc2=size=128x96", "-f", "null", "-"]
    argv = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-progress", "pipe:1"]
    package = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, *argv, *endless],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": package},
    ) as worker:
        assert worker.stdout is not None
        children: list[psutil.Process] = []
        while sum("testsrc2=size=128x96" in c.cmdline() for c in children) < 4:
            assert worker.stdout.readline() == b"running\n"
            children = psutil.Process(worker.pid).children(recursive=True)
        worker.send_signal(number)
        deadline = time.monotonic() + 2
        assert all(ended_within(c.pid, max(0.0, deadline - time.monotonic())) for c in children)


# --- the tail ------------------------------------------------------------------------------------


def test_a_tail_is_bounded_in_lines_and_bytes() -> None:
    tail = Tail()
    for number in range(500):
        tail.feed(b"line %d\n" % number)
    tail.feed(b"x" * 10_000_000)
    tail.feed(b"y\nlast")
    lines = tail.lines()
    assert len(lines) == KEPT_LINES
    assert lines[-2:] == ("x" * LINE_BYTES, "last")


def test_a_line_is_redacted_before_it_is_cut_so_that_no_part_of_a_secret_is_left() -> None:
    tail = Tail(lambda line: line.replace("SECRET", "***"))
    tail.feed(b"x" * (LINE_BYTES - 3) + b"SEC")
    tail.feed(b"RET and more\nplain SECRET")
    assert tail.lines() == ("x" * (LINE_BYTES - 3) + "***", "plain ***")
