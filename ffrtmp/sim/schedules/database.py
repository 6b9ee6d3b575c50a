"""SQLite in memory without a thread: the same SQL, and statements that take virtual time.

The file lies where only memory is, so that every master has connections of its own, as it would
have to a real file. A commit takes the time of a call in a thread, a reading that of a statement.
"""

import asyncio
import sqlite3
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from ffrtmp.sim.schedules.loop import require_alive
from ffrtmp.store import queries
from ffrtmp.store.connection import Connection
from ffrtmp.store.migrate import migrations
from ffrtmp.store.records import SessionKey
from ffrtmp.store.sqlite import SqliteStore

LEAST_SECONDS = 0.00002
"""What is decided one after the other bears different times, as with a real disk."""
UNFINISHED = "SELECT count(*) FROM jobs WHERE end_time IS NULL OR blocked_by IS NOT NULL"
IDS = "SELECT job_id FROM jobs ORDER BY job_id"
HEALTHY, LOCKED, FULL = "healthy", "locked", "full"


class Database:
    """What masters share, and what stays when they die. `most_seconds`: how long a statement may
    take. `state` makes it refuse: another process has the lock, or the disk is full."""

    def __init__(self, folder: Path, chance: Random, most_seconds: float) -> None:
        self._path = folder / "master.db"
        self._path.write_bytes(_empty())
        self._chance = chance
        self.most_seconds = most_seconds
        self.state = HEALTHY
        self.news = asyncio.Event()
        self._looking = self.connect()

    def connect(self) -> "SimulatedConnection":
        connection = sqlite3.connect(self._path, isolation_level=None, factory=SimulatedConnection)
        connection.database = self
        connection.row_factory = sqlite3.Row
        for pragma in ("busy_timeout = 0", "synchronous = OFF", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    def close(self) -> None:
        self._looking.close()

    def seconds(self) -> float:
        return LEAST_SECONDS + self._chance.random() * self.most_seconds

    def unfinished(self) -> int:
        """Jobs that have not ended, or that something blocks."""
        [(found,)] = self._looking.execute(UNFINISHED)
        return int(found)

    def look(self, query: str) -> list[sqlite3.Row]:
        return self._looking.execute(query).fetchall()

    def job_ids(self) -> list[str]:
        return [job_id for (job_id,) in self._looking.execute(IDS)]

    def tell_masters(self) -> None:
        news, self.news = self.news, asyncio.Event()
        news.set()


@cache
def _empty() -> bytes:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for _, text in migrations("sqlite"):
        connection.executescript(text)
    content = bytearray(connection.serialize())
    content[18:20] = b"\x02\x02"  # the file's header: written with a write-ahead log
    return bytes(content)


class SimulatedConnection(sqlite3.Connection):
    """Of one master; as its process dies, so does what it has not committed."""

    database: Database

    def execute(self, sql: str, /, *values: Any) -> sqlite3.Cursor:
        if sql.startswith("BEGIN"):
            require_alive()
            self._refuse()
        done = super().execute(sql, *values)
        if sql == "COMMIT":
            self.database.tell_masters()
        return done

    def _refuse(self) -> None:
        if self.database.state == LOCKED:
            raise _error("database is locked", sqlite3.SQLITE_BUSY)
        if self.database.state == FULL:
            raise _error("database or disk is full", sqlite3.SQLITE_FULL)


def _error(words: str, code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(words)
    error.sqlite_errorcode = code
    return error


class SimulatedReader:
    """Implements `store.sqlite.Reader`."""

    def __init__(self, connection: SimulatedConnection) -> None:
        self._connection = connection

    async def execute_fetchall(
        self, sql: str, parameters: Iterable[Any], /
    ) -> Iterable[sqlite3.Row]:
        await asyncio.sleep(self._connection.database.seconds())
        require_alive()
        return self._connection.execute(sql, list(parameters)).fetchall()


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
        require_alive()
        rows = self._database.look(queries.LIVE_SESSIONS)
        keys = [SessionKey(worker, epoch) for worker, epoch in rows]
        return {key: self._numbers.get(key, 0) for key in keys}

    async def numbers(
        self, _connection: Connection, sessions: Collection[SessionKey]
    ) -> dict[SessionKey, int]:
        return {key: self._numbers.get(key, 0) for key in sessions}


class SharedStore(SqliteStore):
    """One database for several masters, as PostgreSQL is to them."""

    shared = True
    database: Database

    async def news(self) -> None:
        await self.database.news.wait()
