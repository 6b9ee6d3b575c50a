"""The master's core over a real store, driven by streams that are plain Python: no gRPC between."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from ffrtmp.clock import boot_seconds, utc_now
from ffrtmp.domain.errors import (
    IllegalTransition,
    InvalidSpec,
    NameTaken,
    Overloaded,
    ProtocolViolation,
)
from ffrtmp.domain.facts import Fact, MessageStale
from ffrtmp.domain.job import Failure, FileRecord, Job, JobState, Manifest
from ffrtmp.domain.messages import (
    Cancel,
    Command,
    Event,
    Failed,
    Goodbye,
    Heartbeat,
    HeartbeatAck,
    Hello,
    Numbered,
    Offer,
    OfferReply,
    Progress,
    ProgressReport,
    Published,
    Reconnect,
    ResultAck,
    ResultOutcome,
    Staged,
    Welcome,
)
from ffrtmp.domain.raw_arguments import RawArgument
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.roots import RootReport
from ffrtmp.domain.session import AttemptKey, AttemptReport, Phase, VerdictKind
from ffrtmp.domain.spec import Container, Input, JobSpec, MediaPath, Output, TestSource
from ffrtmp.domain.timers import Timers
from ffrtmp.domain.waiting import Obstacle, Place, WaitReason
from ffrtmp.domain.worker import Capabilities, WorkerState
from ffrtmp.master.master import Master, Policy
from ffrtmp.master.views import Submission
from ffrtmp.store.base import Store
from ffrtmp.store.records import JobFilter

FAST = Timers(
    heartbeat_interval=timedelta(seconds=0.5),
    missed_heartbeats=2,
    offer_ttl=timedelta(seconds=0.5),
    sweep_interval=timedelta(seconds=0.05),
)
CAPABLE = Capabilities(
    spec_version=1,
    ffmpeg_version="9",
    codecs=frozenset({"h264", "aac"}),
    roots=(RootReport(name="m", nonce="n", sees=frozenset({"n"})),),
)


def spec(target: str = "out.mp4") -> JobSpec:
    return JobSpec(
        input=Input(test_source=TestSource()), outputs=(Output(path=MediaPath("m", target)),)
    )


def manifest(fence: int) -> Manifest:
    return Manifest((FileRecord("m:out.mp4", 3, "ab" * 32),), fence)


@dataclass(eq=False)
class Worker:
    """The far end of a stream, in the test's hands."""

    master: Master
    name: str
    incarnation: str = "i1"
    previous: str = ""
    capabilities: Capabilities = CAPABLE
    up: asyncio.Queue = field(default_factory=asyncio.Queue)
    down: asyncio.Queue = field(default_factory=asyncio.Queue)
    heard: list[Command] = field(default_factory=list)
    seen: int = 0
    beats: int = 0

    async def stream(self) -> None:
        async def events() -> AsyncIterator[Sequence[Event]]:
            while (batch := await self.up.get()) is not None:
                yield batch

        async def send(commands: Sequence[Numbered]) -> None:
            for numbered in commands:
                self.down.put_nowait(numbered)

        await self.master.serve(worker=self.name, address="here", events=events(), send=send)

    def say(self, *events: Event) -> None:
        self.up.put_nowait(list(events))

    def hang_up(self) -> None:
        self.up.put_nowait(None)

    def hello(self, *attempts: AttemptReport, slots: int = 1) -> None:
        self.say(
            Hello(
                incarnation=self.incarnation,
                previous=self.previous,
                capabilities=self.capabilities,
                attempts=attempts,
                slots=slots,
            )
        )

    def beat(self, *attempts: AttemptReport, slots: int = 1) -> None:
        self.beats += 1
        self.say(Heartbeat(number=self.beats, seen=self.seen, slots=slots, attempts=attempts))

    async def hear(self, kind: type[Command]):
        """The next command of a kind; others are passed over."""
        async with asyncio.timeout(5):
            while True:
                numbered = await self.down.get()
                self.seen = numbered.number
                self.heard.append(numbered.command)
                if isinstance(numbered.command, kind):
                    return numbered.command

    async def accept(self) -> AttemptKey:
        offer = await self.hear(Offer)
        self.say(OfferReply(offer.key))
        return offer.key


