"""Every change of a job passes here: the store applies it, then whoever listens is told.

Listeners are told after the commit, in order of the outcomes, and must not block or raise.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from ffrtmp.domain.job import Job
from ffrtmp.domain.promises import Targets
from ffrtmp.domain.sla import judged
from ffrtmp.domain.spec import JobSpec
from ffrtmp.master.logs import Logs
from ffrtmp.store.base import NO_FLOORS, JobStore
from ffrtmp.store.records import Change, Moved, NewJob, Outcome, QueueKey

Listener = Callable[[Job | None, Job], None]
"""Takes the job before (None: just submitted) and after."""


class Jobs:
    def __init__(self, store: JobStore, logs: Logs, targets: Targets) -> None:
        """Jobs that end are judged by `targets`."""
        self._store = store
        self._targets = targets
        self._logs = logs
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    async def submit(self, jobs: Sequence[NewJob]) -> list[Job]:
        """All or none. A job that existed already is returned, and nobody is told."""
        stored = await self._store.submit(jobs)
        for new, job in zip(jobs, stored, strict=True):
            if new.job.job_id == job.job_id:
                self._tell(None, job)
        return stored

    async def change(self, changes: Sequence[Change]) -> list[Outcome]:
        if not changes:
            return []
        changes = [self._completed(change) for change in changes]
        outcomes = await self._store.change(changes)
        for change, outcome in zip(changes, outcomes, strict=True):
            if isinstance(outcome, Moved) and outcome.before is not outcome.after:
                if change.log is not None:
                    self._logs.saved(change.log)
                self._tell(outcome.before, outcome.after)
        return outcomes

    def _completed(self, change: Change) -> Change:
        """Judged where it ends the job, and with what is not stored yet of the job's log."""
        return replace(
            change,
            rule=judged(change.rule, self._targets),
            log=self._logs.unsaved(change.job_id) or change.log,
        )

    async def claim(
        self,
        classes: Mapping[str, int],
        *,
        now: datetime,
        choose: Callable[[Sequence[Job]], Sequence[Change]],
        floors: Mapping[str, QueueKey] = NO_FLOORS,
    ) -> list[tuple[Job, JobSpec]]:
        """Grants what `choose` says; returns the granted jobs."""
        granted = await self._store.claim(classes, now=now, choose=choose, floors=floors)
        for moved, _ in granted:
            self._tell(moved.before, moved.after)
        return [(moved.after, spec) for moved, spec in granted]

    def _tell(self, before: Job | None, after: Job) -> None:
        for listener in self._listeners:
            listener(before, after)
