"""A bounded pool of connections to PostgreSQL, and its errors in our words."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from ffrtmp.domain.errors import OutcomeUnknown, StoreBusy, StoreFailing
from ffrtmp.store.codec import encode
from ffrtmp.store.connection import Connection, on_conflict
from ffrtmp.store.errors import Conflict
from ffrtmp.store.records import PoolUse
from ffrtmp.store.stopwatch import COMMIT, Stopwatch

MOST_WAITING = 1024
CONNECT_SECONDS = 2.0
STATEMENT_SECONDS = 5.0
NUL_IN_JSON = "\\u0000"
"""Whoever finds it may have found a backslash before `u0000`."""
CLOSE_SECONDS = 2.0
WRITABLE = "read-write"
ROLL_BACK_SECONDS = 1.0
SETTINGS = {
    "application_name": "ffrtmp",
    # The server's own limits, for when we are frozen: our locks must not outlive us by much.
    "idle_in_transaction_session_timeout": "3000",
    "lock_timeout": "1500",  # more than the second after which it looks for a deadlock
    "statement_timeout": "10000",
}

# A row of the same key, committed a moment ago, is seen by the next try, which refuses properly.
_CONFLICTS = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.UniqueViolationError,
)
FAILURES = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
    EOFError,
)


class Server:
    """Where it is, and how many seconds a caller waits for a connection.

    A DSN may name several hosts (`postgresql://USER@A:5432,B:5432/NAME`): the one that takes writes
    is used, so a standby that was promoted is found. Each host has a time limit of its own: asyncpg
    would spend it all on a first host that is switched off.
    """

    def __init__(self, dsn: str, patience: float) -> None:
        self.dsn = dsn
        self.patience = patience
        self._hosts = hosts_of(dsn)

    async def connect(self, *_arguments: object, **_options: object) -> "asyncpg.Connection[Any]":
        """The host that served last is asked first. Raises one of FAILURES."""
        failure: BaseException = OSError()
        for host in tuple(self._hosts):
            try:
                connection = await asyncpg.connect(
                    host,
                    timeout=CONNECT_SECONDS / len(self._hosts),
                    command_timeout=STATEMENT_SECONDS,
                    server_settings=SETTINGS,
                    target_session_attrs=WRITABLE if len(self._hosts) > 1 else None,
                )
            except FAILURES as error:
                failure = error
                continue
            self._hosts = [host, *(other for other in self._hosts if other != host)]
            return connection
        raise failure


def hosts_of(dsn: str) -> list[str]:
    """A DSN for each host of a DSN."""
    parts = urlsplit(dsn)
    user, at, hosts = parts.netloc.rpartition("@")
    named = hosts.split(",")
    if len(named) == 1:
        return [dsn]
    return [urlunsplit(parts._replace(netloc=f"{user}{at}{host}")) for host in named]


@contextmanager
def translated() -> Iterator[None]:
    try:
        yield
    except _CONFLICTS as error:
        raise Conflict(str(error)) from error
    except FAILURES as error:
        raise StoreFailing(reason(error)) from error


def reason(error: BaseException) -> str:
    """One line without a full stop; never the DSN, of which these errors do not speak."""
    if isinstance(error, TimeoutError):
        return "PostgreSQL does not answer"
    if isinstance(error, OSError):
        return f"PostgreSQL cannot be reached ({error.strerror or 'the connection broke'})"
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__


class Pool:
    """Who finds no free connection waits, at most `patience` seconds, and then gets StoreBusy."""

    def __init__(
        self, name: str, size: int, server: Server, watch: Stopwatch, pool: "asyncpg.Pool[Any]"
    ) -> None:
        self._name = name
        self._watch = watch
        self._size = size
        self._patience = server.patience
        self._pool = pool
        self._used = 0
        self._waiting = 0
        self._refused = 0

    @classmethod
    @asynccontextmanager
    async def open(
        cls, name: str, size: int, server: Server, watch: Stopwatch
    ) -> "AsyncIterator[Pool]":
        """Raises what asyncpg raises."""
        pool = await asyncpg.create_pool(
            server.dsn,
            min_size=0,  # it would log a traceback when it cannot keep its minimum
            max_size=size,
            connect=server.connect,
            max_inactive_connection_lifetime=0,
            reset=_leave_as_it_is,
        )
        try:
            yield cls(name, size, server, watch, pool)
        finally:
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await pool.close()
            except TimeoutError:
                pool.terminate()

    def use(self, waiting: int, refused: int) -> PoolUse:
        """With what waits for a turn in a group commit."""
        return PoolUse(
            name=self._name,
            size=self._size,
            used=self._used,
            waiting=self._waiting + waiting,
            refused=self._refused + refused,
        )

    async def fetch(self, query: str, *values: object) -> Sequence["asyncpg.Record"]:
        try:
            with translated():
                async with self._held(self._patience) as connection:
                    with self._watch.query(query):
                        return list(await connection.fetch(query, *map(_bound, values)))
        except Conflict as error:  # only a transaction is tried again here
            raise StoreFailing(f"a lock is held for too long: {error}") from error

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Connection]:
        with translated():
            async with self._held(None) as connection:
                await connection.execute("BEGIN")
                try:
                    yield _Connection(connection, self._watch)
                except BaseException:
                    await _roll_back(connection)
                    raise
                with self._watch.named(COMMIT):
                    await _commit(connection)

    @asynccontextmanager
    async def _held(self, patience: float | None) -> AsyncIterator["asyncpg.Connection[Any]"]:
        connection = await self._acquire(patience)
        self._used += 1
        try:
            yield connection
        finally:
            self._used -= 1
            await self._pool.release(connection)

    async def _acquire(self, patience: float | None) -> Any:
        if patience is not None and self._waiting >= MOST_WAITING:
            self._refused += 1
            raise StoreBusy(0)
        self._waiting += 1
        waiting = asyncio.timeout(patience)
        try:
            async with waiting:
                return await self._pool.acquire()
        except TimeoutError:
            if not waiting.expired():
                raise  # the server does not answer
            self._refused += 1
            raise StoreBusy(self._patience) from None
        finally:
            self._waiting -= 1


async def _leave_as_it_is(_connection: object) -> None:
    """We change no setting of a connection; to reset it would cost a round trip each time."""


async def _commit(connection: "asyncpg.Connection[Any]") -> None:
    try:
        await connection.execute("COMMIT")
    except FAILURES as error:
        if isinstance(error, asyncpg.PostgresError) and not connection.is_closed():
            raise  # it says no, and lives
        connection.terminate()
        raise OutcomeUnknown(reason(error)) from error


async def _roll_back(connection: "asyncpg.Connection[Any]") -> None:
    try:
        if not connection.is_closed():
            async with asyncio.timeout(ROLL_BACK_SECONDS):
                await connection.execute("ROLLBACK")
    except FAILURES:
        connection.terminate()


class _Connection:
    def __init__(self, connection: "asyncpg.Connection[Any]", watch: Stopwatch) -> None:
        self._connection = connection
        self._watch = watch

    async def fetch(self, query: str, *values: object) -> Sequence["asyncpg.Record"]:
        with self._watch.query(query):
            return list(await self._connection.fetch(query, *map(_bound, values)))

    async def insert(
        self,
        table: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[object]],
        *,
        key: Sequence[str] = (),
    ) -> None:
        names = ", ".join(columns)
        statement = f"INSERT INTO {table} ({names}) SELECT {names} FROM {_rows_of(table)}"
        statement += on_conflict(columns, key)
        with self._watch.named(f"insert_{table}"):
            await self._connection.execute(statement, _as_json(columns, rows))

    async def update(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]
    ) -> None:
        key, *others = columns
        assigned = ", ".join(f"{name} = new.{name}" for name in others)
        statement = (
            f"UPDATE {table} SET {assigned} FROM {_rows_of(table)} AS new"
            f" WHERE {table}.{key} = new.{key}"
        )
        with self._watch.named(f"update_{table}"):
            await self._connection.execute(statement, _as_json(columns, rows))


def _rows_of(table: str) -> str:
    """Many rows in one value, typed by the table itself."""
    return f"json_populate_recordset(NULL::{table}, $1::json)"


def _as_json(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    text = encode([dict(zip(columns, row, strict=True)) for row in rows])
    if NUL_IN_JSON not in text:
        return text
    return encode([dict(zip(columns, map(_bound, row), strict=True)) for row in rows])


def _bound(value: object) -> object:
    """A text may hold every character but NUL, which peers may send."""
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, Collection):
        return [_bound(each) for each in value]
    return value
