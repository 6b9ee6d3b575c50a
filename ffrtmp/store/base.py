"""The ports. Rules live in the domain: a store locks rows, applies a rule, writes back, commits.

What arrives together is applied together (group commit): callers hand over what they have and
await one answer. Every method may raise `StoreBusy` when the store cannot take the call in time;
then nothing was changed.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from ffrtmp.domain.errors import DomainError
from ffrtmp.domain.event import JobEvent
from ffrtmp.domain.figures import Figures
from ffrtmp.domain.job import Job, JobState, Rule
from ffrtmp.domain.spec import JobSpec
from ffrtmp.domain.standing import Standing, StandingRule
from ffrtmp.domain.worker import Capabilities, Requirements


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to submit. `digest` is a hash of the body as submitted; `key` is the client's.

    Keys are told apart by submitter: `job.actor`, the identity of who submits.
    """

    job: Job
    spec: JobSpec
    requirements: Requirements
    key: str
    digest: str


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job and what it is about."""

    job: Job
    spec: JobSpec


@dataclass(frozen=True, slots=True)
class SessionKey:
    """Names a worker's stream. A write on behalf of an older one raises StaleEpoch."""

    worker: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Change:
    """A pure rule for one job, on behalf of a worker's stream or of the master itself (None).

    `figures` are kept with the event of the move, if there is one.
    """

    job_id: str
    rule: Rule
    session: SessionKey | None = None
    figures: Figures | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """What a rule did. `before is after` when it had been applied before."""

    before: Job
    after: Job


Outcome = Moved | DomainError


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Empty fields match every job. Times bound `submit_at`: [after, before)."""

    states: frozenset[JobState] = frozenset()
    worker: str = ""
    submitted_after: datetime | None = None
    submitted_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class PageKey:
    """Where a page of jobs ended: newest first, by submit time and then id."""

    submit_at: datetime
    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecord:
    """A worker as stored. `alive`: its session was neither closed nor expired."""

    name: str
    incarnation: str
    epoch: int
    address: str
    alive: bool
    capabilities: Capabilities
    standing: Standing = field(default_factory=Standing)


class JobStore(Protocol):
    async def submit(self, jobs: Sequence[NewJob]) -> list[Job]:
        """Adds all, or none and raises IdempotencyMismatch or TargetTaken.

        A job whose submitter, key and digest are known is returned as it is now; its targets are
        not checked again. A target is free again once its job `frees_targets`.
        """
        ...

    async def get(self, job_id: str) -> JobRecord:
        """Raises JobNotFound."""
        ...

    async def get_many(self, job_ids: Collection[str]) -> dict[str, Job]:
        """Those that exist."""
        ...

    async def find(self, wanted: JobFilter, *, size: int, after: PageKey | None) -> list[JobRecord]:
        """At most `size` jobs, newest first, from behind `after`."""
        ...

    async def events(self, job_id: str, *, after: int = 0) -> list[JobEvent]:
        """Events with a number above `after`, oldest first; empty for an unknown job."""
        ...

    async def change(self, changes: Sequence[Change]) -> list[Outcome]:
        """Applies each rule to its job, in order; one outcome each. Returns after the commit.

        A rule's DomainError is its outcome and changes nothing; the others are applied. Two changes
        of one job in a call see each other.
        """
        ...

    async def claim(
        self,
        classes: Mapping[str, int],
        *,
        now: datetime,
        choose: Callable[[Sequence[Job]], Sequence[Change]],
    ) -> list[tuple[Moved, JobSpec]]:
        """Reads the best-ranked eligible queued jobs of each class, at most its number of them,
        applies the changes that `choose` returns for them and commits. A change whose rule or
        session is refused is left out. A blocked job is not read, and jobs that another master is
        claiming are passed over. `choose` may be called again, after a conflict."""
        ...

    async def classes(self) -> dict[str, Requirements]:
        """Every class that has a job which has not ended."""
        ...


class LeaseStore(Protocol):
    async def held_by(self, worker: str) -> list[Job]:
        """Every job in a held state whose holder is this worker, whatever its incarnation."""
        ...

    async def orphans(self, limit: int) -> list[Job]:
        """Held jobs whose holder (worker and incarnation) has no live session."""
        ...

    async def blocked_by(self, worker: str) -> list[Job]:
        """Every job blocked by this worker, whatever its incarnation; some of them have ended."""
        ...

    async def stale_blocks(self, limit: int) -> list[Job]:
        """Blocked jobs whose blocker (worker and incarnation) has no live session."""
        ...

    async def offered_before(self, moment: datetime, limit: int) -> list[Job]:
        """LEASED jobs granted before `moment`."""
        ...


class SessionStore(Protocol):
    async def open_session(self, record: WorkerRecord) -> int:
        """Stores the worker as alive with the next epoch, and returns it. `record.epoch` and
        `record.standing` are ignored: a worker's standing outlives its sessions."""
        ...

    async def close_session(self, session: SessionKey, *, renewal: int | None = None) -> bool:
        """Ends it, unless a newer stream took over, or its renewal number is not `renewal` any
        more (None: whatever it is). Says whether it did."""
        ...

    async def renew(self, sessions: Collection[SessionKey]) -> None:
        """Raises the renewal number of each; returns when that is committed."""
        ...

    async def renewals(self) -> dict[SessionKey, int]:
        """The renewal number of every live session."""
        ...

    async def report(self, session: SessionKey, capabilities: Capabilities) -> None:
        """Replaces what the worker can do."""
        ...

    async def check(self) -> None:
        """Writes a row and commits. Raises StoreBusy, or the adapter's error."""
        ...


class WorkerStore(Protocol):
    async def workers(self, *, size: int, after: str = "") -> list[WorkerRecord]:
        """By name, from behind `after`."""
        ...

    async def worker(self, name: str) -> WorkerRecord:
        """Raises WorkerNotFound."""
        ...

    async def change_standing(self, name: str, rule: StandingRule) -> tuple[Standing, Standing]:
        """Applies the rule to the worker's standing; before and after. Raises WorkerNotFound."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolUse:
    """Connections of one pool, the calls that wait for one, and those that waited in vain."""

    name: str
    size: int
    used: int
    waiting: int
    refused: int


class Shared(Protocol):
    """What is peculiar to a store that several masters may use."""

    @property
    def shared(self) -> bool: ...

    async def news(self) -> None:
        """Returns when another master may have committed something since the last call. A hint:
        it may come for nothing, and it may be missed. Never, when the store is not shared."""
        ...

    async def time(self) -> datetime:
        """The time of day where the store is: for showing and ordering."""
        ...

    @property
    def commits(self) -> int:
        """Transactions that were committed since it was opened."""
        ...

    def pools(self) -> list[PoolUse]: ...


class Store(JobStore, LeaseStore, SessionStore, WorkerStore, Shared, Protocol):
    """All of them; both adapters are one."""
