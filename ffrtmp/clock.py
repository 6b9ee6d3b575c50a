"""The only reader of clocks. Everything else takes time as an argument."""

import time
from datetime import UTC, datetime, timedelta

_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def utc_now() -> datetime:
    """Wall clock, for showing and ordering only: no lease is decided by it."""
    return datetime.now(UTC)


def boot_seconds() -> float:
    """Seconds since boot, counting suspends: the clock of every lease and deadline.

    macOS has no CLOCK_BOOTTIME; its CLOCK_MONOTONIC_RAW serves masters and clients there
    (workers run on Linux only).
    """
    return time.clock_gettime(_BOOT)


class SteadyClock:
    """The time of day at a moment, plus CLOCK_BOOTTIME since: an NTP step, here or where the
    database is, does not reorder the queue."""

    def __init__(self, start: datetime, boot_at_start: float) -> None:
        self._start = start
        self._boot_at_start = boot_at_start

    def __call__(self) -> datetime:
        return self._start + timedelta(seconds=boot_seconds() - self._boot_at_start)
