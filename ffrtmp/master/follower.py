"""What other masters do to a shared store: the dispatcher and watchers here look again.

A hint makes it quick, the poll makes it certain.
"""

import asyncio
from collections.abc import Collection
from contextlib import suppress

from ffrtmp.domain.errors import Unavailable
from ffrtmp.domain.facts import StoreFailed
from ffrtmp.domain.job import Job
from ffrtmp.domain.messages import Progress
from ffrtmp.domain.standing import Standing
from ffrtmp.master.parts import Parts
from ffrtmp.master.recall import recall_roots

POLL_SECONDS = 1.0
PACE_SECONDS = 0.01
RECALL_SECONDS = 3.0


class Follower:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._versions: dict[str, int] = {}
        self._progress: dict[str, Progress] = {}
        self._learnt_at = self._recalled_at = parts.boot()

    async def run(self) -> None:
        """Runs until cancelled; at once, when nobody else can use the store."""
        while self._parts.store.shared:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._parts.store.news()
            self._parts.wake()
            try:
                await self._look()
            except Unavailable as error:
                self._parts.observe(StoreFailed("follower", str(error)))
            await asyncio.sleep(PACE_SECONDS)

    async def _learn_standings(self) -> None:
        """An operator may tell any master that a worker is to drain."""
        standings = await self._parts.store.standings()
        for presence in self._parts.roster:
            presence.standing = standings.get(presence.session.worker, Standing())

    async def _recall_roots(self) -> None:
        """A worker may be lost, come back or be removed at any master."""
        if (now := self._parts.boot()) - self._recalled_at >= RECALL_SECONDS:
            self._recalled_at = now
            await recall_roots(self._parts)

    async def _learn_progress(self, jobs: Collection[Job]) -> None:
        """Of the followed jobs that workers of other masters have."""
        there = [job for job in jobs if job.holder and not self._is_here(job.holder.worker)]
        kept = await self._parts.store.progress([job.job_id for job in there])
        fences = {job.job_id: job.fence for job in there}
        for job_id, progress in kept.items():
            if progress.key.fence == fences[job_id] and progress != self._progress.get(job_id):
                self._parts.watchers.note_progress(progress)
        self._progress = kept

    def _is_here(self, worker: str) -> bool:
        presence = self._parts.roster.get(worker)
        return presence is not None and presence.outbox is not None

    async def _look(self) -> None:
        is_due = self._parts.boot() - self._learnt_at >= POLL_SECONDS
        if is_due:
            self._learnt_at = self._parts.boot()
            self._parts.roster.learn(await self._parts.store.classes())
            await self._learn_standings()
            await self._recall_roots()
        jobs = await self._parts.store.get_many(self._parts.watchers.followed())
        for job in jobs.values():
            if self._versions.get(job.job_id) != job.version:
                self._parts.watchers.note(None, job)
        if is_due:
            await self._learn_progress(jobs.values())
        self._versions = {job.job_id: job.version for job in jobs.values()}
