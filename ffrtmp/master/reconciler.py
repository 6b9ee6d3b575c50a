"""What a worker lists, held against the store, and what differs put right."""

from collections.abc import Collection, Iterable
from functools import partial

from ffrtmp.domain import job as rules
from ffrtmp.domain.errors import DomainError
from ffrtmp.domain.facts import AttemptDisowned
from ffrtmp.domain.job import HELD_STATES, Job
from ffrtmp.domain.session import (
    AttemptKey,
    AttemptReport,
    Reconciliation,
    Verdict,
    VerdictKind,
    reconcile,
)
from ffrtmp.master.parts import Parts
from ffrtmp.master.roster import Presence
from ffrtmp.store.records import Change

MIRROR_TRIES = 3


class Reconciler:
    """Of one stream: a superseded one changes nothing."""

    def __init__(self, parts: Parts, presence: Presence) -> None:
        self._parts = parts
        self._presence = presence
        self._worker = presence.holder.worker

    async def resume(self, listed: Collection[AttemptReport]) -> tuple[Verdict, ...]:
        """At hello: passes journalled attempts to a new incarnation; what else the old one held is
        lost."""
        heir, now = self._presence.holder, self._parts.now()
        await self._parts.jobs.change(
            [
                self._change(
                    report.key, partial(rules.inherit, heir=heir, fence=report.key.fence, now=now)
                )
                for report in listed
                if report.journalled
            ]
        )
        held = await self._parts.store.held_by(self._worker)
        old = [job for job in held if job.holder != heir]
        await self._lose(old, "its worker came back as a new incarnation")
        return await self.reconcile(listed, seen=None)

    async def reconcile(
        self, listed: Collection[AttemptReport], *, seen: int | None
    ) -> tuple[Verdict, ...]:
        """On state read after the list arrived. `seen` is None in hello: what was offered on an
        earlier stream was received by now or never will be. Raises Unavailable.

        Of an attempt that somebody else got since it was read nothing is said: the worker's next
        list is held against the store again."""
        presence = self._presence
        moves = presence.moves
        named = {report.key.job_id for report in listed}
        found = await self._parts.store.held_or_blocked(self._worker, named)
        jobs = {job.job_id: job for job in found}
        unseen = {
            AttemptKey(job.job_id, job.fence)
            for job in jobs.values()
            if seen is not None and presence.has_not_seen(job, seen)
        }
        result = reconcile(holder=presence.holder, listed=listed, jobs=jobs, unseen=unseen)
        refused = await self._take(result)
        why = "its worker does not have it"
        await self._lose([jobs[key.job_id] for key in result.lost], why, dead=True)
        await self._unblock([jobs[key.job_id] for key in result.gone], why)
        if refused or result.lost or result.gone or presence.moves != moves:
            await self._mirror()
        else:
            self._hold(found)
        self._report_lies(result.verdicts, jobs)
        return tuple(verdict for verdict in result.verdicts if verdict.key not in refused)

    async def _take(self, result: Reconciliation) -> set[AttemptKey]:
        """What the worker turns out to hold is its own. Says which of it is not, after all."""
        holder, now = self._presence.holder, self._parts.now()
        taken = [(key, rules.accept) for key in result.accepted]
        taken += [(key, rules.adopt) for key in result.adopted]
        outcomes = await self._parts.jobs.change(
            [
                self._change(key, partial(rule, holder=holder, fence=key.fence, now=now))
                for key, rule in taken
            ]
        )
        told = zip(taken, outcomes, strict=True)
        return {key for (key, _), outcome in told if isinstance(outcome, DomainError)}

    async def others_moved(self) -> bool:
        """Whether another master moved a job of this worker: the mirror does not know of that."""
        if not self._parts.store.shared:
            return False
        held = await self._parts.store.held_by(self._worker)
        return {(job.job_id, job.version) for job in held} != {
            (job.job_id, job.version) for job in self._presence.held.values()
        }

    async def leave(self) -> None:
        """The worker said goodbye: it holds nothing any more."""
        holder, why = self._presence.holder, "its worker said goodbye"
        held = await self._parts.store.held_by(self._worker)
        await self._lose([job for job in held if job.holder == holder], why, dead=True)
        await self._lose([job for job in held if job.holder != holder], why)
        left = await self._parts.store.held_or_blocked(self._worker)
        await self._unblock([job for job in left if job.blocked_by == holder], why)

    async def _mirror(self) -> None:
        """Reads anew what the worker holds. A job that moves meanwhile makes the reading old; what
        was noted of each move is newer than any reading."""
        for _ in range(MIRROR_TRIES):
            moves = self._presence.moves
            found = await self._parts.store.held_or_blocked(self._worker)
            if self._presence.moves == moves:
                self._hold(found)
                return

    def _hold(self, found: Collection[Job]) -> None:
        presence, holder = self._presence, self._presence.holder
        presence.held = {
            job.job_id: job for job in found if job.state in HELD_STATES and job.holder == holder
        }
        keys = [AttemptKey(job.job_id, job.fence) for job in found if job.blocked_by == holder]
        presence.blocks = {key: presence.blocks.get(key, 0) for key in keys}

    async def _lose(self, jobs: Iterable[Job], why: str, *, dead: bool = False) -> None:
        await self._parts.jobs.change(
            [
                self._change(
                    AttemptKey(job.job_id, job.fence),
                    partial(
                        rules.lose,
                        holder=job.holder,
                        fence=job.fence,
                        why=f"worker {self._worker}: {why}",
                        chance=self._parts.chance(),
                        now=self._parts.now(),
                        dead=dead,
                    ),
                )
                for job in jobs
                if job.holder is not None
            ]
        )

    async def _unblock(self, jobs: Iterable[Job], why: str) -> None:
        await self._parts.jobs.change(
            [
                self._change(
                    AttemptKey(job.job_id, job.fence),
                    partial(
                        rules.unblock,
                        holder=job.blocked_by,
                        fence=job.fence,
                        why=f"worker {self._worker}: {why}",
                        now=self._parts.now(),
                    ),
                )
                for job in jobs
                if job.blocked_by is not None
            ]
        )

    def _report_lies(self, verdicts: Iterable[Verdict], jobs: dict[str, Job]) -> None:
        for verdict in verdicts:
            if verdict.kind is VerdictKind.STOP:
                job, key = jobs.get(verdict.key.job_id), verdict.key
                if what := self._lie(key, job):
                    self._parts.observe(AttemptDisowned(self._worker, key.job_id, key.fence, what))

    def _lie(self, key: AttemptKey, job: Job | None) -> str:
        if job is None:
            return "unknown_job"
        if key.fence > job.granted:
            self._parts.fences.note(job.job_id, said=key.fence, stored=job.granted)
            return "future_fence"
        last = job.last_holder
        if key.fence == job.fence and last is not None and last.worker != self._worker:
            return "another_worker"
        return ""

    def _change(self, key: AttemptKey, rule: rules.Rule) -> Change:
        return Change(key.job_id, rule, self._presence.session)
