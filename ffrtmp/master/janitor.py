"""Deletes jobs that ended long ago: a few at a time, beside the work, never in its way.

Any master of a shared store does it; what one deletes the others pass over.
"""

import asyncio

from ffrtmp.domain.errors import Unavailable
from ffrtmp.domain.facts import JobsForgotten, StoreFailed
from ffrtmp.domain.retention import Retention
from ffrtmp.master.parts import Parts

BATCH = 100
EVERY_SECONDS = 60.0
SHARE = 0.1
"""Of the time, at most: a batch is followed by a pause nine times as long."""


class Janitor:
    def __init__(self, parts: Parts, retention: Retention) -> None:
        self._parts = parts
        self._retention = retention

    async def run(self) -> None:
        """Runs until cancelled; at once, when everything is kept."""
        while self._retention != Retention():
            try:
                await self.clean()
            except Unavailable as error:
                self._parts.observe(StoreFailed("janitor", str(error)))
            await asyncio.sleep(EVERY_SECONDS)

    async def clean(self) -> None:
        """Deletes all that may go by now. Raises Unavailable."""
        store, count = self._parts.store, self._retention.count
        beyond = await store.ended_before(count) if count is not None else None
        ended_by = self._retention.ended_by(self._parts.now(), beyond)
        deleted = 0
        try:
            while ended_by is not None:
                began = self._parts.boot()
                found = await store.forget(ended_by, BATCH)
                deleted += found
                if found < BATCH:
                    return
                await asyncio.sleep((self._parts.boot() - began) * (1 / SHARE - 1))
        finally:
            if deleted:
                self._parts.observe(JobsForgotten(deleted))
