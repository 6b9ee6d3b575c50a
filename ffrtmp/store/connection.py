"""What the two adapters are to the code they share. Everything above is written once, on these.

Queries are written in PostgreSQL's words (`queries.py`); an adapter for another database
translates them.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from ffrtmp.store.codec import Row
from ffrtmp.store.records import SessionKey

Fetch = Callable[..., Awaitable[Sequence[Row]]]
"""Takes a query and its values; a collection of strings is a value. Raises Unavailable."""


class Connection(Protocol):
    """An open transaction."""

    async def fetch(self, query: str, *values: object) -> Sequence[Row]: ...

    async def insert(
        self,
        table: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[object]],
        *,
        key: Sequence[str] = (),
    ) -> None:
        """With a `key`, a row replaces the one that has the same."""
        ...

    async def update(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]
    ) -> None:
        """The first column says which row."""
        ...


Begin = Callable[[], AbstractAsyncContextManager[Connection]]
"""Waits for its turn, as long as it takes. Commits at the end of the block; rolls back when that
raises. Raises Conflict or Unavailable."""


class Renewals(Protocol):
    """Where renewal numbers live."""

    async def renew(self, sessions: Collection[SessionKey]) -> None: ...

    async def live(self) -> dict[SessionKey, int]: ...

    async def numbers(
        self, connection: Connection, sessions: Collection[SessionKey]
    ) -> dict[SessionKey, int]:
        """Of those that were ever renewed. Within a transaction that has locked their rows."""
        ...


def on_conflict(columns: Sequence[str], key: Sequence[str]) -> str:
    """What follows an INSERT: nothing, or that the other columns are replaced."""
    if not key:
        return ""
    assigned = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in key)
    return f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {assigned}"
