"""What an operator asks of the whole store, and what masters tell each other through it. Never on
the hot path: these questions may read every job that has not ended."""

from datetime import datetime, timedelta

import msgspec

from ffrtmp.domain.job import TERMINAL_STATES, JobState
from ffrtmp.domain.spec import Queue, queue_of
from ffrtmp.store.base import Backlog, MasterRecord, MasterReport
from ffrtmp.store.codec import encode, from_micros, to_micros
from ffrtmp.store.lane import Lane
from ffrtmp.store.transaction import Transaction

FORGOTTEN_AFTER = timedelta(days=1)

_COUNT_JOBS = "SELECT state, count(*) AS jobs FROM jobs GROUP BY state"
_BACKLOG = (
    "SELECT specs.spec::json ->> 'queue' AS queue, jobs.exclusive AS exclusive,"
    " jobs.job_class AS job_class,"
    " jobs.state AS state, jobs.eligible_time > $1 AS later, count(*) AS jobs,"
    " min(jobs.eligible_time) AS eligible_time"
    " FROM jobs JOIN specs USING (job_id) WHERE jobs.state = ANY($2) GROUP BY 1, 2, 3, 4, 5"
)
_NOTE_MASTER = (
    "INSERT INTO masters (run, seen_time, report) VALUES ($1, $2, $3)"
    " ON CONFLICT (run) DO UPDATE SET seen_time = excluded.seen_time, report = excluded.report"
)
_FORGET_MASTERS = "DELETE FROM masters WHERE run = $1 OR seen_time < $2"
_MASTERS = "SELECT run, seen_time, report FROM masters ORDER BY run"
_REPORT = msgspec.json.Decoder(MasterReport)
_LIVING = sorted(frozenset(JobState) - TERMINAL_STATES)


class Census:
    """Implements `store.base.CensusStore` and `store.base.MasterStore`, on the lane of the API."""

    def __init__(self, lane: Lane) -> None:
        self._census = lane

    async def count_jobs(self) -> dict[JobState, int]:
        rows = await self._census.fetch(_COUNT_JOBS)
        return {JobState(row["state"]): row["jobs"] for row in rows}

    async def backlog(self, now: datetime) -> list[Backlog]:
        rows = await self._census.fetch(_BACKLOG, to_micros(now), _LIVING)
        return [
            Backlog(
                queue=queue_of(_queue(row["queue"]), exclusive=bool(row["exclusive"])),
                job_class=row["job_class"],
                state=JobState(row["state"]),
                is_later=bool(row["later"]),
                jobs=row["jobs"],
                eligible_at=from_micros(row["eligible_time"]),
            )
            for row in rows
        ]

    async def note_master(self, record: MasterRecord) -> None:
        seen, report = to_micros(record.seen_at), encode(record.report)
        forgotten = to_micros(record.seen_at - FORGOTTEN_AFTER)

        async def apply(tx: Transaction) -> None:
            await tx.fetch(_FORGET_MASTERS, "", forgotten)
            await tx.fetch(_NOTE_MASTER, record.run, seen, report)

        await self._census.writer.do(apply)

    async def forget_master(self, run: str) -> None:
        async def apply(tx: Transaction) -> None:
            await tx.fetch(_FORGET_MASTERS, run, 0)

        await self._census.writer.do(apply)

    async def masters(self) -> list[MasterRecord]:
        return [
            MasterRecord(
                run=row["run"],
                seen_at=from_micros(row["seen_time"]),
                report=_REPORT.decode(row["report"]),
            )
            for row in await self._census.fetch(_MASTERS)
        ]


def _queue(text: str | None) -> Queue | None:
    """None: the spec leaves it open."""
    return None if text is None else Queue(text)
