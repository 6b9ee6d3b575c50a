"""A statement is executed, and its answer never comes: the caller asks again, and nothing is twice.

On a real PostgreSQL; after the COMMIT that it is told to spoil, the connection breaks.
"""

import asyncio
from functools import partial

import pytest

from ffrtmp.domain import job as rules
from ffrtmp.domain.errors import StoreBusy, Unavailable
from ffrtmp.domain.job import Holder, JobState
from ffrtmp.store import postgres_pool
from ffrtmp.store.postgres import PostgresStore
from ffrtmp.store.records import Change, JobFilter
from tests.integration.store.conftest import LATER, claim, manifest, new_job, open_worker

pytestmark = pytest.mark.postgres


class Spoiler:
    """Breaks the connection after the next COMMIT."""

    def __init__(self, commit) -> None:
        self._commit = commit
        self.armed = False
        self.spoilt = 0

    async def __call__(self, connection) -> None:
        await self._commit(connection)
        if self.armed:
            self.armed, self.spoilt = False, self.spoilt + 1
            connection.terminate()
            raise postgres_pool.OutcomeUnknown("the answer was lost")


@pytest.fixture
def spoiler(monkeypatch) -> Spoiler:
    spoiler = Spoiler(postgres_pool._commit)
    monkeypatch.setattr(postgres_pool, "_commit", spoiler)
    return spoiler


async def test_d4_what_was_executed_and_not_answered_is_done_once(postgres, spoiler):
    """`ExecuteAndTimeout` on every kind of write: idempotent, no double charge, no double event."""

    async def twice(call):
        """As a caller does who hears nothing: the same again."""
        spoiler.armed = True
        with pytest.raises(Unavailable):
            await call()
        return await call()

    async with PostgresStore.open(postgres) as store:
        [job] = await twice(lambda: store.submit([new_job(1)]))
        worker = await open_worker(store, "w1")
        await twice(lambda: store.renew([worker.session]))
        [granted] = await claim(store, worker, 1)
        holder = Holder("w1", granted.holder.incarnation)
        fence = granted.fence
        moves = (
            partial(rules.accept, holder=holder, fence=fence, now=LATER),
            partial(rules.stage, holder=holder, fence=fence, manifest=manifest(1), now=LATER),
            partial(rules.publish, holder=holder, fence=fence, now=LATER),
        )
        for move in moves:
            change = [Change(job.job_id, move, worker.session)]
            await twice(lambda change=change: store.change(change))
        events = await store.events(job.job_id)
        causes = [event.cause.value for event in events]
        assert causes == ["submitted", "granted", "accepted", "staged", "published"]
        assert [event.number for event in events] == [1, 2, 3, 4, 5]
        assert (await store.get(job.job_id)).job.charged == 0
        assert spoiler.spoilt == len(moves) + 2


async def test_d5_slow_questions_do_not_touch_the_hot_path(postgres):
    """Pool exhausted by slow API queries: what workers need goes on (its own pool); who asks is
    told so within 2 s."""
    async with PostgresStore.open(postgres, api_connections=2, patience=0.5) as store:
        worker = await open_worker(store, "w1")
        await store.submit([new_job(1)])
        async with asyncio.TaskGroup() as tasks:
            for _ in range(2):
                tasks.create_task(store._api.fetch("SELECT pg_sleep(2)"))
            async with asyncio.timeout(10):
                while next(use for use in store.pools() if use.name == "api").used < 2:
                    await asyncio.sleep(0.01)
            async with asyncio.timeout(2):
                with pytest.raises(StoreBusy):
                    await store.find(JobFilter(), size=1, after=None)
            await store.renew([worker.session])
            [granted] = await claim(store, worker, 1)
            await worker.accept(1)
            assert (granted.state, len(await store.renewals())) == (JobState.LEASED, 1)
