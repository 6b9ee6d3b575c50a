"""Once a second, or when a lease runs out: expires silent sessions, returns what they held; takes
back unanswered offers; ends streams whose certificate has ended.

Each step is repeated until it finds nothing: a crash between two of them loses no job. What blocks
an exclusive job ends with the lease of its old holder, which was seen here to run out in full.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from ffrtmp.domain import job as rules
from ffrtmp.domain.errors import CertificateEnded, SessionExpired, Unavailable
from ffrtmp.domain.facts import CertificateRanOut, MassLossBegan, SessionClosed, StoreFailed
from ffrtmp.domain.job import Holder, Job
from ffrtmp.domain.massloss import MassLoss
from ffrtmp.domain.session import AttemptKey
from ffrtmp.master.parts import Parts
from ffrtmp.master.recall import recall_roots
from ffrtmp.master.turns import shares
from ffrtmp.store.records import Change, SessionKey

BATCH = 500
EXPIRED_AT_ONCE = 50
"""Sessions in one transaction: what came of jobs waits no longer behind a mass of losses. So few
that SQLite, too, ends them before a heartbeat can come in between."""
SHORTEST_PAUSE = 0.01


@dataclass(frozen=True, slots=True)
class _RunOut:
    """A session whose lease was seen to run out in full, maybe as one of many."""

    session: SessionKey
    in_a_mass: bool


class Sweeper:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        timers = parts.timers
        self._interval = timers.sweep_interval.total_seconds()
        self._mass_loss = MassLoss(timers.lease_ttl)
        self._run_out: dict[str, _RunOut] = {}
        self._orphans: set[tuple[str, int]] = set()

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            try:
                await self.sweep()
            except Unavailable as error:
                self._parts.leases.begin_anew()
                self._parts.observe(StoreFailed("sweeper", str(error)))
            await asyncio.sleep(self._pause())

    def _pause(self) -> float:
        """Earlier than the next sweep when a lease may run out before: nobody waits longer for a
        dead worker than its lease."""
        at = self._parts.boot()
        return min(self._interval, max(SHORTEST_PAUSE, self._parts.leases.next_due(at) - at))

    async def sweep(self) -> None:
        self._end_with_certificates()
        await self._expire_sessions()
        await self._return_orphans()
        await self._end_blocks()
        await self._take_back_offers()
        await self._parts.warden.settle()

    def _end_with_certificates(self) -> None:
        """Only the stream: the session runs on for its lease, in which the worker may come back
        with a newer certificate and keep what it holds."""
        now = self._parts.now()
        for presence in self._parts.roster:
            end, worker = presence.certificate_end, presence.session.worker
            if presence.outbox is not None and end is not None and end <= now:
                presence.outbox.close(CertificateEnded(f"worker/{worker}"))
                self._parts.observe(CertificateRanOut(worker, end))

    async def _expire_sessions(self) -> None:
        read_at = self._parts.boot()
        renewals = await self._parts.store.renewals()
        if self._parts.store.shared:
            self._parts.roster.drop_ended(renewals, read_at)
        by_name = {str(key): key for key in renewals}
        readings = {name: renewals[key] for name, key in by_name.items()}
        beats = {str(each.session): each.beat for each in self._parts.roster}
        silent = self._parts.leases.observe(readings, self._parts.boot(), beats)
        in_a_mass = bool(silent) and self._is_mass_loss(len(silent))
        for share in shares([by_name[name] for name in silent], EXPIRED_AT_ONCE):
            await self._expire({each: renewals[each] for each in share}, in_a_mass=in_a_mass)
        if silent:  # who was not here when it was lost has claims too, before its jobs return
            await recall_roots(self._parts)

    def _is_mass_loss(self, lost: int) -> bool:
        at, mass = self._parts.boot(), self._mass_loss
        nearly = self._parts.timers.lease_ttl.total_seconds() - mass.at_once
        leases = self._parts.leases
        failing = leases.silent(at, nearly) - lost
        fleet = leases.silent(at, -1.0) - leases.silent(at, mass.fleet_within)
        was_on = mass.is_on(at)
        is_on = mass.note(lost, failing=failing, fleet=fleet, at=at)
        if is_on and not was_on:
            self._parts.observe(MassLossBegan(lost + failing, fleet))
        return is_on

    async def _expire(self, renewals: Mapping[SessionKey, int], *, in_a_mass: bool) -> None:
        why = f"{self._parts.timers.missed_heartbeats} heartbeats missed"
        for session in await self._parts.store.expire_sessions(renewals):
            self._run_out[session.worker] = _RunOut(session, in_a_mass)
            self._parts.roster.remove(session, SessionExpired(session.worker))
            self._parts.observe(SessionClosed(session.worker, session.epoch, why))

    async def _return_orphans(self) -> None:
        at = self._parts.boot()
        limit = self._mass_loss.returns(at) if self._mass_loss.is_on(at) else BATCH
        orphans = await self._parts.store.orphans(limit) if limit else []
        over = await self._over({job.holder for job in orphans if job.holder})
        # A new incarnation's hello makes orphans of what it is about to inherit: those it takes or
        # loses itself before the next sweep.
        before, self._orphans = self._orphans, {(job.job_id, job.version) for job in orphans}
        lost = [job for job in orphans if job.holder in over or (job.job_id, job.version) in before]
        await self._parts.jobs.change([self._lost(job, over) for job in lost])

    async def _over(self, holders: set[Holder]) -> dict[Holder, "_RunOut"]:
        """Those whose lease this sweeper saw run out, with no stream of theirs since."""
        over = {}
        for holder in holders:
            run_out = self._run_out.get(holder.worker)
            if run_out is not None:
                record = await self._parts.store.worker(holder.worker)
                named = record.epoch, record.incarnation
                if named == (run_out.session.epoch, holder.incarnation):
                    over[holder] = run_out
        return over

    async def _end_blocks(self) -> None:
        """Where the session of the blocker was seen to run out, at once; else after a lease."""
        blocked = await self._parts.store.stale_blocks(BATCH)
        holders = {job.blocked_by for job in blocked if job.blocked_by}
        gone = (
            self._parts.blocks.observe(holders, self._parts.boot())
            | (await self._over(holders)).keys()
        )
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

    def _lost(self, job: Job, over: "Mapping[Holder, _RunOut]") -> Change:
        assert job.holder is not None
        run_out = over.get(job.holder)
        in_a_mass = run_out.in_a_mass if run_out else self._mass_loss.is_on(self._parts.boot())
        rule = partial(
            rules.lose,
            holder=job.holder,
            fence=job.fence,
            why=f"worker {job.holder.worker} was lost: "
            + ("no heartbeat for its lease" if run_out else "its session has ended"),
            chance=self._parts.chance(),
            now=self._parts.now(),
            dead=run_out is not None,
            charged=not in_a_mass,
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
