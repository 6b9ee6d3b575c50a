"""Room on this worker's disks, promised to attempts before they write.

What an attempt has written is not free any more, so its promise shrinks as its files grow. An
attempt is first given what its spec alone tells, without touching a disk, when it is accepted; then
what the probe of its source tells.
"""

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ffrtmp.domain.session import AttemptKey
from ffrtmp.storage.errors import NoSpace

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system below a root, as of the last look."""

    device: int
    free: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """`files`: how large each may become, by device and path; `written`: how large it is. `early`:
    by root, until the files have names."""

    files: Mapping[tuple[int, Path], int] = field(default_factory=dict)
    early: Mapping[str, int] = field(default_factory=dict)
    written: Mapping[tuple[int, Path], int] = field(default_factory=dict)


class Space:
    """Its methods may be called from any thread; all but `book` and `release` block on disks, which
    nobody does who holds the lock."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = folders
        self._lock = threading.Lock()
        self._disks: dict[str, Disk] = {}
        self._promises: dict[AttemptKey, Promise] = {}

    def look(self) -> dict[str, int]:
        """Free bytes by root, of those that can be looked at."""
        disks = {name: disk for name, path in self._folders.items() if (disk := _disk(path))}
        sizes = self._sizes()
        with self._lock:
            self._disks = disks
            self._weigh(sizes)
        return {name: disk.free for name, disk in disks.items()}

    def book(self, key: AttemptKey, needs: Mapping[str, int]) -> str:
        """Promises so much of each root, by what the last look saw; or says why not now. What is
        too much for an empty disk is promised all the same: waiting would not help."""
        with self._lock:
            for root, need in needs.items():
                disk = self._disks.get(root)
                taken = self._taken(disk.device) if disk is not None else 0
                if disk is not None and disk.free - taken < need <= disk.free:
                    return (
                        f"about {shown(need)} are needed in root {root}: {shown(disk.free)} are "
                        f"free, of which {shown(taken)} are promised to other attempts"
                    )
            self._promises[key] = Promise(early=dict(needs))
        return ""

    def promise(
        self, key: AttemptKey, needs: Mapping[Path, int], names: Mapping[Path, str]
    ) -> None:
        """Promises so many bytes to each file, whose folder exists. Raises NoSpace."""
        disks = {path: _disk(path.parent) for path in needs}
        sizes = self._sizes()
        with self._lock:
            self._promises.pop(key, None)
            self._weigh(sizes)
            for path, disk in disks.items():
                if disk is None:
                    continue  # the encode will say what is wrong with it
                need = sum(needs[each] for each in needs if _same(disks[each], disk))
                taken = self._taken(disk.device)
                if need > disk.free - taken:
                    raise NoSpace(names[path], _lack(need, disk.free, taken))
            files = {(disk.device, path): needs[path] for path, disk in disks.items() if disk}
            self._promises[key] = Promise(files=files)

    def release(self, key: AttemptKey) -> None:
        with self._lock:
            self._promises.pop(key, None)

    def _sizes(self) -> dict[Path, int]:
        """Of every file that something was promised to."""
        with self._lock:
            paths = [path for promise in self._promises.values() for _, path in promise.files]
        return {path: _size(path) for path in paths}

    def _weigh(self, sizes: Mapping[Path, int]) -> None:
        for key, promise in self._promises.items():
            written = {at: min(sizes.get(at[1], 0), most) for at, most in promise.files.items()}
            self._promises[key] = replace(promise, written=written)

    def _taken(self, device: int) -> int:
        return sum(self._left(promise, device) for promise in self._promises.values())

    def _left(self, promise: Promise, device: int) -> int:
        early = sum(
            need
            for root, need in promise.early.items()
            if (disk := self._disks.get(root)) and disk.device == device
        )
        files = sum(
            need - promise.written.get(at, 0)
            for at, need in promise.files.items()
            if at[0] == device
        )
        return early + files


def _lack(need: int, free: int, taken: int) -> str:
    promised = f", of which {shown(taken)} are promised to other attempts" if taken else ""
    return f"about {shown(need)} may be needed: {shown(free)} are free{promised}"


def _disk(folder: Path) -> Disk | None:
    try:
        found = os.statvfs(folder)
        return Disk(folder.stat().st_dev, found.f_bavail * found.f_frsize)
    except OSError:
        return None


def _same(one: Disk | None, other: Disk) -> bool:
    return one is not None and one.device == other.device


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def shown(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB" if size >= 1 << 30 else f"{size / MIB:.1f} MiB"
