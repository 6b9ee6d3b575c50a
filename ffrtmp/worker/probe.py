"""Probes media in a child process: what a hostile file does to the reader, it does not do here."""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

import ffrtmp
from ffrtmp.ffmpeg.media import MediaInfo
from ffrtmp.worker.process import Exit, run_guarded

CHILD = "ffrtmp.worker.probe_child"
MAX_ANSWER_BYTES = 4 << 20
SECONDS = 60.0
SLOWEST_BYTES_PER_SECOND = 4 << 20


class ProbeRefused(Exception):
    """The file cannot be read as media; one sentence."""


class ProbeDied(Exception):
    """The child was killed or hung: this says nothing certain about the file."""


class _Answer(msgspec.Struct):
    media: MediaInfo | None = None
    error: str = ""


async def probe(paths: Sequence[Path], names: Sequence[object]) -> list[MediaInfo]:
    """Reads every packet of each file. `names` are what people call them.

    Raises ProbeRefused for the first file that is no media, ProbeDied.
    """
    received = bytearray()

    def feed(chunk: bytes) -> None:
        received.extend(chunk[: MAX_ANSWER_BYTES - len(received)])

    argv = [sys.executable, "-P", "-m", CHILD, *map(str, paths)]
    end = await run_guarded(argv, feed=feed, timeout=_patience(paths), environment=_environment())
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
        answer = msgspec.json.decode(line, type=_Answer)
    except msgspec.MsgspecError as error:
        raise ProbeDied(f"the probe of {name} answered nonsense: {error}") from error
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
