"""What one FFmpeg may use of its machine, and by which means that is enforced here.

A cgroup of its own (version 2, delegated to this worker: systemd's `Delegate=yes`) holds memory and
processor time exactly. Without one, memory is a limit on the data of the process, by which its own
allocations fail, and processors are the ones it may run on, whole ones only: FFmpeg counts those to
choose its threads.
"""

import math
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from ffrtmp.domain.worker import AttemptLimits, LimitWay

MOUNT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
CONTROLLERS = ("cpu", "memory")
PERIOD = 100_000
HOME = "ffrtmp-worker"
ATTEMPT = "ffrtmp-attempt-"


@dataclass(frozen=True, slots=True)
class Delegation:
    """A cgroup below which this worker may make others. `controllers`: of CONTROLLERS."""

    path: Path
    controllers: frozenset[str]


NOTHING = Delegation(Path(), frozenset())


def find_delegation(mount: Path = MOUNT, membership: Path = MEMBERSHIP) -> Delegation:
    """Moves this process into a cgroup below its own, as the kernel wants it, and passes the
    controllers on. NOTHING, and nothing changed, where that may not be."""
    own = _own(mount, membership)
    if own is None:
        return NOTHING
    home = own / HOME
    try:
        there = frozenset((own / "cgroup.controllers").read_text().split()) & set(CONTROLLERS)
        if not there:
            return NOTHING
        home.mkdir(exist_ok=True)
        (home / "cgroup.procs").write_text(str(os.getpid()))
        try:
            wanted = " ".join(f"+{each}" for each in sorted(there))
            (own / "cgroup.subtree_control").write_text(wanted)
        except OSError:
            (own / "cgroup.procs").write_text(str(os.getpid()))
            raise
    except OSError:
        with suppress(OSError):
            home.rmdir()
        return NOTHING
    _remove_older(own)
    return Delegation(own, there)


def _own(mount: Path, membership: Path) -> Path | None:
    """Of version 2; None where that is not mounted, or this process at its root."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        number, _, path = line.partition("::")
        if number == "0" and path.strip("/") and (mount / "cgroup.controllers").exists():
            return mount / path.strip("/")
    return None


def _remove_older(own: Path) -> None:
    """Of runs that were killed: their FFmpegs died with them."""
    for left in own.glob(f"{ATTEMPT}*"):
        with suppress(OSError):
            left.rmdir()


class Confines:
    """The limits of every FFmpeg of this worker; one object for all of them."""

    def __init__(self, *, memory: int, cores: float, delegation: Delegation = NOTHING) -> None:
        """`memory` in bytes, `cores` in processors; 0: no limit."""
        self._memory = memory
        self._cores = cores
        self._delegation = delegation
        self._numbers = count(1)
        self._used: Counter[int] = Counter()

    @property
    def limits(self) -> AttemptLimits:
        """For the worker's report."""
        inside = self._delegation.controllers
        return AttemptLimits(
            memory=self._memory,
            cores=self._cores,
            memory_way=LimitWay.CGROUP if "memory" in inside else LimitWay.RLIMIT,
            cpu_way=LimitWay.CGROUP if "cpu" in inside else LimitWay.AFFINITY,
        )

    @contextmanager
    def one(self) -> Iterator[tuple[str, ...]]:
        """What to tell the guard of one FFmpeg, which has ended when the block does. Raises
        OSError."""
        words: list[str] = []
        ways = self.limits
        with self._group(ways) as group, self._processors(ways) as processors:
            if group is not None:
                words.append(f"limit:cgroup={group}")
            if self._memory and ways.memory_way is LimitWay.RLIMIT:
                words.append(f"limit:data={self._memory}")
            if processors:
                words.append(f"limit:cpus={','.join(map(str, processors))}")
            yield tuple(words)

    @contextmanager
    def _group(self, ways: AttemptLimits) -> Iterator[Path | None]:
        files: dict[str, str] = {}
        if self._memory and ways.memory_way is LimitWay.CGROUP:
            files |= {"memory.max": str(self._memory), "memory.oom.group": "1"}
        if self._cores and ways.cpu_way is LimitWay.CGROUP:
            files["cpu.max"] = f"{round(self._cores * PERIOD)} {PERIOD}"
        if not files:
            yield None
            return
        path = self._delegation.path / f"{ATTEMPT}{next(self._numbers)}"
        path.mkdir()
        try:
            for name, value in files.items():
                (path / name).write_text(value)
            with suppress(OSError):  # where there is swap: else the limit would only be slow
                (path / "memory.swap.max").write_text("0")
            yield path
        finally:
            with suppress(OSError):
                path.rmdir()

    @contextmanager
    def _processors(self, ways: AttemptLimits) -> Iterator[list[int]]:
        """Those that fewest others were given."""
        if not self._cores or ways.cpu_way is not LimitWay.AFFINITY:
            yield []
            return
        allowed = sorted(os.sched_getaffinity(0), key=lambda each: (self._used[each], each))
        chosen = allowed[: math.ceil(self._cores)]
        self._used.update(chosen)
        try:
            yield sorted(chosen)
        finally:
            self._used.subtract(chosen)


UNLIMITED = Confines(memory=0, cores=0.0)
