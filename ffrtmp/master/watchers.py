"""Who follows which job. Tells them that there is news; the news itself is read from the store.

A slow watcher costs nothing: events are in the store, of progress only the newest is kept.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from ffrtmp.domain.job import Job
from ffrtmp.domain.messages import Progress


class Watcher:
    """Woken by events and progress of one job."""

    def __init__(self) -> None:
        self._news = asyncio.Event()
        self._progress: Progress | None = None

    async def wait(self) -> None:
        """Returns when something happened since the last call."""
        await self._news.wait()
        self._news.clear()

    def take_progress(self) -> Progress | None:
        progress, self._progress = self._progress, None
        return progress

    def wake(self, progress: Progress | None = None) -> None:
        self._progress = progress or self._progress
        self._news.set()


class Watchers:
    def __init__(self) -> None:
        self._of: dict[str, set[Watcher]] = {}

    @contextmanager
    def following(self, job_id: str) -> Iterator[Watcher]:
        watcher = Watcher()
        self._of.setdefault(job_id, set()).add(watcher)
        try:
            yield watcher
        finally:
            self._of[job_id].discard(watcher)
            if not self._of[job_id]:
                del self._of[job_id]

    def followed(self) -> set[str]:
        """The jobs that somebody follows."""
        return set(self._of)

    def note(self, _before: Job | None, after: Job) -> None:
        for watcher in self._of.get(after.job_id, ()):
            watcher.wake()

    def note_log(self, job_id: str) -> None:
        for watcher in self._of.get(job_id, ()):
            watcher.wake()

    def note_progress(self, progress: Progress) -> None:
        for watcher in self._of.get(progress.key.job_id, ()):
            watcher.wake(progress)
