"""A table that somebody locks is a store that cannot serve now, for readings too."""

import asyncpg
import pytest

from ffrtmp.domain.errors import Unavailable
from ffrtmp.store.postgres import PostgresStore

pytestmark = pytest.mark.postgres


async def test_a_reading_that_waits_too_long_for_a_lock_says_that_the_store_is_not_there(postgres):
    """The sweeper of a master ended with the whole master."""
    async with PostgresStore.open(postgres) as store:
        other = await asyncpg.connect(postgres)
        try:
            async with other.transaction():
                await other.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
                with pytest.raises(Unavailable):
                    await store.held_by("w1")
        finally:
            await other.close()
        assert list(await store.held_by("w1")) == []
