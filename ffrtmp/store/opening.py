"""Which store an address means. A driver is imported only when its store is opened."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from ffrtmp.store.base import Store


def open_store(
    address: Path | str, *, connections: int, api_connections: int
) -> AbstractAsyncContextManager[Store]:
    """A path is a SQLite file, a text the DSN of a PostgreSQL database.

    Entering it raises StoreUnusable. How many connections matters to PostgreSQL alone: for the
    work of workers, and for what clients ask.
    """
    if isinstance(address, Path):
        from ffrtmp.store.sqlite import SqliteStore  # noqa: PLC0415

        return SqliteStore.open(address)
    from ffrtmp.store.postgres import PostgresStore  # noqa: PLC0415

    return PostgresStore.open(address, connections=connections, api_connections=api_connections)
