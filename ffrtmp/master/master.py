"""The master's use cases. No gRPC, no protobuf: it decides by the domain and acts."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from ffrtmp.domain import job as rules
from ffrtmp.domain import orders, waiting
from ffrtmp.domain.errors import DomainError, Unavailable, WorkerInUse
from ffrtmp.domain.event import JobEvent
from ffrtmp.domain.facts import Fact, JobMoved, StoreFailed, WorkerRemoved
from ffrtmp.domain.job import TERMINAL_STATES, WAITING_STATES, JobState
from ffrtmp.domain.labels import nobody_has
from ffrtmp.domain.log import AttemptLog, LogPlace
from ffrtmp.domain.messages import Progress, Reconnect
from ffrtmp.domain.promises import Targets
from ffrtmp.domain.retention import Retention
from ffrtmp.domain.roots import waits_for
from ffrtmp.domain.session import AttemptKey, BlockObserver, Observer
from ffrtmp.domain.spec import JobSpec, Priority
from ffrtmp.domain.timers import Timers
from ffrtmp.domain.waiting import Explanation
from ffrtmp.domain.worker import requirements
from ffrtmp.master.census import Census, Self
from ffrtmp.master.dispatcher import Dispatcher, Health
from ffrtmp.master.follower import Follower
from ffrtmp.master.gate import MOST_SUBMITTED
from ffrtmp.master.intake import Intake
from ffrtmp.master.janitor import Janitor
from ffrtmp.master.jobs import Jobs
from ffrtmp.master.logs import LogKeeper, Logs, read_log
from ffrtmp.master.names import Names
from ffrtmp.master.outbox import Send
from ffrtmp.master.paging import key_from, page_size, token_after
from ffrtmp.master.parts import Hellos, Parts
from ffrtmp.master.progress import ProgressKeeper
from ffrtmp.master.recall import all_workers, learn_roots, recall_at_start, recall_roots
from ffrtmp.master.roster import Roster
from ffrtmp.master.session import Events, Session
from ffrtmp.master.sla import Sla
from ffrtmp.master.sweeper import Sweeper
from ffrtmp.master.tally import Tally
from ffrtmp.master.views import (
    JobView,
    Submissions,
    Watched,
    WorkerView,
    results_in,
)
from ffrtmp.master.wake import Wake
from ffrtmp.master.warden import Warden
from ffrtmp.master.watchers import Watchers
from ffrtmp.store.base import Store
from ffrtmp.store.records import Change, JobFilter, JobRecord, PageKey
from ffrtmp.telemetry.traffic import Traffic

LEARN_AGAIN_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What an operator decides: `targets`, what is promised of the platform; `raw_arguments`,
    whether jobs may have them. And what is decided for them: `most_submitted`, jobs on their way
    into the store at once."""

    retention: Retention = field(default_factory=Retention)
    targets: Targets = field(default_factory=Targets)
    raw_arguments: bool = False
    most_submitted: int = MOST_SUBMITTED


DEFAULT_POLICY = Policy()


