"""Claims: the best jobs of each class, each to one worker only."""

import asyncio
from functools import partial

import pytest

from ffrtmp.domain import job as rules
from ffrtmp.domain.job import Holder, JobState
from ffrtmp.domain.retry import BACKOFF_LONGEST
from ffrtmp.domain.waiting import Place
from ffrtmp.store.postgres import PostgresStore
from ffrtmp.store.records import Change, SessionKey
from tests.integration.store.conftest import (
    CLASS,
    Worker,
    at,
    cancel,
    claim,
    job_id,
    new_job,
    open_worker,
)


async def test_the_best_rank_goes_first_and_what_may_not_yet_be_run_is_not_read(store):
    await store.submit([new_job(number) for number in (3, 1, 2, 4)])
    w1 = await open_worker(store)
    assert [int(job.job_id) for job in await claim(store, w1, 2)] == [1, 2]
    assert await claim(store, w1, 9, now=at(0)) == []
    assert [int(job.job_id) for job in await claim(store, w1, 9)] == [3, 4]
    assert [job.state for job in await store.held_by("w1")] == [JobState.LEASED] * 4


async def test_what_was_queued_before_the_clock_was_put_back_is_read(store):
    await store.submit([new_job(1)])
    w1 = await open_worker(store)
    longest = BACKOFF_LONGEST.total_seconds()
    assert await claim(store, w1, 9, now=at(1 - longest)) == []
    assert [int(job.job_id) for job in await claim(store, w1, 9, now=at(-3600))] == [1]


@pytest.mark.requirement("G12")
async def test_an_impossible_class_stands_in_nobodys_way(store):
    await store.submit([new_job(number, job_class="never") for number in range(1, 100)])
    await store.submit([new_job(200)])
    w1 = await open_worker(store)
    assert [int(job.job_id) for job in await claim(store, w1, 1)] == [200]


async def test_several_classes_are_claimed_at_once(store):
    await store.submit([new_job(1, job_class="a"), new_job(2, job_class="b"), new_job(3)])
    w1 = await open_worker(store)
    seen = []

    def choose(jobs):
        seen.extend(jobs)
        return []

    assert await store.claim({"a": 5, "b": 5, "none": 5}, now=at(9), choose=choose) == []
    assert sorted(int(job.job_id) for job in seen) == [1, 2]
    assert (await store.get(job_id(1))).job.state is JobState.QUEUED
    assert w1.session.epoch == 1


async def test_what_ranks_before_its_floor_is_not_read(store):
    await store.submit([new_job(number) for number in range(1, 6)])
    await store.submit([new_job(9, job_class="other")])
    third = (await store.get(job_id(3))).job
    seen = []

    async def look(most: int) -> list[int]:
        def choose(jobs):
            seen[:] = [int(job.job_id) for job in jobs]
            return []

        floors = {CLASS: (third.rank, third.job_id)}
        await store.claim({CLASS: most, "other": 1}, now=at(99), choose=choose, floors=floors)
        return seen

    assert await look(9) == [3, 4, 5, 9]
    assert await look(1) == [3, 9]


async def test_a_refused_choice_is_left_out(store):
    await store.submit([new_job(1), new_job(2), new_job(3)])
    w1 = await open_worker(store)

    def choose(jobs):
        good = partial(rules.grant, holder=w1.holder, now=at(99))
        ghost = partial(rules.grant, holder=Holder("ghost", "i"), now=at(99))
        early = partial(rules.grant, holder=w1.holder, now=at(-99))
        return [
            Change(jobs[0].job_id, ghost, SessionKey("ghost", 1)),
            Change(jobs[1].job_id, early, w1.session),
            Change(jobs[2].job_id, good, w1.session),
        ]

    granted = await store.claim({CLASS: 9}, now=at(99), choose=choose)
    assert [moved.after.job_id for moved, _ in granted] == [job_id(3)]


async def test_a_cancelled_job_is_never_claimed(store):
    await store.submit([new_job(1), new_job(2)])
    await cancel(store, 1)
    assert [int(job.job_id) for job in await claim(store, await open_worker(store), 9)] == [2]


@pytest.mark.parametrize("masters", [1, 2])
@pytest.mark.requirement("G2")
async def test_g2_fifty_claimers_get_two_thousand_jobs_once_each(
    open_store, store_address, masters
):
    if masters == 2 and store_address.startswith("sqlite:"):
        masters = 1  # its file has one master
    async with open_store() as first, open_store() if masters == 2 else open_store_once() as second:
        stores = [first, second or first]
        for start in range(0, 2000, 500):
            await first.submit([new_job(start + number) for number in range(1, 501)])
        taken: list[str] = []

        async def take(worker: Worker) -> None:
            while len(taken) < 2000:
                taken.extend(job.job_id for job in await claim(worker.store, worker, 7))

        workers = [await open_worker(stores[n % 2], f"w{n}") for n in range(50)]
        async with asyncio.timeout(60):
            await asyncio.gather(*map(take, workers))
        assert len(taken) == len(set(taken)) == 2000
        fences = {job.fence for n in range(50) for job in await first.held_by(f"w{n}")}
        assert fences == {1}


class open_store_once:  # noqa: N801 - stands in for a second store
    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *_error: object) -> None:
        return None


@pytest.mark.postgres
async def test_jobs_that_another_master_is_claiming_are_passed_over_not_waited_for(postgres):
    async with PostgresStore.open(postgres) as first, PostgresStore.open(postgres) as second:
        await first.submit([new_job(number) for number in range(1, 11)])
        w1, w2 = await open_worker(first, "w1"), await open_worker(second, "w2")
        jobs: list[int] = []

        async def other() -> None:
            jobs.extend(int(job.job_id) for job in await claim(second, w2, 3))

        def choose(found):
            # The second master claims while this one holds its rows.
            task = loop.create_task(other())
            tasks.append(task)
            grant = partial(rules.grant, holder=w1.holder, now=at(5000))
            return [Change(job.job_id, grant, w1.session) for job in found]

        loop, tasks = asyncio.get_running_loop(), []
        granted = await first.claim({CLASS: 4}, now=at(5000), choose=choose)
        await asyncio.gather(*tasks)
        assert sorted(int(moved.after.job_id) for moved, _ in granted) == [1, 2, 3, 4]
        assert jobs == [5, 6, 7]


async def test_the_place_of_a_job_counts_what_is_queued_before_it(store):
    await store.submit([new_job(number) for number in (1, 2, 3, 5)])
    await store.submit([new_job(4, job_class="other"), new_job(6, job_class="other")])
    await cancel(store, 2)
    last = (await store.get(job_id(6))).job
    assert await store.place_of(last) == Place(ahead=4, ahead_in_class=1)
    assert await store.place_of((await store.get(job_id(1))).job) == Place(0, 0)
