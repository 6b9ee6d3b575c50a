"""The SQLite store: one file, one writer with group commit, a few readers.

An OS lock keeps a second master off the file; so epochs and renewals, which only this process can
change, are kept in memory (epochs on disk too: they must rise across restarts).
"""

import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import aiosqlite

from ffrtmp.domain.errors import (
    DomainError,
    JobNotFound,
    StaleEpoch,
    StoreFailing,
    WorkerNotFound,
)
from ffrtmp.domain.event import JobEvent
from ffrtmp.domain.job import Job
from ffrtmp.domain.spec import JobSpec
from ffrtmp.domain.standing import Standing, StandingRule
from ffrtmp.domain.worker import Capabilities, Requirements
from ffrtmp.store import queries
from ffrtmp.store.base import (
    Change,
    JobFilter,
    JobRecord,
    Moved,
    NewJob,
    Outcome,
    PageKey,
    SessionKey,
    WorkerRecord,
)
from ffrtmp.store.codec import (
    decode_event,
    decode_requirements,
    decode_spec,
    decode_standing,
    encode,
    job_from_row,
    to_micros,
    worker_from_row,
)
from ffrtmp.store.filelock import locked
from ffrtmp.store.files import open_database, open_reader
from ffrtmp.store.submit import specs_of, submit
from ffrtmp.store.transaction import Transaction
from ffrtmp.store.writer import Writer

READERS = 2
PATIENCE_SECONDS = 2.0


@dataclass(slots=True)
class _Session:
    epoch: int
    alive: bool
    renewal: int = 0


