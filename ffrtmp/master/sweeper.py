"""Once a second: expires silent sessions, returns what they held, takes back unanswered offers.

Each step is repeated until it finds nothing: a crash between two of them loses no job. What blocks
an exclusive job ends with the lease of its old holder, which was seen here to run out in full.
"""

import asyncio
from datetime import timedelta
from functools import partial

from ffrtmp.domain import job as rules
from ffrtmp.domain.errors import SessionExpired, Unavailable
from ffrtmp.domain.facts import SessionClosed, StoreFailed
from ffrtmp.domain.job import Holder, Job
from ffrtmp.domain.session import AttemptKey, Observer
from ffrtmp.master.parts import Parts
from ffrtmp.store.base import Change, SessionKey

BATCH = 500
LATE = timedelta(seconds=1)


class Sweeper:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        timers = parts.timers
        self._interval = timers.sweep_interval.total_seconds()
        self._run_out: dict[str, SessionKey] = {}
        self._observer = Observer(
            lease_ttl=timers.lease_ttl,
            grace=timers.recovery_grace,
            late_after=timers.sweep_interval + LATE,
        )

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            try:
                await self.sweep()
            except Unavailable as error:
                self._observer.begin_anew()
                self._parts.observe(StoreFailed("sweeper", str(error)))
            await asyncio.sleep(self._interval)

    async def sweep(self) -> None:
        await self._expire_sessions()
        await self._return_orphans()
        await self._end_blocks()
        await self._take_back_offers()
        await self._parts.warden.settle()

    async def _expire_sessions(self) -> None:
        renewals = await self._parts.store.renewals()
        by_name = {f"{key.worker}/{key.epoch}": key for key in renewals}
        readings = {name: renewals[key] for name, key in by_name.items()}
        for name in self._observer.observe(readings, self._parts.boot()):
            await self._expire(by_name[name], readings[name])

    async def _expire(self, session: SessionKey, renewal: int) -> None:
        if not await self._parts.store.close_session(session, renewal=renewal):
            return
        self._run_out[session.worker] = session
        self._parts.roster.remove(session, SessionExpired(session.worker))
        missed = self._parts.timers.missed_heartbeats
        self._parts.observe(
            SessionClosed(session.worker, session.epoch, f"{missed} heartbeats missed")
        )

    async def _return_orphans(self) -> None:
        orphans = await self._parts.store.orphans(BATCH)
        over = await self._over({job.holder for job in orphans if job.holder})
        await self._parts.jobs.change([self._lost(job, dead=job.holder in over) for job in orphans])

    async def _over(self, holders: set[Holder]) -> set[Holder]:
        """Those whose lease this sweeper saw run out, with no stream of theirs since."""
        over = set()
        for holder in holders:
            session = self._run_out.get(holder.worker)
            if session is not None:
                record = await self._parts.store.worker(holder.worker)
                if (record.epoch, record.incarnation) == (session.epoch, holder.incarnation):
                    over.add(holder)
        return over

    async def _end_blocks(self) -> None:
        """Where the session of the blocker was seen to run out, at once; else after a lease."""
        blocked = await self._parts.store.stale_blocks(BATCH)
        holders = {job.blocked_by for job in blocked if job.blocked_by}
        gone = self._parts.blocks.observe(holders, self._parts.boot()) | await self._over(holders)
        await self._parts.jobs.change(
            [self._unblocked(job, job.blocked_by) for job in blocked if job.blocked_by in gone]
        )

    def _unblocked(self, job: Job, holder: Holder | None) -> Change:
        assert holder is not None
        why = f"the lease of worker {holder.worker} has run out in full"
        rule = partial(
            rules.unblock, holder=holder, fence=job.fence, why=why, now=self._parts.now()
        )
        return Change(job.job_id, rule)

    def _lost(self, job: Job, *, dead: bool) -> Change:
        assert job.holder is not None
        rule = partial(
            rules.lose,
            holder=job.holder,
            fence=job.fence,
            why=f"worker {job.holder.worker} was lost: no heartbeat for its lease",
            chance=self._parts.chance(),
            now=self._parts.now(),
            dead=dead,
        )
        return Change(job.job_id, rule)

    async def _take_back_offers(self) -> None:
        now, ttl = self._parts.now(), self._parts.timers.offer_ttl
        never_sent = await self._parts.store.offered_before(now - 2 * ttl, BATCH)
        keys = {AttemptKey(job.job_id, job.fence) for job in never_sent} | self._unanswered()
        await self._parts.jobs.change(
            [
                Change(key.job_id, partial(rules.leave_unanswered, fence=key.fence, now=now))
                for key in sorted(keys)
            ]
        )

    def _unanswered(self) -> set[AttemptKey]:
        oldest = self._parts.boot() - self._parts.timers.offer_ttl.total_seconds()
        return {
            key
            for presence in self._parts.roster
            for key, offer in presence.offers.items()
            if offer.at < oldest
        }
