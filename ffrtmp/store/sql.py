"""The store, written once: what to lock, apply and read. The adapters know how to talk SQL.

Two lanes, so that neither can starve the other: the hot path (grants, results, leases), and what
clients ask for. An adapter with one writer gives the same lane twice.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from ffrtmp.domain.errors import JobNotFound, WorkerNotFound
from ffrtmp.domain.event import JobEvent
from ffrtmp.domain.hello import Incumbent
from ffrtmp.domain.job import HELD_STATES, Job
from ffrtmp.domain.log import AttemptLog
from ffrtmp.domain.messages import Progress
from ffrtmp.domain.spec import JobSpec
from ffrtmp.domain.standing import Standing, StandingRule
from ffrtmp.domain.waiting import Place
from ffrtmp.domain.worker import Capabilities, Requirements
from ffrtmp.store import queries
from ffrtmp.store.base import NO_FLOORS, Admit
from ffrtmp.store.census import Census
from ffrtmp.store.codec import (
    PROGRESS_COLUMNS,
    PROGRESS_KEY,
    Row,
    decode_event,
    decode_requirements,
    decode_spec,
    decode_standing,
    encode,
    from_micros,
    job_from_row,
    log_from_row,
    progress_from_row,
    progress_to_row,
    to_micros,
    worker_from_row,
)
from ffrtmp.store.connection import Renewals
from ffrtmp.store.lane import Lane
from ffrtmp.store.records import (
    Change,
    JobFilter,
    JobRecord,
    Moved,
    NewJob,
    Outcome,
    PageKey,
    PoolUse,
    QueueKey,
    SessionKey,
    WorkerRecord,
)
from ffrtmp.store.submit import submit
from ffrtmp.store.transaction import Ahead, Transaction


class SqlStore(Census):
    """Implements most parts of `store.base.Store`; adapters add how it is shared."""

    def __init__(self, hot: Lane, api: Lane, renewals: Renewals) -> None:
        super().__init__(api)
        self._hot = hot
        self._api = api
        self._renewals = renewals

    @property
    def commits(self) -> int:
        return sum(writer.commits for writer in {self._hot.writer, self._api.writer})

    @property
    def operations(self) -> int:
        return sum(writer.operations for writer in {self._hot.writer, self._api.writer})

    def pools(self) -> list[PoolUse]:
        uses = [lane.use() for lane in (self._hot, self._api)]
        return list({use.name: use for use in uses}.values())

    # -- jobs -------------------------------------------------------------------------------

    async def submit(self, jobs: Sequence[NewJob]) -> list[Job]:
        async def apply(tx: Transaction) -> list[Job]:
            return submit(tx, jobs)

        return await self._api.writer.do(apply, Ahead(new=tuple(jobs)))

    async def get(self, job_id: str) -> JobRecord:
        rows = await self._api.fetch(queries.RECORD, job_id)
        if not rows:
            raise JobNotFound(job_id)
        return _record(rows[0])

    async def get_many(self, job_ids: Collection[str]) -> dict[str, Job]:
        if not job_ids:
            return {}
        rows = await self._hot.fetch(queries.JOBS_BY_ID, job_ids)
        return {row["job_id"]: job_from_row(row) for row in rows}

    async def find(self, wanted: JobFilter, *, size: int, after: PageKey | None) -> list[JobRecord]:
        query, values = _page(wanted, size, after)
        return [_record(row) for row in await self._api.fetch(query, *values)]

    async def events(self, job_id: str, *, after: int = 0) -> list[JobEvent]:
        rows = await self._api.fetch(queries.EVENTS, job_id, after)
        return [decode_event(row["event"]) for row in rows]

    async def change(self, changes: Sequence[Change]) -> list[Outcome]:
        if not changes:
            return []

        async def apply(tx: Transaction) -> list[Outcome]:
            return [tx.apply(change) for change in changes]

        job_ids = frozenset(change.job_id for change in changes)
        ahead = Ahead(workers=_workers_of(changes), job_ids=job_ids)
        return await self._hot.writer.do(apply, ahead)

    async def claim(
        self,
        classes: Mapping[str, int],
        *,
        now: datetime,
        choose: Callable[[Sequence[Job]], Sequence[Change]],
        floors: Mapping[str, QueueKey] = NO_FLOORS,
    ) -> list[tuple[Moved, JobSpec]]:
        async def apply(tx: Transaction) -> list[tuple[Moved, JobSpec]]:
            await tx.flush()
            found = []
            for job_class, most in classes.items():
                floor = floors.get(job_class, queries.FIRST)
                rows = await tx.fetch(queries.CLAIMABLE, job_class, to_micros(now), most, *floor)
                found += [job_from_row(row) for row in rows]
            tx.remember(found)
            changes = choose(found)
            # After the jobs, for once: these are queued, and nobody waits for them but a late
            # result of one of these very workers. The database would break that, and we try again.
            await tx.lock_sessions(_workers_of(changes))
            outcomes = [tx.apply(change) for change in changes]
            granted = [outcome for outcome in outcomes if isinstance(outcome, Moved)]
            specs = await _specs_of(tx, [moved.after.job_id for moved in granted])
            return [(moved, specs[moved.after.job_id]) for moved in granted]

        return await self._hot.writer.do(apply)

    async def place_of(self, job: Job) -> Place:
        [row] = await self._api.fetch(queries.AHEAD, job.job_class, job.rank, job.job_id)
        return Place(row["ahead"], row["ahead_in_class"])

    async def classes(self) -> dict[str, Requirements]:
        rows = await self._hot.fetch(queries.CLASSES, sorted(HELD_STATES))
        return {row["job_class"]: decode_requirements(row["requirements"]) for row in rows}

    # -- history ----------------------------------------------------------------------------

    async def keep_logs(self, logs: Sequence[AttemptLog]) -> None:
        if not logs:
            return

        async def apply(tx: Transaction) -> None:
            for log in logs:
                tx.keep_log(log)

        await self._hot.writer.do(apply)

    async def logs(self, job_id: str, *, fence: int, limit: int) -> list[AttemptLog]:
        rows = await self._api.fetch(queries.LOGS, job_id, fence, limit)
        return [log_from_row(row) for row in rows]

    async def keep_progress(self, progress: Sequence[Progress]) -> None:
        rows = sorted(map(progress_to_row, progress))  # no two wait for each other

        async def apply(tx: Transaction) -> None:
            await tx.fetch(queries.FORGET_PROGRESS)
            if rows:
                await tx.connection.insert("progress", PROGRESS_COLUMNS, rows, key=PROGRESS_KEY)

        await self._api.writer.do(apply)

    async def progress(self, job_ids: Collection[str]) -> dict[str, Progress]:
        if not job_ids:
            return {}
        rows = await self._api.fetch(queries.PROGRESS, job_ids)
        return {row["job_id"]: progress_from_row(row) for row in rows}

    async def ended_before(self, count: int) -> datetime | None:
        rows = await self._api.fetch(queries.ENDED_BEFORE, count)
        return from_micros(rows[0]["end_time"]) if rows else None

    async def forget(self, ended_by: datetime, limit: int) -> int:
        async def apply(tx: Transaction) -> int:
            await tx.flush()
            rows = await tx.fetch(queries.FORGETTABLE, to_micros(ended_by), limit)
            if rows:
                job_ids = [row["job_id"] for row in rows]
                for statement in queries.FORGET:
                    await tx.fetch(statement, job_ids)
            return len(rows)

        return await self._api.writer.do(apply)

    # -- leases -----------------------------------------------------------------------------

    async def held_by(self, worker: str) -> list[Job]:
        return [job_from_row(row) for row in await self._hot.fetch(queries.HELD_BY, worker)]

    async def orphans(self, limit: int) -> list[Job]:
        return [job_from_row(row) for row in await self._hot.fetch(queries.ORPHANS, limit)]

    async def held_or_blocked(self, worker: str, also: Collection[str] = ()) -> list[Job]:
        rows = await self._hot.fetch(queries.HELD_OR_BLOCKED, worker, list(also))
        return [job_from_row(row) for row in rows]

    async def stale_blocks(self, limit: int) -> list[Job]:
        return [job_from_row(row) for row in await self._hot.fetch(queries.STALE_BLOCKS, limit)]

    async def offered_before(self, moment: datetime, limit: int) -> list[Job]:
        rows = await self._hot.fetch(queries.OFFERED_BEFORE, to_micros(moment), limit)
        return [job_from_row(row) for row in rows]

    # -- sessions ---------------------------------------------------------------------------

    async def open_session(self, record: WorkerRecord, admit: Admit) -> int:
        can, count = encode(record.capabilities), (record.dial, record.previous)
        values = [record.name, record.incarnation, record.address, can, *count]

        async def apply(tx: Transaction) -> int:
            if tx.stream(record.name) is None:
                if rows := await tx.fetch(queries.FIRST_SESSION, *values):
                    return tx.opened(rows[0])
                await tx.lock_sessions({record.name})  # another master made the row meanwhile
            admit(await self._newest(tx, record))
            rows = await tx.fetch(queries.NEXT_SESSION, *values)
            return tx.opened(rows[0])

        return await self._hot.writer.do(apply, Ahead(workers=frozenset({record.name})))

    async def _newest(self, tx: Transaction, record: WorkerRecord) -> Incumbent:
        """The stream before this one; where it is of another run, with its last renewal."""
        newest = tx.stream(record.name)
        assert newest is not None
        if newest.incarnation == record.incarnation:
            return newest
        session = SessionKey(record.name, newest.epoch)
        numbers = await self._renewals.numbers(tx.connection, [session])
        return replace(newest, renewal=numbers.get(session))

    async def close_session(self, session: SessionKey) -> bool:
        async def apply(tx: Transaction) -> bool:
            rows = await tx.fetch(queries.CLOSE_SESSION, session.worker, session.epoch)
            tx.ended(row["worker"] for row in rows)
            return bool(rows)

        return await self._hot.writer.do(apply, Ahead(workers=frozenset({session.worker})))

    async def expire_sessions(self, renewals: Mapping[SessionKey, int]) -> list[SessionKey]:
        async def apply(tx: Transaction) -> list[SessionKey]:
            now = await self._renewals.numbers(tx.connection, renewals)
            left = [key for key, number in renewals.items() if now.get(key, 0) == number]
            rows = await tx.fetch(
                queries.EXPIRE_SESSIONS,
                [key.worker for key in left],
                [str(key) for key in left],
            )
            tx.ended(row["worker"] for row in rows)
            return [SessionKey(row["worker"], row["epoch"]) for row in rows]

        workers = frozenset(session.worker for session in renewals)
        return await self._hot.writer.do(apply, Ahead(workers=workers))

    async def renew(self, sessions: Collection[SessionKey]) -> None:
        await self._renewals.renew(sessions)

    async def renewals(self) -> dict[SessionKey, int]:
        return await self._renewals.live()

    async def report(self, session: SessionKey, capabilities: Capabilities) -> None:
        values = [encode(capabilities), session.worker, session.epoch]

        async def apply(tx: Transaction) -> None:
            await tx.fetch(queries.REPORT, *values)

        await self._hot.writer.do(apply, Ahead(workers=frozenset({session.worker})))

    async def workers(self, *, size: int, after: str = "") -> list[WorkerRecord]:
        rows = await self._api.fetch(queries.WORKERS, after, size)
        return [worker_from_row(row) for row in rows]

    async def lost_workers(self, also: Collection[str]) -> list[WorkerRecord]:
        rows = await self._hot.fetch(queries.LOST_WORKERS, sorted(also))
        return [worker_from_row(row) for row in rows]

    async def worker(self, name: str) -> WorkerRecord:
        rows = await self._api.fetch(queries.WORKER, name)
        if not rows:
            raise WorkerNotFound(name)
        return worker_from_row(rows[0])

    async def standings(self) -> dict[str, Standing]:
        rows = await self._hot.fetch(queries.STANDINGS, encode(Standing()))
        return {row["worker"]: decode_standing(row["standing"]) for row in rows}

    async def remove_worker(self, name: str) -> bool:
        async def apply(tx: Transaction) -> bool:
            await tx.flush()
            if not await tx.fetch(queries.WORKER, name):
                raise WorkerNotFound(name)
            return bool(await tx.fetch(queries.REMOVE_WORKER, name))

        return await self._hot.writer.do(apply, Ahead(workers=frozenset({name})))

    async def change_standing(self, name: str, rule: StandingRule) -> tuple[Standing, Standing]:
        async def apply(tx: Transaction) -> tuple[Standing, Standing]:
            rows = await tx.fetch(queries.STANDING, name)
            if not rows:
                raise WorkerNotFound(name)
            before = decode_standing(rows[0]["standing"])
            after = rule(before)
            if after != before:
                await tx.fetch(queries.SET_STANDING, encode(after), name)
            return before, after

        return await self._hot.writer.do(apply, Ahead(workers=frozenset({name})))

    async def check(self) -> None:
        async def apply(tx: Transaction) -> None:
            await tx.fetch(queries.CHECK)

        await self._hot.writer.do(apply)


def _workers_of(changes: Sequence[Change]) -> frozenset[str]:
    return frozenset(change.session.worker for change in changes if change.session)


async def _specs_of(tx: Transaction, job_ids: Sequence[str]) -> dict[str, JobSpec]:
    if not job_ids:
        return {}
    rows = await tx.fetch(queries.SPECS, job_ids)
    return {row["job_id"]: decode_spec(row["spec"]) for row in rows}


def _record(row: Row) -> JobRecord:
    return JobRecord(job_from_row(row), decode_spec(row["spec"]))


def _page(wanted: JobFilter, size: int, after: PageKey | None) -> tuple[str, list[object]]:
    conditions: list[str] = []
    values: list[object] = []

    def bind(value: object) -> str:
        values.append(value)
        return f"${len(values)}"

    if wanted.states:
        conditions.append(f"jobs.state = ANY({bind(sorted(wanted.states))})")
    if wanted.worker:
        conditions.append(f"jobs.last_holder = {bind(wanted.worker)}")
    if wanted.submitted_after is not None:
        conditions.append(f"jobs.submit_time >= {bind(to_micros(wanted.submitted_after))}")
    if wanted.submitted_before is not None:
        conditions.append(f"jobs.submit_time < {bind(to_micros(wanted.submitted_before))}")
    if after is not None:
        key = f"({bind(to_micros(after.submit_at))}, {bind(after.job_id)})"
        conditions.append(f"(jobs.submit_time, jobs.job_id) < {key}")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    order = f" ORDER BY jobs.submit_time DESC, jobs.job_id DESC LIMIT {bind(size)}"
    return queries.FIND + where + order, values
