"""Where one attempt reads and writes on this worker: checked before, and again afterwards.

Input, outputs and their folders are held open, and FFmpeg and the probe get what is held, under
names in a folder that is only ours: what was checked is what is read and written, whoever may swap
names below a root. Everything here blocks on the file system: call it in a thread.
"""

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from ffrtmp.domain.session import AttemptKey
from ffrtmp.domain.spec import JobSpec, MediaPath
from ffrtmp.storage.errors import (
    InputChanged,
    NoSpace,
    StorageError,
    TargetConflict,
    TargetIsFolder,
    TargetIsInput,
    TargetSwapped,
    exists,
)
from ffrtmp.storage.handles import Handle, Proof
from ffrtmp.storage.roots import Roots
from ffrtmp.storage.staging import LONGEST_SUFFIX, Reservation, reserve, staged_path

LEAST_FREE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """`source` is None for a generated one; it and `staged`, in the outputs' order, are names of
    what is held."""

    spec: JobSpec
    roots: Roots
    source: Path | None
    staged: tuple[Path, ...]
    seen: Proof | None
    reservations: tuple[Reservation, ...]
    input: Handle | None
    links: Path

    @property
    def made(self) -> tuple[Path, ...]:
        """Folders made for this attempt."""
        return tuple(made for entry in self.reservations for made in entry.folder.made)

    @property
    def source_name(self) -> str | None:
        """As FFmpeg is told it."""
        return str(self.source) if self.source is not None else None

    def shown(self, text: str) -> str:
        """With media as people name them, where FFmpeg says our names of them."""
        names = [
            (self.source, self.spec.input.path),
            *zip(self.staged, self.spec.paths, strict=False),
        ]
        for path, media in names:
            if path is not None:
                text = text.replace(f"file:{path}", str(media)).replace(str(path), str(media))
        return text

    def check_input(self) -> None:
        """Raises InputBad when the input is not what it was, RootAbsent."""
        media = self.spec.input.path
        if media is None or self.input is None:
            return
        with ExitStack() as stack:
            now = self.roots.open_input(media)
            stack.callback(now.close)
            if not self.seen == now.proof == self.input.proof:
                raise InputChanged(media)

    def check_staged(self) -> None:
        """Raises TargetSwapped: what was written has lost its name, which means another file."""
        for entry, media in zip(self.reservations, self.spec.paths, strict=True):
            if not entry.is_in_place():
                raise TargetSwapped(media)

    def check_room(self) -> None:
        """Raises NoSpace."""
        for entry, media in zip(self.reservations, self.spec.paths, strict=True):
            with suppress(OSError):
                _check_room(entry.path.parent, media)

    def close(self) -> None:
        shutil.rmtree(self.links, ignore_errors=True)
        for entry in self.reservations:
            entry.close()
        if self.input is not None:
            self.input.close()


def prepare(
    held: ExitStack, roots: Roots, key: AttemptKey, spec: JobSpec, links: Path | None = None
) -> Place:
    """Checks input and targets, and reserves the staged files; on an error nothing is left.
    `held` closes what the place holds, also when nobody waits for it any more. `links`: where our
    names lie; None: where this system keeps what is temporary."""
    with ExitStack() as undo:
        source, seen = None, None
        if spec.input.path is not None:
            source = roots.open_input(spec.input.path)
            undo.callback(source.close)
            seen = source.proof
        entries = _reserve_all(undo, roots, key, spec, source)
        folder = Path(tempfile.mkdtemp(prefix="ffrtmp-", dir=links))
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        place = Place(
            spec=spec,
            roots=roots,
            source=_link_input(folder, source, spec.input.path),
            staged=tuple(_link_output(folder, each, number) for number, each in enumerate(entries)),
            seen=seen,
            reservations=tuple(entries),
            input=source,
            links=folder,
        )
        held.callback(place.close)
        undo.pop_all()
        return place


def _link_input(folder: Path, source: Handle | None, media: MediaPath | None) -> Path | None:
    """Its ending is kept: some formats are known by nothing else. The rest of the name is not: a
    reader of series would take it for a pattern."""
    if source is None or media is None:
        return None
    suffix = Path(media.path).suffix
    link = folder / f"input{suffix if len(suffix.encode()) <= LONGEST_SUFFIX else ''}"
    link.symlink_to(source.shared)
    return link


def _link_output(folder: Path, entry: Reservation, number: int) -> Path:
    """Two outputs may have one name, in two folders."""
    link = folder / str(number) / entry.path.name
    link.parent.mkdir()
    link.symlink_to(entry.file.shared)
    return link


def _check_target(
    target: Path, media: MediaPath, source: Handle | None, *, overwrite: bool
) -> None:
    if source is not None and target.exists() and target.samefile(source.path):
        raise TargetIsInput(media)
    if target.is_dir():
        raise TargetIsFolder(media)
    if not overwrite and exists(target):
        raise TargetConflict(media)


def _reserve_all(
    undo: ExitStack, roots: Roots, key: AttemptKey, spec: JobSpec, source: Handle | None
) -> Sequence[Reservation]:
    """All targets are looked at before the first folder is made."""
    for media in spec.paths:
        target = roots.resolve(media, for_writing=True)
        _check_target(target, media, source, overwrite=spec.overwrite)
    entries = []
    for media in spec.paths:
        folder = roots.open_folder(media, make=True)
        entry = reserve(folder, Path(media.path).name, key, media)
        undo.callback(entry.withdraw)
        _check_room(entry.path.parent, media)
        entries.append(entry)
    return entries


def _check_room(folder: Path, media: MediaPath) -> None:
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        raise NoSpace(media, f"{free >> 10} KiB free")


def remove_staged(roots: Roots, key: AttemptKey, spec: JobSpec) -> None:
    """Removes what an attempt staged. What is out of reach stays, and is swept one day."""
    for media in spec.paths:
        with suppress(StorageError, OSError):
            folder = roots.open_folder(media, make=False).handle
            try:
                target = folder.path / Path(media.path).name
                staged_path(target, key).unlink(missing_ok=True)
            finally:
                folder.close()
