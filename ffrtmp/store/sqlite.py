"""The SQLite store: one file, one connection that writes, a few that read.

An OS lock keeps a second master off the file; so renewals, which only this process can make, are
kept in memory.
"""

import asyncio
import json
import re
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from random import random
from typing import Protocol

from ffrtmp.domain.errors import StoreFailing
from ffrtmp.store import queries
from ffrtmp.store.base import PoolUse, SessionKey, StoreFacts
from ffrtmp.store.connection import Connection, Renewals, on_conflict
from ffrtmp.store.lane import Lane
from ffrtmp.store.sql import SqlStore
from ffrtmp.store.sqlite_files import open_database, open_reader
from ffrtmp.store.sqlite_lock import locked
from ffrtmp.store.writer import Writer

READERS = 2
PATIENCE_SECONDS = 2.0
RETRY_SECONDS = 0.02

_FACTS = (
    "SELECT user_version AS schema, page_count * page_size AS size"
    " FROM pragma_user_version, pragma_page_count, pragma_page_size"
)


class Statements(Protocol):
    """What is used of an aiosqlite connection."""

    @property
    def in_transaction(self) -> bool: ...
    async def execute(self, sql: str, /) -> object: ...
    async def executemany(self, sql: str, parameters: Iterable[Sequence[object]], /) -> object: ...
    async def execute_fetchall(
        self, sql: str, parameters: Sequence[object], /
    ) -> Iterable[sqlite3.Row]: ...


class SqliteStore(SqlStore):
    """Implements `store.base.Store`. Open it with `SqliteStore.open`."""

    shared = False

    @classmethod
    @asynccontextmanager
    async def open(
        cls, path: Path, *, patience: float = PATIENCE_SECONDS
    ) -> "AsyncIterator[SqliteStore]":
        """Creates the file if it is not there. Raises StoreUnusable or StoreLocked."""
        async with AsyncExitStack() as stack:
            stack.enter_context(locked(path))
            connection = await stack.enter_async_context(open_database(path))
            readers = [await stack.enter_async_context(open_reader(path)) for _ in range(READERS)]
            over = cls.over(connection, readers, patience=patience, chance=random)
            yield await stack.enter_async_context(over)

    @classmethod
    @asynccontextmanager
    async def over(
        cls,
        connection: Statements,
        readers: Sequence[Statements],
        *,
        patience: float,
        chance: Callable[[], float],
        renewals: Renewals | None = None,
    ) -> "AsyncIterator[SqliteStore]":
        """On connections to a database that is ready. `renewals`: where they are kept instead, by
        those who share one database."""
        database = _Database(connection, readers)
        writer = Writer(database.begin, patience=patience, chance=chance)
        async with writer.running():
            lane = Lane(writer, database.fetch, lambda: database.use(writer))
            yield cls(lane, lane, renewals or _Renewals(database))

    async def news(self) -> None:
        await asyncio.Event().wait()

    async def time(self) -> datetime:
        [row] = await self._api.fetch("SELECT (julianday('now') - 2440587.5) * 86400 AS seconds")
        return datetime.fromtimestamp(row["seconds"], UTC)

    async def facts(self) -> StoreFacts:
        [row] = await self._api.fetch(_FACTS)
        return StoreFacts(kind="sqlite", schema=row["schema"], size=row["size"])


class _Database:
    def __init__(self, connection: Statements, readers: Sequence[Statements]) -> None:
        self._connection = connection
        self._readers = readers
        self._turn = 0

    async def fetch(self, query: str, *values: object) -> list[sqlite3.Row]:
        self._turn = (self._turn + 1) % len(self._readers)
        try:
            return await _fetch(self._readers[self._turn], query, values)
        except sqlite3.Error as error:
            raise StoreFailing(str(error)) from error

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Connection]:
        """Another process may hold the lock for as long as it likes; callers do not wait so."""
        try:
            while not await self._try_begin():  # noqa: ASYNC110  # nobody tells us
                await asyncio.sleep(RETRY_SECONDS)
            yield _Connection(self._connection)
            await self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreFailing(str(error)) from error
        finally:
            if self._connection.in_transaction:
                with suppress(sqlite3.Error):  # it has failed already
                    await self._connection.execute("ROLLBACK")

    async def _try_begin(self) -> bool:
        try:
            await self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                return False
            raise
        return True

    def use(self, writer: Writer) -> PoolUse:
        return PoolUse(
            name="sqlite",
            size=1,
            used=int(self._connection.in_transaction),
            waiting=writer.waiting,
            refused=writer.refused,
        )


class _Connection:
    def __init__(self, connection: Statements) -> None:
        self._connection = connection

    async def fetch(self, query: str, *values: object) -> list[sqlite3.Row]:
        return await _fetch(self._connection, query, values)

    async def insert(
        self,
        table: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[object]],
        *,
        key: Sequence[str] = (),
    ) -> None:
        marks = ", ".join("?" * len(columns))
        statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"
        statement += on_conflict(columns, key)
        await self._connection.executemany(statement, rows)

    async def update(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]
    ) -> None:
        key, *others = columns
        assigned = ", ".join(f"{name} = ?" for name in others)
        statement = f"UPDATE {table} SET {assigned} WHERE {key} = ?"
        await self._connection.executemany(statement, [(*row[1:], row[0]) for row in rows])


class _Renewals:
    """Of this run: sessions of an earlier one begin at 0 again, and so does their observation."""

    def __init__(self, database: _Database) -> None:
        self._database = database
        self._numbers: Counter[SessionKey] = Counter()

    async def renew(self, sessions: Collection[SessionKey]) -> None:
        self._numbers.update(sessions)

    async def live(self) -> dict[SessionKey, int]:
        rows = await self._database.fetch(queries.LIVE_SESSIONS)
        keys = [SessionKey(row["worker"], row["epoch"]) for row in rows]
        live = {key: self._numbers[key] for key in keys}
        self._numbers = Counter(live)
        return live

    async def number(self, _connection: Connection, session: SessionKey) -> int:
        return self._numbers[session]


async def _fetch(connection: Statements, query: str, values: Sequence[object]) -> list[sqlite3.Row]:
    bound = [_bound(value) for value in values]
    return list(await connection.execute_fetchall(_in_sqlite(query), bound))


def _bound(value: object) -> object:
    return value if isinstance(value, str | int | None) else json.dumps(list(_strings(value)))


def _strings(value: object) -> Collection[str]:
    assert isinstance(value, Collection)
    return value


@cache
def _in_sqlite(query: str) -> str:
    """It has no arrays and no row locks, for it has one writer; it numbers values by `?`."""
    query = re.sub(r"= ANY\(\$(\d+)\)", r"IN (SELECT value FROM json_each(?\1))", query)
    query = (
        query.replace(" FOR NO KEY UPDATE", "").replace(" SKIP LOCKED", "").replace("::json", "")
    )
    return re.sub(r"\$(\d+)", r"?\1", query)
