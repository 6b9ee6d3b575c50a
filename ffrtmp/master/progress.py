"""How far this master's attempts are, stored every few seconds for readers at other masters.

Only the newest is kept, in one batch for all.
"""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType

from ffrtmp.domain.errors import Unavailable
from ffrtmp.domain.facts import StoreFailed
from ffrtmp.domain.messages import Progress
from ffrtmp.master.parts import Parts

KEEP_SECONDS = 5.0


class ProgressKeeper:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._kept: Mapping[str, Progress] = MappingProxyType({})

    async def run(self) -> None:
        """Runs until cancelled; at once, when nobody else can use the store."""
        while self._parts.store.shared:
            await asyncio.sleep(KEEP_SECONDS)
            try:
                await self.keep()
            except Unavailable as error:
                self._parts.observe(StoreFailed("progress keeper", str(error)))

    async def keep(self) -> None:
        now = {
            progress.key.job_id: progress
            for presence in self._parts.roster
            if presence.outbox is not None
            for progress in presence.progress.values()
        }
        fresh = [each for job_id, each in now.items() if self._kept.get(job_id) != each]
        await self._parts.store.keep_progress(fresh)
        self._kept = now
