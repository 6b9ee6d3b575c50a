"""The only reader of clocks. Everything else takes time as an argument."""

import time
from datetime import UTC, datetime


def utc_now() -> datetime:
    """Wall clock, for showing and ordering only: no lease is decided by it."""
    return datetime.now(UTC)


def boot_seconds() -> float:
    """Seconds since boot, counting suspends: the clock of every lease and deadline.

    macOS has no CLOCK_BOOTTIME; its CLOCK_MONOTONIC_RAW serves masters and clients there
    (workers run on Linux only).
    """
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class SteadyClock:
    """Wall clock at start plus CLOCK_BOOTTIME since: an NTP step does not reorder the queue."""

    def __init__(self) -> None:
        self._started = time.time()
        self._boot_at_start = boot_seconds()

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(self._started + boot_seconds() - self._boot_at_start, UTC)
