"""Wall clocks that are wrong, for a whole process: libfaketime lies to all that it is made of.

The clocks that leases are measured on are left alone, as they are on a machine whose time is set.
"""

from datetime import timedelta
from pathlib import Path

import libfaketime


def _library() -> Path:
    return next(Path(libfaketime.__file__).parent.rglob("libfaketime.so.1"))


def clock_off(span: timedelta) -> dict[str, str]:
    """What in its environment puts a process's wall clock off."""
    return {"FAKETIME": f"{span.total_seconds():+.0f}", **_COMMON}


def clock_file(path: Path, span: timedelta) -> dict[str, str]:
    """The same, and `set_clock` changes it while the process runs."""
    set_clock(path, span)
    return {"FAKETIME_TIMESTAMP_FILE": str(path), "FAKETIME_NO_CACHE": "1", **_COMMON}


def set_clock(path: Path, span: timedelta) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(f"{span.total_seconds():+.0f}\n")
    partial.replace(path)


_COMMON = {"LD_PRELOAD": str(_library()), "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
