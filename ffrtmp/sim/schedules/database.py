"""SQLite in memory without a thread: the same SQL, and statements that take virtual time.

A transaction takes its time before it begins and after it is committed, never in between: so other
callers see the state before or after it, as they would through connections of their own.
"""

import asyncio
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from functools import cache
from random import Random

from ffrtmp.sim.schedules.loop import require_alive
from ffrtmp.store import queries
from ffrtmp.store.base import SessionKey
from ffrtmp.store.connection import Connection
from ffrtmp.store.migrate import migrations
from ffrtmp.store.sqlite import SqliteStore

LEAST_SECONDS = 0.00002
"""What is decided one after the other bears different times, as with a real disk."""
UNFINISHED = "SELECT count(*) FROM jobs WHERE end_time IS NULL OR blocked_by IS NOT NULL"
IDS = "SELECT job_id FROM jobs ORDER BY job_id"
HEALTHY, LOCKED, FULL = "healthy", "locked", "full"


class Database:
    """What masters share, and what stays when they die. `most_seconds`: how long a statement may
    take. `state` makes it refuse: another process has the lock, or the disk is full."""

    def __init__(self, chance: Random, most_seconds: float) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.deserialize(_empty())
        self.connection.row_factory = sqlite3.Row
        self.connection.execute("PRAGMA foreign_keys = ON")
        self._chance = chance
        self.most_seconds = most_seconds
        self.state = HEALTHY
        self.news = asyncio.Event()

    def close(self) -> None:
        self.connection.close()

    def seconds(self) -> float:
        return LEAST_SECONDS + self._chance.random() * self.most_seconds

    def unfinished(self) -> int:
        """Jobs that have not ended, or that something blocks."""
        [(found,)] = self.connection.execute(UNFINISHED)
        return int(found)

    def job_ids(self) -> list[str]:
        return [job_id for (job_id,) in self.connection.execute(IDS)]


@cache
def _empty() -> bytes:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for _, text in migrations("sqlite"):
        connection.executescript(text)
    return bytes(connection.serialize())


class Statements:
    """Implements `store.sqlite.Statements`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def in_transaction(self) -> bool:
        return self._database.connection.in_transaction

    async def execute(self, sql: str, /) -> object:
        if sql.startswith("BEGIN"):
            await self._begin()
        require_alive()
        done = self._database.connection.execute(sql)
        if sql == "COMMIT":
            news, self._database.news = self._database.news, asyncio.Event()
            news.set()
            await self._spend()
        return done

    async def _begin(self) -> None:
        await self._spend()
        if self._database.state == LOCKED:
            raise _error("database is locked", sqlite3.SQLITE_BUSY)
        if self._database.state == FULL:
            raise _error("database or disk is full", sqlite3.SQLITE_FULL)

    async def executemany(self, sql: str, parameters: Iterable[Sequence[object]], /) -> object:
        return self._database.connection.executemany(sql, parameters)

    async def execute_fetchall(
        self, sql: str, parameters: Sequence[object], /
    ) -> Iterable[sqlite3.Row]:
        if not self.in_transaction:
            await self._spend()
            require_alive()
        return self._database.connection.execute(sql, parameters).fetchall()

    async def _spend(self) -> None:
        await asyncio.sleep(self._database.seconds())


def _error(words: str, code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(words)
    error.sqlite_errorcode = code
    return error


class SharedRenewals:
    """In the database, for all masters."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._numbers: dict[SessionKey, int] = {}

    async def renew(self, sessions: Collection[SessionKey]) -> None:
        await asyncio.sleep(self._database.seconds())
        require_alive()
        for session in sessions:
            self._numbers[session] = self._numbers.get(session, 0) + 1

    async def live(self) -> dict[SessionKey, int]:
        await asyncio.sleep(self._database.seconds())
        rows = self._database.connection.execute(queries.LIVE_SESSIONS)
        keys = [SessionKey(worker, epoch) for worker, epoch in rows]
        return {key: self._numbers.get(key, 0) for key in keys}

    async def number(self, _connection: Connection, session: SessionKey) -> int:
        return self._numbers.get(session, 0)


class SharedStore(SqliteStore):
    """One database for several masters, as PostgreSQL is to them."""

    shared = True
    database: Database

    async def news(self) -> None:
        await self.database.news.wait()
