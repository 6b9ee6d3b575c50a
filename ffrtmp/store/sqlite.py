"""The SQLite store: one file, one connection that writes, a few that read.

An OS lock keeps a second master off the file; so renewals, which only this process can make, are
kept in memory.

What the writer does to a few rows takes less time than to hand it to a thread and to hear of it:
it is done where it is asked for. What waits for the disk (a commit) or for many rows goes to the
writer's one thread, so that the event loop is never held up for long.
"""

import asyncio
import json
import re
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from random import random
from typing import Any, Protocol, TypeGuard, TypeVar

from ffrtmp.domain.errors import StoreFailing
from ffrtmp.domain.facts import GroupCommitted
from ffrtmp.store import queries
from ffrtmp.store.connection import Connection, Renewals, on_conflict
from ffrtmp.store.lane import Lane
from ffrtmp.store.records import PoolUse, SessionKey, StoreFacts
from ffrtmp.store.sql import SqlStore
from ffrtmp.store.sqlite_files import open_database, open_reader
from ffrtmp.store.sqlite_lock import locked
from ffrtmp.store.stopwatch import COMMIT, Observe, Stopwatch, names_in, unheard
from ffrtmp.store.writer import Writer

READERS = 2
PATIENCE_SECONDS = 2.0
RETRY_SECONDS = 0.02
AT_ONCE = 64
"""So many rows are written, or looked for, on the event loop; more of them in the thread."""

T = TypeVar("T")

_FACTS = (
    "SELECT user_version AS schema, page_count * page_size AS size"
    " FROM pragma_user_version, pragma_page_count, pragma_page_size"
)


class Reader(Protocol):
    """What is used of an aiosqlite connection."""

    async def execute_fetchall(
        self, sql: str, parameters: Iterable[Any], /
    ) -> Iterable[sqlite3.Row]: ...


class SqliteStore(SqlStore):
    """Implements `store.base.Store`. Open it with `SqliteStore.open`."""

    shared = False

    @classmethod
    @asynccontextmanager
    async def open(
        cls, path: Path, *, patience: float = PATIENCE_SECONDS, observe: Observe = unheard
    ) -> "AsyncIterator[SqliteStore]":
        """Creates the file if it is not there. Raises StoreUnusable or StoreLocked."""
        async with AsyncExitStack() as stack:
            stack.enter_context(locked(path))
            connection = await stack.enter_async_context(open_database(path))
            # Ended before the connection is: it may still commit for a writer that was stopped, and
            # what is closed under a commit takes the process with it.
            thread = stack.enter_context(ThreadPoolExecutor(1, "sqlite-writer"))
            readers = [await stack.enter_async_context(open_reader(path)) for _ in range(READERS)]
            over = cls.over(
                connection, thread, readers, patience=patience, chance=random, observe=observe
            )
            yield await stack.enter_async_context(over)

    @classmethod
    @asynccontextmanager
    async def over(
        cls,
        connection: sqlite3.Connection,
        thread: Executor | None,
        readers: Sequence[Reader],
        *,
        patience: float,
        chance: Callable[[], float],
        renewals: Renewals | None = None,
        observe: Observe = unheard,
    ) -> "AsyncIterator[SqliteStore]":
        """On connections to a database that is ready. `renewals`: where they are kept instead, by
        those who share one database."""
        watch = Stopwatch(observe, names_in(globals()))
        database = _Database(connection, thread, readers, watch)
        writer = Writer(
            database.begin,
            patience=patience,
            chance=chance,
            committed=lambda operations: observe(GroupCommitted(operations)),
        )
        async with writer.running():
            lane = Lane(writer, database.fetch, lambda: database.use(writer))
            yield cls(lane, lane, renewals or _Renewals(database))

    async def news(self) -> None:
        await asyncio.Event().wait()

    async def time(self) -> datetime:
        [row] = await self._api.fetch("SELECT (julianday('now') - 2440587.5) * 86400 AS seconds")
        return datetime.fromtimestamp(row["seconds"], UTC)

    async def oldest_snapshot(self) -> timedelta:
        return timedelta(0)

    async def facts(self) -> StoreFacts:
        [row] = await self._api.fetch(_FACTS)
        return StoreFacts(kind="sqlite", schema=row["schema"], size=row["size"])


