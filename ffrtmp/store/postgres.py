"""The PostgreSQL store: several masters on one database.

A lost connection or a restart of the server is Unavailable; the next call connects again.
"""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from random import random
from urllib.parse import urlsplit

import asyncpg

from ffrtmp.domain.facts import GroupCommitted
from ffrtmp.store.connection import Connection, Fetch
from ffrtmp.store.errors import SchemaTooNew, StoreUnusable
from ffrtmp.store.lane import Lane
from ffrtmp.store.migrate import migrations
from ffrtmp.store.postgres_hints import Hints
from ffrtmp.store.postgres_pool import FAILURES, Pool, Server, reason
from ffrtmp.store.records import PoolUse, SessionKey, StoreFacts
from ffrtmp.store.sql import SqlStore
from ffrtmp.store.stopwatch import Observe, Stopwatch, names_in, unheard
from ffrtmp.store.transaction import Transaction
from ffrtmp.store.writer import Writer

PATIENCE_SECONDS = 2.0
RENEWAL_SECONDS = 0.2
CONNECTIONS = 5
MIGRATION_SECONDS = 600.0
"""An index of millions of jobs takes longer to make than any other statement may."""
MIGRATION_TRIES = 20
LOCK_SECONDS = 1.0
MIGRATION_LOCK = 0x66667274
"""Any number that no other program uses: held while the schema is made."""

_RENEW = (
    "WITH due AS MATERIALIZED (SELECT worker FROM sessions"
    " JOIN unnest($1::text[], $2::bigint[]) AS named (worker, epoch) USING (worker, epoch)"
    " WHERE alive = 1 ORDER BY worker FOR NO KEY UPDATE OF sessions)"
    " UPDATE sessions SET renewal = renewal + 1 FROM due WHERE sessions.worker = due.worker"
)
_FACTS = (
    "SELECT (SELECT max(version) FROM schema_version) AS schema,"
    " pg_database_size(current_database()) AS size"
)
# Of other users it is seen only with the role pg_read_all_stats.
_OLDEST_SNAPSHOT = (
    "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8 AS seconds"
    " FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND backend_type = 'client backend'"
    " AND datname = current_database()"
)
_RENEWALS = "SELECT worker, epoch, renewal FROM sessions WHERE alive = 1"
_NUMBERS = "SELECT worker, epoch, renewal FROM sessions WHERE worker = ANY($1)"


class PostgresStore(SqlStore):
    """Implements `store.base.Store`. Open it with `PostgresStore.open`."""

    shared = True

    def __init__(self, hot: Lane, api: Lane, renewals: "_Renewals", hints: Hints) -> None:
        super().__init__(hot, api, renewals)
        self._hints = hints

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        dsn: str,
        *,
        connections: int = CONNECTIONS,
        api_connections: int = CONNECTIONS,
        patience: float = PATIENCE_SECONDS,
        observe: Observe = unheard,
    ) -> "AsyncIterator[PostgresStore]":
        """Makes the schema if it is not there. Raises StoreUnusable."""
        server, watch = Server(dsn, patience), Stopwatch(observe, names_in(globals()))
        async with AsyncExitStack() as stack:
            try:
                await _prepare(server)
                hot, api = [
                    await stack.enter_async_context(Pool.open(name, size, server, watch))
                    for name, size in (("hot", connections), ("api", api_connections))
                ]
            except (*FAILURES, ValueError) as error:
                raise StoreUnusable(_why(dsn, error)) from error
            hints = Hints(server.connect)
            await stack.enter_async_context(_running(hints))
            writer = partial(Writer, patience=patience, chance=random)

            def committed(operations: int) -> None:
                hints.tell()
                observe(GroupCommitted(operations))

            changes = writer(hot.begin, committed=committed)
            submits = writer(api.begin, committed=committed)
            beats = writer(hot.begin, spacing=RENEWAL_SECONDS)
            for each in (changes, submits, beats):
                await stack.enter_async_context(each.running())
            yield cls(
                Lane(changes, hot.fetch, partial(_use, hot, (changes, beats))),
                Lane(submits, api.fetch, partial(_use, api, (submits,))),
                _Renewals(beats, hot.fetch),
                hints,
            )

    async def news(self) -> None:
        await self._hints.news()

    async def time(self) -> datetime:
        [row] = await self._api.fetch("SELECT clock_timestamp() AS now")
        now: datetime = row["now"]
        return now

    async def oldest_snapshot(self) -> timedelta:
        [row] = await self._api.fetch(_OLDEST_SNAPSHOT)
        return timedelta(seconds=row["seconds"])

    async def facts(self) -> StoreFacts:
        [row] = await self._api.fetch(_FACTS)
        return StoreFacts(kind="postgresql", schema=row["schema"], size=row["size"])


