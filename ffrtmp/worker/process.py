"""Children of the worker, each under a guard: started, read, stopped and certainly ended."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ffrtmp.worker import guard
from ffrtmp.worker.tail import Tail

GUARD = str(Path(guard.__file__).resolve())
READ_BYTES = 1 << 16
KILLED_SECONDS = 10.0
DRAIN_SECONDS = 2.0
ENVIRONMENT = (
    "HOME",
    "LD_LIBRARY_PATH",
    "PATH",
    "TMPDIR",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "LIBVA_DRIVER_NAME",
)
"""What a child inherits; nothing else of the worker's is its business."""


@dataclass(frozen=True, slots=True)
class StopSequence:
    """First a signal, after `grace` seconds SIGKILL; both to the whole group."""

    first: signal.Signals
    grace: float


ON_CANCEL = StopSequence(signal.SIGTERM, 2.0)
ON_TIMEOUT = StopSequence(signal.SIGINT, 5.0)
ON_LIVE_END = ON_TIMEOUT
"""FFmpeg takes its leave of the server, which then knows that the stream is over."""


class CannotStart(Exception):
    """The program cannot be executed. `number` is the errno."""

    def __init__(self, program: str, number: int) -> None:
        super().__init__(f"{program} cannot be started: {os.strerror(number).lower()}")
        self.number = number


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a child ended.

    `code` as `Popen.returncode`; -9 also when its guard was killed and the kernel ended both.
    `timed_out`: by us, so that whatever it returned is no success. `fenced`: by its guard, on the
    deadline. `max_rss` in bytes.
    """

    code: int
    timed_out: bool = False
    fenced: bool = False
    stderr: tuple[str, ...] = ()
    cpu_seconds: float = 0.0
    max_rss: int = 0


class Deadline:
    """A CLOCK_BOOTTIME second that is put off again and again; guards that follow it are told."""

    def __init__(self, at: float = 0.0) -> None:
        self._at = at
        self._followers: set[Callable[[float], None]] = set()

    @property
    def at(self) -> float:
        return self._at

    def move(self, at: float) -> None:
        self._at = at
        for tell in self._followers:
            tell(at)

    @contextmanager
    def followed(self, tell: Callable[[float], None]) -> Iterator[None]:
        """Tells at once, and at each move until the block ends."""
        tell(self._at)
        self._followers.add(tell)
        try:
            yield
        finally:
            self._followers.discard(tell)


class _Control:
    """The worker's end of the guard's socket."""

    def __init__(self, ours: socket.socket) -> None:
        ours.settimeout(0)
        self._socket = ours

    def send(self, line: str) -> None:
        try:
            self._socket.send(line.encode() + b"\n")
        except OSError:
            return  # the guard is gone: the answer, or its absence, tells

    async def answer(self) -> list[str]:
        """The guard's last line in words; empty when it died without one."""
        received = b""
        loop = asyncio.get_running_loop()
        try:
            while chunk := await loop.sock_recv(self._socket, 256):
                received += chunk
        except ConnectionError:
            pass
        return received.decode().split()


async def run_guarded(
    argv: Sequence[str],
    *,
    feed: Callable[[bytes], None],
    timeout: float | None = None,  # noqa: ASYNC109  its end is a stop sequence, not an exception
    environment: dict[str, str] | None = None,
    deadline: Deadline | None = None,
    on_cancel: StopSequence = ON_CANCEL,
    log: Tail | None = None,
    started: Callable[[int], None] | None = None,
    limits: Sequence[str] = (),
) -> Exit:
    """Runs a program to its end; `feed` gets its standard output in pieces.

    After `timeout` seconds, and on CancelledError, which is raised again, its group is stopped:
    when this returns or raises, it is gone. On the `deadline`, which may move meanwhile, the guard
    kills the group by itself. `log` collects its standard error, for who wants it after an
    exception too. `started` gets the guard's process number. `limits` are the guard's words for
    what the program may use. Raises CannotStart.
    """
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = await _start([*limits, *argv], theirs, environment)
        control = _Control(ours)
        if started is not None:
            started(process.pid)
        log = log or Tail()
        readers = (_drain(process.stdout, feed), _drain(process.stderr, log.feed))
        with (deadline or Deadline()).followed(lambda at: control.send(f"deadline {at:.3f}")):
            answer, timed_out = await _attend(process, control, readers, timeout, on_cancel)
        return _exit(answer, argv[0], log.lines(), timed_out=timed_out)


async def _start(
    argv: Sequence[str], control: socket.socket, environment: dict[str, str] | None
) -> asyncio.subprocess.Process:
    """A guard, which gets `argv`; `control` is its standard input."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", GUARD, *argv),
        stdin=control.fileno(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=child_environment() if environment is None else environment,
        start_new_session=True,
    )


def child_environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    return {**kept, "LC_ALL": "C"}


async def _attend(
    process: asyncio.subprocess.Process,
    control: _Control,
    reading: Sequence[Coroutine[object, object, None]],
    seconds: float | None,
    on_cancel: StopSequence,
) -> tuple[list[str], bool]:
    """The guard's answer, and whether the time was over."""
    async with asyncio.TaskGroup() as tasks:
        readers = [tasks.create_task(each) for each in reading]
        answer = tasks.create_task(control.answer())
        timed_out = False
        try:
            timed_out = not await _ends_within(answer, seconds)
            if timed_out:
                await _stop(control, answer, ON_TIMEOUT)
        except asyncio.CancelledError:
            await _stop(control, answer, on_cancel)
            raise
        finally:
            await _finish(process, readers)
    return answer.result(), timed_out


async def _drain(stream: asyncio.StreamReader | None, feed: Callable[[bytes], None]) -> None:
    assert stream is not None
    while chunk := await stream.read(READ_BYTES):
        feed(chunk)


async def _ends_within(task: asyncio.Task[list[str]], seconds: float | None) -> bool:
    done, _ = await asyncio.wait([task], timeout=seconds)
    return bool(done)


async def _stop(control: _Control, answer: asyncio.Task[list[str]], how: StopSequence) -> None:
    control.send(f"signal {int(how.first)}")
    if not await _ends_within(answer, how.grace):
        control.send(f"signal {int(signal.SIGKILL)}")
        await _ends_within(answer, KILLED_SECONDS)


async def _finish(
    process: asyncio.subprocess.Process, readers: Sequence[asyncio.Task[None]]
) -> None:
    """Both have ended by now, unless the kernel holds them in a system call: what is left in the
    pipes is read, within limits."""
    await asyncio.wait(readers, timeout=DRAIN_SECONDS)
    for reader in readers:
        reader.cancel()
    if process.returncode is None:
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()


def _exit(answer: Sequence[str], program: str, log: tuple[str, ...], *, timed_out: bool) -> Exit:
    match answer:
        case ["exited", code, cpu, rss, *fenced]:
            return Exit(
                code=int(code),
                timed_out=timed_out,
                fenced=bool(fenced),
                stderr=log,
                cpu_seconds=float(cpu),
                max_rss=int(rss),
            )
        case ["failed", number]:
            raise CannotStart(program, int(number))
        case _:
            return Exit(code=-signal.SIGKILL, timed_out=timed_out, stderr=log)
