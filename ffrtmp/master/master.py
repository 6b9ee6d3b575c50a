"""The master's use cases. No gRPC, no protobuf: it decides by the domain and acts."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from ffrtmp.domain import job as rules
from ffrtmp.domain import orders, waiting
from ffrtmp.domain.errors import DomainError, InvalidArgument, InvalidSpec, WorkerInUse
from ffrtmp.domain.event import JobEvent
from ffrtmp.domain.facts import Fact, JobMoved, WorkerRemoved
from ffrtmp.domain.job import TERMINAL_STATES, WAITING_STATES, JobState
from ffrtmp.domain.labels import nobody_has
from ffrtmp.domain.log import AttemptLog, LogPlace
from ffrtmp.domain.messages import Progress, Reconnect
from ffrtmp.domain.promises import Targets
from ffrtmp.domain.raw_arguments import check_allowed
from ffrtmp.domain.retention import Retention
from ffrtmp.domain.scheduling import rank
from ffrtmp.domain.session import AttemptKey, BlockObserver
from ffrtmp.domain.spec import JobSpec, Priority
from ffrtmp.domain.timers import Timers
from ffrtmp.domain.waiting import Explanation
from ffrtmp.domain.worker import check_roots, requirements, waits_for
from ffrtmp.ffmpeg.presets import expand
from ffrtmp.master.census import Census, Self
from ffrtmp.master.classes import Classes
from ffrtmp.master.dispatcher import Dispatcher, Health
from ffrtmp.master.follower import Follower
from ffrtmp.master.gate import MOST_SUBMITTED, Gate
from ffrtmp.master.janitor import Janitor
from ffrtmp.master.jobs import Jobs
from ffrtmp.master.logs import LogKeeper, Logs, read_log
from ffrtmp.master.outbox import Send
from ffrtmp.master.paging import LARGEST_PAGE, key_from, page_size, token_after
from ffrtmp.master.parts import Hellos, Parts
from ffrtmp.master.progress import ProgressKeeper
from ffrtmp.master.recall import recall_roots
from ffrtmp.master.roster import Roster
from ffrtmp.master.session import Events, Session
from ffrtmp.master.sla import Sla
from ffrtmp.master.sweeper import Sweeper
from ffrtmp.master.tally import Tally
from ffrtmp.master.turns import in_turns
from ffrtmp.master.views import (
    JobView,
    Submission,
    Submissions,
    Watched,
    WorkerView,
    results_in,
)
from ffrtmp.master.wake import Wake
from ffrtmp.master.warden import Warden
from ffrtmp.master.watchers import Watchers
from ffrtmp.store.base import (
    Change,
    JobFilter,
    JobRecord,
    NewJob,
    PageKey,
    Store,
    WorkerRecord,
)
from ffrtmp.telemetry.traffic import Traffic

LARGEST_BATCH = 1000
LONGEST_KEY = 128


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
        retention: Retention | None = None,
        targets: Targets | None = None,
        raw_arguments: bool = False,
        name: str = "",
        version: str = "",
        most_submitted: int = MOST_SUBMITTED,
    ) -> None:
        """`clocks`: the time of day, for showing; seconds of CLOCK_BOOTTIME, for leases. `name` and
        `version` are for people. `targets`: what is promised of the platform. `raw_arguments`:
        whether jobs may have them.
        `most_submitted`: jobs on their way into the store at once."""
        wake = Wake(clocks[1])
        roster, logs = Roster(), Logs()
        jobs = Jobs(store, logs, targets or Targets())
        self._parts = Parts(
            store=store,
            jobs=jobs,
            roster=roster,
            warden=Warden(store, roster, now=clocks[0], observe=observe),
            watchers=Watchers(),
            logs=logs,
            blocks=BlockObserver(timers.lease_ttl),
            timers=timers,
            now=clocks[0],
            boot=clocks[1],
            chance=chance,
            observe=observe,
            wake=wake.set,
            started_at=clocks[1](),
        )
        self._new_id = new_id
        self._gate = Gate(most_submitted)
        self._classes = Classes(store.classes, roster, clocks[1])
        self.traffic = Traffic()
        self._raw_arguments = raw_arguments
        self.tally = Tally(self._parts)
        self._janitor = Janitor(self._parts, retention or Retention())
        now = clocks[0]()
        this = Self(run=f"{name}/{now.isoformat()}", name=name, version=version, started_at=now)
        self.census = Census(self._parts, this)
        self.sla = Sla(self._parts, targets or Targets())
        self._dispatcher = Dispatcher(self._parts, wake)
        jobs.listen(roster.note)
        jobs.listen(self._parts.fences.forget)
        jobs.listen(self._parts.warden.note)
        jobs.listen(self._dispatcher.note)
        jobs.listen(logs.note_move)
        jobs.listen(self._parts.watchers.note)
        jobs.listen(lambda before, after: observe(JobMoved(before, after)))

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
        self._parts.roster.learn(await self._parts.store.classes())
        await self._learn_roots()
        await self._recall_roots()
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

    async def _learn_roots(self) -> None:
        """Of every worker that ever connected: a job may wait for one that is away."""
        self._parts.roster.forget_roots()
        async for record in self._all_workers():
            self._parts.roster.know_roots(root.name for root in record.capabilities.roots)

    async def _recall_roots(self) -> None:
        """At the start, also of the workers whose sessions are alive: they are about to return."""
        away = [each async for each in self._all_workers() if each.alive or each.lost]
        self._parts.roster.recall({}, away)

    # -- jobs -------------------------------------------------------------------------------

    async def submit(self, asked: Submissions, *, actor: str) -> list[JobRecord]:
        """Adds all or none.

        Raises InvalidArgument (naming `jobs[N]...` in a batch), IdempotencyMismatch, TargetTaken,
        TooManyClasses, Overloaded.
        """
        if not 1 <= len(asked) <= LARGEST_BATCH:
            raise InvalidArgument("jobs", len(asked), f"1 to {LARGEST_BATCH} jobs a call")
        with self._gate.entered(len(asked)):
            submissions = await in_turns(asked, lambda submission: submission)
            new = await self._new_jobs(submissions, actor)
            if self._parts.store.shared and any(each.objection for each in new):
                await self._learn_roots()  # a worker may have brought one to another master
                new = await self._new_jobs(submissions, actor)
            async with self._classes.entered(new) as judged:
                stored = await self._parts.jobs.submit(judged)
        return [JobRecord(job, each.spec) for job, each in zip(stored, new, strict=True)]

    async def _new_jobs(self, submissions: Sequence[Submission], actor: str) -> list[NewJob]:
        is_batch = len(submissions) > 1

        def make(numbered: tuple[int, Submission]) -> NewJob:
            owner = f"jobs[{numbered[0]}]" if is_batch else ""
            try:
                return self._new_job(numbered[1], actor, owner)
            except InvalidArgument as error:
                raise error.within(owner) if owner else error from None

        return await in_turns(enumerate(submissions), make)

    def _new_job(self, submission: Submission, actor: str, owner: str) -> NewJob:
        if not 1 <= len(submission.key) <= LONGEST_KEY:
            raise InvalidArgument(
                "idempotency_key", submission.key[:40], f"1 to {LONGEST_KEY} characters"
            )
        raw = [each.raw_arguments for each in submission.spec.outputs]
        check_allowed(raw, allowed=self._raw_arguments)  # before what is wrong with them
        spec = expand(submission.spec)
        needs = requirements(spec)
        now = self._parts.now()
        job = rules.new_job(
            job_id=self._new_id(),
            job_class=needs.job_class,
            rank=rank(submit_at=now, queue=spec.waits_in, priority=spec.priority),
            now=now,
            actor=actor,
            exclusive=spec.exclusive,
            restarts=spec.restarts,
            queue=spec.waits_in,
            purpose=submission.purpose,
        )
        return NewJob(
            job=job,
            spec=spec,
            requirements=needs,
            key=submission.key,
            digest=submission.digest,
            objection=self._objection(spec, owner),
        )

    def _objection(self, spec: JobSpec, owner: str) -> InvalidSpec | None:
        """Told only of a job that is new: workers come and go, and a submit that is sent again gets
        its first answer."""
        try:
            check_roots(spec, self._parts.roster.known_roots)
        except InvalidSpec as error:
            return error.within(owner) if owner else error
        return None

    async def get(self, job_id: str) -> JobView:
        """Raises JobNotFound."""
        record = await self._parts.store.get(job_id)
        events = await self._parts.store.events(job_id)
        queued = record.job.state in WAITING_STATES
        waits = await self._waits_for(record.spec) if queued else ""
        return JobView(record, events, await self._progress_of(record), waits)

    async def _waits_for(self, spec: JobSpec) -> str:
        """What no worker has, of whichever master it is."""
        waits = waits_for(spec, self._parts.roster.useless_roots)
        if waits or not spec.labels:
            return waits
        fleet = [each async for each in self._all_workers() if each.alive]
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
            async for each in self._all_workers()
        ]
        verdicts = waiting.judge(job, candidates, now)
        return waiting.explain(job, verdicts, await self._parts.store.place_of(job), now)

    async def _all_workers(self) -> AsyncIterator[WorkerRecord]:
        after = ""
        while records := await self._parts.store.workers(size=LARGEST_PAGE, after=after):
            for record in records:
                yield record
            after = records[-1].name

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
        await self._learn_roots()
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
