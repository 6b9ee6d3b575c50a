"""Live pushes and the master: no second writer before the first is gone, whatever took it away."""

import asyncio
from datetime import timedelta

import pytest

from ffrtmp.clock import utc_now
from ffrtmp.domain import job as rules
from ffrtmp.domain.errors import TargetTaken
from ffrtmp.domain.job import Cause, JobState
from ffrtmp.domain.messages import (
    Cancel,
    Goodbye,
    Heartbeat,
    HeartbeatAck,
    Offer,
    OfferReply,
    Published,
    ResultAck,
    ResultOutcome,
    Welcome,
)
from ffrtmp.domain.session import AttemptKey
from ffrtmp.domain.timers import Timers
from ffrtmp.domain.worker import WorkerState, requirements
from ffrtmp.ffmpeg.presets import expand
from ffrtmp.master.master import Master
from ffrtmp.store.records import NewJob
from tests.integration.test_master_core import (
    cluster,
    in_state,
    running,
    spec,
    submitted,
    until,
)

SLOW = Timers(sweep_interval=timedelta(seconds=0.05))


async def pushed(master: Master, job_id: str = "LIVE", target: str = "out.mp4") -> str:
    """Submits an exclusive job."""
    expanded = expand(spec(target))
    needs = requirements(expanded)
    master.roster.learn({needs.job_class: needs})
    job = rules.new_job(
        job_id=job_id,
        job_class=needs.job_class,
        rank=0,
        now=utc_now(),
        actor="client/c",
        exclusive=True,
    )
    new = NewJob(job=job, spec=expanded, requirements=needs, key=job_id, digest="d")
    await master._parts.jobs.submit([new])
    return job_id


async def blocked(master: Master, job_id: str, *, is_blocked: bool = True):
    async with asyncio.timeout(8):
        while True:
            job = (await master.get(job_id)).record.job
            if (job.blocked_by is not None) is is_blocked:
                return job
            await asyncio.sleep(0.01)


async def causes(master: Master, job_id: str) -> list[Cause]:
    return [event.cause for event in (await master.get(job_id)).events]


async def test_a_push_goes_from_running_straight_to_succeeded(open_store):
    async with cluster(open_store) as (master, worker):
        job_id = await pushed(master)
        w1 = worker()
        w1.hello()
        key = await w1.accept()
        w1.say(Published(key))
        assert (await w1.hear(ResultAck)).outcome is ResultOutcome.COMMITTED
        await until(master, job_id, JobState.SUCCEEDED)
        assert await causes(master, job_id) == ["submitted", "granted", "accepted", "published"]


async def test_w2_a_push_of_a_lost_worker_is_free_once_its_lease_has_run_out(open_store):
    async with cluster(open_store) as (master, worker):
        job_id = await pushed(master)
        w1 = worker()
        w1.hello()
        await w1.accept()
        await until(master, job_id, JobState.RUNNING)
        job = await until(master, job_id, JobState.QUEUED)
        assert (job.charged, job.blocked_by) == (1, None)


async def test_w5_a_new_incarnation_does_not_free_the_push_of_the_old_one(open_store):
    timers = Timers(
        heartbeat_interval=timedelta(seconds=0.5),
        missed_heartbeats=4,
        offer_ttl=timedelta(seconds=30),
        sweep_interval=timedelta(seconds=0.05),
    )
    async with cluster(open_store, timers=timers) as (master, worker):
        job_id = await pushed(master)
        w1 = worker()
        w1.hello()
        await w1.accept()
        await until(master, job_id, JobState.RUNNING)
        w1.hang_up()
        await in_state(master, "w1", WorkerState.SILENT)
        reborn = worker(incarnation="i2")
        reborn.hello()
        await reborn.hear(Welcome)
        job = await blocked(master, job_id)
        assert (job.state, job.blocked_by.incarnation) == (JobState.QUEUED, "i1")
        taken_at = job.changed_at
        reborn.beat()
        await reborn.hear(HeartbeatAck)
        assert (await blocked(master, job_id)).blocked_by.incarnation == "i1"

        async def keep_beating() -> None:
            while True:
                reborn.beat()
                await asyncio.sleep(0.3)

        async with asyncio.TaskGroup() as tasks:
            beating = tasks.create_task(keep_beating())
            offer = await reborn.hear(Offer)
            beating.cancel()
        assert offer.key == AttemptKey(job_id, 2)
        freed = next(e for e in (await master.get(job_id)).events if e.cause is Cause.UNBLOCKED)
        assert freed.event_at - taken_at >= timers.lease_ttl - timers.sweep_interval


