"""Raw arguments of FFmpeg: encoder options that no typed field names, behind an allow-list.

Whoever may write any argument may read and write any file of the worker: a filter opens films and
fonts, a muxer opens more files, `-attach`, `-report`, `-passlogfile` and many others name them. So
only what is listed here passes, each for the codecs that know it, each with a grammar of its own in
which no path, no URL, no filter and no second option can be written. And it passes only where the
master and the worker were started with `--allow-raw-arguments`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from ffrtmp.domain.errors import InvalidSpec

MAX_ARGUMENTS = 16
OFF = "raw arguments are off here: start every master and worker with --allow-raw-arguments"
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class RawArgument:
    """`-name value`, the dash left out."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Words:
    """One of these."""

    words: tuple[str, ...]

    def accepts(self, value: str) -> bool:
        return value in self.words

    def __str__(self) -> str:
        return ", ".join(self.words)


@dataclass(frozen=True, slots=True)
class Number:
    """A plain decimal number, from `least` to `most`; `places` behind the point at most."""

    least: int
    most: int
    places: int = 0

    def accepts(self, value: str) -> bool:
        match = _NUMBER.fullmatch(value)
        if match is None or len(match[1] or ".") - 1 > self.places:
            return False
        return self.least <= float(value) <= self.most

    def __str__(self) -> str:
        return f"{self.least} to {self.most}"


@dataclass(frozen=True, slots=True)
class Allowed:
    codecs: frozenset[str]
    values: Words | Number


def _allowed(codecs: str, values: Words | Number) -> Allowed:
    return Allowed(frozenset(codecs.split()), values)


_TUNES = Words(("film", "animation", "grain", "stillimage", "fastdecode", "zerolatency"))
_PROFILES = Words(("baseline", "main", "high", "main10"))
_LEVELS = Words(("3", "3.1", "3.2", "4", "4.1", "4.2", "5", "5.1", "5.2", "6", "6.1", "6.2"))
_RATE = Number(8_000, 500_000_000)

ALLOWED: Mapping[str, Allowed] = MappingProxyType(
    {
        "tune": _allowed("h264", _TUNES),
        "profile:v": _allowed("h264 h265", _PROFILES),
        "level": _allowed("h264", _LEVELS),
        "g": _allowed("h264 h265 av1 vp9 vp8", Number(1, 1000)),
        "keyint_min": _allowed("h264 h265", Number(1, 500)),
        "bf": _allowed("h264 h265", Number(0, 16)),
        "refs": _allowed("h264 h265", Number(1, 16)),
        "maxrate": _allowed("h264 h265", _RATE),
        "bufsize": _allowed("h264 h265", _RATE),
        "rc-lookahead": _allowed("h264", Number(0, 250)),
        "aq-mode": _allowed("h264", Number(0, 3)),
        "aq-strength": _allowed("h264", Number(0, 3, 2)),
        "row-mt": _allowed("vp9", Number(0, 1)),
        "tile-columns": _allowed("vp9", Number(0, 6)),
        "lag-in-frames": _allowed("vp9 vp8", Number(0, 25)),
        "cutoff": _allowed("aac", Number(4_000, 20_000)),
        "application": _allowed("opus", Words(("voip", "audio", "lowdelay"))),
    }
)


def check_raw_arguments(
    arguments: Sequence[RawArgument], name: str, codecs: frozenset[str] | None
) -> None:
    """`codecs`: what the output is encoded with; None: not known yet. Raises InvalidSpec, which
    names the argument and what is allowed."""
    if len(arguments) > MAX_ARGUMENTS:
        raise InvalidSpec(name, len(arguments), f"at most {MAX_ARGUMENTS}")
    seen: set[str] = set()
    for number, argument in enumerate(arguments):
        field = f"{name}[{number}]"
        allowed = ALLOWED.get(argument.name)
        if allowed is None:
            raise InvalidSpec(f"{field}.name", argument.name, f"allowed are {', '.join(ALLOWED)}")
        if argument.name in seen:
            raise InvalidSpec(f"{field}.name", argument.name, "it is given twice")
        if not allowed.values.accepts(argument.value):
            right = f"-{argument.name} takes {allowed.values}"
            raise InvalidSpec(f"{field}.value", argument.value, right)
        if codecs is not None and not allowed.codecs & codecs:
            right = f"it is for {', '.join(sorted(allowed.codecs))} only"
            raise InvalidSpec(f"{field}.name", argument.name, right)
        seen.add(argument.name)


def check_allowed(arguments: Sequence[Sequence[RawArgument]], *, allowed: bool) -> None:
    """`arguments` of each output. Raises InvalidSpec where they are off."""
    for number, of_output in enumerate(arguments):
        if of_output and not allowed:
            raise InvalidSpec(f"outputs[{number}].raw_arguments", of_output[0].name, OFF)
