"""Gives queued jobs to workers with room. Event-driven; the poll is a safety net.

One pass: read the rooms, claim for all of them in one transaction, then send. A grant whose offer
could not be sent is taken back by the sweeper.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from ffrtmp.domain import job as rules
from ffrtmp.domain.errors import Unavailable
from ffrtmp.domain.facts import ClaimTook, StoreFailed
from ffrtmp.domain.job import Job, JobState
from ffrtmp.domain.messages import Offer
from ffrtmp.domain.scheduling import Room, assign
from ffrtmp.domain.session import AttemptKey
from ffrtmp.domain.spec import JobSpec
from ffrtmp.master.parts import Parts
from ffrtmp.master.roster import SentOffer
from ffrtmp.store.base import Change

POLL_SECONDS = 1.0
LOOK_AHEAD = 32
"""Jobs read beyond the free slots: some at the head may avoid or exclude the only free worker."""


@dataclass(slots=True)
class Health:
    """When the dispatcher last went round, in seconds of CLOCK_BOOTTIME."""

    ticked_at: float


class Dispatcher:
    def __init__(self, parts: Parts, woken: asyncio.Event) -> None:
        self._parts = parts
        self._woken = woken
        self.health = Health(parts.boot())

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            try:
                granted = await self._dispatch()
            except Unavailable as error:
                self._parts.observe(StoreFailed("dispatcher", str(error)))
                granted = 0
            self.health.ticked_at = self._parts.boot()
            if not granted:
                await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._woken.wait()
        except TimeoutError:
            return
        self._woken.clear()

    async def _dispatch(self) -> int:
        """One pass; returns how many jobs were granted."""
        rooms = self._parts.roster.rooms(self._parts.now())
        wanted = _wanted(rooms)
        if not wanted:
            return 0
        began = self._parts.boot()
        granted = await self._parts.jobs.claim(
            wanted, now=self._parts.now(), choose=partial(self._choose, rooms)
        )
        for job, spec in granted:
            self._offer(job, spec)
        self._parts.observe(ClaimTook(self._parts.boot() - began, len(granted)))
        return len(granted)

    def _choose(self, rooms: Sequence[Room], jobs: Sequence[Job]) -> list[Change]:
        now = self._parts.now()
        changes = []
        for assignment in assign(jobs, rooms):
            presence = self._parts.roster.get(assignment.holder.worker)
            if presence is None or presence.holder != assignment.holder:
                continue
            job_id = assignment.job.job_id
            above = self._parts.fences.above(job_id)
            rule = partial(rules.grant, holder=assignment.holder, now=now, above=above)
            changes.append(Change(job_id, rule, presence.session))
        return changes

    def _offer(self, job: Job, spec: JobSpec) -> None:
        presence = self._parts.roster.get(job.holder.worker) if job.holder else None
        if presence is None or presence.outbox is None or presence.holder != job.holder:
            return
        key = AttemptKey(job.job_id, job.fence)
        number = presence.outbox.put(Offer(key=key, spec=spec, publish_only=job.manifest))
        presence.offers[key] = SentOffer(number, self._parts.boot())

    def note(self, _before: Job | None, after: Job) -> None:
        """A job moved: look again now, or when it may be offered."""
        if after.state is not JobState.QUEUED:
            return
        delay = (after.eligible_at - self._parts.now()).total_seconds()
        if delay <= 0:
            self._woken.set()
        else:
            asyncio.get_running_loop().call_later(delay + 0.001, self._woken.set)


def _wanted(rooms: Sequence[Room]) -> dict[str, int]:
    """How many jobs of each class to read."""
    free: Counter[str] = Counter()
    for room in rooms:
        if room.free > 0:
            free.update(dict.fromkeys(room.classes, room.free))
    return {job_class: count + LOOK_AHEAD for job_class, count in free.items()}
