"""Names to folders: each worker maps every root to a folder of its own, and proves it.

Everything here blocks on the file system: call it in a thread. At registration the worker writes a
small file with a nonce into each root; workers that see each other's nonces share the root, and a
folder that was never mounted is found out. The same file tells later whether the folder is still
the one that was registered.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from ffrtmp.domain.roots import RootReport
from ffrtmp.domain.spec import MediaPath, folders_of
from ffrtmp.storage.errors import (
    InputNotAFile,
    PathEscapes,
    RootAbsent,
    StorageFailing,
    TargetBelowFile,
    reading,
    words,
    writing,
)
from ffrtmp.storage.handles import Handle, HeldFolder, hold_file, hold_folder

PREFIX = ".ffrtmp-root."
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


class _Root:
    """One root: its folder, and how to know it again."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.nonce_file: Path | None = None
        self.older_proofs: tuple[Path, ...] = ()
        self.alone = False
        self._identity: tuple[int, int] | None = None
        self.report = RootReport(name=name)

    def remember(self, nonce_file: Path) -> None:
        found = self.folder.stat()
        self.nonce_file = nonce_file
        self._identity = (found.st_dev, found.st_ino)

    def check(self) -> None:
        """Raises RootAbsent. An unmounted folder is often still there, and empty."""
        try:
            found = self.folder.stat()
        except OSError as error:
            raise RootAbsent(self.name, words(error)) from error
        if not stat.S_ISDIR(found.st_mode):
            raise RootAbsent(self.name, "not a folder")
        if self.nonce_file is None or self._identity == (found.st_dev, found.st_ino):
            return
        if not self.nonce_file.exists():
            raise RootAbsent(self.name, "another folder lies at its place")


class Roots:
    """Every root of one worker. `mapping`: name to folder."""

    def __init__(self, mapping: Mapping[str, Path]) -> None:
        self._roots = {name: _Root(name, Path(folder)) for name, folder in mapping.items()}

    @property
    def folders(self) -> dict[str, Path]:
        return {name: root.folder for name, root in self._roots.items()}

    def resolve(self, media: MediaPath, *, for_writing: bool) -> Path:
        """The real path of `media`, symbolic links followed.

        An input must be a regular file. Of an output only the folder is followed, and neither it
        nor the file needs to exist. Raises RootAbsent, PathEscapes, InputBad.
        """
        root = self._roots.get(media.root)
        if root is None:
            raise RootAbsent(media.root, "it is not mapped to a folder here")
        root.check()
        if for_writing:
            return _resolve_target(root, media)
        with reading(media):
            real = (root.folder / media.path).resolve(strict=True)
            _check_below(root, real, media)
            kind = stat.S_IFMT(real.stat().st_mode)
        if kind != stat.S_IFREG:
            raise InputNotAFile(media, KINDS.get(kind, "no file"))
        return real

    def open_input(self, media: MediaPath) -> Handle:
        """The file that `resolve` finds, held: whatever its name means a moment later. Raises as
        `resolve` does."""
        real = self.resolve(media, for_writing=False)
        with reading(media):
            return hold_file(real)

    def open_folder(self, media: MediaPath, *, make: bool) -> HeldFolder:
        """The folder of an output, held. Raises RootAbsent, PathEscapes, TargetUnusable, NoSpace,
        StorageFailing; without `make` also FileNotFoundError."""
        target = self.resolve(media, for_writing=True)
        try:
            with writing(media):
                self._require_folders(media)
                return hold_folder(target.parent, make=make)
        except StorageFailing as error:
            if isinstance(error.__cause__, FileNotFoundError) and not make:
                raise error.__cause__ from None
            raise

    def _require_folders(self, media: MediaPath) -> None:
        """Raises TargetBelowFile."""
        top = self._roots[media.root].folder
        for folder in folders_of(str(media)):
            path = top / folder.partition(":")[2]
            if path.exists() and not path.is_dir():
                raise TargetBelowFile(media, folder)

    def report(self, worker_name: str, nonce: str) -> tuple[RootReport, ...]:
        """Proves each root, for registration. What is wrong with one is said in its `problem`."""
        for root in self._roots.values():
            root.report = _prove(root, worker_name, nonce)
        return self.reports

    def report_again(self, worker_name: str, nonce: str) -> tuple[RootReport, ...]:
        """As `report`, later. A root that was never proved is tried once more; one that was is only
        looked for: what lies at its place now may be the empty folder below a mount."""
        for root in self._roots.values():
            if root.nonce_file is None:
                root.report = _prove(root, worker_name, nonce)
            else:
                _look_again(root, nonce)
        return self.reports

    @property
    def reports(self) -> tuple[RootReport, ...]:
        """As they were found last."""
        return tuple(root.report for root in self._roots.values())

    @property
    def unshared(self) -> list[Path]:
        """Folders in which no other worker has proved a root: all that is staged there is ours."""
        return [root.folder for root in self._roots.values() if root.alone]

    def remove_older_proofs(self) -> None:
        """Those of earlier runs of this worker. Only once the master has welcomed this run: until
        then an older proof may be of a twin that is alive."""
        for root in self._roots.values():
            for proof in root.older_proofs:
                _remove(proof)
            root.older_proofs = ()

    def withdraw(self) -> None:
        """Removes the proofs again; a root that is gone by now has lost its own."""
        for root in self._roots.values():
            if root.nonce_file is not None:
                _remove(root.nonce_file)
                root.nonce_file = None