@asynccontextmanager
async def cluster(
    open_store, facts: list | None = None, timers: Timers = FAST, **options
) -> AsyncIterator[tuple[Master, Callable[..., Worker]]]:
    ids = (f"{number:026d}" for number in range(10_000))
    async with open_store(patience=0.5) as store:
        master = Master(
            store,
            timers,
            clocks=(utc_now, boot_seconds),
            chance=lambda: 0.0,
            new_id=lambda: next(ids),
            observe=(facts if facts is not None else []).append,
            **options,
        )
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(master.run())
            streams = []

            def worker(name: str = "w1", **settings) -> Worker:
                far = Worker(master, name, **settings)
                streams.append(tasks.create_task(swallow(far.stream())))
                return far

            yield master, worker
            running.cancel()
            for stream in streams:
                stream.cancel()


async def swallow(stream) -> None:
    """A stream that ends with an error is this far end's affair, not the master's."""
    try:
        await stream
    except* Exception:
        pass


async def submitted(master: Master, target: str = "out.mp4") -> str:
    [record] = await master.submit(
        [Submission(spec(target), f"key-{target}", "d")], actor="client/c"
    )
    return record.job.job_id


async def until(master: Master, job_id: str, *states: JobState):
    async with asyncio.timeout(8):
        while (job := (await master.get(job_id)).record.job).state not in states:
            await asyncio.sleep(0.01)
        return job


async def in_state(master: Master, name: str, state: WorkerState) -> None:
    async with asyncio.timeout(5):
        while (await master.worker(name)).state is not state:
            await asyncio.sleep(0.01)


def running(key: AttemptKey, *, journalled: bool = False) -> AttemptReport:
    phase = Phase.PUBLISH if journalled else Phase.ENCODE
    return AttemptReport(key=key, phase=phase, journalled=journalled)


async def test_a_job_goes_from_submit_to_succeeded(open_store):
    async with cluster(open_store) as (master, worker):
        job_id = await submitted(master)
        w1 = worker()
        w1.hello()
        assert (await w1.hear(Welcome)).timers == FAST
        key = await w1.accept()
        assert key == AttemptKey(job_id, 1)
        w1.say(Staged(key, manifest(1)))
        assert (await w1.hear(ResultAck)).outcome is ResultOutcome.COMMITTED
        w1.say(Published(key))
        assert (await w1.hear(ResultAck)).outcome is ResultOutcome.COMMITTED
        job = await until(master, job_id, JobState.SUCCEEDED)
        assert (job.charged, job.attempts, job.manifest) == (0, 1, manifest(1))
        causes = [event.cause.value for event in (await master.get(job_id)).events]
        assert causes == ["submitted", "granted", "accepted", "staged", "published"]


async def test_a_result_sent_twice_is_applied_once(open_store):
    async with cluster(open_store) as (master, worker):
        await submitted(master)
        w1 = worker()
        w1.hello()
        key = await w1.accept()
        for expected in (ResultOutcome.COMMITTED, ResultOutcome.ALREADY):
            w1.say(Staged(key, manifest(1)))
            assert (await w1.hear(ResultAck)).outcome is expected
        for expected in (ResultOutcome.COMMITTED, ResultOutcome.ALREADY):
            w1.say(Published(key))
            assert (await w1.hear(ResultAck)).outcome is expected


