"""One SQLite transaction: jobs read ahead, changed in memory, written back together."""

import json
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import aiosqlite

from ffrtmp.domain.errors import JobNotFound
from ffrtmp.domain.event import event_of
from ffrtmp.domain.job import Job
from ffrtmp.store import queries
from ffrtmp.store.codec import encode, job_from_row, job_to_row


class Transaction:
    """Awaits the database a few times a group, never once a row."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._jobs: dict[str, Job] = {}
        self._moved: list[Job] = []

    async def try_begin(self) -> bool:
        """False when another process holds the write lock."""
        try:
            await self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                return False
            raise
        return True

    async def read_ahead(self, job_ids: Collection[str]) -> None:
        if job_ids:
            rows = await self.rows(queries.JOBS_BY_ID, [json.dumps(list(job_ids))])
            self.remember(job_from_row(row) for row in rows)

    def remember(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            self._jobs.setdefault(job.job_id, job)

    def job(self, job_id: str) -> Job:
        """As it is now in this transaction; it must have been read. Raises JobNotFound."""
        job = self._jobs.get(job_id)
        if job is None:
            raise JobNotFound(job_id)
        return job

    def put(self, job: Job) -> None:
        """A job after a move: written, with its event, at the next flush."""
        self._jobs[job.job_id] = job
        self._moved.append(job)

    async def add(self, jobs: Sequence[Job]) -> None:
        """New jobs, with their first event."""
        await self.execute_many(queries.INSERT_JOB, [job_to_row(job) for job in jobs])
        await self._append_events(jobs)

    async def flush(self) -> None:
        """Writes what was put: before a query that must see it, and before the commit."""
        if not self._moved:
            return
        moved, self._moved = self._moved, []
        newest = {job.job_id: job for job in moved}
        rows = [(*job_to_row(job)[1:], job.job_id) for job in newest.values()]
        await self.execute_many(queries.UPDATE_JOB, rows)
        await self._append_events(moved)
        freed = [job.job_id for job in newest.values() if job.frees_targets]
        if freed:
            await self.execute(queries.RELEASE_TARGETS, [json.dumps(freed)])

    async def _append_events(self, jobs: Sequence[Job]) -> None:
        rows = [(job.job_id, job.version, encode(event_of(job))) for job in jobs]
        await self.execute_many(queries.INSERT_EVENT, rows)

    async def commit(self) -> None:
        await self.flush()
        await self._connection.execute("COMMIT")
        self._jobs.clear()

    async def roll_back(self) -> None:
        self._jobs.clear()
        self._moved.clear()
        if self._connection.in_transaction:
            await self._connection.execute("ROLLBACK")

    async def rows(self, query: str, values: Sequence[Any]) -> list[aiosqlite.Row]:
        return list(await self._connection.execute_fetchall(query, values))

    async def execute(self, statement: str, values: Sequence[Any]) -> int:
        """Returns how many rows it changed."""
        cursor = await self._connection.execute(statement, values)
        return cursor.rowcount

    async def execute_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        await self._connection.executemany(statement, rows)
