"""Drain and quarantine through the master's core, and a real worker session that obeys."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from ffrtmp.clock import boot_seconds
from ffrtmp.domain.errors import InvalidSpec, WorkerInUse, WorkerNotFound
from ffrtmp.domain.facts import DrainChanged, WorkerQuarantined, WorkerRemoved
from ffrtmp.domain.job import JobState, Manifest
from ffrtmp.domain.messages import (
    Event,
    Goodbye,
    HeartbeatAck,
    Numbered,
    Offer,
    OfferReply,
    Welcome,
)
from ffrtmp.domain.roots import RootReport
from ffrtmp.domain.session import AttemptKey
from ffrtmp.domain.worker import Load, WorkerState
from ffrtmp.master.master import Master
from ffrtmp.worker.attempts import Attempts
from ffrtmp.worker.journal import Journal
from ffrtmp.worker.session import Presentation, Session
from ffrtmp.worker.stream import StreamBroken
from tests.integration.test_exclusive import SLOW
from tests.integration.test_master_core import (
    CAPABLE,
    cluster,
    in_state,
    manifest,
    running,
    submitted,
    until,
)


async def test_a_drained_worker_gets_no_offers_and_finishes_what_it_runs(open_store):
    facts = []
    async with cluster(open_store, facts, timers=SLOW) as (master, worker):
        first = await submitted(master, "1.mp4")
        w1 = worker()
        w1.hello(slots=2)
        assert not (await w1.hear(Welcome)).draining
        key = await w1.accept()
        await until(master, first, JobState.RUNNING)
        view = await master.drain("w1", actor="admin/a")
        assert (view.state, view.record.standing.draining) == (WorkerState.DRAINING, True)
        second = await submitted(master, "2.mp4")
        w1.beat(running(key), slots=2)  # it does not know yet
        assert (await w1.hear(HeartbeatAck)).draining
        assert (await master.get(second)).record.job.fence == 0
        assert (await master.get(first)).record.job.state is JobState.RUNNING
        await master.resume("w1", actor="admin/a")
        assert (await w1.hear(Offer)).key == AttemptKey(second, 1)
        changes = [fact for fact in facts if isinstance(fact, DrainChanged)]
        assert [(each.draining, each.actor) for each in changes] == [
            (True, "admin/a"),
            (False, "admin/a"),
        ]


async def test_drain_belongs_to_the_name_and_survives_restarts_of_worker_and_master(open_store):
    async with cluster(open_store) as (master, worker):
        w1 = worker()
        w1.hello()
        await w1.hear(Welcome)
        for _ in range(2):
            await master.drain("w1", actor="admin/a")
    async with cluster(open_store) as (master, worker):
        assert (await master.worker("w1")).record.standing.draining
        reborn = worker(incarnation="i2", previous="i1")
        reborn.hello()
        assert (await reborn.hear(Welcome)).draining
        for _ in range(2):
            await master.resume("w1", actor="admin/a")
        reborn.beat()
        assert not (await reborn.hear(HeartbeatAck)).draining


async def test_a_name_that_never_connected_cannot_be_drained(open_store):
    async with cluster(open_store) as (master, _):
        for ask in (master.drain, master.resume):
            with pytest.raises(WorkerNotFound):
                await ask("nobody", actor="admin/a")


async def test_w11_a_worker_that_dies_three_times_is_quarantined_with_the_evidence(open_store):
    facts = []
    async with cluster(open_store, facts, timers=SLOW) as (master, worker):
        lost = []
        for number in range(3):
            far = worker(incarnation=f"i{number}")
            far.hello()
            await far.hear(Welcome)
            if number == 0:
                lost.append(await submitted(master, "x.mp4"))
            key = await far.accept()
            await until(master, key.job_id, JobState.RUNNING)
            far.hang_up()
            await in_state(master, "w1", WorkerState.SILENT)
            if number < 2:
                lost.append(await submitted(master, f"{number}.mp4"))
        last = worker(incarnation="last")
        last.hello()
        await last.hear(Welcome)
        view = await master.worker("w1")
        assert view.state is WorkerState.QUARANTINED
        assert view.quarantined_until is not None
        assert len(view.record.standing.losses) == 3
        assert "new incarnation" in view.record.standing.losses[0].why
        [fact] = [fact for fact in facts if isinstance(fact, WorkerQuarantined)]
        assert fact.until == view.quarantined_until
        last.beat()
        await last.hear(HeartbeatAck)
        assert last.down.empty()
        await master.resume("w1", actor="admin/a")
        await last.hear(Offer)


async def test_a_removed_workers_roots_are_forgotten_and_known_again_when_it_comes_back(open_store):
    facts = []
    async with cluster(open_store, facts) as (master, worker):
        w1 = worker()
        elsewhere = RootReport(name="n", nonce="x", sees=frozenset({"x"}))
        w2 = worker("w2", capabilities=replace(CAPABLE, roots=(elsewhere,)))
        for each in (w1, w2):
            each.hello()
            await each.hear(Welcome)
        with pytest.raises(WorkerInUse):
            await master.remove_worker("w1", actor="admin/a")
        w1.say(Goodbye())
        await in_state(master, "w1", WorkerState.GONE)
        await submitted(master, "1.mp4")
        await master.remove_worker("w1", actor="admin/a")
        assert WorkerRemoved(worker="w1", actor="admin/a") in facts
        with pytest.raises(InvalidSpec, match="no worker has this root"):
            await submitted(master, "2.mp4")
        again = worker(incarnation="i2")
        again.hello()
        await again.hear(Welcome)
        await submitted(master, "2.mp4")


class Quick:
    """A runner whose encode ends when the test says so."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()

    def objection(self, _spec) -> str:
        return ""

    def admit(self, _key, _spec) -> str:
        return ""

    def forget(self, _key) -> None: ...

    def measured(self, _key) -> None:
        return None

    async def encode(self, key, _spec, _report, _hear) -> Manifest:
        await self.let_go.wait()
        return manifest(key.fence)

    async def take_over(self, _key, _spec, staged) -> Manifest:
        return staged

    async def publish(self, _key, _spec, _manifest) -> None: ...

    async def discard(self, _key, _spec) -> None: ...