async def test_what_is_said_behind_a_list_in_one_message_is_not_missed_in_it(open_store):
    """A worker that could not write for a while says it all at once: its list is from before it
    read the offer that it accepts."""
    async with cluster(open_store) as (master, worker):
        w1 = worker()
        w1.hello()
        await w1.hear(Welcome)
        job_id, seen = await submitted(master), w1.seen
        offer = await w1.hear(Offer)
        w1.beats += 1
        before = Heartbeat(number=w1.beats, seen=seen, slots=1, attempts=())
        w1.say(before, OfferReply(offer.key))
        await w1.hear(HeartbeatAck)
        w1.beat(running(offer.key))
        assert (await w1.hear(HeartbeatAck)).verdicts == ()
        causes = [event.cause.value for event in (await master.get(job_id)).events]
        assert causes == ["submitted", "granted", "accepted"]


async def test_progress_that_comes_with_its_result_is_not_stale(open_store):
    facts: list[Fact] = []
    async with cluster(open_store, facts) as (master, worker):
        job_id = await submitted(master)
        w1 = worker()
        w1.hello()
        key = await w1.accept()
        await until(master, job_id, JobState.RUNNING)
        last = Progress(key=key, phase=Phase.ENCODE, position=timedelta(seconds=1))
        failure = Failure(reason=Reason.FFMPEG_FAILED, message="no")
        w1.say(ProgressReport((last,)), Failed(key, failure))
        assert (await w1.hear(ResultAck)).outcome is ResultOutcome.COMMITTED
        w1.say(ProgressReport((last,)))  # this one is
        w1.beat()
        await w1.hear(HeartbeatAck)
    assert facts.count(MessageStale("w1", "progress")) == 1


