"""`ffrtmp backup` and `ffrtmp restore`: a copy of a store, taken while its master works."""

import re
from pathlib import Path

from ffrtmp.cli.errors import UserError
from ffrtmp.cli.shown import show_size
from ffrtmp.cli.target import up_folder
from ffrtmp.config import state_dir
from ffrtmp.store import backup as copies

_POSTGRES = re.compile(r"postgres(ql)?://")
_PASSWORD = re.compile(r"(//[^:/@]*):[^@]*@")


def backup(file: Path, *, store: str, overwrite: bool) -> None:
    dump = "pg_dump --format=custom --file {file} '{store}'"
    database = _database(store, f"back it up with {dump.format(file=file, store=_shown(store))}")
    if file.exists() and not overwrite:
        raise UserError(f"{file} exists already: give --overwrite to replace it")
    copy = copies.back_up(database, file)
    print(f"{copy.jobs} jobs, {show_size(copy.size)}, sha256 {copy.sha256}")


def restore(file: Path, *, store: str, overwrite: bool) -> None:
    load = f"pg_restore --clean --if-exists --dbname '{_shown(store)}' {file}"
    database = _database(store, f"restore it with {load}")
    if not file.is_file():
        raise UserError(f"there is no file {file}: name a copy that `ffrtmp backup` made")
    copy = copies.restore(file, database, overwrite=overwrite)
    print(f"{database}: {copy.jobs} jobs. Start its master.")


def _database(store: str, instead: str) -> Path:
    """Raises UserError."""
    if _POSTGRES.match(store):
        raise UserError(f"PostgreSQL has tools of its own: {instead}")
    if store:
        return Path(store.removeprefix("sqlite:")).expanduser()
    database, of_up = state_dir() / "master.db", up_folder() / "master.db"
    if not database.exists() and of_up.exists():
        raise UserError(
            f"there is no {database}: give --store; that of `ffrtmp up` is --store {of_up}"
        )
    return database


def _shown(store: str) -> str:
    """Without a password: a command line is read by everybody on the machine."""
    return _PASSWORD.sub(r"\1@", store)
