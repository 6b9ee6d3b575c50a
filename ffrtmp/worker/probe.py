"""Probes media in a child process: what a hostile file does to the reader, it does not do here.

`probe` starts a child that loads PyAV, which costs more than reading most files. A worker, which
probes twice a job, keeps a `Prober`: one process that has loaded it, and forks for each probe. A
fork that crashes, hangs or grows takes nothing with it.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import msgspec

import ffrtmp
from ffrtmp.ffmpeg.media import MediaInfo
from ffrtmp.worker.process import Exit, run_guarded
from ffrtmp.worker.threads import in_thread

CHILD = "ffrtmp.worker.probe_child"
SERVER = "ffrtmp.worker.probe_server"
CLOSING_SECONDS = 5.0
READ_BYTES = 1 << 16
MAX_ANSWER_BYTES = 4 << 20
SECONDS = 60.0
SLOWEST_BYTES_PER_SECOND = 4 << 20


class ProbeRefused(Exception):
    """The file cannot be read as media; one sentence."""


class ProbeDied(Exception):
    """The child was killed or hung: this says nothing certain about the file."""


class _Answer(msgspec.Struct):
    """`died`: the signal that ended the fork, or its exit code below 0."""

    media: MediaInfo | None = None
    error: str = ""
    died: int | None = None


_ANSWER = msgspec.json.Decoder(_Answer)


class ProbeFn(Protocol):
    """`probe`, or that of a Prober."""

    async def __call__(
        self, paths: Sequence[Path], names: Sequence[object], /
    ) -> list[MediaInfo]: ...


async def probe(paths: Sequence[Path], names: Sequence[object]) -> list[MediaInfo]:
    """Reads every packet of each file. `names` are what people call them.

    Raises ProbeRefused for the first file that is no media, ProbeDied.
    """
    received = bytearray()

    def feed(chunk: bytes) -> None:
        received.extend(chunk[: MAX_ANSWER_BYTES - len(received)])

    argv = [sys.executable, "-P", "-m", CHILD, *map(str, paths)]
    timeout = await in_thread(_patience, paths)
    end = await run_guarded(argv, feed=feed, timeout=timeout, environment=_environment())
    answers = received.splitlines()
    if end.timed_out or len(answers) < len(paths):
        raise _death(end, names[min(len(answers), len(names) - 1)])
    return [_decode(line, name) for line, name in zip(answers, names, strict=True)]


def _environment() -> dict[str, str]:
    """Our own code: it inherits what we have, and finds the package where we found it."""
    package = str(Path(ffrtmp.__file__).parent.parent)
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "LC_ALL": "C"}


def _patience(paths: Sequence[Path]) -> float:
    size = sum(path.stat().st_size for path in paths)
    return SECONDS + size / SLOWEST_BYTES_PER_SECOND


def _decode(line: bytes | bytearray, name: object) -> MediaInfo:
    try:
        answer = _ANSWER.decode(line)
    except msgspec.MsgspecError as error:
        raise ProbeDied(f"the probe of {name} answered nonsense: {error}") from error
    if answer.died is not None:
        raise _death(Exit(code=-answer.died), name)
    if answer.media is None:
        raise ProbeRefused(f"{name} cannot be read as media: {answer.error}")
    return answer.media


def _death(end: Exit, name: object) -> Exception:
    if end.timed_out:
        return ProbeDied(f"the probe of {name} did not end in time and was stopped")
    if end.code < 0:
        return ProbeDied(
            f"the probe of {name} was ended by {signal.Signals(-end.code).name}: out of memory, "
            "a stranger, or a hostile file"
        )
    why = end.stderr[-1] if end.stderr else f"exit code {end.code}"
    return ProbeDied(f"the probe of {name} failed: {why}")


class Prober:
    """Put together with `Prober.running`. Its process starts with the first probe, and again when
    it has died."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self._starting = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def running(cls) -> "AsyncIterator[Prober]":
        """The process, and every probe that still runs, has ended when the block has."""
        prober = cls()
        try:
            yield prober
        finally:
            await prober._stop()

    async def probe(self, paths: Sequence[Path], names: Sequence[object], /) -> list[MediaInfo]:
        """As the function `probe`."""
        timeout = await in_thread(_patience, paths)
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                await self._hand_over(theirs)
            ours.setblocking(False)  # noqa: FBT003
            try:
                async with asyncio.timeout(timeout):
                    received = await _ask(ours, paths)
            except TimeoutError:
                raise _death(Exit(code=0, timed_out=True), names[0]) from None
        lines = received.splitlines()
        media = [_decode(line, name) for line, name in zip(lines, names, strict=False)]
        if len(media) < len(paths):
            raise ProbeDied(f"the probe of {names[len(media)]} ended without an answer")
        return media

    async def _hand_over(self, end: socket.socket) -> None:
        """To the process, which watches the other end: when that is closed the fork is killed."""
        async with self._starting:
            if self._control is None or not _sent(self._control, end):
                await self._stop()
                await self._start()
                if self._control is None or not _sent(self._control, end):
                    raise ProbeDied("the process that probes files does not start")

    async def _start(self) -> None:
        ours, theirs = socket.socketpair()
        self._control = ours  # closed by `_stop`, also when this is cancelled
        ours.setblocking(False)  # noqa: FBT003
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                SERVER,
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env=_environment(),
                start_new_session=True,
            )

    async def _stop(self) -> None:
        process, control = self._process, self._control
        self._process = self._control = None
        if control is not None:
            control.close()  # it kills its forks, and ends
        if process is None or process.returncode is not None:
            return
        try:
            async with asyncio.timeout(CLOSING_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def _sent(control: socket.socket, end: socket.socket) -> bool:
    try:
        return bool(socket.send_fds(control, [b"p"], [end.fileno()]))
    except OSError:
        return False


async def _ask(ours: socket.socket, paths: Sequence[Path]) -> bytearray:
    """Until the other side hangs up."""
    loop, received = asyncio.get_running_loop(), bytearray()
    try:
        await loop.sock_sendall(ours, msgspec.json.encode([str(path) for path in paths]) + b"\n")
        while chunk := await loop.sock_recv(ours, READ_BYTES):
            received += chunk[: MAX_ANSWER_BYTES - len(received)]
    except ConnectionError:
        pass  # the process died: what there is tells how far it came
    return received
