"""What is kept of jobs besides their rows, how long, and how they wait by a person's order."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from ffrtmp.domain import job as rules
from ffrtmp.domain import orders
from ffrtmp.domain.errors import IllegalTransition, JobNotFound, WorkerNotFound
from ffrtmp.domain.job import Cause, Failure, JobState
from ffrtmp.domain.log import AttemptLog, Lines
from ffrtmp.domain.messages import Progress
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.session import AttemptKey, Phase
from ffrtmp.domain.spec import Priority, Queue
from ffrtmp.store.postgres import PostgresStore
from ffrtmp.store.records import Change, JobFilter
from tests.integration.store.conftest import (
    CLASS,
    at,
    cancel,
    claim,
    job_id,
    new_job,
    open_worker,
)


def log(number: int, *texts: str, fence: int = 1, first: int = 1) -> AttemptLog:
    return AttemptLog(AttemptKey(job_id(number), fence), "w1", Lines(first, texts))


async def kept(store, number: int) -> list[AttemptLog]:
    return await store.logs(job_id(number), fence=0, limit=99)


async def order(store, rule, number: int, **arguments):
    rule = partial(rule, actor="admin/a", now=at(1000), **arguments)
    [outcome] = await store.change([Change(job_id(number), rule)])
    return outcome


# -- logs -----------------------------------------------------------------------------------


async def test_a_log_is_kept_in_the_place_of_the_one_before_each_attempt_apart(store):
    assert await kept(store, 1) == []
    await store.keep_logs([log(1, "a"), log(2, "other")])
    await store.keep_logs([log(1, "a", "b\0\x1b é"), log(1, "again", fence=12, first=7)])
    await store.keep_logs([])
    expected = [log(1, "a", "b\0\x1b é"), log(1, "again", fence=12, first=7)]
    assert await kept(store, 1) == expected
    assert await store.logs(job_id(1), fence=2, limit=9) == expected[1:]
    assert await store.logs(job_id(1), fence=0, limit=1) == expected[:1]


async def test_a_log_is_stored_with_the_move_and_not_without(store):
    await store.submit([new_job(1)])
    w1 = await open_worker(store)
    await w1.grant(1)
    await w1.accept(1)
    failure = Failure(reason=Reason.FFMPEG_FAILED, message="no")
    rule = partial(rules.fail, holder=w1.holder, fence=1, failure=failure, chance=0.0, now=at(1000))
    stale = partial(rules.publish, holder=w1.holder, fence=9, now=at(1000))
    await store.change([Change(job_id(1), stale, w1.session, log(1, "of nobody", fence=9))])
    assert await kept(store, 1) == []
    await store.change([Change(job_id(1), rule, w1.session, log(1, "[error] no"))])
    assert await kept(store, 1) == [log(1, "[error] no")]
    await store.change([Change(job_id(1), rule, w1.session, log(1, "twice"))])
    assert await kept(store, 1) == [log(1, "[error] no")]


@pytest.mark.postgres
async def test_two_masters_keep_logs_at_once_and_each_is_there_whole(postgres):
    async with PostgresStore.open(postgres) as one, PostgresStore.open(postgres) as other:
        await asyncio.gather(
            one.keep_logs([log(number, "one", "1") for number in range(60)]),
            other.keep_logs([log(number, "other", "2") for number in reversed(range(30, 90))]),
        )
        found = [(await kept(one, number))[0].lines.texts for number in range(90)]
    ones, others = ("one", "1"), ("other", "2")
    assert found[:30] == [ones] * 30
    assert set(found[30:60]) <= {ones, others}
    assert found[60:] == [others] * 30


# -- retention ------------------------------------------------------------------------------


async def test_jobs_that_ended_by_then_are_forgotten_with_all_of_them(store):
    await store.submit([new_job(number) for number in range(1, 6)])
    w1 = await open_worker(store)
    for number in (1, 2):
        await cancel_at(store, number, 2000 + number)
    await cancel_at(store, 3, 2010)
    await claim(store, w1, 1)
    await store.keep_logs([log(1, "a"), log(3, "kept")])
    assert await store.forget(at(2002), 99) == 2
    assert await store.forget(at(2002), 99) == 0
    for number in (1, 2):
        with pytest.raises(JobNotFound):
            await store.get(job_id(number))
        assert await store.events(job_id(number)) == []
        assert await kept(store, number) == []
    left = [record.job.job_id for record in await store.find(JobFilter(), size=9, after=None)]
    assert left == [job_id(number) for number in (5, 4, 3)]
    assert await kept(store, 3) == [log(3, "kept")]


async def cancel_at(store, number: int, seconds: float) -> None:
    rule = partial(rules.cancel, actor="client/c", now=at(seconds))
    await store.change([Change(job_id(number), rule)])


async def test_the_oldest_go_first_a_few_at_a_time(store):
    await store.submit([new_job(number) for number in range(1, 8)])
    for number in range(1, 8):
        await cancel_at(store, number, 3000 - number)
    assert await store.forget(at(9999), 3) == 3
    left = {record.job.job_id for record in await store.find(JobFilter(), size=9, after=None)}
    assert left == {job_id(number) for number in (1, 2, 3, 4)}


async def test_a_key_is_kept_as_long_as_its_job(store):
    await store.submit([new_job(1, key="k", target="t.mp4")])
    await cancel(store, 1)
    [known] = await store.submit([new_job(2, key="k", target="t.mp4")])
    assert known.job_id == job_id(1)
    await store.forget(at(9999), 9)
    [fresh] = await store.submit([new_job(3, key="k", target="t.mp4", digest="other")])
    assert fresh.job_id == job_id(3)


async def test_the_count_says_what_is_beyond_it(store):
    assert await store.ended_before(0) is None
    await store.submit([new_job(number) for number in range(1, 5)])
    for number in range(1, 5):
        await cancel_at(store, number, 2000 + number)
    assert [await store.ended_before(count) for count in range(6)] == [
        *(at(2004 - count) for count in range(4)),
        None,
        None,
    ]


async def test_a_job_whose_last_attempt_may_still_write_is_not_forgotten(store):
    new = new_job(1)
    await store.submit([new_live(new)])
    w1 = await open_worker(store)
    await w1.grant(1)
    await w1.accept(1)
    await cancel_at(store, 1, 2000)
    assert await store.forget(at(9999), 9) == 0
    assert await store.ended_before(0) is None
    unblock = partial(rules.unblock, holder=w1.holder, fence=1, why="gone", now=at(2001))
    await store.change([Change(job_id(1), unblock)])
    assert await store.forget(at(9999), 9) == 1


def new_live(new):
    return replace(new, job=replace(new.job, exclusive=True))


async def test_two_masters_forget_each_job_once(open_store, store_address):
    async with open_store() as store:
        await store.submit([new_job(number) for number in range(1, 41)])
        for number in range(1, 41):
            await cancel_at(store, number, 2000)
        if store_address.startswith("sqlite:"):
            counts = await asyncio.gather(*(store.forget(at(9999), 10) for _ in range(6)))
        else:
            async with open_store() as other:
                both = (store, other) * 6
                counts = await asyncio.gather(*(each.forget(at(9999), 10) for each in both))
        assert sum(counts) == 40
        assert await store.find(JobFilter(), size=9, after=None) == []


# -- orders ---------------------------------------------------------------------------------


async def test_a_paused_job_is_not_claimed_and_its_class_stays_known(store):
    await store.submit([new_job(1), new_job(2)])
    w1 = await open_worker(store)
    paused = await order(store, orders.pause, 1)
    assert (paused.after.state, paused.after.cause) == (JobState.PAUSED, Cause.PAUSED)
    assert [job.job_id for job in await claim(store, w1, 9)] == [job_id(2)]
    await cancel(store, 2)
    assert list(await store.classes()) == [CLASS]
    assert (await store.get(job_id(1))).job == paused.after
    await order(store, orders.resume, 1)
    assert [job.job_id for job in await claim(store, w1, 9)] == [job_id(1)]
    refused = await order(store, orders.pause, 1)
    assert isinstance(refused, IllegalTransition)


async def test_a_new_priority_is_another_place_in_the_queue(store):
    await store.submit([new_job(1), new_job(2)])
    w1 = await open_worker(store)
    for number, priority in ((1, Priority.LOW), (2, Priority.HIGH)):
        await order(store, orders.reprioritise, number, queue=Queue.DEFAULT, priority=priority)
    job = (await store.get(job_id(1))).job
    assert (job.priority, job.cause_before) == (Priority.LOW, Cause.SUBMITTED)
    assert [event.detail for event in await store.events(job_id(1))] == ["", "priority low"]
    assert [job.job_id for job in await claim(store, w1, 1)] == [job_id(2)]


# -- workers --------------------------------------------------------------------------------


async def test_a_worker_is_removed_once_it_is_gone_and_has_no_job(store):
    await store.submit([new_job(1)])
    w1 = await open_worker(store)
    await w1.grant(1)
    assert not await store.remove_worker("w1")
    await store.close_session(w1.session)
    assert not await store.remove_worker("w1")
    await cancel(store, 1)
    assert await store.remove_worker("w1")
    assert await store.workers(size=9) == []
    for call in (store.worker("w1"), store.remove_worker("w1"), store.remove_worker("nobody")):
        with pytest.raises(WorkerNotFound):
            await call


async def test_a_removed_worker_that_comes_back_is_new_but_for_the_number_of_its_stream(store):
    w1 = await open_worker(store)
    await store.close_session(w1.session)
    await store.remove_worker("w1")
    again = await open_worker(store)
    assert again.session.epoch == w1.session.epoch + 1
    assert [worker.name for worker in await store.workers(size=9)] == ["w1"]


def progress(number: int, fence: int, seconds: int) -> Progress:
    key = AttemptKey(job_id(number), fence)
    return Progress(key=key, phase=Phase.ENCODE, position=timedelta(seconds=seconds), frames=7)


async def test_the_newest_progress_of_an_attempt_is_kept_until_it_is_over(store):
    await store.submit([new_job(1), new_job(2)])
    w1 = await open_worker(store)
    await claim(store, w1, 2)
    await store.keep_progress([progress(1, 1, 3), progress(2, 1, 4)])
    await store.keep_progress([progress(1, 1, 5)])
    ids = [job_id(1), job_id(2), job_id(3)]
    kept = {job_id(1): progress(1, 1, 5), job_id(2): progress(2, 1, 4)}
    assert await store.progress(ids) == kept
    assert await store.progress([]) == {}
    await cancel(store, 2)
    await store.keep_progress([])
    assert await store.progress(ids) == {job_id(1): progress(1, 1, 5)}
