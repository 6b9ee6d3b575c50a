"""What an operator asks of the whole cluster, of whichever master; and what masters tell each other
for that. Nothing here decides anything.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from ffrtmp.domain.errors import Unavailable
from ffrtmp.domain.facts import StoreFailed
from ffrtmp.domain.job import HELD_STATES, JobState
from ffrtmp.domain.scheduling import HEAD_STARTS
from ffrtmp.domain.worker import Requirements, WorkerState, misfit
from ffrtmp.master.paging import LARGEST_PAGE
from ffrtmp.master.parts import Parts
from ffrtmp.master.views import (
    ClusterView,
    MasterView,
    QueueView,
    StoreView,
    WorkerView,
    state_of,
    view_of,
)
from ffrtmp.store.records import Backlog, MasterRecord, MasterReport, ServedWorker, WorkerRecord

NOTE_SECONDS = 5.0
HEARD_WITHIN = timedelta(seconds=15)

Check = Callable[[], Awaitable[str]]
"""Says why this master is not ready; empty: it is. Raises Unavailable."""


@dataclass(slots=True, kw_only=True)
class Self:
    """This master, as others are to see it. `address` is known once it listens."""

    run: str
    name: str = ""
    version: str = ""
    address: str = ""
    started_at: datetime

    @classmethod
    def begun(cls, now: datetime, *, name: str, version: str) -> "Self":
        return cls(run=f"{name}/{now.isoformat()}", name=name, version=version, started_at=now)


class Census:
    def __init__(self, parts: Parts, this: Self) -> None:
        self._parts = parts
        self.this = this
        self._others: list[MasterRecord] = []
        self.oldest_snapshot = timedelta(0)

    async def run(self) -> None:
        """Tells other masters of this one, hears of them, and looks after their store. Runs
        until cancelled; at once, when nobody else can use the store."""
        store = self._parts.store
        if not store.shared:
            return
        try:
            while True:
                try:
                    await store.note_master(self._record())
                    await self._hear()
                    self.oldest_snapshot = await store.oldest_snapshot()
                except Unavailable as error:
                    self._parts.observe(StoreFailed("census", str(error)))
                await asyncio.sleep(NOTE_SECONDS)
        finally:
            await self._leave()

    async def _hear(self) -> None:
        found = await self._parts.store.masters()
        self._others = [each for each in found if each.run != self.this.run]

    async def _leave(self) -> None:
        """As well as it can: else it is shown as vanished for a day."""
        try:
            async with asyncio.timeout(1.0):
                await self._parts.store.forget_master(self.this.run)
        except (Unavailable, TimeoutError):
            return

    def _record(self) -> MasterRecord:
        now, this = self._parts.now(), self.this
        present = {each.session.worker: each for each in self._parts.roster}
        report = MasterReport(
            name=this.name,
            address=this.address,
            version=this.version,
            started_at=this.started_at,
            workers={
                name: ServedWorker(
                    state=state_of(
                        presence,
                        draining=presence.standing.draining,
                        quarantined=presence.standing.is_quarantined(now),
                    ),
                    slots=presence.slots,
                    free_slots=presence.free,
                )
                for name, presence in present.items()
                if presence.outbox is not None
            },
        )
        return MasterRecord(run=this.run, seen_at=now, report=report)

    # -- workers ----------------------------------------------------------------------------

    def view_of(self, record: WorkerRecord) -> WorkerView:
        """One that another master serves is shown as that one told."""
        roster, now = self._parts.roster, self._parts.now()
        presence = roster.get(record.name)
        refused = dict(roster.roots.refused(record.name))
        served = self._elsewhere(record.name, now) if presence is None and record.alive else None
        return view_of(
            record, presence, refused, now=now, served=served, this_master=self.this.name
        )

    def _elsewhere(self, worker: str, now: datetime) -> tuple[str, ServedWorker] | None:
        """The master that serves it, and what it says."""
        for other in self._others:
            served = other.report.workers.get(worker)
            if served is not None and _is_heard(other, now):
                return other.report.name, served
        return None

    async def _views(self) -> list[WorkerView]:
        views: list[WorkerView] = []
        while True:
            after = views[-1].record.name if views else ""
            page = await self._parts.store.workers(size=LARGEST_PAGE, after=after)
            views += [self.view_of(record) for record in page]
            if len(page) < LARGEST_PAGE:
                return views

    # -- answers ----------------------------------------------------------------------------

    async def overview(self) -> ClusterView:
        if self._parts.store.shared:
            await self._hear()
        now, views = self._parts.now(), await self._views()
        backlog = await self._parts.store.backlog(now)
        waits = [each.eligible_at for each in backlog if _waits(each)]
        there = [view for view in views if view.state is not WorkerState.GONE]
        records = [self._record(), *self._others]
        masters = [
            MasterView(
                record=each,
                is_serving=_is_heard(each, now),
                is_this=each.run == self.this.run,
            )
            for each in sorted(records, key=lambda each: (each.report.name, each.run))
        ]
        return ClusterView(
            masters=masters,
            workers=Counter(view.state for view in views),
            jobs=await self._parts.store.count_jobs(),
            slots=sum(view.slots for view in there),
            free_slots=sum(view.free_slots for view in there),
            oldest_eligible_at=min(waits, default=None),
            read_at=now,
        )

    async def queues(self) -> list[QueueView]:
        """In the order of the queues' head starts, then of the classes."""
        needs = await self._parts.store.classes()
        backlog = await self._parts.store.backlog(self._parts.now())
        ordered = sorted(backlog, key=_place)
        return [
            self._queue_view(list(each), needs.get(job_class))
            for (_, job_class), each in groupby(ordered, key=_place)
        ]

    def _queue_view(self, parts: list[Backlog], needs: Requirements | None) -> QueueView:
        return QueueView(
            queue=parts[0].queue,
            job_class=parts[0].job_class,
            needs=needs,
            queued=_jobs(each for each in parts if _waits(each)),
            retrying=_jobs(e for e in parts if e.state is JobState.QUEUED and e.is_later),
            paused=_jobs(each for each in parts if each.state is JobState.PAUSED),
            held=_jobs(each for each in parts if each.state in HELD_STATES),
            oldest_eligible_at=min((e.eligible_at for e in parts if _waits(e)), default=None),
            able_workers=self._able(needs) if needs else 0,
        )

    def _able(self, needs: Requirements) -> int:
        roster = self._parts.roster
        return sum(
            misfit(needs, each.capabilities, roster.roots.refused(each.session.worker)) is None
            for each in roster
            if each.outbox is not None
        )

    async def store(self, check: Check) -> StoreView:
        """Writes a row, to see how long that takes. Raises Unavailable when it cannot be read."""
        store, began = self._parts.store, self._parts.boot()
        problem, took = "", None
        try:
            problem = await check()
            took = timedelta(seconds=self._parts.boot() - began)
        except Unavailable as error:
            problem = str(error)
        return StoreView(
            facts=await store.facts(),
            pools=store.pools(),
            commits=store.commits,
            commit_took=took,
            problems=[problem] if problem else [],
        )


def _is_heard(record: MasterRecord, now: datetime) -> bool:
    return now - record.seen_at < HEARD_WITHIN


def _waits(backlog: Backlog) -> bool:
    return backlog.state is JobState.QUEUED and not backlog.is_later


def _place(backlog: Backlog) -> tuple[timedelta, str]:
    return -HEAD_STARTS[backlog.queue], backlog.job_class


def _jobs(backlogs: Iterable[Backlog]) -> int:
    return sum(each.jobs for each in backlogs)