class Master:
    def __init__(
        self,
        store: Store,
        timers: Timers,
        *,
        clocks: tuple[Callable[[], datetime], Callable[[], float]],
        chance: Callable[[], float],
        new_id: Callable[[], str],
        observe: Callable[[Fact], None],
        policy: Policy = DEFAULT_POLICY,
        name: str = "",
        version: str = "",
    ) -> None:
        """`clocks`: the time of day, for showing; seconds of CLOCK_BOOTTIME, for leases. `name` and
        `version` are for people."""
        now, boot = clocks
        wake, roster, logs = Wake(boot), Roster(), Logs()
        leases = Observer.by(timers)
        self._parts = parts = Parts(
            store=store,
            jobs=Jobs(store, logs, policy.targets),
            roster=roster,
            warden=Warden(store, roster, now=now, observe=observe),
            watchers=Watchers(),
            logs=logs,
            leases=leases,
            names=Names(roster, leases, timers, boot),
            blocks=BlockObserver(timers.lease_ttl),
            timers=timers,
            now=now,
            boot=boot,
            chance=chance,
            observe=observe,
            wake=wake.set,
        )
        self._intake = Intake(
            parts,
            new_id,
            most_submitted=policy.most_submitted,
            raw_arguments=policy.raw_arguments,
        )
        self._janitor = Janitor(parts, policy.retention)
        self._dispatcher = Dispatcher(parts, wake)
        self.traffic = Traffic()
        self.tally = Tally(parts)
        self.census = Census(parts, Self.begun(now(), name=name, version=version))
        self.sla = Sla(parts, policy.targets)
        self._listen()

    def _listen(self) -> None:
        """Who hears of each move once it is committed, in this order."""
        parts = self._parts
        for hear in (
            parts.roster.note,
            parts.fences.forget,
            parts.warden.note,
            self._dispatcher.note,
            parts.logs.note_move,
            parts.watchers.note,
            lambda before, after: parts.observe(JobMoved(before, after)),
        ):
            parts.jobs.listen(hear)

    @property
    def health(self) -> Health:
        return self._dispatcher.health

    @property
    def hellos(self) -> Hellos:
        return self._parts.hellos

    @property
    def roster(self) -> Roster:
        return self._parts.roster

    async def run(self) -> None:
        """Dispatches, sweeps and follows other masters until cancelled."""
        await self._learn()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._dispatcher.run())
            tasks.create_task(Sweeper(self._parts).run())
            tasks.create_task(Follower(self._parts).run())
            tasks.create_task(self._janitor.run())
            keeper = LogKeeper(self._parts.logs, self._parts.store)
            tasks.create_task(keeper.run(self._parts.observe))
            tasks.create_task(ProgressKeeper(self._parts).run())
            tasks.create_task(self.census.run())
            tasks.create_task(self.tally.run())

    async def _learn(self) -> None:
        """What the store knows, before anything is granted; again until it can be read: a table may
        be locked for a while, which is no reason to end."""
        while True:
            try:
                self._parts.roster.learn(await self._parts.store.classes())
                await learn_roots(self._parts)
                await recall_at_start(self._parts)
            except Unavailable as error:
                self._parts.observe(StoreFailed("start", str(error)))
                await asyncio.sleep(LEARN_AGAIN_SECONDS)
            else:
                return

    # -- jobs -------------------------------------------------------------------------------

    async def submit(self, asked: Submissions, *, actor: str) -> list[JobRecord]:
        """As `Intake.submit`."""
        return await self._intake.submit(asked, actor=actor)

    async def get(self, job_id: str) -> JobView:
        """Raises JobNotFound. The job and its history are of one moment: that of the job."""
        record = await self._parts.store.get(job_id)
        history = await self._parts.store.events(job_id)
        events = [event for event in history if event.number <= record.job.version]
        queued = record.job.state in WAITING_STATES
        waits = await self._waits_for(record.spec) if queued else ""
        return JobView(record, events, await self._progress_of(record), waits)

    async def _waits_for(self, spec: JobSpec) -> str:
        """What no worker has, of whichever master it is."""
        waits = waits_for(spec, self._parts.roster.roots.useless)
        if waits or not (spec.labels or self._parts.roster.is_empty):
            return waits
        fleet = [each async for each in all_workers(self._parts.store) if each.alive]
        if not fleet:
            return waiting.NO_WORKER
        return nobody_has(spec.labels, (each.capabilities.labels for each in fleet))

    async def _progress_of(self, record: JobRecord) -> Progress | None:
        holder = record.job.holder
        if holder is None:
            return None
        presence = self._parts.roster.get(holder.worker)
        key = AttemptKey(record.job.job_id, record.job.fence)
        if presence is not None and (presence.outbox or not self._parts.store.shared):
            return presence.progress.get(key)
        kept = (await self._parts.store.progress([key.job_id])).get(key.job_id)
        return kept if kept is not None and kept.key == key else None

    async def find(
        self, wanted: JobFilter, *, size: int, page_token: str
    ) -> tuple[list[JobRecord], str]:
        """One page, newest first, and the token of the next (empty: the last page)."""
        size = page_size(size)
        after = key_from(page_token, wanted)
        records = await self._parts.store.find(wanted, size=size + 1, after=after)
        page = records[:size]
        if len(records) <= size:
            return page, ""
        last = page[-1].job
        return page, token_after(PageKey(last.submit_at, last.job_id), wanted)

    async def watch(self, job_id: str, after: int) -> AsyncIterator[Watched]:
        """Every event above `after`, then new ones, progress in between; ends with the job.

        Raises JobNotFound.
        """
        record = await self._parts.store.get(job_id)
        with self._parts.watchers.following(job_id) as watcher:
            if (progress := await self._progress_of(record)) is not None:
                watcher.wake(progress)
            while True:
                for event in await self._parts.store.events(job_id, after=after):
                    after = event.number
                    if event.state in TERMINAL_STATES:
                        yield await self._end(event)
                        return
                    yield Watched(event=event)
                if after >= record.job.version and record.job.state in TERMINAL_STATES:
                    return  # everything was seen before
                if (progress := watcher.take_progress()) is not None:
                    yield Watched(progress=progress)
                await watcher.wait()

    async def _end(self, event: JobEvent) -> Watched:
        record = await self._parts.store.get(event.job_id)
        told = results_in(await self._parts.store.events(event.job_id))
        return Watched(event=event, record=record, told=told)

    def log(self, job_id: str, after: LogPlace, *, follow: bool) -> AsyncIterator[AttemptLog]:
        """What FFmpeg wrote behind `after`. Raises JobNotFound."""
        parts = self._parts
        return read_log(
            parts.logs, parts.store, parts.watchers, job_id=job_id, after=after, follow=follow
        )

    async def explain(self, job_id: str) -> Explanation:
        """Why it waits. Raises JobNotFound."""
        record = await self._parts.store.get(job_id)
        job, now = record.job, self._parts.now()
        if job.state is not JobState.QUEUED:
            return waiting.explain(job, (), None, now)
        needs, roster = requirements(record.spec), self._parts.roster
        candidates = [
            roster.candidate(each.name, job_id, needs, each.capabilities)
            async for each in all_workers(self._parts.store)
        ]
        verdicts = waiting.judge(job, candidates, now)
        return waiting.explain(job, verdicts, await self._parts.store.place_of(job), now)

    async def cancel(self, job_id: str, *, actor: str, force: bool = False) -> JobRecord:
        """Raises JobNotFound, or IllegalTransition once it is being published or has ended."""
        rule = partial(rules.cancel, actor=actor, now=self._parts.now(), force=force)
        return await self._apply(job_id, rule)

    async def pause(self, job_id: str, *, actor: str) -> JobRecord:
        """Raises JobNotFound, or IllegalTransition unless it waits."""
        return await self._apply(job_id, partial(orders.pause, actor=actor, now=self._parts.now()))

    async def resume_job(self, job_id: str, *, actor: str) -> JobRecord:
        """Raises JobNotFound, or IllegalTransition when it has ended."""
        return await self._apply(job_id, partial(orders.resume, actor=actor, now=self._parts.now()))

    async def reprioritise(self, job_id: str, priority: Priority, *, actor: str) -> JobRecord:
        """Raises JobNotFound, or IllegalTransition unless it waits."""
        queue = (await self._parts.store.get(job_id)).spec.waits_in
        now = self._parts.now()
        rule = partial(orders.reprioritise, queue=queue, priority=priority, actor=actor, now=now)
        return await self._apply(job_id, rule)

    async def _apply(self, job_id: str, rule: rules.Rule) -> JobRecord:
        [outcome] = await self._parts.jobs.change([Change(job_id, rule)])
        if isinstance(outcome, DomainError):
            raise outcome
        return replace(await self._parts.store.get(job_id), job=outcome.after)

    # -- workers ----------------------------------------------------------------------------

    async def workers(self, *, size: int, page_token: str) -> tuple[list[WorkerView], str]:
        """One page by name, and the token of the next."""
        size = page_size(size)
        records = await self._parts.store.workers(size=size + 1, after=page_token)
        views = [self.census.view_of(record) for record in records[:size]]
        return views, views[-1].record.name if len(records) > size else ""

    async def worker(self, name: str) -> WorkerView:
        """Raises WorkerNotFound."""
        return self.census.view_of(await self._parts.store.worker(name))

    async def drain(self, name: str, *, actor: str) -> WorkerView:
        """No new work for it, until `resume`. Idempotent. Raises WorkerNotFound."""
        await self._parts.warden.drain(name, actor=actor)
        return await self.worker(name)

    async def resume(self, name: str, *, actor: str) -> WorkerView:
        """Ends drain and quarantine. Idempotent. Raises WorkerNotFound."""
        await self._parts.warden.resume(name, actor=actor)
        self._parts.wake()
        return await self.worker(name)

    async def remove_worker(self, name: str, *, actor: str) -> None:
        """Forgets one that is gone. Raises WorkerNotFound, WorkerInUse."""
        record = await self._parts.store.worker(name)
        if record.alive:
            raise WorkerInUse(name, "its session is alive; stop it, and wait until it is gone")
        if not await self._parts.store.remove_worker(name):
            raise WorkerInUse(name, "a job is still bound to it, for a moment; try again")
        await learn_roots(self._parts)
        await recall_roots(self._parts)
        self._parts.wake()
        self._parts.observe(WorkerRemoved(worker=name, actor=actor))

    async def release(self, name: str, *, actor: str) -> WorkerView:
        """Ends a quarantine, not a drain. Idempotent. Raises WorkerNotFound."""
        await self._parts.warden.release(name, actor=actor)
        self._parts.wake()
        return await self.worker(name)

    # -- streams ----------------------------------------------------------------------------

    async def serve(
        self,
        *,
        worker: str,
        address: str,
        certificate_end: datetime | None = None,
        events: Events,
        send: Send,
    ) -> None:
        """Serves one stream of a worker until it ends, at the latest with its certificate (None:
        not known). `worker` is the certificate's name."""
        session = Session(
            self._parts, worker=worker, address=address, certificate_end=certificate_end
        )
        await session.run(events, send)

    def send_away(self) -> None:
        """Asks every worker to dial again, spread over time: this master goes down."""
        spread = self._parts.roster.reconnect_spread
        for presence in self._parts.roster:
            if presence.outbox is not None:
                presence.outbox.put(Reconnect(spread * self._parts.chance()))