class _Database:
    def __init__(
        self,
        connection: sqlite3.Connection,
        thread: Executor | None,
        readers: Sequence[Reader],
        watch: Stopwatch,
    ) -> None:
        self._watch = watch
        self._connection = connection
        self._thread = thread
        self._readers = readers
        self._turn = 0

    async def fetch(self, query: str, *values: object) -> list[sqlite3.Row]:
        self._turn = (self._turn + 1) % len(self._readers)
        reader = self._readers[self._turn]
        try:
            with self._watch.query(query):
                return list(await reader.execute_fetchall(_in_sqlite(query), _all_bound(values)))
        except sqlite3.Error as error:
            raise StoreFailing(str(error)) from error

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Connection]:
        """Another process may hold the lock for as long as it likes; callers do not wait so."""
        try:
            while not self._try_begin():  # noqa: ASYNC110  # nobody tells us
                await asyncio.sleep(RETRY_SECONDS)
            yield _Connection(self._connection, self._in_thread, self._watch)
            with self._watch.named(COMMIT):
                await self._in_thread(self._connection.execute, "COMMIT")
        except sqlite3.Error as error:
            raise StoreFailing(str(error)) from error
        finally:
            if self._connection.in_transaction:
                await self._in_thread(self._roll_back)  # behind a commit that nobody waits for

    def _try_begin(self) -> bool:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                return False
            raise
        return True

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            with suppress(sqlite3.Error):  # it has failed already
                self._connection.execute("ROLLBACK")

    async def _in_thread(self, work: Callable[..., T], *values: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *values)

    def use(self, writer: Writer) -> PoolUse:
        return PoolUse(
            name="sqlite",
            size=1,
            used=int(self._connection.in_transaction),
            waiting=writer.waiting,
            refused=writer.refused,
        )


class _Connection:
    def __init__(
        self,
        connection: sqlite3.Connection,
        in_thread: Callable[..., Awaitable[Any]],
        watch: Stopwatch,
    ) -> None:
        self._watch = watch
        self._connection = connection
        self._in_thread = in_thread

    async def fetch(self, query: str, *values: object) -> list[sqlite3.Row]:
        with self._watch.query(query):
            found: list[sqlite3.Row] = await self._do(_size_of(values), self._fetch, query, values)
        return found

    def _fetch(self, query: str, values: Sequence[object]) -> list[sqlite3.Row]:
        return self._connection.execute(_in_sqlite(query), _all_bound(values)).fetchall()

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
        with self._watch.named(f"insert_{table}"):
            await self._do(len(rows), self._connection.executemany, statement, rows)

    async def update(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]
    ) -> None:
        key, *others = columns
        assigned = ", ".join(f"{name} = ?" for name in others)
        statement = f"UPDATE {table} SET {assigned} WHERE {key} = ?"
        rows = [(*row[1:], row[0]) for row in rows]
        with self._watch.named(f"update_{table}"):
            await self._do(len(rows), self._connection.executemany, statement, rows)

    async def _do(self, size: int, work: Callable[..., T], *values: object) -> T:
        if size <= AT_ONCE:
            return work(*values)
        done: T = await self._in_thread(work, *values)
        return done


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

    async def numbers(
        self, _connection: Connection, sessions: Collection[SessionKey]
    ) -> dict[SessionKey, int]:
        return {key: self._numbers[key] for key in sessions}


def _size_of(values: Sequence[object]) -> int:
    return max((len(value) for value in values if _is_many(value)), default=1)


def _all_bound(values: Sequence[object]) -> list[object]:
    return [json.dumps(list(value)) if _is_many(value) else value for value in values]


def _is_many(value: object) -> TypeGuard[Collection[str]]:
    return not isinstance(value, str | int | None)


@cache
def _in_sqlite(query: str) -> str:
    """It has no arrays and no row locks, for it has one writer; it numbers values by `?`."""
    query = re.sub(
        r"SELECT unnest\(\$(\d+)::text\[\]\) AS (\w+)",
        r"SELECT value AS \2 FROM json_each(?\1)",
        query,
    )
    query = re.sub(r"= ANY\(\$(\d+)\)", r"IN (SELECT value FROM json_each(?\1))", query)
    query = (
        query.replace(" FOR NO KEY UPDATE", "").replace(" SKIP LOCKED", "").replace("::json", "")
    )
    return re.sub(r"\$(\d+)", r"?\1", query)
