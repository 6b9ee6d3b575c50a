"""Gives queued jobs to workers with room. Event-driven; the poll is a safety net.

One pass: read the rooms, claim for all of them in one transaction, then send. A grant whose offer
could not be sent is taken back by the sweeper.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from ffrtmp.domain import job as rules
from ffrtmp.domain.errors import Unavailable
from ffrtmp.domain.facts import ClaimTook, Dispatched, StoreFailed
from ffrtmp.domain.job import Job, JobState
from ffrtmp.domain.messages import Offer
from ffrtmp.domain.scheduling import Assignment, Room, assign
from ffrtmp.domain.session import AttemptKey
from ffrtmp.domain.spec import JobSpec
from ffrtmp.master.floors import Floors
from ffrtmp.master.parts import Parts
from ffrtmp.master.recall import recall_roots
from ffrtmp.master.roster import NOT_SENT, SentOffer
from ffrtmp.master.wake import Wake
from ffrtmp.store.records import Change

POLL_SECONDS = 1.0
AT_ONCE = 256
"""Jobs granted in one pass, at most: the event loop is not held up for longer."""
LOOK_AHEAD = 32
"""Jobs read beyond the free slots once some were passed over: those at the head may avoid or
exclude the only free worker. Doubled as long as that is so, up to the most that is read."""
MOST_AHEAD = 1024


@dataclass(slots=True)
class Health:
    """When the dispatcher last went round, in seconds of CLOCK_BOOTTIME."""

    ticked_at: float


class Dispatcher:
    def __init__(self, parts: Parts, woken: Wake) -> None:
        self._parts = parts
        self._woken = woken
        self._ahead: Mapping[str, int] = {}
        self._read: Sequence[Job] = ()
        self._floors = Floors(parts.boot, shared=parts.store.shared)
        self._since: float | None = None
        """When the news came on which it goes round."""
        self.health = Health(parts.boot())

    async def run(self) -> None:
        """Runs until cancelled."""
        again = False
        while True:
            news = self._woken.take()
            if not again or self._since is None:
                self._since = self._parts.boot() if news is None else news
            again = False
            try:
                again = await self._dispatch(self._since)
            except Unavailable as error:
                self._parts.observe(StoreFailed("dispatcher", str(error)))
            self.health.ticked_at = self._parts.boot()
            if not again:
                await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _dispatch(self, since: float) -> bool:
        """One pass, on news from then; says whether the next one may find more."""
        rooms = self._parts.roster.rooms(self._parts.now())
        wanted = _wanted(rooms, self._ahead)
        if not wanted:
            return False
        began = self._parts.boot()
        granted = await self._parts.jobs.claim(
            wanted,
            now=self._parts.now(),
            choose=partial(self._choose, rooms, wanted),
            floors=self._floors.begin(),
        )
        self._floors.end(self._read, {job.job_id for job, _ in granted})
        unsure = []
        for job, spec in granted:
            if job.manifest is not None and self._parts.store.shared:
                unsure.append((job, spec))
            else:
                self._offer(job, spec)
        await self._offer_or_take_back(unsure)
        ended = self._parts.boot()
        self._parts.observe(ClaimTook(ended - began, len(granted)))
        if granted:
            self._parts.observe(Dispatched(ended - since, len(granted)))
        return bool(granted or self._ahead)

    def _choose(
        self, rooms: Sequence[Room], wanted: Mapping[str, int], jobs: Sequence[Job]
    ) -> list[Change]:
        now = self._parts.now()
        changes = []
        self._read = jobs
        assignments = assign(jobs, rooms)[:AT_ONCE]
        self._ahead = _further(wanted, jobs, rooms, assignments)
        for assignment in assignments:
            presence = self._parts.roster.get(assignment.holder.worker)
            if presence is None or presence.outbox is None or presence.holder != assignment.holder:
                continue
            job_id = assignment.job.job_id
            above = self._parts.fences.above(job_id)
            rule = partial(rules.grant, holder=assignment.holder, now=now, above=above)
            changes.append(Change(job_id, rule, presence.session))
        return changes

    def _offer(self, job: Job, spec: JobSpec) -> None:
        """What cannot be said now is never said: the worker's next list shows that it does not have
        it, and it need not say hello for that."""
        presence = self._parts.roster.get(job.holder.worker) if job.holder else None
        if presence is None or presence.holder != job.holder:
            return
        key, number = AttemptKey(job.job_id, job.fence), NOT_SENT
        presence.granted.discard(key)
        if key in presence.blocks:  # taken back since the grant
            presence.blocks[key] = NOT_SENT
            return
        if presence.outbox is not None:
            number = presence.outbox.put(Offer(key=key, spec=spec, publish_only=job.manifest))
        presence.offers[key] = SentOffer(number, self._parts.boot())

    async def _offer_or_take_back(self, granted: Sequence[tuple[Job, JobSpec]]) -> None:
        """What is to be published only lies in its last holder's folder, and that one may have been
        lost at another master a moment ago. The store knew it before the job was queued again."""
        if not granted:
            return
        await recall_roots(self._parts)
        back = []
        for job, spec in granted:
            if job.holder and self._parts.roster.may_run(job.holder.worker, job.job_class):
                self._offer(job, spec)
            else:
                rule = partial(rules.leave_unanswered, fence=job.fence, now=self._parts.now())
                back.append(Change(job.job_id, rule))
        await self._parts.jobs.change(back)

    def note(self, before: Job | None, after: Job) -> None:
        """A job moved: look again now, or when it may be offered."""
        self._floors.note(before, after)
        if after.state is not JobState.QUEUED:
            return
        delay = (after.eligible_at - self._parts.now()).total_seconds()
        if delay <= 0:
            self._woken.set()
        else:
            asyncio.get_running_loop().call_later(delay + 0.001, self._woken.set)


def _wanted(rooms: Sequence[Room], ahead: Mapping[str, int]) -> dict[str, int]:
    """How many jobs of each class to read: as many as could be given, or as were too few."""
    free: Counter[str] = Counter()
    for room in rooms:
        if room.free > 0:
            free.update(dict.fromkeys(room.classes, room.free))
    return {each: max(min(count, AT_ONCE), ahead.get(each, 0)) for each, count in free.items()}


def _further(
    wanted: Mapping[str, int],
    jobs: Sequence[Job],
    rooms: Sequence[Room],
    assignments: Sequence[Assignment],
) -> dict[str, int]:
    """How many jobs of which classes to read at the next pass: more, where jobs were read to the
    limit, some were passed over, and a slot that such a job could have is left all the same."""
    read = Counter(job.job_class for job in jobs)
    given = Counter(each.job.job_class for each in assignments)
    taken = Counter(each.holder.worker for each in assignments)
    return {
        each: min(2 * most + LOOK_AHEAD, MOST_AHEAD)
        for each, most in wanted.items()
        if given[each] < read[each] and most <= read[each] < MOST_AHEAD
        if any(each in room.classes and room.free > taken[room.holder.worker] for room in rooms)
    }
