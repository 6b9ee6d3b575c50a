"""Which folders there are, and whose: the store knows, of workers that are away too."""

from collections.abc import AsyncIterator

from ffrtmp.master.paging import LARGEST_PAGE
from ffrtmp.master.parts import Parts
from ffrtmp.store.base import WorkerStore
from ffrtmp.store.records import WorkerRecord


async def all_workers(store: WorkerStore) -> AsyncIterator[WorkerRecord]:
    """Every one that the store knows, by name."""
    after = ""
    while records := await store.workers(size=LARGEST_PAGE, after=after):
        for record in records:
            yield record
        after = records[-1].name


async def learn_roots(parts: Parts) -> None:
    """Of every worker that ever connected: a job may wait for one that is away."""
    known = [
        root.name async for record in all_workers(parts.store) for root in record.capabilities.roots
    ]
    parts.roster.roots.forget()
    parts.roster.roots.know(known)


async def recall_at_start(parts: Parts) -> None:
    """Also of the workers whose sessions are alive: they are about to return."""
    away = [each async for each in all_workers(parts.store) if each.alive or each.lost]
    parts.roster.roots.recall({}, away)


async def recall_roots(parts: Parts) -> None:
    """Of workers that were lost, and of those waited for: they may be with another master by now,
    or removed."""
    roots = parts.roster.roots
    asked = roots.waited_for
    if roots.recall(asked, await parts.store.lost_workers(asked.keys())):
        parts.wake()
