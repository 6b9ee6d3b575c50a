"""Renews the lease of one session, and answers its heartbeats when that is committed.

A renewal that takes more than a second, or fails, is not waited for: the worker is then told what
is left since the last one that was committed. So it knows that its lease shrinks.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from ffrtmp.domain.errors import Unavailable
from ffrtmp.master.parts import Parts
from ffrtmp.store.base import SessionKey

PATIENCE_SECONDS = 1.0


class Pulse:
    def __init__(
        self, parts: Parts, session: SessionKey, tasks: asyncio.TaskGroup, *, renewed_at: float
    ) -> None:
        self._parts = parts
        self._session = session
        self._tasks = tasks
        self._renewed_at = renewed_at
        self._renewing: asyncio.Task[bool] | None = None
        self._answering: asyncio.Task[None] | None = None

    async def beat(self) -> None:
        """Begins a renewal. Waits for the answer to the heartbeat before, and nothing else."""
        if self._answering is not None:
            await self._answering
        self._renewing = self._tasks.create_task(self._renew())

    def answer(self, say: Callable[[timedelta], object]) -> None:
        """Calls `say` with what remains of the lease, once it is known."""
        self._answering = self._tasks.create_task(self._answer(say))

    def stop(self) -> None:
        for task in (self._renewing, self._answering):
            if task is not None:
                task.cancel()

    async def _renew(self) -> bool:
        began = self._parts.boot()
        try:
            await self._parts.store.renew([self._session])
        except Unavailable:
            return False
        self._renewed_at = max(self._renewed_at, began)
        return True

    async def _answer(self, say: Callable[[timedelta], object]) -> None:
        assert self._renewing is not None
        done, _ = await asyncio.wait({self._renewing}, timeout=PATIENCE_SECONDS)
        ttl = self._parts.timers.lease_ttl
        if not all(renewal.result() for renewal in done) or not done:
            gone = timedelta(seconds=self._parts.boot() - self._renewed_at)
            ttl = max(timedelta(0), ttl - gone)
        say(ttl)
