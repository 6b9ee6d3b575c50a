"""Copies of a SQLite store: taken while its master works, verified, and put back.

A copy lies beside its checksum, `FILE.sha256`, in the form of `sha256sum`. Everything here blocks.
"""

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ffrtmp.store.errors import StoreUnusable
from ffrtmp.store.migrate import migrations
from ffrtmp.store.sqlite_lock import locked

COMPANIONS = ("", "-wal", "-shm")


@dataclass(frozen=True, slots=True)
class Copy:
    """What is in one. `schema`: the number of its newest migration."""

    sha256: str
    size: int
    jobs: int
    schema: int


def checksum_path(file: Path) -> Path:
    return file.with_name(f"{file.name}.sha256")


def back_up(database: Path, file: Path) -> Copy:
    """Copies what is committed now. `file` is there whole, with its checksum, or not at all.

    Raises StoreUnusable.
    """
    if file.is_dir():
        raise StoreUnusable(f"{file} is a folder: name a file")
    partial = file.with_name(f".{file.name}.part")
    with _sentences(f"back {database} up to {file}"):
        if not database.is_file():
            raise StoreUnusable(f"there is no database {database}: name it with --store")
        partial.unlink(missing_ok=True)
        partial.touch(mode=0o600)  # it says what everybody submitted
        try:
            _copy(database, partial)
            copy = _examine(partial)
            _make_durable(partial)
            checksum_path(file).write_text(f"{copy.sha256}  {file.name}\n")
            _make_durable(checksum_path(file))
            partial.replace(file)
            _make_durable(file.parent)
        finally:
            partial.unlink(missing_ok=True)
    return copy


def verify(file: Path) -> Copy:
    """Raises StoreUnusable unless it is what was backed up, sound, and known to this build."""
    beside = checksum_path(file)
    with _sentences(f"read {file}"):
        if not beside.is_file():
            raise StoreUnusable(
                f"there is no {beside.name} beside {file}: copy it too, or, if you trust the file, "
                f"make it with `sha256sum {file.name} > {beside.name}`"
            )
        told = beside.read_text().split(maxsplit=1)[:1]
        copy = _examine(file)
    if told != [copy.sha256]:
        raise StoreUnusable(
            f"{file} is not what was backed up: its SHA-256 is {copy.sha256}, "
            f"{beside.name} says {' '.join(told) or 'nothing'}; take another copy"
        )
    known = migrations("sqlite")[-1][0]
    if not 1 <= copy.schema <= known:
        raise StoreUnusable(
            f"{file} has schema {copy.schema}, this build of ffrtmp knows 1 to {known}: "
            "use the ffrtmp that made it, or a newer one"
        )
    return copy


def restore(file: Path, database: Path, *, overwrite: bool) -> Copy:
    """Puts a copy in the place of `database`; what was there is kept beside it, ending in `.old`.

    Raises StoreUnusable, and StoreLocked while a master has it.
    """
    copy = verify(file)
    with _sentences(f"restore {database}"):
        exists = database.is_file() and database.stat().st_size > 0
        if exists and not overwrite:
            raise StoreUnusable(
                f"{database} exists: give --overwrite to replace it; it will be kept as "
                f"{database.name}.old"
            )
        with locked(database):
            partial = database.with_name(f".{database.name}.part")
            partial.touch(mode=0o600)
            try:
                shutil.copyfile(file, partial)
                _make_durable(partial)
                if _sha256(partial) != copy.sha256:
                    raise StoreUnusable(f"{partial} does not read back as it was written")
                _put_aside(database)
                partial.replace(database)
                _make_durable(database.parent)
            finally:
                partial.unlink(missing_ok=True)
    return copy


def _put_aside(database: Path) -> None:
    """With its write-ahead log, which holds what is not in the file yet."""
    for ending in COMPANIONS:
        path = database.with_name(f"{database.name}{ending}")
        old = database.with_name(f"{database.name}.old{ending}")
        old.unlink(missing_ok=True)
        if path.exists():
            path.replace(old)


def _copy(database: Path, target: Path) -> None:
    """In one read transaction: writers go on, and are not in it."""
    # Not read-only: a log that a killed master left behind is read too, which needs writing.
    source = sqlite3.connect(f"file:{_quoted(database)}?mode=rw", uri=True)
    with closing(source), closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, no companions


def _examine(file: Path) -> Copy:
    """Reads all of it."""
    with closing(sqlite3.connect(f"file:{_quoted(file)}?immutable=1", uri=True)) as connection:
        problems = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
        if problems != ["ok"]:
            raise StoreUnusable(f"{file} is damaged: {'; '.join(problems)}")
        if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
            raise StoreUnusable(f"{file} is damaged: rows that belong together are not together")
        [schema] = connection.execute("PRAGMA user_version").fetchone()
        [jobs] = connection.execute("SELECT count(*) FROM jobs").fetchone()
    return Copy(_sha256(file), file.stat().st_size, jobs, schema)


def _quoted(path: Path) -> str:
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _make_durable(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@contextmanager
def _sentences(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        why = (error.strerror or "").lower() if isinstance(error, OSError) else str(error)
        raise StoreUnusable(f"cannot {what}: {why}") from error
