"""What this process may use of its machine: a container's limits count, not the host's size."""

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
MEMORY_PER_SLOT = 2 << 30
"""A 2160p H.265 encode at medium effort, the hungriest preset, took 1.3 GiB on two cores."""


def usable_cores(cgroup: Path = CGROUP) -> float:
    affinity = getattr(os, "sched_getaffinity", None)  # macOS has none
    cores = float(len(affinity(0)) if affinity else os.cpu_count() or 1)
    quota, _, period = _read(cgroup / "cpu.max").partition(" ")
    if quota.isdecimal() and period.isdecimal():
        cores = min(cores, int(quota) / int(period))
    return cores


def usable_memory(cgroup: Path = CGROUP) -> int:
    """In bytes."""
    import psutil  # noqa: PLC0415  # settings are read by commands that need none of it

    total = int(psutil.virtual_memory().total)
    limit = _read(cgroup / "memory.max")
    return min(total, int(limit)) if limit.isdecimal() else total


def recommended_slots(cores: float, memory: int) -> int:
    """One for every two cores, as FFmpeg's encoders use more than one; fewer where memory is
    short."""
    return max(1, min(int(cores // 2), memory // MEMORY_PER_SLOT))


def slots_for_this_machine() -> int:
    return recommended_slots(usable_cores(), usable_memory())


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
