"""A worker's stream under strain: slow stores, floods, lies, many losses at once."""

import asyncio
import sqlite3
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from ffrtmp.clock import boot_seconds
from ffrtmp.domain.errors import (
    HelloLate,
    NameTaken,
    NameUnsettled,
    Overtaken,
    Unavailable,
    WorkerDoesNotRead,
    WorkerFloods,
)
from ffrtmp.domain.facts import AttemptDisowned, MassLossBegan
from ffrtmp.domain.job import Failure, JobState
from ffrtmp.domain.messages import (
    Cancel,
    CapabilitiesChanged,
    Failed,
    Heartbeat,
    HeartbeatAck,
    Offer,
    OfferAck,
    OfferReply,
    ProgressReport,
    Reconnect,
    ResultAck,
    ResultOutcome,
    Staged,
    Welcome,
)
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.session import AttemptKey, AttemptReport, VerdictKind
from ffrtmp.domain.timers import Timers
from ffrtmp.domain.worker import WorkerState
from ffrtmp.master.outbox import LIMIT, Outbox
from ffrtmp.master.renewer import Renewer
from ffrtmp.rpc.interceptors import opened
from ffrtmp.store.postgres import PostgresStore
from ffrtmp.store.records import SessionKey
from ffrtmp.store.sqlite import SqliteStore
from tests.integration.test_exclusive import SLOW
from tests.integration.test_master_core import (
    CAPABLE,
    FAST,
    Worker,
    cluster,
    in_state,
    manifest,
    running,
    submitted,
    swallow,
    until,
)


