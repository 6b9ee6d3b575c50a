"""Several masters on one PostgreSQL: conflicts, hints, lost connections."""

import asyncio
from functools import partial

import asyncpg
import pytest

from ffrtmp.domain import job as rules
from ffrtmp.domain.errors import IdempotencyMismatch, StaleEpoch, StoreFailing, TargetTaken
from ffrtmp.domain.job import JobState
from ffrtmp.store.errors import Conflict
from ffrtmp.store.postgres import PostgresStore
from ffrtmp.store.records import Change, JobFilter, Moved
from ffrtmp.store.transaction import Ahead, Transaction
from tests.integration.store.conftest import at, job_id, new_job, open_worker, renamed

pytestmark = pytest.mark.postgres


@pytest.fixture
async def masters(postgres):
    async with PostgresStore.open(postgres) as first, PostgresStore.open(postgres) as second:
        yield first, second


async def test_one_key_through_two_masters_at_once_is_one_job(masters):
    first, second = masters
    for number in range(1, 40, 2):
        new = new_job(number)
        one, two = await asyncio.gather(
            first.submit([new]), second.submit([renamed(new, number + 1)])
        )
        assert one == two
    assert len(await first.find(JobFilter(), size=99, after=None)) == 20


async def test_one_key_with_two_bodies_through_two_masters_is_refused_once(masters):
    first, second = masters
    outcomes = await asyncio.gather(
        first.submit([new_job(1, key="k")]),
        second.submit([new_job(2, key="k", digest="other")]),
        return_exceptions=True,
    )
    assert sorted(isinstance(each, IdempotencyMismatch) for each in outcomes) == [False, True]


async def test_one_target_through_two_masters_belongs_to_one_job(masters):
    first, second = masters
    for number in range(1, 40, 2):
        outcomes = await asyncio.gather(
            first.submit([new_job(number, target=f"{number}t")]),
            second.submit([new_job(number + 1, target=f"{number}t")]),
            return_exceptions=True,
        )
        assert sorted(isinstance(each, TargetTaken) for each in outcomes) == [False, True]


async def test_a_stream_that_moved_to_another_master_is_stale_on_the_first(masters):
    first, second = masters
    await first.submit([new_job(1)])
    old = await open_worker(first)
    await old.grant(1)
    new = await open_worker(second)
    assert new.session.epoch == old.session.epoch + 1
    assert isinstance(await old.accept(1), StaleEpoch)
    assert isinstance(await new.accept(1), Moved)
    assert (await first.get(job_id(1))).job.state is JobState.RUNNING


async def test_crossing_changes_of_two_masters_all_end(masters):
    """The same rows in opposite orders, many times: locks are taken in one order."""
    first, second = masters
    numbers = range(1, 41)
    await first.submit([new_job(number) for number in numbers])
    w1, w2 = await open_worker(first, "w1"), await open_worker(second, "w2")

    def changes(worker, order):
        rule = partial(rules.grant, holder=worker.holder, now=at(5000))
        return [Change(job_id(number), rule, worker.session) for number in order]

    for _ in range(5):
        await asyncio.gather(
            first.change(changes(w1, numbers)), second.change(changes(w2, reversed(numbers)))
        )
    held = [job for name in ("w1", "w2") for job in await first.held_by(name)]
    assert sorted(job.job_id for job in held) == [job_id(number) for number in numbers]
    assert {job.fence for job in held} == {1}


async def test_d8_a_conflict_is_tried_again_and_at_last_surfaces(masters):
    first, _ = masters
    tries = []

    async def apply(tx: Transaction) -> int:
        tries.append(await tx.fetch("SELECT 1 AS one"))
        if len(tries) < 3:
            raise Conflict("as PostgreSQL says it")
        return len(tries)

    assert await first._hot.writer.do(apply) == 3

    async def hopeless(tx: Transaction) -> None:
        tries.append(None)
        raise asyncpg.SerializationError("could not serialize access")

    tries.clear()
    with pytest.raises(StoreFailing, match="could not serialize"):
        await first._hot.writer.do(hopeless)
    assert len(tries) == 4


async def test_d8_a_real_deadlock_is_broken_and_both_are_done(masters):
    first, second = masters
    await first.submit([new_job(1), new_job(2)])
    met = asyncio.Barrier(2)

    async def lock_crosswise(store, one: int, two: int) -> int:
        tries = 0

        async def apply(tx: Transaction) -> int:
            nonlocal tries
            tries += 1
            await tx.fetch("SELECT 1 FROM jobs WHERE job_id = $1 FOR NO KEY UPDATE", job_id(one))
            if tries == 1:
                await met.wait()
            await tx.fetch("SELECT 1 FROM jobs WHERE job_id = $1 FOR NO KEY UPDATE", job_id(two))
            return tries

        return await store._hot.writer.do(apply, Ahead())

    async with asyncio.timeout(20):
        tries = await asyncio.gather(lock_crosswise(first, 1, 2), lock_crosswise(second, 2, 1))
    assert sorted(tries) == [1, 2]


async def test_a_commit_of_one_master_is_news_to_the_other_and_none_to_itself(masters):
    first, second = masters
    async with asyncio.timeout(10):
        await first.news()  # it listens now
        await second.news()
    own = asyncio.ensure_future(first.news())
    async with asyncio.timeout(10):
        news = asyncio.ensure_future(second.news())
        while not news.done():
            await first.check()
            await asyncio.sleep(0.05)
    assert not own.done()
    own.cancel()
