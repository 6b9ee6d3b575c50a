"""What FFmpeg writes on this master's workers: in memory while it runs, in the store for good.

A job's log is stored with the job's next move, in the same transaction; between two moves the
keeper stores what is new, all of it at once. Nothing waits for a line, and a line may be lost.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from ffrtmp.domain.errors import Unavailable
from ffrtmp.domain.facts import Fact, StoreFailed
from ffrtmp.domain.job import TERMINAL_STATES, Job
from ffrtmp.domain.log import AttemptLog, LogPlace
from ffrtmp.master.watchers import Watchers
from ffrtmp.store.base import Store

MOST = 64 * 1024 * 1024
"""Characters kept in memory, about. Beyond, the log that was written to least lately goes."""
KEEP_SECONDS = 5.0
POLL_SECONDS = 2.0
ATTEMPTS = 8
"""Whose logs are read at once."""


class Logs:
    """Of running attempts; a job has one at a time."""

    def __init__(self, *, most: int = MOST) -> None:
        self._most = most
        self._size = 0
        self._of: dict[str, AttemptLog] = {}
        self._unsaved: set[str] = set()

    def note(self, part: AttemptLog) -> None:
        job_id = part.key.job_id
        known = self._forget(job_id)
        if known is not None and known.key == part.key:
            part = AttemptLog(part.key, part.worker, known.lines.followed_by(part.lines))
        if known is None or known != part:
            self._unsaved.add(job_id)
        self._of[job_id] = part
        self._size += part.lines.size
        while self._size > self._most:
            self._drop(next(iter(self._of)))

    def _forget(self, job_id: str) -> AttemptLog | None:
        known = self._of.pop(job_id, None)
        if known is not None:
            self._size -= known.lines.size
        return known

    def _drop(self, job_id: str) -> None:
        self._forget(job_id)
        self._unsaved.discard(job_id)

    def of(self, job_id: str) -> AttemptLog | None:
        return self._of.get(job_id)

    def unsaved(self, job_id: str) -> AttemptLog | None:
        return self._of[job_id] if job_id in self._unsaved else None

    def all_unsaved(self) -> list[AttemptLog]:
        return [self._of[job_id] for job_id in self._unsaved]

    def saved(self, log: AttemptLog) -> None:
        """Unless more was written meanwhile."""
        if self._of.get(log.key.job_id) == log:
            self._unsaved.discard(log.key.job_id)

    def note_move(self, before: Job | None, after: Job) -> None:
        """A job moved: of an attempt that is over the store has all."""
        if before is not None and before.holder is not None and after.holder is None:
            self._drop(after.job_id)


class LogKeeper:
    """Stores what is new between two moves of a job: for readers at other masters, and for the day
    when the machine with the only master loses its power together with the worker's."""

    def __init__(self, logs: Logs, store: Store) -> None:
        self._logs = logs
        self._store = store

    async def run(self, observe: Callable[[Fact], None]) -> None:
        """Runs until cancelled."""
        while True:
            await asyncio.sleep(KEEP_SECONDS)
            try:
                await self.keep()
            except Unavailable as error:
                observe(StoreFailed("log keeper", str(error)))

    async def keep(self) -> None:
        fresh = self._logs.all_unsaved()
        await self._store.keep_logs(fresh)
        for log in fresh:
            self._logs.saved(log)


async def read_log(
    logs: Logs, store: Store, watchers: Watchers, *, job_id: str, after: LogPlace, follow: bool
) -> AsyncIterator[AttemptLog]:
    """What is kept behind `after`, attempt by attempt; with `follow` then what comes, to the end of
    the job. Raises JobNotFound."""
    with watchers.following(job_id) as watcher:
        while True:
            job = (await store.get(job_id)).job
            found, more = await _found(logs, store, job_id, after.fence)
            for log in found:
                unread = _beyond(log, after)
                after = max(after, LogPlace(log.key.fence, log.lines.last))
                if unread.lines.texts:
                    yield unread
            if more:
                continue
            if not follow or job.state in TERMINAL_STATES:
                return
            with suppress(TimeoutError):  # another master's worker wakes nobody here
                async with asyncio.timeout(POLL_SECONDS if store.shared else None):
                    await watcher.wait()


async def _found(
    logs: Logs, store: Store, job_id: str, fence: int
) -> tuple[list[AttemptLog], bool]:
    """Some attempts' logs from that fence on, and whether there are more. A job may have had a
    thousand attempts. Of one that runs here what reaches further."""
    running = logs.of(job_id)  # before the store is asked: what is gone from here then is there
    stored = await store.logs(job_id, fence=fence, limit=ATTEMPTS)
    if len(stored) == ATTEMPTS:
        return stored, True
    known = {log.key: log for log in stored}
    if running is not None and running.key.fence >= fence:
        older = known.get(running.key)
        if older is None or older.lines.last <= running.lines.last:
            known[running.key] = running
    return [known[key] for key in sorted(known)], False


def _beyond(log: AttemptLog, after: LogPlace) -> AttemptLog:
    read = after.line if log.key.fence == after.fence else 0
    return AttemptLog(log.key, log.worker, log.lines.after(read))