@asynccontextmanager
async def locked(path):
    """Another process holds the store's write lock."""
    other = sqlite3.connect(path / "master.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@pytest.mark.requirement("P4")
async def test_d11_a_locked_store_expires_nobody_and_loses_no_result(tmp_path):
    def open_store(**options):
        return SqliteStore.open(tmp_path / "master.db", **options)

    async with cluster(open_store) as (master, worker):
        job_id = await submitted(master)
        w1 = worker()
        w1.hello()
        key = await w1.accept()
        await until(master, job_id, JobState.RUNNING)
        async with locked(tmp_path):
            w1.say(Staged(key, manifest(1)))
            started = boot_seconds()
            while boot_seconds() - started < 2 * FAST.lease_ttl.total_seconds():
                w1.beat(running(key, journalled=True))
                assert (await w1.hear(HeartbeatAck)).remaining > timedelta(0)
                await asyncio.sleep(0.2)
        w1.say(Staged(key, manifest(1)))
        while (await w1.hear(ResultAck)).outcome is ResultOutcome.RETRY_LATER:
            w1.say(Staged(key, manifest(1)))
        job = await until(master, job_id, JobState.PUBLISHING)
        assert (job.fence, job.charged) == (1, 0)


async def test_an_acceptance_is_acknowledged_when_it_is_committed_and_not_before(tmp_path):
    def open_store(**options):
        return SqliteStore.open(tmp_path / "master.db", **options)

    patient = replace(FAST, offer_ttl=timedelta(seconds=30))
    async with cluster(open_store, timers=patient) as (master, worker):
        job_id = await submitted(master)
        w1 = worker()
        w1.hello()
        offer = await w1.hear(Offer)
        async with locked(tmp_path):
            w1.say(OfferReply(offer.key))
            heard = set()
            async with asyncio.timeout(5):
                while HeartbeatAck not in heard:
                    w1.beat(running(offer.key))  # it waits for no answer, as no worker does
                    await asyncio.sleep(0.2)
                    heard |= {type(w1.down.get_nowait().command) for _ in range(w1.down.qsize())}
            assert OfferAck not in heard
        w1.beat(running(offer.key))
        assert (await w1.hear(OfferAck)).key == offer.key
        assert (await until(master, job_id, JobState.RUNNING)).attempts == 1


class Renewals:
    """A store whose renewals take as long as the test likes."""

    def __init__(self) -> None:
        self.may_go = asyncio.Event()
        self.fails = False
        self.renewed = 0

    async def renew(self, _sessions) -> None:
        await self.may_go.wait()
        if self.fails:
            raise Unavailable
        self.renewed += 1


@asynccontextmanager
async def renewer(store: Renewals, ttl: timedelta = timedelta(seconds=15)):
    timers = Timers(heartbeat_interval=ttl / 3)
    lease = Renewer(
        store, SessionKey("w1", 1), timers=timers, boot=boot_seconds, opened_at=boot_seconds()
    )
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(lease.run())
        yield lease
        running.cancel()


async def test_a_prompt_renewal_gives_the_whole_lease():
    store = Renewals()
    store.may_go.set()
    async with renewer(store) as lease:
        assert await lease.remaining(lease.beat()) == timedelta(seconds=15)
    assert store.renewed == 1


async def test_a_renewal_slower_than_a_second_is_acknowledged_with_what_is_left():
    store = Renewals()
    async with renewer(store) as lease:
        opened = boot_seconds()
        while boot_seconds() - opened < 0.3:
            await asyncio.sleep(0.05)
        arrived = lease.beat()
        left = await lease.remaining(arrived)
        assert timedelta(seconds=14) < left <= timedelta(seconds=14.7)
        assert boot_seconds() - arrived >= 1
        assert store.renewed == 0
        store.may_go.set()
        assert await lease.remaining(lease.beat()) == timedelta(seconds=15)


async def test_a_renewal_that_fails_shrinks_the_lease_to_nothing_and_never_below():
    store = Renewals()
    store.fails = True
    store.may_go.set()
    async with renewer(store, ttl=timedelta(seconds=1.5)) as lease:
        async with asyncio.timeout(20):
            while (left := await lease.remaining(lease.beat())) > timedelta(0):
                pass
        assert left == timedelta(0)


async def test_n13_a_stream_that_says_nothing_is_ended_and_may_dial_again(open_store):
    async with cluster(open_store) as (master, _):
        with pytest.raises(HelloLate, match="dial again"):
            await Worker(master, "w1").stream()


async def test_p5_a_flood_ends_its_own_stream_and_nobody_elses(open_store):
    async with cluster(open_store, timers=SLOW) as (master, worker):
        good = worker("good")
        good.hello()
        await good.hear(Welcome)
        flood = Worker(master, "flood")
        flood.hello(slots=0)
        for _ in range(10_000):
            flood.say(ProgressReport(()))
        with pytest.raises(ExceptionGroup) as raised:
            await flood.stream()
        assert raised.group_contains(WorkerFloods)
        job_id = await submitted(master)
        assert (await good.hear(Offer)).key.job_id == job_id


async def test_p7_a_worker_that_does_not_read_loses_its_stream_though_the_writer_is_stuck():
    outbox = Outbox("w1")

    async def stuck(_batch) -> None:
        await asyncio.Event().wait()

    async def serve() -> None:
        async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
            tasks.create_task(outbox.write_to(stuck))
            tasks.create_task(outbox.until_closed())
            for _ in range(3 * LIMIT):
                await asyncio.sleep(0)
                outbox.put(Reconnect(timedelta(0)))

    with pytest.raises(ExceptionGroup) as raised:
        await serve()
    assert raised.group_contains(WorkerDoesNotRead)
    assert len(outbox._waiting) <= LIMIT + 1


async def test_p4_p6_attempts_that_a_worker_cannot_have_are_stopped_and_counted(open_store):
    facts = []
    async with cluster(open_store, facts, timers=SLOW) as (master, worker):
        job_id = await submitted(master)
        w1, liar = worker(), worker("liar")
        w1.hello()
        await w1.accept()
        await until(master, job_id, JobState.RUNNING)
        liar.hello()
        keys = [AttemptKey("nowhere", 1), AttemptKey(job_id, 7), AttemptKey(job_id, 1)]
        liar.beat(*map(running, keys))
        verdicts = (await liar.hear(HeartbeatAck)).verdicts
        assert {verdict.kind for verdict in verdicts} == {VerdictKind.STOP}
        lies = [fact.what for fact in facts if isinstance(fact, AttemptDisowned)]
        assert lies == ["unknown_job", "future_fence", "another_worker"]
        failure = Failure(reason=Reason.FFMPEG_FAILED, message="a lie")
        for key in keys:
            liar.say(Failed(key, failure))
            assert (await liar.hear(ResultAck)).outcome is ResultOutcome.STALE
        liar.say(OfferReply(AttemptKey(job_id, 7)))
        assert (await liar.hear(Cancel)).key.fence == 7
        job = (await master.get(job_id)).record.job
        assert (job.state, job.fence, job.charged) == (JobState.RUNNING, 1, 0)


async def test_a_slot_is_free_as_soon_as_the_last_result_is_committed(open_store):
    async with cluster(open_store, timers=SLOW) as (master, worker):
        first = await submitted(master, "1.mp4")
        w1 = worker()
        w1.hello()
        key = await w1.accept()
        await until(master, first, JobState.RUNNING)
        w1.beat(running(key))
        await w1.hear(HeartbeatAck)
        second = await submitted(master, "2.mp4")
        w1.say(Failed(key, Failure(reason=Reason.FFMPEG_FAILED, message="no")))
        assert (await w1.hear(Offer)).key.job_id == second  # no heartbeat since


async def test_a_passing_reject_excludes_nobody_and_a_real_one_only_until_the_report_changes(
    open_store,
):
    async with cluster(open_store, timers=SLOW) as (master, worker):
        await submitted(master)
        w1 = worker()
        w1.hello()
        offer = await w1.hear(Offer)
        w1.say(OfferReply(offer.key, "all slots are taken", passing=True))
        again = await w1.hear(Offer)
        assert again.key.fence == 2
        w1.say(OfferReply(again.key, "no encoder after all"))
        w1.beat()
        await w1.hear(HeartbeatAck)
        job = await until(master, again.key.job_id, JobState.QUEUED)
        async with asyncio.timeout(5):
            while (await master.get(job.job_id)).record.job.eligible_at > master._parts.now():
                await asyncio.sleep(0.05)
        w1.beat()
        await w1.hear(HeartbeatAck)
        assert w1.down.empty()
        w1.say(CapabilitiesChanged(replace(CAPABLE, ffmpeg_version="10")))
        assert (await w1.hear(Offer)).key.fence == 3


async def test_a_worker_without_room_is_asked_again_when_something_has_ended_there(open_store):
    async with cluster(open_store, timers=SLOW) as (master, worker):
        first = await submitted(master, "1.mp4")
        w1 = worker()
        w1.hello(slots=2)
        key = await w1.accept()
        assert key.job_id == first
        second = await submitted(master, "2.mp4")
        offer = await w1.hear(Offer)
        w1.say(OfferReply(offer.key, "no room", passing=True, crowded=True))
        await until(master, second, JobState.QUEUED)
        w2 = worker("w2")
        w2.hello()  # it has fewer free slots, and is preferred all the same
        elsewhere = await w2.hear(Offer)
        assert elsewhere.key.job_id == second
        w2.say(OfferReply(elsewhere.key, "no encoder after all"))
        await until(master, second, JobState.QUEUED)
        w1.say(Failed(key, Failure(reason=Reason.FFMPEG_FAILED, message="no")))
        assert (await w1.hear(Offer)).key.job_id == second


async def test_o5_many_workers_lost_at_once_are_not_charged_and_return_slowly(open_store):
    facts = []
    timers = Timers(
        heartbeat_interval=timedelta(seconds=1),
        missed_heartbeats=3,
        offer_ttl=timedelta(seconds=30),
        sweep_interval=timedelta(seconds=0.05),
    )
    async with cluster(open_store, facts, timers=timers) as (master, worker):
        jobs, running_on = [], {}

        async def keep_beating() -> None:
            while True:
                for far, key in running_on.items():
                    far.beat(*([running(key)] if key else []))
                await asyncio.sleep(0.2)

        async with asyncio.TaskGroup() as tasks:
            beating = tasks.create_task(keep_beating())
            for number in range(8):
                far = worker(f"w{number}")
                far.hello()
                await far.hear(Welcome)
                running_on[far] = None
                jobs.append(await submitted(master, f"{number}.mp4"))
                running_on[far] = await far.accept()
                await until(master, jobs[-1], JobState.RUNNING)
            beating.cancel()
        lost = [await until(master, job_id, JobState.QUEUED) for job_id in jobs]
        assert {job.charged for job in lost} == {0}
        times = sorted(job.changed_at for job in lost)
        # Five at once and then one each 0.2 s; a stamp is taken a little after its turn.
        assert times[-1] - times[0] >= timedelta(seconds=0.3)
        [fact] = [fact for fact in facts if isinstance(fact, MassLossBegan)]
        assert fact.lost >= 3
        assert (await master.worker("w1")).record.standing.losses == ()


async def test_a_late_hello_of_its_own_run_ends_no_worker(open_store):
    """It left that stream for this one; the hello was still on its way. Found by simulation."""
    async with cluster(open_store, timers=SLOW) as (master, worker):
        here = Worker(master, "w1")
        here.hello()
        async with asyncio.TaskGroup() as tasks:
            stream = tasks.create_task(how_it_ends(here.stream()))
            await here.hear(Welcome)
            ghost = worker()
            ghost.hello()
            await ghost.hear(Welcome)
            here.say(OfferReply(AttemptKey("nothing", 1)))
            assert isinstance(await stream, Overtaken)


async def how_it_ends(stream) -> Exception | None:
    try:
        await stream
    except Exception as error:
        return opened(error)
    return None


async def test_an_older_stream_loses_nothing_for_the_newer_one(open_store):
    async with cluster(open_store, timers=SLOW) as (master, worker):
        job_id = await submitted(master)
        old = worker()
        old.hello()
        key = await old.accept()
        await until(master, job_id, JobState.RUNNING)
        new = worker()
        new.hello(running(key))
        await new.hear(Welcome)
        old.say(Heartbeat(number=1, seen=99, slots=1))  # does not list it
        new.beat(running(key))
        await new.hear(HeartbeatAck)
        assert (await master.get(job_id)).record.job.state is JobState.RUNNING


async def test_w17_a_twin_is_refused_right_after_a_master_restart_too(open_store):
    async with cluster(open_store, timers=SLOW) as (master, worker):
        job_id = await submitted(master)
        w1 = worker()
        w1.hello()
        key = await w1.accept()
        await until(master, job_id, JobState.RUNNING)
    async with cluster(open_store, timers=SLOW) as (master, worker):
        twin = Worker(master, "w1", incarnation="twin")
        twin.hello()
        with pytest.raises(NameUnsettled, match="this one is taken"):
            await twin.stream()
        w1 = worker()
        w1.hello(running(key))
        assert [v.kind for v in (await w1.hear(Welcome)).verdicts] == [VerdictKind.KEEP]
        twin = Worker(master, "w1", incarnation="twin")
        twin.hello()
        with pytest.raises(NameTaken):
            await twin.stream()
        assert (await master.get(job_id)).record.job.charged == 0


async def test_the_run_after_a_killed_one_is_taken_at_once(open_store):
    async with cluster(open_store, timers=SLOW) as (_, worker):
        w1 = worker()
        w1.hello()
        await w1.hear(Welcome)
        reborn = worker(incarnation="i2", previous="i1")  # the master has not noticed the end of i1
        reborn.hello()
        await reborn.hear(Welcome)
    async with cluster(open_store, timers=SLOW) as (_, worker):
        third = worker(incarnation="i3", previous="i2")
        third.hello()
        await third.hear(Welcome)


async def test_a_name_whose_last_run_does_not_return_is_refused_at_first_and_then_free(open_store):
    async with cluster(open_store) as (_, worker):
        w1 = worker()
        w1.hello()
        await w1.hear(Welcome)
    async with (
        cluster(open_store) as (master, _),
        asyncio.timeout(5),
        asyncio.TaskGroup() as tasks,
    ):
        other = Worker(master, "w1", incarnation="other")
        other.hello()
        with pytest.raises(NameUnsettled):
            await other.stream()
        while other.down.empty():
            other = Worker(master, "w1", incarnation="other")
            other.hello()
            stream = tasks.create_task(swallow(other.stream()))
            while other.down.empty() and not stream.done():
                await asyncio.sleep(0.01)
        other.hang_up()


async def beating(far: Worker, *attempts: AttemptReport) -> None:
    while True:
        far.beat(*attempts)
        await far.hear(HeartbeatAck)
        await asyncio.sleep(0.1)


@asynccontextmanager
async def one_worker_of_two_masters(postgres: str):
    """It is with the first, beats and runs a job; the second has long seen it do so."""
    open_it = partial(PostgresStore.open, postgres)
    slower = {"heartbeat_interval": timedelta(seconds=1), "missed_heartbeats": 20}
    patient = replace(FAST, **slower)
    async with (
        cluster(open_it, timers=patient) as (here, worker),
        cluster(open_it, timers=patient) as (there, _),
    ):
        job_id = await submitted(here)
        w1 = worker()
        w1.hello()
        key = await w1.accept()
        await until(here, job_id, JobState.RUNNING)
        async with asyncio.TaskGroup() as tasks:
            beats = tasks.create_task(beating(w1, running(key)))
            await asyncio.sleep(1.0)
            yield w1, beats, there
            beats.cancel()


async def insisting(far: Worker, refusals: list[str]) -> None:
    """As a worker's process: it dials again where it is told to wait, and ends where it is refused
    for good."""
    while True:
        far.hello()
        try:
            return await far.stream()
        except (NameUnsettled, NameTaken) as error:
            refusals.append(str(error))
            if isinstance(error, NameTaken):
                return None
            await asyncio.sleep(0.05)


@pytest.mark.postgres
async def test_w17_a_twin_that_dials_another_master_is_refused_too(postgres):
    async with one_worker_of_two_masters(postgres) as (w1, _, there):
        refusals = []
        async with asyncio.timeout(10):
            await insisting(Worker(there, "w1", incarnation="twin"), refusals)
        assert "if nothing is heard of it in" in refusals[0]
        assert "already connected from here" in refusals[-1]
        assert (await there.worker("w1")).record.incarnation == "i1"
        beats = w1.beats
        async with asyncio.timeout(5):
            while w1.beats < beats + 2:  # each is acknowledged before the next
                await asyncio.sleep(0.05)


@pytest.mark.postgres
async def test_the_run_after_one_that_died_with_another_master_waits_for_its_silence(
    postgres,
):
    """It has no memory of the one before, and never ends for it."""
    async with one_worker_of_two_masters(postgres) as (w1, beats, there):
        beats.cancel()
        w1.hang_up()
        refusals = []
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            heir = Worker(there, "w1", incarnation="heir")
            stream = tasks.create_task(insisting(heir, refusals))
            await heir.hear(Welcome)
            heir.hang_up()
            await stream
        assert refusals
        assert not any("already connected" in each for each in refusals)


@pytest.mark.postgres
async def test_a_worker_that_moved_is_not_taken_for_its_stream_that_broke_here(postgres):
    """This master does not know yet that it moved, for it reads no sessions meanwhile."""
    open_it = partial(PostgresStore.open, postgres)
    never = replace(SLOW, sweep_interval=timedelta(seconds=60))
    async with (
        cluster(open_it, timers=never) as (here, worker),
        cluster(open_it, timers=SLOW) as (there, far_worker),
    ):
        w1 = worker()
        w1.hello()
        await w1.hear(Welcome)
        w1.hang_up()
        await in_state(here, "w1", WorkerState.SILENT)
        moved = far_worker(incarnation="i2", previous="i1")
        moved.hello()
        await moved.hear(Welcome)
        other = Worker(here, "w1", incarnation="other")
        other.hello()
        async with asyncio.timeout(5):
            with pytest.raises(NameUnsettled):
                await other.stream()
        assert (await there.worker("w1")).record.incarnation == "i2"


class SlowToOpen:
    """A store that does not say what a worker holds until it may, or fails to."""

    def __init__(self, open_store) -> None:
        self._open = open_store
        self.asked, self.may = asyncio.Event(), asyncio.Event()
        self.fails = False

    @asynccontextmanager
    async def __call__(self, **options):
        async with self._open(**options) as store:
            read = store.held_or_blocked

            async def held_or_blocked(*arguments):
                self.asked.set()
                await self.may.wait()
                if self.fails:
                    raise Unavailable
                return await read(*arguments)

            store.held_or_blocked = held_or_blocked
            yield store


async def test_a_stream_that_is_still_being_opened_is_not_taken_for_broken(open_store):
    store = SlowToOpen(open_store)
    async with cluster(store, timers=SLOW) as (master, worker), asyncio.timeout(10):
        w1 = worker()
        w1.hello()
        twin = Worker(master, "w1", incarnation="twin")
        twin.hello()
        await store.asked.wait()
        with pytest.raises((NameTaken, NameUnsettled)):
            await twin.stream()
        store.may.set()
        await w1.hear(Welcome)


@pytest.mark.parametrize("cause", ["its worker was killed", "the store failed"])
async def test_a_stream_that_ended_while_it_was_opened_is_over_for_the_next_run(open_store, cause):
    """Its state folder knows the run before, for only who was welcomed is remembered."""
    store = SlowToOpen(open_store)
    async with cluster(store, timers=SLOW) as (master, worker), asyncio.timeout(10):
        w1 = Worker(master, "w1", previous="i0")
        w1.hello()
        stream = asyncio.create_task(swallow(w1.stream()))
        await store.asked.wait()
        store.fails = cause == "the store failed"
        if store.fails:
            store.may.set()
            await stream
            store.fails = False
        else:
            stream.cancel()
            await asyncio.wait([stream])
            store.may.set()
        heir = worker(incarnation="i2", previous="i0")
        heir.hello()
        await heir.hear(Welcome)
