"""The classes of jobs that a master knows, and how many there may be alive.

Each pass of the dispatcher looks into the queue of every class it knows, so those whose jobs have
all ended are forgotten: now and then, when new ones come.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import replace

from ffrtmp.domain.errors import TooManyClasses
from ffrtmp.domain.scheduling import MOST_CLASSES, beyond_limit
from ffrtmp.domain.worker import Requirements
from ffrtmp.master.roster import Roster
from ffrtmp.store.records import NewJob

FEW = 64
"""Not worth a look at which of them are alive."""
UNSURE_SECONDS = 60.0

Read = Callable[[], Awaitable[Mapping[str, Requirements]]]
"""Of every class that is alive: what its jobs need. Raises Unavailable."""


class Classes:
    def __init__(self, read: Read, roster: Roster, boot: Callable[[], float]) -> None:
        self._read = read
        self._roster = roster
        self._boot = boot
        self._entering = Counter[str]()
        self._fresh: set[str] = set()
        """Come since the last look began: it may not have seen their jobs."""
        self._unsure: dict[str, float] = {}
        """Of submits that were given up, and when: they may be committed all the same."""
        self._enough = FEW
        self._looking = asyncio.Lock()

    @asynccontextmanager
    async def entered(self, jobs: Sequence[NewJob]) -> AsyncIterator[list[NewJob]]:
        """The same jobs, with an objection to each whose class is one too many; the others' classes
        are known, at least for as long as the block lasts. Raises Unavailable."""
        needs = {job.job.job_class: job.requirements for job in jobs}
        self._entering.update(needs.keys())
        self._fresh.update(needs)
        try:
            if len(self._roster.classes | needs.keys()) > self._enough:
                await self._look(needs.keys())
            beyond = beyond_limit(needs, self._roster.classes)
            self._roster.learn({name: each for name, each in needs.items() if name not in beyond})
            yield [_judged(job, beyond) for job in jobs]
        except BaseException:
            self._unsure |= dict.fromkeys(needs, self._boot())
            raise
        finally:
            self._entering -= Counter(needs.keys())

    async def _look(self, wanted: AbstractSet[str]) -> None:
        async with self._looking:
            if len(self._roster.classes | wanted) <= self._enough:
                return  # somebody else has looked meanwhile
            since = self._boot() - UNSURE_SECONDS
            self._unsure = {name: at for name, at in self._unsure.items() if at > since}
            self._fresh = self._entering.keys() | self._unsure.keys()
            live = await self._read()
            self._roster.keep_classes(live.keys() | self._fresh)
            self._enough = min(max(FEW, 2 * len(self._roster.classes | wanted)), MOST_CLASSES)


def _judged(job: NewJob, beyond: frozenset[str]) -> NewJob:
    if job.objection is None and job.job.job_class in beyond:
        return replace(job, objection=TooManyClasses(MOST_CLASSES))
    return job
