"""One transaction: rows locked and read ahead, changed in memory, written back together."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from ffrtmp.domain.errors import DomainError, JobNotFound, StaleEpoch
from ffrtmp.domain.event import event_of
from ffrtmp.domain.figures import Figures
from ffrtmp.domain.hello import Incumbent
from ffrtmp.domain.job import Job
from ffrtmp.domain.log import AttemptLog
from ffrtmp.domain.session import AttemptKey
from ffrtmp.domain.spec import folders_of
from ffrtmp.store import queries
from ffrtmp.store.codec import (
    JOB_COLUMNS,
    LOG_COLUMNS,
    LOG_KEY,
    Row,
    encode,
    incumbent_from_row,
    job_from_row,
    job_to_row,
    log_to_row,
)
from ffrtmp.store.connection import Connection
from ffrtmp.store.records import Change, Moved, NewJob, Outcome, SessionKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """What an operation will ask for, read for the whole group at once."""

    workers: frozenset[str] = frozenset()
    job_ids: frozenset[str] = frozenset()
    new: tuple[NewJob, ...] = ()


@dataclass(frozen=True, slots=True)
class Submission:
    """A key that was used: for which body, and which job came of it."""

    digest: str
    job_id: str


@dataclass(frozen=True, slots=True)
class Owner:
    """The job that has a target. `ended`: it has ended, and its FFmpeg may still write."""

    job_id: str
    ended: bool


class Transaction:
    """Awaits the database a few times a group, never once a row."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.submissions: dict[tuple[str, str], Submission] = {}
        """By submitter and key."""
        self.owners: dict[str, Owner] = {}
        """Of each taken target."""
        self.below: dict[str, str] = {}
        """One of the taken targets that lie in a folder, by that folder."""
        self._streams: dict[str, Incumbent] = {}
        """The newest of each worker."""
        self._jobs: dict[str, Job] = {}
        self._moved: list[tuple[Job, Figures | None]] = []
        self._logs: dict[AttemptKey, AttemptLog] = {}
        self._added: list[NewJob] = []

    async def read_ahead(self, wanted: Collection[Ahead]) -> None:
        """Locks sessions and jobs, and reads what is known of keys and targets."""
        await self.lock_sessions({name for each in wanted for name in each.workers})
        await self._lock_jobs({job_id for each in wanted for job_id in each.job_ids})
        await self._read_submissions([new for each in wanted for new in each.new])

    async def lock_sessions(self, workers: Collection[str]) -> None:
        fresh = set(workers) - self._streams.keys()
        if fresh:
            rows = await self.fetch(queries.LOCK_SESSIONS, fresh)
            self._streams |= {row["worker"]: incumbent_from_row(row) for row in rows}

    async def _lock_jobs(self, job_ids: Collection[str]) -> None:
        if job_ids:
            rows = await self.fetch(queries.LOCK_JOBS, job_ids)
            self.remember(job_from_row(row) for row in rows)

    async def _read_submissions(self, new: Collection[NewJob]) -> None:
        if not new:
            return
        # Targets first: whoever commits between the two statements is known by its key, and is not
        # mistaken for a stranger that took the target.
        targets = {str(target) for each in new for target in each.spec.targets}
        folders = {folder for target in targets for folder in folders_of(target)}
        for row in (
            *await self.fetch(queries.TAKEN_TARGETS, targets | folders),
            *await self.fetch(queries.TARGETS_BELOW, targets),
        ):
            self._own(row["target"], Owner(row["job_id"], bool(row["ended"])))
        for submitter in sorted({each.job.actor for each in new}):
            keys = {each.key for each in new if each.job.actor == submitter}
            for row in await self.fetch(queries.SUBMITTED, submitter, keys):
                known = Submission(row["digest"], row["job_id"])
                self.submissions[submitter, row["key"]] = known
        known_ids = {known.job_id for known in self.submissions.values()}
        if known_ids:
            rows = await self.fetch(queries.JOBS_BY_ID, known_ids)
            self.remember(job_from_row(row) for row in rows)
        # A job that another master has just forgotten: its key is free.
        self.submissions = {
            key: known for key, known in self.submissions.items() if known.job_id in self._jobs
        }

    def remember(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            self._jobs.setdefault(job.job_id, job)

    def stream(self, worker: str) -> Incumbent | None:
        """The newest, alive or not, as it is now in this transaction; it must have been locked."""
        return self._streams.get(worker)

    def opened(self, row: Row) -> int:
        """A newer one took over: what older ones want from now on is refused. Returns its epoch."""
        self._streams[row["worker"]] = stream = incumbent_from_row(row)
        return stream.epoch

    def ended(self, workers: Iterable[str]) -> None:
        for worker in workers:
            self._streams[worker] = replace(self._streams[worker], alive=False)

    def job(self, job_id: str) -> Job:
        """As it is now in this transaction; it must have been read. Raises JobNotFound."""
        job = self._jobs.get(job_id)
        if job is None:
            raise JobNotFound(job_id)
        return job

    def apply(self, change: Change) -> Outcome:
        """Written, with its event, at the next flush."""
        try:
            self._require_current(change.session)
            before = self.job(change.job_id)
            after = change.rule(before)
        except DomainError as error:
            return error
        if after is not before:
            self._jobs[after.job_id] = after
            self._moved.append((after, change.figures))
            if change.log is not None:
                self.keep_log(change.log)
        return Moved(before, after)

    def keep_log(self, log: AttemptLog) -> None:
        """Written at the next flush."""
        self._logs[log.key] = log

    def _require_current(self, session: SessionKey | None) -> None:
        if session is None:
            return
        stream = self._streams.get(session.worker)
        current = stream.epoch if stream else 0
        if current != session.epoch:
            raise StaleEpoch(session.worker, session.epoch, current)

    def add(self, new: NewJob) -> None:
        """A new job, written, with its first event, at the next flush."""
        self._added.append(new)
        self._jobs[new.job.job_id] = new.job
        self.submissions[new.job.actor, new.key] = Submission(new.digest, new.job.job_id)
        for target in new.spec.targets:
            self._own(str(target), Owner(new.job.job_id, ended=False))

    def _own(self, target: str, owner: Owner) -> None:
        self.owners[target] = owner
        self.below |= dict.fromkeys(folders_of(target), target)

    async def flush(self) -> None:
        """Writes what was added and applied: before a query that must see it, and at the end."""
        await self._write_added()
        await self._write_moved()
        await self._write_logs()

    async def _write_added(self) -> None:
        added, self._added = self._added, []
        if not added:
            return
        insert = self.connection.insert
        await insert("jobs", JOB_COLUMNS, [job_to_row(new.job) for new in added])
        await self._append_events([(new.job, None) for new in added])
        await insert(
            "specs", ("job_id", "spec"), [(new.job.job_id, encode(new.spec)) for new in added]
        )
        await insert(
            "submissions",
            ("submitter", "key", "digest", "job_id"),
            [(new.job.actor, new.key, new.digest, new.job.job_id) for new in added],
        )
        await insert(
            "targets",
            ("target", "job_id"),
            [(str(target), new.job.job_id) for new in added for target in new.spec.targets],
        )
        needs = {new.job.job_class: encode(new.requirements) for new in added}
        for job_class, text in sorted(needs.items()):
            await self.fetch(queries.INSERT_CLASS, job_class, text)

    async def _write_moved(self) -> None:
        moved, self._moved = self._moved, []
        if not moved:
            return
        newest = {job.job_id: job for job, _ in moved}
        rows = [job_to_row(job) for job in newest.values()]
        await self.connection.update("jobs", JOB_COLUMNS, rows)
        await self._append_events(moved)
        freed = [job.job_id for job in newest.values() if job.frees_targets]
        if freed:
            await self.fetch(queries.RELEASE_TARGETS, freed)

    async def _write_logs(self) -> None:
        logs, self._logs = self._logs, {}
        if logs:
            rows = [log_to_row(logs[key]) for key in sorted(logs)]  # no two wait for each other
            await self.connection.insert("logs", LOG_COLUMNS, rows, key=LOG_KEY)

    async def _append_events(self, moves: Sequence[tuple[Job, Figures | None]]) -> None:
        rows = [(job.job_id, job.version, encode(event_of(job, figures))) for job, figures in moves]
        await self.connection.insert("events", ("job_id", "number", "event"), rows)

    async def fetch(self, query: str, *values: object) -> Sequence[Row]:
        return await self.connection.fetch(query, *values)
