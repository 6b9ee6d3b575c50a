"""Counts the jobs of the store for /metrics: now and then, beside the work; whoever scrapes is
answered from memory.

Every master of a shared store counts for itself, so that each shows the same and none depends on
another.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ffrtmp.domain.errors import Unavailable
from ffrtmp.domain.facts import StoreFailed
from ffrtmp.domain.job import JobState
from ffrtmp.master.parts import Parts
from ffrtmp.store.records import QueueDepth

EVERY_SECONDS = 5.0
SHARE = 0.02
"""Of the time, at most: where counting takes long, it is done less often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    states: Mapping[JobState, int]
    depths: Sequence[QueueDepth]
    read_at: datetime


class Tally:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.counts: Counts | None = None
        """The newest; None before the first."""

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            began = self._parts.boot()
            try:
                await self.count()
            except Unavailable as error:
                self._parts.observe(StoreFailed("tally", str(error)))
            took = self._parts.boot() - began
            await asyncio.sleep(max(EVERY_SECONDS, took * (1 / SHARE - 1)))

    async def count(self) -> None:
        """Raises Unavailable; then the counts stay as they were."""
        store, now = self._parts.store, self._parts.now()
        self.counts = Counts(
            states=await store.count_jobs(), depths=await store.depths(), read_at=now
        )
