"""Opens SQLite files the way this store wants them."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import aiosqlite

from ffrtmp.store.errors import SchemaTooNew, StoreUnusable
from ffrtmp.store.migrate import migrations

CACHE_KIB = 65536
"""Of the writer; with the default of 2 MiB a claim among a million jobs reads every page anew."""

# Python's sqlite3 asks every value but numbers and texts how it is to be stored, and hears that it
# does not know by an AttributeError. A third of a job's columns are empty.
sqlite3.register_adapter(type(None), lambda none: none)


@asynccontextmanager
async def open_database(path: Path) -> AsyncIterator[sqlite3.Connection]:
    """The connection that writes, for one thread at a time. Every commit is on the disk when it
    returns."""
    try:
        connection = await asyncio.to_thread(_prepared, path)
    except sqlite3.Error as error:
        raise StoreUnusable(f"cannot use {path} as a database: {error}") from error
    with closing(connection):
        yield connection


def _prepared(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        # A commit that cannot be served waits in the writer, which can give up; SQLite cannot.
        connection.execute("PRAGMA busy_timeout = 0")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        _migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


@asynccontextmanager
async def open_reader(path: Path) -> AsyncIterator[aiosqlite.Connection]:
    async with aiosqlite.connect(path, isolation_level=None) as connection:
        connection.row_factory = aiosqlite.Row
        await connection.execute("PRAGMA query_only = ON")
        await connection.execute("PRAGMA busy_timeout = 1000")
        yield connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    known = migrations("sqlite")
    [version] = connection.execute("PRAGMA user_version").fetchone()
    if version > known[-1][0]:
        raise SchemaTooNew(str(path), version, known[-1][0])
    for number, text in known:
        if number > version:
            connection.executescript(
                f"BEGIN IMMEDIATE;\n{text}\nPRAGMA user_version = {number};\nCOMMIT;"
            )