class SqliteStore:
    """Implements `store.base.Store`. Open it with `SqliteStore.open`."""

    def __init__(
        self, writer: Writer, readers: Sequence[aiosqlite.Connection], sessions: dict[str, _Session]
    ) -> None:
        self._writer = writer
        self._readers = readers
        self._turn = 0
        self._sessions = sessions
        self._epochs = {worker: session.epoch for worker, session in sessions.items()}

    @classmethod
    @asynccontextmanager
    async def open(
        cls, path: Path, *, patience: float = PATIENCE_SECONDS
    ) -> "AsyncIterator[SqliteStore]":
        """Creates the file if it is not there. Raises StoreUnusable or StoreLocked."""
        async with AsyncExitStack() as stack:
            stack.enter_context(locked(path))
            connection = await stack.enter_async_context(open_database(path))
            readers = [await stack.enter_async_context(open_reader(path)) for _ in range(READERS)]
            rows = await connection.execute_fetchall(queries.SESSIONS)
            sessions = {row["worker"]: _Session(row["epoch"], bool(row["alive"])) for row in rows}
            writer = Writer(Transaction(connection), patience=patience)
            await stack.enter_async_context(writer.running())
            yield cls(writer, readers, sessions)

    @property
    def commits(self) -> int:
        """How many transactions were committed since it was opened."""
        return self._writer.commits

    async def _read(self, query: str, values: Sequence[object] = ()) -> list[aiosqlite.Row]:
        self._turn = (self._turn + 1) % len(self._readers)
        try:
            return list(await self._readers[self._turn].execute_fetchall(query, values))
        except sqlite3.Error as error:
            raise StoreFailing(str(error)) from error

    # -- jobs -------------------------------------------------------------------------------

    async def submit(self, jobs: Sequence[NewJob]) -> list[Job]:
        return await self._writer.do(partial(submit, jobs=jobs))

    async def get(self, job_id: str) -> JobRecord:
        rows = await self._read(queries.RECORD, [job_id])
        if not rows:
            raise JobNotFound(job_id)
        return _record(rows[0])

    async def get_many(self, job_ids: Collection[str]) -> dict[str, Job]:
        if not job_ids:
            return {}
        rows = await self._read(queries.JOBS_BY_ID, [json.dumps(list(job_ids))])
        return {row["job_id"]: job_from_row(row) for row in rows}

    async def find(self, wanted: JobFilter, *, size: int, after: PageKey | None) -> list[JobRecord]:
        conditions, values = _conditions(wanted, after)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        query = queries.FIND + where + queries.NEWEST_FIRST
        return [_record(row) for row in await self._read(query, [*values, size])]

    async def events(self, job_id: str, *, after: int = 0) -> list[JobEvent]:
        rows = await self._read(queries.EVENTS, [job_id, after])
        return [decode_event(row["event"]) for row in rows]

    async def change(self, changes: Sequence[Change]) -> list[Outcome]:
        if not changes:
            return []

        async def apply(tx: Transaction) -> list[Outcome]:
            return [self._apply(tx, change) for change in changes]

        return await self._writer.do(apply, frozenset(change.job_id for change in changes))

    def _apply(self, tx: Transaction, change: Change) -> Outcome:
        try:
            self._require_current(change.session)
            before = tx.job(change.job_id)
            after = change.rule(before)
        except DomainError as error:
            return error
        if after is not before:
            tx.put(after)
        return Moved(before, after)

    def _require_current(self, session: SessionKey | None) -> None:
        if session is None:
            return
        known = self._sessions.get(session.worker)
        current = known.epoch if known else 0
        if current != session.epoch:
            raise StaleEpoch(session.worker, session.epoch, current)

    async def claim(
        self,
        classes: Mapping[str, int],
        *,
        now: datetime,
        choose: Callable[[Sequence[Job]], Sequence[Change]],
    ) -> list[tuple[Moved, JobSpec]]:
        async def apply(tx: Transaction) -> list[tuple[Moved, JobSpec]]:
            await tx.flush()
            found = []
            for job_class, most in classes.items():
                rows = await tx.rows(queries.CLAIMABLE, [job_class, to_micros(now), most])
                found += [job_from_row(row) for row in rows]
            tx.remember(found)
            outcomes = [self._apply(tx, change) for change in choose(found)]
            granted = [outcome for outcome in outcomes if isinstance(outcome, Moved)]
            specs = await specs_of(tx, [moved.after.job_id for moved in granted])
            return [(moved, specs[moved.after.job_id]) for moved in granted]

        return await self._writer.do(apply)

    async def classes(self) -> dict[str, Requirements]:
        rows = await self._read(queries.CLASSES)
        return {row["job_class"]: decode_requirements(row["requirements"]) for row in rows}

    # -- leases -----------------------------------------------------------------------------

    async def held_by(self, worker: str) -> list[Job]:
        return [job_from_row(row) for row in await self._read(queries.HELD_BY, [worker])]

    async def orphans(self, limit: int) -> list[Job]:
        return [job_from_row(row) for row in await self._read(queries.ORPHANS, [limit])]

    async def blocked_by(self, worker: str) -> list[Job]:
        return [job_from_row(row) for row in await self._read(queries.BLOCKED_BY, [worker])]

    async def stale_blocks(self, limit: int) -> list[Job]:
        return [job_from_row(row) for row in await self._read(queries.STALE_BLOCKS, [limit])]

    async def offered_before(self, moment: datetime, limit: int) -> list[Job]:
        rows = await self._read(queries.OFFERED_BEFORE, [to_micros(moment), limit])
        return [job_from_row(row) for row in rows]

    # -- sessions ---------------------------------------------------------------------------

    async def open_session(self, record: WorkerRecord) -> int:
        async def apply(tx: Transaction) -> int:
            epoch = self._epochs[record.name] = self._epochs.get(record.name, 0) + 1
            capabilities = encode(record.capabilities)
            row = [record.name, record.incarnation, epoch, record.address, capabilities]
            await tx.execute(queries.OPEN_SESSION, row)
            return epoch

        epoch = await self._writer.do(apply)
        known = self._sessions.get(record.name)
        if known is None or known.epoch < epoch:  # else a later hello was committed with it
            self._sessions[record.name] = _Session(epoch, alive=True)
        return epoch

    async def close_session(self, session: SessionKey, *, renewal: int | None = None) -> bool:
        async def apply(tx: Transaction) -> bool:
            known = self._alive(session)
            if known is None or renewal not in {None, known.renewal}:
                return False
            await tx.execute(queries.CLOSE_SESSION, [session.worker, session.epoch])
            return True

        closed = await self._writer.do(apply)
        if closed and (known := self._alive(session)) is not None:
            known.alive = False
        return closed

    def _alive(self, session: SessionKey) -> _Session | None:
        known = self._sessions.get(session.worker)
        if known is None or known.epoch != session.epoch or not known.alive:
            return None
        return known

    async def renew(self, sessions: Collection[SessionKey]) -> None:
        for session in sessions:
            if (known := self._alive(session)) is not None:
                known.renewal += 1

    async def renewals(self) -> dict[SessionKey, int]:
        return {
            SessionKey(worker, session.epoch): session.renewal
            for worker, session in self._sessions.items()
            if session.alive
        }

    async def report(self, session: SessionKey, capabilities: Capabilities) -> None:
        async def apply(tx: Transaction) -> None:
            row = [encode(capabilities), session.worker, session.epoch]
            await tx.execute(queries.REPORT, row)

        await self._writer.do(apply)

    async def workers(self, *, size: int, after: str = "") -> list[WorkerRecord]:
        rows = await self._read(queries.WORKERS, [after, size])
        return [worker_from_row(row) for row in rows]

    async def worker(self, name: str) -> WorkerRecord:
        rows = await self._read(queries.WORKER, [name])
        if not rows:
            raise WorkerNotFound(name)
        return worker_from_row(rows[0])

    async def change_standing(self, name: str, rule: StandingRule) -> tuple[Standing, Standing]:
        async def apply(tx: Transaction) -> tuple[Standing, Standing]:
            rows = await tx.rows(queries.STANDING, [name])
            if not rows:
                raise WorkerNotFound(name)
            before = decode_standing(rows[0]["standing"])
            after = rule(before)
            if after != before:
                await tx.execute(queries.SET_STANDING, [encode(after), name])
            return before, after

        return await self._writer.do(apply)

    async def check(self) -> None:
        async def apply(tx: Transaction) -> None:
            await tx.execute(queries.CHECK, [])

        await self._writer.do(apply)


def _record(row: aiosqlite.Row) -> JobRecord:
    return JobRecord(job_from_row(row), decode_spec(row["spec"]))


def _conditions(wanted: JobFilter, after: PageKey | None) -> tuple[list[str], list[object]]:
    conditions: list[str] = []
    values: list[object] = []

    def require(condition: str, *bound: object) -> None:
        conditions.append(condition)
        values.extend(bound)

    if wanted.states:
        states = json.dumps(sorted(wanted.states))
        require("jobs.state IN (SELECT value FROM json_each(?))", states)
    if wanted.worker:
        require("jobs.last_holder = ?", wanted.worker)
    if wanted.submitted_after is not None:
        require("jobs.submit_time >= ?", to_micros(wanted.submitted_after))
    if wanted.submitted_before is not None:
        require("jobs.submit_time < ?", to_micros(wanted.submitted_before))
    if after is not None:
        key = (to_micros(after.submit_at), after.job_id)
        require("(jobs.submit_time, jobs.job_id) < (?, ?)", *key)
    return conditions, values
