"""What an operator asks of the whole store, and what masters tell each other through it. Never on
the hot path: these questions may read every job that has not ended."""

from datetime import datetime, timedelta

import msgspec

from ffrtmp.domain.job import TERMINAL_STATES, JobState
from ffrtmp.domain.spec import Queue, queue_of
from ffrtmp.store import queries
from ffrtmp.store.codec import encode, from_micros, purpose_from_text, sla_from_text, to_micros
from ffrtmp.store.lane import Lane
from ffrtmp.store.records import Backlog, JudgedJobs, MasterRecord, MasterReport, QueueDepth
from ffrtmp.store.transaction import Transaction

FORGOTTEN_AFTER = timedelta(days=1)

_REPORT = msgspec.json.Decoder(MasterReport)
_LIVING = sorted(frozenset(JobState) - TERMINAL_STATES)


class Census:
    """Implements `store.base.CensusStore` and `store.base.MasterStore`, on the lane of the API."""

    def __init__(self, lane: Lane) -> None:
        self._census = lane

    async def count_jobs(self) -> dict[JobState, int]:
        rows = await self._census.fetch(queries.COUNT_JOBS)
        return {JobState(row["state"]): row["jobs"] for row in rows if row["jobs"]}

    async def judged(self, since: datetime) -> list[JudgedJobs]:
        rows = await self._census.fetch(queries.JUDGED, to_micros(since))
        return [
            JudgedJobs(
                queue=Queue(row["queue"]),
                purpose=purpose_from_text(row["purpose"]),
                state=JobState(row["state"]),
                sla=sla_from_text(row["sla"]),
                jobs=row["jobs"],
            )
            for row in rows
        ]

    async def backlog(self, now: datetime) -> list[Backlog]:
        rows = await self._census.fetch(queries.BACKLOG, to_micros(now), _LIVING)
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

    async def depths(self) -> list[QueueDepth]:
        return [
            QueueDepth(
                queue=queue_of(_queue(row["queue"]), exclusive=False),
                jobs=row["jobs"],
                eligible_at=from_micros(row["eligible_time"]),
            )
            for row in await self._census.fetch(queries.DEPTHS)
        ]

    async def note_master(self, record: MasterRecord) -> None:
        seen, report = to_micros(record.seen_at), encode(record.report)
        forgotten = to_micros(record.seen_at - FORGOTTEN_AFTER)

        async def apply(tx: Transaction) -> None:
            await tx.fetch(queries.FORGET_MASTERS, "", forgotten)
            await tx.fetch(queries.NOTE_MASTER, record.run, seen, report)

        await self._census.writer.do(apply)

    async def forget_master(self, run: str) -> None:
        async def apply(tx: Transaction) -> None:
            await tx.fetch(queries.FORGET_MASTERS, run, 0)

        await self._census.writer.do(apply)

    async def masters(self) -> list[MasterRecord]:
        return [
            MasterRecord(
                run=row["run"],
                seen_at=from_micros(row["seen_time"]),
                report=_REPORT.decode(row["report"]),
            )
            for row in await self._census.fetch(queries.MASTERS)
        ]


def _queue(text: str | None) -> Queue | None:
    """None: submitted through a master that did not store it yet."""
    return None if text is None else Queue(text)
