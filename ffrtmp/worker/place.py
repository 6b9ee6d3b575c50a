"""Where one attempt reads and writes on this worker: checked before, and again afterwards.

Everything here blocks on the file system: call it in a thread.
"""

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ffrtmp.domain.session import AttemptKey
from ffrtmp.domain.spec import JobSpec, MediaPath
from ffrtmp.storage.errors import (
    InputChanged,
    NoSpace,
    StorageError,
    TargetConflict,
    TargetIsInput,
    TargetUnusable,
    exists,
    reading,
)
from ffrtmp.storage.roots import Roots
from ffrtmp.storage.staging import Reservation, remove_folders, reserve, staged_path

LEAST_FREE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """`source` is None for a generated one; `staged` in the outputs' order."""

    spec: JobSpec
    roots: Roots
    source: Path | None
    seen: tuple[int, int, int] | None
    reservations: tuple[Reservation, ...]

    @property
    def staged(self) -> list[Path]:
        return [reservation.path for reservation in self.reservations]

    @property
    def made(self) -> tuple[Path, ...]:
        """Folders made for this attempt."""
        return tuple(folder for entry in self.reservations for folder in entry.made)

    def check_input(self) -> None:
        """Raises InputBad when the input is not what it was, RootAbsent."""
        media = self.spec.input.path
        if media is None:
            return
        path = self.roots.resolve(media, for_writing=False)
        if path != self.source or _look(path, media) != self.seen:
            raise InputChanged(media)

    def check_room(self) -> None:
        """Raises NoSpace."""
        for path, media in zip(self.staged, self.spec.paths, strict=True):
            with suppress(OSError):
                _check_room(path.parent, media)


def prepare(roots: Roots, key: AttemptKey, spec: JobSpec) -> Place:
    """Checks input and targets, and reserves the staged files; on an error nothing is left."""
    source, seen = None, None
    if spec.input.path is not None:
        source = roots.resolve(spec.input.path, for_writing=False)
        seen = _look(source, spec.input.path)
    targets = [roots.resolve(target, for_writing=True) for target in spec.paths]
    for target, media in zip(targets, spec.paths, strict=True):
        _check_target(target, media, source, overwrite=spec.overwrite)
    return Place(
        spec=spec,
        roots=roots,
        source=source,
        seen=seen,
        reservations=tuple(_reserve_all(key, spec, targets)),
    )


def _look(path: Path, media: MediaPath) -> tuple[int, int, int]:
    with reading(media):
        found = path.stat()
        with path.open("rb"):  # may it be read at all?
            return found.st_size, found.st_mtime_ns, found.st_ino


def _check_target(target: Path, media: MediaPath, source: Path | None, *, overwrite: bool) -> None:
    if source is not None and target.exists() and target.samefile(source):
        raise TargetIsInput(media)
    if target.is_dir():
        raise TargetUnusable(media, "it is a folder")
    if not overwrite and exists(target):
        raise TargetConflict(media)


def _reserve_all(key: AttemptKey, spec: JobSpec, targets: list[Path]) -> list[Reservation]:
    reserved: list[Reservation] = []
    try:
        for target, media in zip(targets, spec.paths, strict=True):
            reserved.append(reserve(target, key, media))
            _check_room(target.parent, media)
    except BaseException:
        for entry in reversed(reserved):
            entry.path.unlink(missing_ok=True)
            remove_folders(entry.made)
        raise
    return reserved


def _check_room(folder: Path, media: MediaPath) -> None:
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        raise NoSpace(media, f"{free >> 10} KiB free")


def remove_staged(roots: Roots, key: AttemptKey, spec: JobSpec) -> None:
    """Removes what an attempt staged. What is out of reach stays, and is swept one day."""
    for media in spec.paths:
        with suppress(StorageError, OSError):
            staged_path(roots.resolve(media, for_writing=True), key).unlink(missing_ok=True)
