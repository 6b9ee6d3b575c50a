"""Opens SQLite files the way this store wants them."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiosqlite

from ffrtmp.store.errors import SchemaTooNew, StoreUnusable
from ffrtmp.store.migrate import migrations


@asynccontextmanager
async def open_database(path: Path) -> AsyncIterator[aiosqlite.Connection]:
    """The connection that writes. Every commit is on the disk when it returns."""
    async with AsyncExitStack() as stack:
        try:
            connection = await stack.enter_async_context(
                aiosqlite.connect(path, isolation_level=None)
            )
            await _prepare(connection, path)
        except sqlite3.Error as error:
            raise StoreUnusable(f"cannot use {path} as a database: {error}") from error
        yield connection


async def _prepare(connection: aiosqlite.Connection, path: Path) -> None:
    connection.row_factory = aiosqlite.Row
    # A commit that cannot be served waits in the writer, which can give up; SQLite cannot.
    await connection.execute("PRAGMA busy_timeout = 0")
    await connection.execute("PRAGMA journal_mode = WAL")
    await connection.execute("PRAGMA synchronous = FULL")
    await connection.execute("PRAGMA foreign_keys = ON")
    await _migrate(connection, path)


@asynccontextmanager
async def open_reader(path: Path) -> AsyncIterator[aiosqlite.Connection]:
    async with aiosqlite.connect(path, isolation_level=None) as connection:
        connection.row_factory = aiosqlite.Row
        await connection.execute("PRAGMA query_only = ON")
        await connection.execute("PRAGMA busy_timeout = 1000")
        yield connection


async def _migrate(connection: aiosqlite.Connection, path: Path) -> None:
    known = migrations("sqlite")
    async with connection.execute("PRAGMA user_version") as cursor:
        row = await cursor.fetchone()
    version = row[0] if row else 0
    if version > known[-1][0]:
        raise SchemaTooNew(str(path), version, known[-1][0])
    for number, text in known:
        if number > version:
            await connection.executescript(
                f"BEGIN IMMEDIATE;\n{text}\nPRAGMA user_version = {number};\nCOMMIT;"
            )