async def test_w15_an_unanswered_push_is_free_once_its_worker_says_it_has_nothing(open_store):
    timers = Timers(offer_ttl=timedelta(seconds=0.5), sweep_interval=timedelta(seconds=0.05))
    async with cluster(open_store, timers=timers) as (master, worker):
        job_id = await pushed(master)
        w1 = worker()
        w1.hello()
        offer = await w1.hear(Offer)
        before = w1.seen - 1
        job = await blocked(master, job_id)
        assert (job.cause, job.charged) == (Cause.UNANSWERED, 0)
        w1.say(Heartbeat(number=1, seen=before, slots=1))
        await w1.hear(HeartbeatAck)
        await blocked(master, job_id)  # it had not read the offer yet
        w1.say(OfferReply(offer.key))
        assert (await w1.hear(Cancel)).key == offer.key  # too late
        w1.beat(running(offer.key))
        await w1.hear(HeartbeatAck)
        await blocked(master, job_id)  # its FFmpeg is being stopped
        w1.beat()
        assert (await w1.hear(Offer)).key == AttemptKey(job_id, 2)


async def test_a_cancelled_push_holds_its_target_until_its_worker_is_done(open_store):
    async with cluster(open_store, timers=SLOW) as (master, worker):
        job_id = await pushed(master)
        w1 = worker()
        w1.hello()
        key = await w1.accept()
        await until(master, job_id, JobState.RUNNING)
        await master.cancel(job_id, actor="client/c")
        await w1.hear(Cancel)
        with pytest.raises(TargetTaken, match="its last attempt is being stopped"):
            await submitted(master)
        w1.beat(running(key))
        await w1.hear(HeartbeatAck)
        with pytest.raises(TargetTaken):
            await submitted(master)
        w1.beat()
        await blocked(master, job_id, is_blocked=False)
        await submitted(master)
        assert (await master.get(job_id)).record.job.state is JobState.CANCELLED


async def test_goodbye_frees_what_the_worker_held(open_store):
    async with cluster(open_store, timers=SLOW) as (master, worker):
        job_id = await pushed(master)
        w1 = worker()
        w1.hello()
        await w1.accept()
        await until(master, job_id, JobState.RUNNING)
        await master.cancel(job_id, actor="client/c")
        await blocked(master, job_id)
        w1.say(Goodbye())
        await blocked(master, job_id, is_blocked=False)


async def test_a_block_whose_session_is_gone_is_lifted_by_a_later_master_after_a_lease(open_store):
    async with cluster(open_store, timers=SLOW) as (master, worker):
        job_id = await pushed(master)
        w1 = worker()
        w1.hello()
        await w1.accept()
        await until(master, job_id, JobState.RUNNING)
        w1.hang_up()
        await in_state(master, "w1", WorkerState.SILENT)
        worker(incarnation="i2").hello()
        await blocked(master, job_id)
    async with cluster(open_store) as (master, _):
        await blocked(master, job_id, is_blocked=False)


async def test_a_worker_that_returns_and_lists_its_push_gets_it_back(open_store):
    async with cluster(open_store) as (master, worker):
        job_id = await pushed(master)
        w1 = worker()
        w1.hello()
        key = await w1.accept()
        await until(master, job_id, JobState.RUNNING)
        await until(master, job_id, JobState.QUEUED)
        again = worker()
        again.hello(running(key))
        await again.hear(Welcome)
        job = await until(master, job_id, JobState.RUNNING)
        assert (job.fence, job.charged, job.blocked_by) == (1, 0, None)


async def test_a_grant_made_while_a_heartbeat_is_read_is_not_taken_for_lost(open_store):
    async with cluster(open_store, timers=SLOW) as (master, worker):
        first = await submitted(master, "1.mp4")
        w1 = worker()
        w1.hello(slots=2)
        key = await w1.accept()
        await until(master, first, JobState.RUNNING)
        w1.beat(slots=2)  # does not list it: the store is asked
        second = await submitted(master, "2.mp4")
        offers = {(await w1.hear(Offer)).key for _ in range(2)}
        assert {offer.job_id for offer in offers} == {first, second}
        assert Cause.LOST not in await causes(master, second)
        assert key not in offers
