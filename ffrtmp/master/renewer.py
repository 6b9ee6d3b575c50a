"""Renews one session's lease, beside everything else the stream does: it waits for nothing.

While a renewal runs, further heartbeats wait for the next one: a slow store gets one statement at a
time from each stream.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from ffrtmp.domain.errors import Unavailable
from ffrtmp.domain.timers import Timers
from ffrtmp.store.base import SessionStore
from ffrtmp.store.records import SessionKey

LONGEST_PATIENCE = 1.0
"""After so many seconds, or a heartbeat's interval, a heartbeat is acknowledged anyway, with what
is left of the lease: a worker that hears nothing for longer takes its master for dead."""


class Renewer:
    def __init__(
        self,
        store: SessionStore,
        session: SessionKey,
        *,
        timers: Timers,
        boot: Callable[[], float],
        opened_at: float,
    ) -> None:
        """`opened_at`: when the opening of the session, which is a renewal too, was begun."""
        self._store = store
        self._session = session
        self._lease_ttl = timers.lease_ttl
        self._patience = min(LONGEST_PATIENCE, timers.heartbeat_interval.total_seconds())
        self._boot = boot
        self._renewed_from = opened_at
        self._wanted = asyncio.Event()
        self._renewed = asyncio.Event()

    def beat(self) -> float:
        """A heartbeat has arrived; returns when, for `remaining`."""
        self._wanted.set()
        return self._boot()

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            began = self._boot()
            try:
                await self._store.renew([self._session])
            except Unavailable:
                continue  # the next heartbeat asks again
            self._renewed_from = began
            self._renewed.set()
            self._renewed = asyncio.Event()

    async def remaining(self, arrived: float) -> timedelta:
        """What is left of the lease, counted from the heartbeat that arrived then.

        Waits for the renewal that it caused, but not for long.
        """
        try:
            async with asyncio.timeout(max(0.0, arrived + self._patience - self._boot())):
                while self._renewed_from < arrived:
                    await self._renewed.wait()
        except TimeoutError:
            pass
        late = timedelta(seconds=max(0.0, arrived - self._renewed_from))
        return max(timedelta(0), self._lease_ttl - late)
