"""Keeps what is known of workers across their sessions: drain on request, losses, quarantine.

What jobs show of a worker is noted at once, in memory, and stored at the next sweep or hello; a
crash in between forgets a loss, never a job.
"""

from collections.abc import Callable
from datetime import datetime

from ffrtmp.domain import standing as rules
from ffrtmp.domain.errors import Unavailable, WorkerNotFound
from ffrtmp.domain.facts import DrainChanged, Fact, WorkerQuarantined, WorkerReleased
from ffrtmp.domain.job import Cause, Job
from ffrtmp.domain.session import AttemptKey
from ffrtmp.domain.standing import Loss, Standing
from ffrtmp.master.roster import Roster
from ffrtmp.store.base import WorkerStore


class Warden:
    def __init__(
        self,
        store: WorkerStore,
        roster: Roster,
        *,
        now: Callable[[], datetime],
        observe: Callable[[Fact], None],
    ) -> None:
        self._store = store
        self._roster = roster
        self._now = now
        self._observe = observe
        self._lost: dict[str, list[Loss]] = {}
        self._found: dict[str, list[AttemptKey]] = {}

    async def drain(self, worker: str, *, actor: str) -> None:
        """Idempotent. Raises WorkerNotFound."""
        await self._change(worker, rules.drain)
        self._observe(DrainChanged(worker=worker, draining=True, actor=actor))

    async def resume(self, worker: str, *, actor: str) -> None:
        """Idempotent. Raises WorkerNotFound."""
        await self._change(worker, rules.resume)
        self._observe(DrainChanged(worker=worker, draining=False, actor=actor))

    async def release(self, worker: str, *, actor: str) -> None:
        """Idempotent. Raises WorkerNotFound."""
        await self._change(worker, rules.release)
        self._observe(WorkerReleased(worker=worker, actor=actor))

    def note(self, before: Job | None, after: Job) -> None:
        """A job moved: notes a charged loss, and one that turned out to be none."""
        if before is None or after.last_holder is None:
            return
        worker, incarnation = after.last_holder.worker, after.last_holder.incarnation
        key = AttemptKey(after.job_id, after.fence)
        charged = after.charged > before.charged or (after.refundable and not before.refundable)
        if after.cause is Cause.LOST and charged:
            loss = Loss(key, incarnation, after.changed_at, after.detail)
            self._lost.setdefault(worker, []).append(loss)
        elif before.refundable and after.charged < before.charged:
            self._found.setdefault(worker, []).append(key)

    async def settle(self) -> None:
        """Stores what was noted. Raises Unavailable; then it is tried again at the next call."""
        for worker in [*self._lost.keys() | self._found.keys()]:
            await self.judge(worker)

    async def judge(self, worker: str) -> None:
        """Stores what was noted of this worker; its presence knows its standing afterwards."""
        lost, found = self._lost.pop(worker, []), self._found.pop(worker, [])
        now = self._now()

        def rule(standing: Standing) -> Standing:
            return rules.forgive(rules.note_losses(standing, lost, now=now), found, now=now)

        try:
            before, after = await self._change(worker, rule)
        except WorkerNotFound:
            return
        except Unavailable:
            self._lost[worker] = lost + self._lost.get(worker, [])
            self._found[worker] = found + self._found.get(worker, [])
            raise
        until = after.quarantined_until
        if until is not None and until != before.quarantined_until:
            jobs = tuple(loss.key.job_id for loss in after.losses)
            self._observe(WorkerQuarantined(worker=worker, until=until, jobs=jobs))

    async def _change(self, worker: str, rule: rules.StandingRule) -> tuple[Standing, Standing]:
        before, after = await self._store.change_standing(worker, rule)
        if (presence := self._roster.get(worker)) is not None:
            presence.standing = after
        return before, after