def shown(dsn: str) -> str:
    """Without its password, and without parameters, which may hold one too."""
    parts = urlsplit(dsn)
    user, at, host = parts.netloc.rpartition("@")
    return f"{parts.scheme}://{user.partition(':')[0]}{at}{host}{parts.path}"


def _why(dsn: str, error: Exception) -> str:
    known = isinstance(error, FAILURES)
    because = reason(error) if known else "it is not written as postgresql://USER@HOST:PORT/NAME"
    return f"cannot use the database {shown(dsn)}: {because}; check --store"


def _use(pool: Pool, writers: Collection[Writer]) -> PoolUse:
    return pool.use(
        waiting=sum(writer.waiting for writer in writers),
        refused=sum(writer.refused for writer in writers),
    )


@asynccontextmanager
async def _running(hints: Hints) -> AsyncIterator[None]:
    failure: Exception | None = None
    async with asyncio.TaskGroup() as tasks:
        loops = [tasks.create_task(hints.send()), tasks.create_task(hints.listen())]
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised below, outside the group
            failure = error
        finally:
            for loop in loops:
                loop.cancel()
    if failure is not None:
        raise failure  # as it was, not as a member of an ExceptionGroup


async def _prepare(server: Server) -> None:
    """One master at a time makes the schema; the others find it made. Raises StoreUnusable when
    somebody's transaction keeps hold of a table that has to be altered."""
    for tries_left in reversed(range(MIGRATION_TRIES)):
        connection = await server.connect()
        try:
            async with connection.transaction():
                await _migrate_alone(connection, shown(server.dsn))
                return
        except asyncpg.LockNotAvailableError as error:
            if not tries_left:
                raise StoreUnusable(
                    f"{shown(server.dsn)}: its tables cannot be altered while another transaction "
                    "has them: end it (pg_stat_activity shows it), or start again later"
                ) from error
            await asyncio.sleep(LOCK_SECONDS)  # whoever queued behind us goes on meanwhile
        finally:
            await connection.close(timeout=1)


async def _migrate_alone(connection: "asyncpg.Connection[asyncpg.Record]", where: str) -> None:
    await connection.execute("SET LOCAL statement_timeout = 0")
    await connection.execute("SET LOCAL lock_timeout = 0")
    lock = f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"
    await connection.execute(lock, timeout=MIGRATION_SECONDS)
    # Older masters run on, and all that they do with a table queues behind us while we wait for it.
    await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS:g}s'")
    await _migrate(connection, where)


async def _migrate(connection: "asyncpg.Connection[asyncpg.Record]", where: str) -> None:
    await connection.execute("CREATE TABLE IF NOT EXISTS schema_version (version INT NOT NULL)")
    known = migrations("postgres")
    version = await connection.fetchval("SELECT max(version) FROM schema_version") or 0
    if version > known[-1][0]:
        raise SchemaTooNew(where, version, known[-1][0])
    for number, text in known:
        if number > version:
            await connection.execute(text, timeout=MIGRATION_SECONDS)
            await connection.execute(f"INSERT INTO schema_version VALUES ({number})")


class _Renewals:
    """In the row of each session; one statement for all that came meanwhile."""

    def __init__(self, writer: Writer, fetch: Fetch) -> None:
        self._writer = writer
        self._fetch = fetch
        self._due: set[SessionKey] = set()

    async def renew(self, sessions: Collection[SessionKey]) -> None:
        self._due.update(sessions)
        await self._writer.do(self._write)

    async def _write(self, tx: Transaction) -> None:
        """The first of a group writes for all."""
        if not self._due:
            return
        due, self._due = self._due, set()
        try:
            workers = [session.worker for session in due]
            await tx.fetch(_RENEW, workers, [session.epoch for session in due])
        except BaseException:
            self._due |= due  # the group may be tried again
            raise

    async def live(self) -> dict[SessionKey, int]:
        rows = await self._fetch(_RENEWALS)
        return {SessionKey(row["worker"], row["epoch"]): row["renewal"] for row in rows}

    async def numbers(
        self, connection: Connection, sessions: Collection[SessionKey]
    ) -> dict[SessionKey, int]:
        rows = await connection.fetch(_NUMBERS, [key.worker for key in sessions])
        return {SessionKey(row["worker"], row["epoch"]): row["renewal"] for row in rows}
