"""Files and folders held open: a name can be given to something else after it was checked, what is
held cannot.

A real path is walked part by part without following a symbolic link: its links were followed, and
judged, before; whoever put one there since gets an error. `Handle.path` is the held thing itself,
in this process; `Handle.shared` in others of the same user, as long as this one holds it.
"""

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PATH = getattr(os, "O_PATH", 0)  # Linux has it; elsewhere `doctor` and `plan` run, no worker
FOLDER = _PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
LOOK = _PATH | os.O_NOFOLLOW | os.O_CLOEXEC
HELD = Path("/proc/self/fd")


@dataclass(frozen=True, slots=True)
class Proof:
    """Which file it is, and which state of it. A change of its bytes that hides its time is not
    seen."""

    device: int
    inode: int
    size: int
    changed: int

    @classmethod
    def of(cls, found: os.stat_result) -> "Proof":
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Handle:
    """Whoever opened it closes it."""

    number: int

    @property
    def path(self) -> Path:
        return HELD / str(self.number)

    @property
    def shared(self) -> Path:
        return Path(f"/proc/{os.getpid()}/fd/{self.number}")

    @property
    def proof(self) -> Proof:
        return Proof.of(os.fstat(self.number))

    def close(self) -> None:
        os.close(self.number)


@dataclass(frozen=True, slots=True)
class HeldFolder:
    """`made` are the folders made for it, outermost first."""

    handle: Handle
    made: tuple[Path, ...] = ()


def hold_folder(real: Path, *, make: bool = False) -> HeldFolder:
    """`make` makes what is missing; of what could not be made to the end nothing is left. Raises
    OSError."""
    made: list[Path] = []
    number = os.open("/", FOLDER)
    try:
        for depth, part in enumerate(real.parts[1:], 2):
            try:
                inner = os.open(part, FOLDER, dir_fd=number)
            except FileNotFoundError:
                if not make:
                    raise
                with suppress(FileExistsError):  # another attempt was quicker, and it is its own
                    os.mkdir(part, dir_fd=number)
                    made.append(Path(*real.parts[:depth]))
                inner = os.open(part, FOLDER, dir_fd=number)
            os.close(number)
            number = inner
    except BaseException:
        os.close(number)
        remove_folders(made)
        raise
    return HeldFolder(Handle(number), tuple(made))


def hold_file(real: Path) -> Handle:
    """A regular file, for reading. Anything else is not even opened: a pipe would wait for ever, a
    device may do what devices do. Raises OSError."""
    folder = hold_folder(real.parent).handle
    try:
        looked = os.open(real.name, LOOK, dir_fd=folder.number)
    finally:
        folder.close()
    try:
        if not stat.S_ISREG(os.fstat(looked).st_mode):
            raise OSError(errno.ELOOP, "it is no file any more")
        return Handle(os.open(HELD / str(looked), os.O_RDONLY | os.O_CLOEXEC))
    finally:
        os.close(looked)


def remove_folders(made: Sequence[Path]) -> None:
    """Takes back folders that were made for an output; one that is in use by now stays."""
    for folder in reversed(made):
        try:
            above = hold_folder(folder.parent).handle
        except OSError:
            return
        try:
            os.rmdir(folder.name, dir_fd=above.number)
        except OSError:
            return
        finally:
            above.close()
