"""What goes into a store and comes out of it, besides what the domain knows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ffrtmp.domain.errors import DomainError
from ffrtmp.domain.figures import Figures
from ffrtmp.domain.job import Job, JobState, Rule
from ffrtmp.domain.judgement import Judgement
from ffrtmp.domain.log import AttemptLog
from ffrtmp.domain.spec import JobSpec, Purpose, Queue
from ffrtmp.domain.standing import Standing
from ffrtmp.domain.worker import Capabilities, Requirements


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to submit. `digest` is a hash of the body as submitted; `key` is the client's.
    `objection`: why it is not taken, unless it was before.

    Keys are told apart by submitter: `job.actor`, the identity of who submits.
    """

    job: Job
    spec: JobSpec
    requirements: Requirements
    key: str
    digest: str
    objection: DomainError | None = None


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

    def __str__(self) -> str:
        return f"{self.worker}/{self.epoch}"


@dataclass(frozen=True, slots=True)
class Change:
    """A pure rule for one job, on behalf of a worker's stream or of the master itself (None). `log`
    is stored with the move that the rule makes, `figures` in its event."""

    job_id: str
    rule: Rule
    session: SessionKey | None = None
    log: AttemptLog | None = None
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
    """A worker as stored. `alive`: its session was neither closed nor expired; `lost`: expired.
    `dial`: which stream of its incarnation said hello last, 0 if it does not count them;
    `previous`: the incarnation that ended before this one, as far as it knows."""

    name: str
    incarnation: str
    epoch: int
    address: str
    alive: bool
    capabilities: Capabilities
    standing: Standing = field(default_factory=Standing)
    lost: bool = False
    dial: int = 0
    previous: str = ""


QueueKey = tuple[int, str]
"""A place in a queue: rank and job id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolUse:
    """Connections of one pool, the calls that wait for one, and those that waited in vain."""

    name: str
    size: int
    used: int
    waiting: int
    refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """Jobs of one queue, class and state; several may name the same. `is_later`: they are not
    eligible yet. `eligible_at`: when the first of them was, or will be."""

    queue: Queue
    job_class: str
    state: JobState
    is_later: bool
    jobs: int
    eligible_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueDepth:
    """Jobs that are queued in one queue. `eligible_at`: when the first of them was, or will be."""

    queue: Queue
    jobs: int
    eligible_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedJobs:
    """Jobs that ended alike: so many, of one queue and purpose."""

    queue: Queue
    purpose: Purpose
    state: JobState
    sla: Judgement
    jobs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFacts:
    """`schema`: the number of its newest migration. `size`: bytes on the disk."""

    kind: str
    schema: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedWorker:
    """A worker as the master says that serves it; `state` is its word for it."""

    state: str
    slots: int
    free_slots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterReport:
    """What a master says of itself: the name in its certificate, and where it listens."""

    name: str
    address: str
    version: str
    started_at: datetime
    workers: Mapping[str, ServedWorker] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterRecord:
    """`run` tells one run of a master from the next."""

    run: str
    seen_at: datetime
    report: MasterReport
