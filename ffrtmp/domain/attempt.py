"""One try at a job: who makes it, what came of it, and why not."""

from dataclasses import dataclass

from ffrtmp.domain.retry import Reason


@dataclass(frozen=True, slots=True)
class Holder:
    """One incarnation of one worker."""

    worker: str
    incarnation: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """The attempt that was accepted last: its late news count until another is accepted. `failed`:
    it has said itself that it failed, and may only repeat that."""

    holder: Holder
    fence: int
    failed: bool = False


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One verified file: `path` is ROOT:PATH, `size` in bytes, `sha256` in hexadecimal."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The bytes that may be published, and under which fence's name they are staged."""

    files: tuple[FileRecord, ...]
    fence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an attempt failed. `exit_code` negative: the signal that ended FFmpeg."""

    reason: Reason
    message: str
    exit_code: int | None = None
    log_tail: tuple[str, ...] = ()
