"""What can be wrong with media on this worker, named once; `worker/failures.py` says what follows.

StorageError
    RootAbsent          the root's folder is gone, or another one lies at its place
    PathEscapes         a symbolic link leads out of the root
    InputBad            missing while its root is there, not a regular file, not readable, changed
    TargetConflict      the target exists, and the job may not overwrite it
    TargetIsInput       by real path
    TargetSwapped       the staged file's name means another file by now
    TargetUnusable      the target's folder cannot be made or written
        TargetIsFolder
        TargetBelowFile
    NoSpace             the file system is full, or a quota or size limit is reached
    StagedLost          neither the staged file nor its published self is there
    StorageFailing      anything else the file system answers
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
FORBIDDEN = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EEXIST,
        errno.ENAMETOOLONG,
        errno.ELOOP,
        errno.ETXTBSY,
    }
)


class StorageError(Exception):
    """The root. `str(error)` is one sentence for a person, and names media as ROOT:PATH."""


class RootAbsent(StorageError):
    def __init__(self, root: str, why: str) -> None:
        super().__init__(f"root {root!r} is absent on this worker: {why}; is it mounted?")


class PathEscapes(StorageError):
    def __init__(self, media: object) -> None:
        super().__init__(
            f"{media} leads out of its root through a symbolic link; name the file by a root "
            "that holds it"
        )


class InputBad(StorageError):
    pass


class InputMissing(InputBad):
    def __init__(self, media: object) -> None:
        super().__init__(f"input {media} does not exist; check the path below its root")


class InputNotAFile(InputBad):
    def __init__(self, media: object, kind: str) -> None:
        super().__init__(f"input {media} is {kind}; name a regular file")


class InputUnreadable(InputBad):
    def __init__(self, media: object, why: str) -> None:
        super().__init__(f"input {media} cannot be read ({why}); let the worker's user read it")


class InputChanged(InputBad):
    def __init__(self, media: object) -> None:
        super().__init__(
            f"input {media} was changed while it was encoded; submit again when it is complete"
        )


class TargetConflict(StorageError):
    def __init__(self, media: object) -> None:
        super().__init__(
            f"target {media} exists already; choose another path, or set overwrite to replace it"
        )


class TargetIsInput(StorageError):
    def __init__(self, media: object) -> None:
        super().__init__(f"output {media} is the input itself; choose another path")


class TargetSwapped(StorageError):
    def __init__(self, media: object) -> None:
        super().__init__(
            f"the staged file of {media} was replaced or removed by somebody while it was written; "
            "let nobody but the workers write in that folder"
        )


class TargetUnusable(StorageError):
    def __init__(self, media: object, why: str) -> None:
        super().__init__(
            f"output {media} cannot be written ({why}); let the worker's user write there, "
            "or choose another folder"
        )


class TargetIsFolder(TargetUnusable):
    def __init__(self, media: object) -> None:
        StorageError.__init__(self, f"output {media} is a folder; name the file to make")


class TargetBelowFile(TargetUnusable):
    def __init__(self, media: object, file: str) -> None:
        StorageError.__init__(
            self, f"output {media} lies below {file}, which is a file; choose another folder"
        )


class NoSpace(StorageError):
    def __init__(self, media: object, why: str) -> None:
        super().__init__(f"no room for {media} ({why}); free some space on that file system")


class StagedLost(StorageError):
    def __init__(self, media: object) -> None:
        super().__init__(f"the staged file of {media} is gone, and the target has other bytes")


class StorageFailing(StorageError):
    def __init__(self, media: object, why: str) -> None:
        super().__init__(f"the file system of {media} failed: {why}")


def words(error: OSError) -> str:
    """What the system says, without the path: that is shown as ROOT:PATH."""
    return (error.strerror or type(error).__name__).lower()


@contextmanager
def writing(media: object) -> Iterator[None]:
    """Turns what the file system answers to a write into our errors."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise NoSpace(media, words(error)) from error
        if error.errno in FORBIDDEN:
            raise TargetUnusable(media, words(error)) from error
        raise StorageFailing(media, words(error)) from error


@contextmanager
def reading(media: object) -> Iterator[None]:
    """The same for a read of an input."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputMissing(media) from error
    except OSError as error:
        if error.errno in FORBIDDEN:
            raise InputUnreadable(media, words(error)) from error
        raise StorageFailing(media, words(error)) from error


def exists(path: Path) -> bool:
    """A link that leads nowhere is there too."""
    return path.is_symlink() or path.exists()
