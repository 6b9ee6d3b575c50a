"""What the parts of a master share. Put together once, in `Master`."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from ffrtmp.domain.facts import Fact
from ffrtmp.domain.session import BlockObserver, Observer
from ffrtmp.domain.timers import Timers
from ffrtmp.master.fences import Fences
from ffrtmp.master.jobs import Jobs
from ffrtmp.master.logs import Logs
from ffrtmp.master.names import Names
from ffrtmp.master.roster import Roster
from ffrtmp.master.warden import Warden
from ffrtmp.master.watchers import Watchers
from ffrtmp.store.base import Store

HELLOS_AT_ONCE = 64


class Hellos:
    """Workers that say hello: so many are heard at once, the rest wait for their turn."""

    def __init__(self, most: int = HELLOS_AT_ONCE) -> None:
        self._turns = asyncio.Semaphore(most)
        self.handled = 0
        self.waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        self.waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self.waiting -= 1
        self.handled += 1
        try:
            yield
        finally:
            self.handled -= 1
            self._turns.release()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """`now` is for showing and ordering, `boot` (seconds of CLOCK_BOOTTIME) for leases.

    `chance` is uniform in [0, 1). `wake` tells the dispatcher that something may be possible now.
    """

    store: Store
    jobs: Jobs
    roster: Roster
    watchers: Watchers
    logs: Logs
    leases: Observer
    names: Names
    blocks: BlockObserver
    warden: Warden
    timers: Timers
    now: Callable[[], datetime]
    boot: Callable[[], float]
    chance: Callable[[], float]
    observe: Callable[[Fact], None]
    wake: Callable[[], None]
    fences: Fences = field(default_factory=Fences)
    hellos: Hellos = field(default_factory=Hellos)
