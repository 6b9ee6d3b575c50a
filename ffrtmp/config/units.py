"""Quantities with their unit in the text, and in the type: `5s`, `1.5GiB`; lists of names."""

import re
from datetime import timedelta
from typing import Annotated

from cyclopts import Parameter, Token

SECOND = timedelta(seconds=1)
UNITS = {
    "ms": SECOND / 1000,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
    "d": 86400 * SECOND,
}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
SIZES = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGT]iB)")


def parse_duration(text: str) -> timedelta:
    """Reads `500ms`, `5s`, `1.5h`. Raises ValueError."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a time: write it with its unit, as 500ms, 5s, 10m or 2h")
    try:
        return float(match[1]) * UNITS[match[2]]
    except OverflowError:
        raise ValueError(f"{text!r} is not a time: it is too long") from None


def show_duration(span: timedelta) -> str:
    """As `parse_duration` reads it."""
    unit = next(
        (name for name in ("d", "h", "m", "s") if span and span % UNITS[name] == timedelta(0)), "ms"
    )
    return f"{span / UNITS[unit]:.0f}{unit}" if span else "0s"


def _to_duration(_type: object, tokens: tuple[Token, ...]) -> timedelta:
    return parse_duration(tokens[0].value)


Duration = Annotated[
    timedelta,
    Parameter(
        converter=_to_duration,
        n_tokens=1,
        accepts_keys=False,
        show_default=show_duration,
        metavar="TIME",
    ),
]


def parse_bytes(text: str) -> int:
    """Reads `1500MiB`, `1.5GiB`. Raises ValueError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size: write it with its unit, as 1500MiB or 4GiB")
    return round(float(match[1]) * SIZES[match[2]])


def show_size(size: int) -> str:
    """As `parse_bytes` reads it."""
    exact = [unit for unit, scale in SIZES.items() if size and size % scale == 0]
    return f"{size // SIZES[exact[-1]]}{exact[-1]}" if exact else f"{size / SIZES['KiB']:.3f}KiB"


def _to_bytes(_type: object, tokens: tuple[Token, ...]) -> int:
    return parse_bytes(tokens[0].value)


Size = Annotated[
    int,
    Parameter(
        converter=_to_bytes, n_tokens=1, accepts_keys=False, show_default=False, metavar="SIZE"
    ),
]
Names = Annotated[tuple[str, ...], Parameter(negative=())]