class Overtaken:
    """A store that lets something happen right after a worker's attempts were read from it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.meanwhile: dict[str, Callable[[], Awaitable[None]]] = {}

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def held_or_blocked(self, worker: str, also: Collection[str] = ()) -> list[Job]:
        found = await self._store.held_or_blocked(worker, also)
        if worker in self.meanwhile:
            await self.meanwhile.pop(worker)()
        return found


async def test_a_worker_does_not_go_on_with_what_another_got_since_it_was_looked_up(open_store):
    """Its attempt was lost, waited in the queue when it said hello, and is granted just then."""
    stores = []

    @asynccontextmanager
    async def overtaken(**options) -> AsyncIterator[Overtaken]:
        async with open_store(**options) as store:
            stores.append(Overtaken(store))
            yield stores[0]

    async with cluster(overtaken) as (master, worker):
        job_id = await submitted(master)
        w1 = worker()
        w1.hello()
        key = await w1.accept()
        await until(master, job_id, JobState.RUNNING)
        w1.hang_up()
        await until(master, job_id, JobState.QUEUED)
        w2 = worker("w2")

        async def granted_to_another() -> None:
            w2.hello()
            await until(master, job_id, JobState.LEASED, JobState.RUNNING)

        stores[0].meanwhile["w1"] = granted_to_another
        w1 = worker()
        w1.hello(running(key))
        assert (await w1.hear(Welcome)).verdicts == ()
        w1.beat(running(key))
        assert [each.kind for each in (await w1.hear(HeartbeatAck)).verdicts] == [VerdictKind.STOP]
        assert (await w2.hear(Offer)).key == AttemptKey(job_id, key.fence + 1)


async def test_a_submit_wakes_an_idle_worker(open_store):
    async with cluster(open_store) as (master, worker):
        w1 = worker()
        w1.hello()
        await w1.hear(Welcome)
        job_id = await submitted(master)
        assert (await w1.hear(Offer)).key.job_id == job_id


@pytest.mark.requirement("G3")
async def test_a_silent_worker_is_expired_and_its_job_goes_elsewhere(open_store):
    async with cluster(open_store) as (master, worker):
        job_id = await submitted(master)
        w1 = worker()
        w1.hello()
        key = await w1.accept()
        await until(master, job_id, JobState.RUNNING)
        w2 = worker("w2")
        w2.hello()

        async def keep_beating() -> None:
            while True:
                w2.beat(*w2_holds)
                await asyncio.sleep(0.3)

        w2_holds: list[AttemptReport] = []
        beating = asyncio.get_running_loop().create_task(keep_beating())
        again = await w2.accept()
        w2_holds.append(running(again))
        assert again == AttemptKey(job_id, key.fence + 1)
        job = await until(master, job_id, JobState.RUNNING)
        assert (job.charged, job.holder.worker) == (1, "w2")
        beating.cancel()


async def test_a_broken_stream_alone_moves_no_job(open_store):
    async with cluster(open_store) as (master, worker):
        job_id = await submitted(master)
        w1 = worker()
        w1.hello()
        key = await w1.accept()
        await until(master, job_id, JobState.RUNNING)
        w1.hang_up()
        again = worker()
        again.hello(running(key))
        welcome = await again.hear(Welcome)
        assert [verdict.kind for verdict in welcome.verdicts] == [VerdictKind.KEEP]
        job = await until(master, job_id, JobState.RUNNING)
        assert (job.fence, job.charged) == (1, 0)


async def test_a_new_incarnation_loses_what_the_old_one_ran_at_once(open_store):
    slow = Timers(sweep_interval=timedelta(seconds=0.05))
    async with cluster(open_store, timers=slow) as (master, worker):
        job_id = await submitted(master)
        w1 = worker()
        w1.hello()
        await w1.accept()
        await until(master, job_id, JobState.RUNNING)
        w1.hang_up()
        await in_state(master, "w1", WorkerState.SILENT)
        reborn = worker(incarnation="i2")
        reborn.hello()
        assert (await reborn.hear(Offer)).key == AttemptKey(job_id, 2)
        assert (await master.get(job_id)).record.job.charged == 1


async def test_a_new_incarnation_inherits_what_its_journal_holds(open_store):
    async with cluster(open_store) as (master, worker):
        job_id = await submitted(master)
        w1 = worker()
        w1.hello()
        key = await w1.accept()
        await until(master, job_id, JobState.RUNNING)
        w1.hang_up()
        await in_state(master, "w1", WorkerState.SILENT)
        reborn = worker(incarnation="i2")
        reborn.hello(running(key, journalled=True))
        await reborn.hear(Welcome)
        reborn.say(Staged(key, manifest(1)))
        assert (await reborn.hear(ResultAck)).outcome is ResultOutcome.COMMITTED
        job = await until(master, job_id, JobState.PUBLISHING)
        assert (job.fence, job.charged) == (1, 0)


async def test_a_twin_is_refused_while_the_first_is_alive(open_store):
    async with cluster(open_store) as (master, worker):
        w1 = worker()
        w1.hello()
        await w1.hear(Welcome)
        twin = Worker(master, "w1", incarnation="other")
        twin.hello()
        with pytest.raises(NameTaken, match="already connected from here"):
            await twin.stream()


async def test_a_job_and_its_history_are_of_one_moment(open_store):
    moves = []

    @asynccontextmanager
    async def slow_to_read(**options):
        async with open_store(**options) as store:
            read = store.events

            async def events(job_id: str, *, after: int = 0):
                await moves.pop()
                return await read(job_id, after=after)

            store.events = events
            yield store

    async with cluster(slow_to_read) as (master, _):
        job_id = await submitted(master)
        moves.append(master.cancel(job_id, actor="client/c"))
        view = await master.get(job_id)
        assert view.record.job.state is JobState.QUEUED
        assert [event.state for event in view.events] == [JobState.QUEUED]


async def test_the_first_event_must_be_hello(open_store):
    async with cluster(open_store) as (master, _):
        rude = Worker(master, "w1")
        rude.beat()
        with pytest.raises(ProtocolViolation, match="hello"):
            await rude.stream()


async def test_an_unanswered_offer_comes_back_uncharged(open_store):
    patient = replace(FAST, missed_heartbeats=30)  # its session outlives two offers
    async with cluster(open_store, timers=patient) as (master, worker):
        job_id = await submitted(master)
        w1 = worker()
        w1.hello()
        first = await w1.hear(Offer)
        second = await w1.hear(Offer)
        assert (first.key.fence, second.key.fence) == (1, 2)
        w1.say(OfferReply(first.key))
        assert (await w1.hear(Cancel)).key == first.key
        assert (await master.get(job_id)).record.job.charged == 0


async def test_a_rejecting_worker_is_not_asked_again_for_that_job(open_store):
    async with cluster(open_store) as (master, worker):
        job_id = await submitted(master)
        w1 = worker()
        w1.hello()
        offer = await w1.hear(Offer)
        w1.say(OfferReply(offer.key, "no disk"))
        await until(master, job_id, JobState.QUEUED)
        w2 = worker("w2")
        w2.hello()
        assert (await w2.hear(Offer)).key.fence == 2


async def test_cancel_reaches_the_worker_and_sticks(open_store):
    async with cluster(open_store) as (master, worker):
        job_id = await submitted(master)
        w1 = worker()
        w1.hello()
        key = await w1.accept()
        await until(master, job_id, JobState.RUNNING)
        await master.cancel(job_id, actor="client/c")
        assert (await w1.hear(Cancel)).key == key
        w1.say(Staged(key, manifest(1)))
        assert (await w1.hear(ResultAck)).outcome is ResultOutcome.STALE
        record = await master.cancel(job_id, actor="client/c")
        assert record.job.state is JobState.CANCELLED


async def test_a_lost_cancel_is_repaired_by_the_next_heartbeat(open_store):
    async with cluster(open_store) as (master, worker):
        job_id = await submitted(master)
        w1 = worker()
        w1.hello()
        key = await w1.accept()
        await until(master, job_id, JobState.RUNNING)
        w1.hang_up()
        await master.cancel(job_id, actor="client/c")
        again = worker()
        again.hello(running(key))
        [verdict] = (await again.hear(Welcome)).verdicts
        assert (verdict.key, verdict.kind) == (key, VerdictKind.STOP)
        again.beat(running(key))
        [verdict] = (await again.hear(HeartbeatAck)).verdicts
        assert verdict.kind is VerdictKind.STOP


async def test_cancel_is_refused_from_publishing_on(open_store):
    async with cluster(open_store) as (master, worker):
        job_id = await submitted(master)
        w1 = worker()
        w1.hello()
        key = await w1.accept()
        w1.say(Staged(key, manifest(1)))
        await w1.hear(ResultAck)
        with pytest.raises(IllegalTransition, match="publishing"):
            await master.cancel(job_id, actor="client/c")


@pytest.mark.requirement("G6")
async def test_an_ffmpeg_failure_ends_the_job_at_once(open_store):
    async with cluster(open_store) as (master, worker):
        job_id = await submitted(master)
        w1 = worker()
        w1.hello()
        key = await w1.accept()
        w1.say(Failed(key, Failure(reason=Reason.FFMPEG_FAILED, message="no", exit_code=1)))
        assert (await w1.hear(ResultAck)).outcome is ResultOutcome.COMMITTED
        job = await until(master, job_id, JobState.FAILED)
        assert (job.attempts, job.charged, job.failure.reason) == (1, 0, Reason.FFMPEG_FAILED)


async def test_a_job_lost_while_publishing_is_offered_as_publish_only(open_store):
    async with cluster(open_store) as (master, worker):
        job_id = await submitted(master)
        w1 = worker()
        w1.hello()
        key = await w1.accept()
        w1.say(Staged(key, manifest(1)))
        await w1.hear(ResultAck)
        w2 = worker("w2")
        w1.hang_up()
        w2.hello()
        for _ in range(8):
            w2.beat()
            await asyncio.sleep(0.25)
        offer = await w2.hear(Offer)
        assert (offer.key, offer.publish_only) == (AttemptKey(job_id, 2), manifest(1))
        assert (await master.get(job_id)).record.job.charged == 0


async def test_a_master_restart_moves_no_job(open_store):
    async with cluster(open_store) as (master, worker):
        job_id = await submitted(master)
        w1 = worker()
        w1.hello()
        key = await w1.accept()
        await until(master, job_id, JobState.RUNNING)
    async with cluster(open_store) as (master, worker):
        w1 = worker()
        w1.hello(running(key))
        [verdict] = (await w1.hear(Welcome)).verdicts
        assert verdict.kind is VerdictKind.KEEP
        job = (await master.get(job_id)).record.job
        assert (job.state, job.fence, job.charged) == (JobState.RUNNING, 1, 0)


@pytest.mark.requirement("G1")
async def test_a_worker_that_was_expired_is_adopted_again(open_store):
    async with cluster(open_store) as (master, worker):
        job_id = await submitted(master)
        w1 = worker()
        w1.hello(slots=1)
        key = await w1.accept()
        await until(master, job_id, JobState.RUNNING)
        await until(master, job_id, JobState.QUEUED)  # nobody else is there
        again = worker()
        again.hello(running(key))
        [verdict] = (await again.hear(Welcome)).verdicts
        assert verdict.kind is VerdictKind.ADOPT
        job = await until(master, job_id, JobState.RUNNING)
        assert (job.fence, job.charged) == (1, 0)


async def test_a_finished_encode_counts_when_a_newer_grant_came_back(open_store):
    """RETRY_LATER leads somewhere: the next time it is asked, it is committed."""
    patient = replace(FAST, missed_heartbeats=60, offer_ttl=timedelta(seconds=30))
    async with cluster(open_store, timers=patient) as (master, worker):
        w1, w2 = worker(), worker("w2")
        w1.hello()
        await w1.hear(Welcome)
        job_id = await submitted(master)
        key = await w1.accept()
        await until(master, job_id, JobState.RUNNING)
        w1.beat(slots=0)  # it forgot: the job is lost, and w1 gets nothing for a while
        await until(master, job_id, JobState.QUEUED)
        w2.hello()
        offer = await w2.hear(Offer)
        w1.say(Staged(key, manifest(1)))
        assert (await w1.hear(ResultAck)).outcome is ResultOutcome.RETRY_LATER
        w2.say(OfferReply(offer.key, "the disk is full"))
        await until(master, job_id, JobState.QUEUED)
        w1.say(Staged(key, manifest(1)))
        assert (await w1.hear(ResultAck)).outcome is ResultOutcome.COMMITTED
        w1.say(Published(key))
        job = await until(master, job_id, JobState.SUCCEEDED)
        assert (job.fence, job.granted, job.attempts, job.charged) == (1, 2, 1, 0)


async def test_goodbye_closes_the_session(open_store):
    async with cluster(open_store) as (master, worker):
        w1 = worker()
        w1.hello()
        await w1.hear(Welcome)
        assert (await master.worker("w1")).state is WorkerState.CONNECTED
        w1.say(Goodbye())
        await in_state(master, "w1", WorkerState.GONE)


async def test_no_more_jobs_than_slots_are_offered(open_store):
    async with cluster(open_store) as (master, worker):
        for number in range(4):
            await submitted(master, f"{number}.mp4")
        w1 = worker()
        w1.hello(slots=2)
        keys = [await w1.accept(), await w1.accept()]
        w1.beat(*[running(key) for key in keys], slots=2)
        await w1.hear(HeartbeatAck)
        page, _ = await master.find(
            JobFilter(states=frozenset({JobState.QUEUED})), size=10, page_token=""
        )
        assert len(page) == 2


async def test_a_worker_without_the_encoder_gets_nothing(open_store):
    async with cluster(open_store) as (master, worker):
        await submitted(master)
        poor = worker(
            "poor",
            capabilities=Capabilities(
                spec_version=1, ffmpeg_version="9", codecs=frozenset({"aac"}), roots=CAPABLE.roots
            ),
        )
        poor.hello()
        await poor.hear(Welcome)
        rich = worker("rich")
        rich.hello()
        await rich.hear(Offer)
        assert poor.down.empty()


async def test_watch_shows_every_event_once_and_ends_with_the_job(open_store):
    async with cluster(open_store) as (master, worker):
        job_id = await submitted(master)
        seen = []

        async def follow() -> None:
            async for watched in master.watch(job_id, 0):
                seen.append(watched)

        async with asyncio.TaskGroup() as tasks, asyncio.timeout(5):
            tasks.create_task(follow())
            w1 = worker()
            w1.hello()
            key = await w1.accept()
            w1.say(Staged(key, manifest(1)))
            w1.say(Published(key))
        assert [watched.event.number for watched in seen if watched.event] == [1, 2, 3, 4, 5]
        assert seen[-1].record.job.state is JobState.SUCCEEDED
        assert [w async for w in master.watch(job_id, 5)] == []
        assert [w.event.number async for w in master.watch(job_id, 3)] == [4, 5]


async def test_paging_lists_every_job_once_and_guards_its_token(open_store):
    async with cluster(open_store) as (master, _):
        ids = [await submitted(master, f"{number}.mp4") for number in range(5)]
        seen, token = [], ""
        while True:
            page, token = await master.find(JobFilter(), size=2, page_token=token)
            seen += [record.job.job_id for record in page]
            if not token:
                break
        assert seen == ids[::-1]
        _, token = await master.find(JobFilter(), size=2, page_token="")
        with pytest.raises(Exception, match="another filter"):
            await master.find(JobFilter(worker="x"), size=2, page_token=token)


async def test_a_batch_with_one_bad_job_adds_none_and_names_it(open_store):
    async with cluster(open_store) as (master, _):
        bad = JobSpec(input=Input(), outputs=(Output(path=MediaPath("m", "x.mp4")),))
        with pytest.raises(InvalidSpec, match=r"jobs\[1\]\.input"):
            await master.submit(
                [Submission(spec(), "a", "d"), Submission(bad, "b", "d")], actor="client/c"
            )
        assert (await master.find(JobFilter(), size=5, page_token=""))[0] == []


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("t/x.mp4", r"outputs\[0\].path: 'm:t/x.mp4' .*: it is the output of jobs\[1\] too"),
        ("t/x.mp4/y.mp4", r"it cannot be beside the output of jobs\[1\]: one is a file"),
        ("t", r"it cannot be beside the output of jobs\[1\]: one is a file"),
    ],
)
async def test_one_output_of_two_jobs_of_a_batch_names_them(open_store, target, why):
    async with cluster(open_store) as (master, _):

        def ask(path: str, key: str) -> Submission:
            outputs = (Output(path=MediaPath("m", path), container=Container.MP4),)
            return Submission(replace(spec(), outputs=outputs), key, "d")

        batch = [ask("o.mp4", "a"), ask("t/x.mp4", "b"), ask(target, "c")]
        with pytest.raises(InvalidSpec, match=rf"^jobs\[2\]\..*{why}"):
            await master.submit(batch, actor="client/c")
        assert (await master.find(JobFilter(), size=5, page_token=""))[0] == []
        [first, again] = await master.submit([batch[0], batch[0]], actor="client/c")
        assert first.job.job_id == again.job.job_id


async def test_workers_are_sent_away_before_the_master_goes(open_store):
    async with cluster(open_store) as (master, worker):
        w1 = worker()
        w1.hello()
        await w1.hear(Welcome)
        master.send_away()
        assert (await w1.hear(Reconnect)).after >= timedelta(0)


async def test_a_waiting_job_is_explained_worker_by_worker(open_store):
    async with cluster(open_store) as (master, worker):
        first = await submitted(master, "1.mp4")
        busy, full, gone = worker("busy"), worker("full"), worker("gone")
        busy.hello()
        await busy.accept()
        await until(master, first, JobState.RUNNING)
        waiting = await submitted(master, "2.mp4")
        full.hello()
        offer = await full.hear(Offer)
        full.say(OfferReply(offer.key, "no room on the disk"))
        gone.hello()
        await gone.hear(Welcome)
        gone.say(Goodbye())
        await in_state(master, "gone", WorkerState.GONE)
        async with asyncio.timeout(5):
            while (found := await master.explain(waiting)).reason is not WaitReason.BACK_OFF:
                await asyncio.sleep(0.01)
        assert found.detail.endswith("UTC: no room on the disk")
        assert [(each.worker, each.obstacle) for each in found.verdicts] == [
            ("busy", Obstacle.BUSY),
            ("full", Obstacle.REJECTED),
            ("gone", Obstacle.AWAY),
        ]
        assert found.verdicts[1].detail == "no room on the disk"
        assert found.place == Place(0, 0)
        assert (await master.explain(first)).detail == "it is running on worker busy"


async def test_a_storm_of_submits_is_refused_as_wholes_above_the_limit(open_store):
    """What was taken is stored, what was refused is not; afterwards there is room again."""
    async with cluster(open_store, policy=Policy(most_submitted=10)) as (master, _):

        async def batch(number: int) -> int:
            jobs = [
                Submission(spec(f"{number}-{n}.mp4"), f"key-{number}-{n}", "d") for n in range(5)
            ]
            try:
                return len(await master.submit(jobs, actor="client/c"))
            except Overloaded:
                return 0

        stored = await asyncio.gather(*map(batch, range(20)))
        assert set(stored) == {0, 5}
        assert sum(stored) >= 10
        assert len((await master.find(JobFilter(), size=1000, page_token=""))[0]) == sum(stored)
        assert await batch(99) == 5


async def test_a_call_above_the_limit_is_taken_when_nobody_is_before_it(open_store):
    async with cluster(open_store, policy=Policy(most_submitted=1)) as (master, _):
        jobs = [Submission(spec(f"{n}.mp4"), f"key-{n}", "d") for n in range(5)]
        assert len(await master.submit(jobs, actor="client/c")) == 5


async def test_what_is_refused_as_a_whole_is_not_even_read(open_store):
    class Unread:
        def __len__(self) -> int:
            return 5

        def __iter__(self):
            raise AssertionError("it was read")

    async with cluster(open_store, policy=Policy(most_submitted=1)) as (master, _):
        job = Submission(spec("1.mp4"), "key", "d")
        taken, refused = await asyncio.gather(
            master.submit([job], actor="client/c"),
            master.submit(Unread(), actor="client/c"),
            return_exceptions=True,
        )
        assert len(taken) == 1
        assert isinstance(refused, Overloaded)


async def test_raw_arguments_are_refused_where_they_were_not_allowed(open_store):
    plain = spec("out.mp4")
    [output] = plain.outputs
    told = replace(output, raw_arguments=(RawArgument("bf", "1"),))
    submission = Submission(replace(plain, outputs=(told,)), "key", "d")
    async with cluster(open_store) as (master, _):
        with pytest.raises(InvalidSpec, match="--allow-raw-arguments"):
            await master.submit([submission], actor="client/c")
        unlisted = replace(output, raw_arguments=(RawArgument("report", ""),))
        never = Submission(replace(plain, outputs=(unlisted,)), "other", "d")
        with pytest.raises(InvalidSpec, match="raw arguments are off here"):  # said first
            await master.submit([never], actor="client/c")
    async with cluster(open_store, policy=Policy(raw_arguments=True)) as (master, _):
        [record] = await master.submit([submission], actor="client/c")
        assert record.spec.outputs[0].raw_arguments == told.raw_arguments
