"""Which store an address means. A driver is imported only when its store is opened."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from ffrtmp.store.base import Store
from ffrtmp.store.stopwatch import Observe, unheard


def open_store(
    address: Path | str, *, connections: int, api_connections: int, observe: Observe = unheard
) -> AbstractAsyncContextManager[Store]:
    """A path is a SQLite file, a text the DSN of a PostgreSQL database.

    Entering it raises StoreUnusable. How many connections matters to PostgreSQL alone: for the
    work of workers, and for what clients ask. `observe` is told how long statements take.
    """
    if isinstance(address, Path):
        from ffrtmp.store.sqlite import SqliteStore  # noqa: PLC0415

        return SqliteStore.open(address, observe=observe)
    from ffrtmp.store.postgres import PostgresStore  # noqa: PLC0415

    return PostgresStore.open(
        address, connections=connections, api_connections=api_connections, observe=observe
    )
