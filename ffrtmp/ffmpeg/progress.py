"""What FFmpeg writes with `-progress`, fed in pieces of any size."""

from collections.abc import Mapping
from dataclasses import dataclass

LARGEST = 10**15
"""Microseconds or bytes: 31 years, a petabyte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One report. `position` in seconds of media; `speed` media seconds a second; `size` bytes.

    `ended`: FFmpeg came to its own end of work, which is not yet success.
    """

    position: float
    frames: int
    frames_per_second: float
    speed: float
    size: int
    ended: bool


class ProgressParser:
    """Keys come a line each; `progress=` closes a report. Before the first frame values are N/A."""

    def __init__(self) -> None:
        self._tail = b""
        self._values: dict[str, str] = {}

    def feed(self, chunk: bytes) -> list[Reading]:
        *lines, self._tail = (self._tail + chunk).split(b"\n")
        return [reading for line in lines if (reading := self._take(line)) is not None]

    def _take(self, line: bytes) -> Reading | None:
        key, _, value = line.decode(errors="replace").strip().partition("=")
        self._values[key] = value.strip()
        if key != "progress":
            return None
        values, self._values = self._values, {}
        return _reading(values)


def _reading(values: Mapping[str, str]) -> Reading:
    return Reading(
        position=_number(values.get("out_time_us", "")) / 1_000_000,
        frames=int(_number(values.get("frame", ""))),
        frames_per_second=_number(values.get("fps", "")),
        speed=_number(values.get("speed", "").removesuffix("x")),
        size=int(_number(values.get("total_size", ""))),
        ended=values.get("progress") == "end",
    )


def _number(text: str) -> float:
    """0 for what FFmpeg does not know yet, and for what cannot be: no number, negative, endless."""
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0 <= value <= LARGEST else 0.0
