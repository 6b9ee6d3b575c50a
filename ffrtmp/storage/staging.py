"""Staged files: written next to their target, fsynced, hashed, swept when nobody wants them.

Everything here blocks on the file system: call it in a thread. A staged file is named
`.{name}.{job}.{fence}.part{ext}`: the name belongs to one attempt, so that no two ever write to
the same file, and it lies on the target's file system, so that a rename publishes it.
"""

import hashlib
import os
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ffrtmp.domain.job import FileRecord
from ffrtmp.domain.session import AttemptKey
from ffrtmp.storage.errors import writing
from ffrtmp.storage.handles import Handle, HeldFolder, remove_folders

MAX_NAME_BYTES = 255
LONGEST_SUFFIX = 16
READ_BYTES = 1 << 20
READS_PER_STEP = 64
ORPHAN_SECONDS = 24 * 3600.0
_STAGED = re.compile(r"\..*\.(?P<job>[0-9A-Za-z_-]+)\.(?P<fence>\d+)\.part(\.[^.]*)?")


def staged_path(target: Path, key: AttemptKey) -> Path:
    """Where the attempt writes what will be `target`."""
    suffix = target.suffix if len(target.suffix.encode()) <= LONGEST_SUFFIX else ""
    tail = f".{key.job_id}.{key.fence}.part{suffix}"
    name = target.name
    room = MAX_NAME_BYTES - 1 - len(tail.encode())
    if len(name.encode()) > room:  # two long names may differ only in what is cut off
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = name.encode()[: room - len(digest)].decode(errors="ignore") + digest
    return target.with_name(f".{name}{tail}")


def attempt_of(name: str) -> AttemptKey | None:
    """Whose staged file has this name; None for any other file."""
    match = _STAGED.fullmatch(name)
    return AttemptKey(match["job"], int(match["fence"])) if match else None


@dataclass(frozen=True, slots=True)
class Reservation:
    """A staged file that is open for business: its name in the folder that is held, and itself."""

    path: Path
    file: Handle
    folder: HeldFolder

    def is_in_place(self) -> bool:
        """Whether the name still means this file."""
        try:
            return os.path.samestat(self.path.lstat(), os.fstat(self.file.number))
        except OSError:
            return False

    def close(self) -> None:
        self.file.close()
        self.folder.handle.close()

    def withdraw(self) -> None:
        """As if it had never been."""
        self.path.unlink(missing_ok=True)
        self.close()
        remove_folders(self.folder.made)


def reserve(folder: HeldFolder, name: str, key: AttemptKey, media: object) -> Reservation:
    """Makes an empty staged file: whether one can write there is known before hours of encoding.
    The name is this attempt's, so what lies there already is removed: a file opened through a link
    would be another file. Raises TargetUnusable, NoSpace, StorageFailing; then nothing is left, and
    the folder is closed.
    """
    staged = staged_path(folder.handle.path / name, key)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with writing(media):
            staged.unlink(missing_ok=True)
            return Reservation(staged, Handle(os.open(staged, flags, 0o666)), folder)
    except BaseException:
        folder.handle.close()
        remove_folders(folder.made)
        raise


class Hashing:
    """SHA-256 of a file, in steps of 64 MiB, so that a caller can stop in between."""

    def __init__(self, path: Path, media: object) -> None:
        self._media = media
        self._digest = hashlib.sha256()
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._size = 0
        self._file = path.open("rb", buffering=0)

    def step(self) -> bool:
        """Reads on. False at the end of the file, which is closed then."""
        for _ in range(READS_PER_STEP):
            count = self._file.readinto(self._buffer)
            if not count:
                self.close()
                return False
            self._digest.update(self._buffer[:count])
            self._size += count
        return True

    def close(self) -> None:
        self._file.close()

    @property
    def record(self) -> FileRecord:
        return FileRecord(str(self._media), self._size, self._digest.hexdigest())


def hash_file(path: Path, media: object) -> FileRecord:
    """Raises OSError."""
    hashing = Hashing(path, media)
    try:
        while hashing.step():
            pass
    finally:
        hashing.close()
    return hashing.record


def make_durable(reservation: Reservation, media: object) -> None:
    """The bytes of a file, and its name, survive a power cut. Raises NoSpace, StorageFailing."""
    with writing(media):
        sync(reservation.file.path)
        sync(reservation.path.parent)


def sync(path: Path) -> None:
    """Of a file or a folder. Raises OSError."""
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def sweep_orphans(
    folders: Iterable[Path],
    *,
    keep: Collection[AttemptKey],
    now: float,
    older_than: float = ORPHAN_SECONDS,
) -> list[Path]:
    """Removes staged files that nobody has written to for `older_than` seconds, and says which.

    `now` is a wall-clock time in seconds: it is compared with the files' own times. What cannot be
    looked at is left alone.
    """
    removed = []
    for path, key in _staged_below(folders):
        try:
            if key not in keep and now - path.lstat().st_mtime >= older_than:
                path.unlink()
                removed.append(path)
        except OSError:
            continue
    return removed


def _staged_below(folders: Iterable[Path]) -> Iterator[tuple[Path, AttemptKey]]:
    for top in folders:
        for folder, _, names in os.walk(top):
            for name in names:
                if (key := attempt_of(name)) is not None:
                    yield Path(folder) / name, key