def _resolve_target(root: _Root, media: MediaPath) -> Path:
    named = root.folder / media.path
    try:
        folder, real = named.parent.resolve(), named.resolve()
    except (OSError, RuntimeError) as error:  # RuntimeError: a circle of links
        raise StorageFailing(media, str(error)) from error
    _check_below(root, folder, media, or_equal=True)
    if real != folder / named.name:  # the target itself is a link: it may not lead out either
        _check_below(root, real, media)
    return folder / named.name


def _check_below(root: _Root, real: Path, media: MediaPath, *, or_equal: bool = False) -> None:
    top = root.folder.resolve()
    if not (top in real.parents or (or_equal and real == top)):
        raise PathEscapes(media)


def _prove(root: _Root, worker_name: str, nonce: str) -> RootReport:
    mine = f"{PREFIX}{quote(worker_name, safe='')}."
    proof = root.folder / f"{mine}{nonce}"
    try:
        if not root.folder.is_dir():
            return RootReport(name=root.name, problem=_not_a_folder(root.folder))
        proof.write_text(nonce)
        if proof.read_text() != nonce:
            return RootReport(
                name=root.name, problem=f"{root.folder} does not keep what it is given"
            )
        sees, empty = _look_around(root.folder)
        root.alone = all(name.startswith(mine) for name in _proofs(root.folder))
        root.older_proofs = tuple(
            root.folder / f"{mine}{other}" for other in sees if other != nonce
        )
        root.remember(proof)  # last: what was not looked at to the end was not proved
    except OSError as error:
        _remove(proof)
        problem = f"{root.folder} cannot be written ({words(error)}): let the worker's user write"
        return RootReport(name=root.name, problem=problem)
    return RootReport(name=root.name, nonce=nonce, sees=sees, empty=empty)


def _look_again(root: _Root, nonce: str) -> None:
    try:
        root.check()
        if not root.report.problem:
            return
        sees, empty = _look_around(root.folder)
    except (RootAbsent, OSError) as error:
        root.report = RootReport(name=root.name, problem=str(error))
        return
    root.report = RootReport(name=root.name, nonce=nonce, sees=sees, empty=empty)


def _not_a_folder(folder: Path) -> str:
    if folder.exists():
        return f"{folder} is not a folder: map the root to one"
    return f"{folder} does not exist: mount or make it, and it is tried again"


def _look_around(folder: Path) -> tuple[frozenset[str], bool]:
    """The nonces in a root, and whether it holds nothing else. Older ones of this very worker are
    among them: another worker may have seen only those."""
    sees, empty = set(), True
    for entry in _names(folder):
        if not entry.startswith(PREFIX):
            empty = False
            continue
        sees.add(entry.rpartition(".")[2])
    return frozenset(sees), empty


def _proofs(folder: Path) -> Iterator[str]:
    return (name for name in _names(folder) if name.startswith(PREFIX))


def _names(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry.name


def _remove(path: Path) -> None:
    """Whoever cannot remove it leaves a few bytes behind; that is no reason to fail."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