class Pipe:
    """A stream between a real worker session and the master's core."""

    def __init__(self, master: Master) -> None:
        self._up: asyncio.Queue = asyncio.Queue()
        self._down: asyncio.Queue = asyncio.Queue()
        self._master = master

    async def serve(self) -> None:
        async def events() -> AsyncIterator[Sequence[Event]]:
            while True:
                yield await self._up.get()

        async def send(commands: Sequence[Numbered]) -> None:
            self._down.put_nowait(commands)

        await self._master.serve(worker="w1", address="here", events=events(), send=send)
        self._down.put_nowait(None)

    async def read(self) -> Sequence[Numbered]:
        if (commands := await self._down.get()) is None:
            raise StreamBroken("the master hung up")
        return commands

    async def write(self, events: Sequence[Event]) -> None:
        self._up.put_nowait(events)


@asynccontextmanager
async def real_worker(path, master: Master, runner: Quick) -> AsyncIterator[Attempts]:
    streams = asyncio.TaskGroup()

    @asynccontextmanager
    async def dial(_address):
        pipe = Pipe(master)
        serving = streams.create_task(pipe.serve())
        try:
            yield pipe
        finally:
            serving.cancel()

    async def load() -> Load:
        return Load()

    with Journal.open(path / "journal") as journal:
        async with Attempts.running(runner, journal, slots=2) as attempts:
            presentation = Presentation(incarnation="i1", capabilities=CAPABLE, load=load)
            session = Session(presentation, attempts, dial, boot=boot_seconds, chance=lambda: 0.0)
            async with streams, asyncio.TaskGroup() as tasks:
                tasks.create_task(session.run(["here"]))
                yield attempts
                runner.let_go.set()
                session.leave()


async def test_a_worker_obeys_drain_at_its_next_heartbeat_and_works_again_when_resumed(
    open_store, tmp_path
):
    runner = Quick()
    async with (
        cluster(open_store) as (master, _),
        real_worker(tmp_path, master, runner) as attempts,
    ):
        first = await submitted(master, "1.mp4")
        await until(master, first, JobState.RUNNING)
        await master.drain("w1", actor="admin/a")
        async with asyncio.timeout(5):
            while (await master.worker("w1")).slots != 0:
                await asyncio.sleep(0.01)
        assert attempts.slots == 0
        runner.let_go.set()
        await until(master, first, JobState.SUCCEEDED)
        second = await submitted(master, "2.mp4")
        await master.resume("w1", actor="admin/a")
        job = await until(master, second, JobState.SUCCEEDED)
        assert job.charged == 0


async def test_w14_an_offer_that_crosses_slots_0_is_rejected_uncharged(open_store):
    async with cluster(open_store, timers=SLOW) as (master, worker):
        w1 = worker()
        w1.hello()
        await w1.hear(Welcome)
        job_id = await submitted(master)
        offer = await w1.hear(Offer)
        w1.beat(slots=0)
        w1.say(OfferReply(offer.key, "the worker drains"))
        job = await until(master, job_id, JobState.QUEUED)
        assert (job.charged, job.attempts) == (0, 0)
        assert (job.eligible_at - job.changed_at).total_seconds() <= 1
