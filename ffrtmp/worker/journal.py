"""Results on disk before they are sent; they stay until the master has said its last word.

One small file an attempt, from its accept: a run of the worker that was killed is cleaned up after
by the next one. A lock keeps a second worker process off the folder. The key of a live push is not
written: nothing is ever sent from here.
"""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from ffrtmp.domain.figures import Figures
from ffrtmp.domain.job import Failure, Manifest
from ffrtmp.domain.messages import Failed, Published, Result, Staged
from ffrtmp.domain.session import AttemptKey
from ffrtmp.domain.spec import JobSpec

_log = logging.getLogger("ffrtmp.worker")


class JournalUnusable(Exception):
    """One sentence that says what to do."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """At most one of `failure` and `manifest` is set; neither: the attempt has no result yet.

    `published`: the files were renamed; of a live push, which has no manifest: all was sent.
    """

    key: AttemptKey
    spec: JobSpec
    manifest: Manifest | None = None
    published: bool = False
    failure: Failure | None = None
    figures: Figures | None = None

    @property
    def has_result(self) -> bool:
        return self.manifest is not None or self.failure is not None or self.published

    @property
    def result(self) -> Result:
        """What is to be said of the attempt."""
        if self.failure is not None:
            return Failed(self.key, self.failure, self.figures)
        if self.published:
            return Published(self.key, self.figures)
        assert self.manifest is not None
        return Staged(self.key, self.manifest, self.figures)


_ENTRY = msgspec.json.Decoder(Entry)


class Journal:
    """All methods block on the disk: call them in a thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    @contextmanager
    def open(cls, folder: Path) -> Iterator["Journal"]:
        """Raises JournalUnusable: not writable, or another worker process has it."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (folder / "lock").open("w")
        except OSError as error:
            raise JournalUnusable(
                f"cannot write {folder}: {error.strerror}; choose another --state-dir"
            ) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise JournalUnusable(
                    f"{folder} belongs to another worker process: stop that one, "
                    "or give this one its own --state-dir"
                ) from None
            yield cls(folder)

    def begin(self, key: AttemptKey, spec: JobSpec) -> None:
        """Notes an attempt without a result. Not forced to the disk: it only helps to clean up."""
        partial = self._path(key).with_suffix(".new")
        partial.write_bytes(_encoded(Entry(key=key, spec=spec)))
        partial.replace(self._path(key))

    def record(self, entry: Entry) -> None:
        """On the disk when it returns; replaces what was noted of the attempt before."""
        path = self._path(entry.key)
        partial = path.with_suffix(".new")
        with partial.open("wb") as file:
            file.write(_encoded(entry))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        self._sync_folder()

    def forget(self, key: AttemptKey) -> None:
        self._path(key).unlink(missing_ok=True)

    def entries(self) -> list[Entry]:
        """What an earlier run of this worker left. A damaged entry is set aside."""
        found = []
        for path in sorted(self._folder.glob("*.json")):
            try:
                found.append(_ENTRY.decode(path.read_bytes()))
            except msgspec.MsgspecError as error:
                path.rename(path.with_suffix(".damaged"))
                _log.warning("journal entry %s is damaged and was set aside: %s", path.name, error)
        return found

    def _path(self, key: AttemptKey) -> Path:
        return self._folder / f"{key.job_id}.{key.fence}.json"

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _encoded(entry: Entry) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(entry, spec=entry.spec.shown))
