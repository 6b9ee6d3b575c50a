"""A table that somebody locks is a store that cannot serve now, for readings too."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from ffrtmp.domain.errors import Unavailable
from ffrtmp.domain.facts import Fact, StoreFailed
from ffrtmp.store.postgres import PostgresStore
from tests.integration.test_master_core import cluster, submitted

pytestmark = pytest.mark.postgres


@asynccontextmanager
async def locked(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """Until the block ends, or the connection is closed."""
    other = await asyncpg.connect(dsn)
    try:
        await other.execute("BEGIN; LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        yield other
    finally:
        await other.close()


async def test_a_reading_that_waits_too_long_for_a_lock_says_that_the_store_is_not_there(postgres):
    """The sweeper of a master ended with the whole master."""
    async with PostgresStore.open(postgres) as store:
        async with locked(postgres):
            with pytest.raises(Unavailable):
                await store.held_by("w1")
        assert list(await store.held_by("w1")) == []


async def test_a_master_that_starts_meanwhile_waits_until_it_can_read(postgres):
    """It ended, as found by chaos: a lock of two seconds, and a start in the midst of it."""
    facts: list[Fact] = []

    def store(**options):
        return PostgresStore.open(postgres, **options)

    async with store() as other:  # the schema is there
        await other.check()
    async with locked(postgres) as lock, cluster(store, facts) as (master, worker):
        async with asyncio.timeout(30):
            while StoreFailed not in map(type, facts):
                await asyncio.sleep(0.01)
        assert {fact.where for fact in facts if isinstance(fact, StoreFailed)} == {"start"}
        await lock.close()
        job_id = await submitted(master)
        w1 = worker()
        w1.hello()
        assert (await w1.accept()).job_id == job_id
