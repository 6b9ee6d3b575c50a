"""A way into the database: connections to write and to read by, and how many of them are in use."""

from collections.abc import Callable
from dataclasses import dataclass

from ffrtmp.store.connection import Fetch
from ffrtmp.store.records import PoolUse
from ffrtmp.store.writer import Writer


@dataclass(frozen=True, slots=True)
class Lane:
    writer: Writer
    fetch: Fetch
    use: Callable[[], PoolUse]
