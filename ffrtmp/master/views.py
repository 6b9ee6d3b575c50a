"""What the use cases answer with."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from ffrtmp.domain.event import JobEvent
from ffrtmp.domain.job import JobState
from ffrtmp.domain.messages import Progress
from ffrtmp.domain.promises import Targets
from ffrtmp.domain.session import AttemptKey, Phase
from ffrtmp.domain.sla import Account
from ffrtmp.domain.spec import JobSpec, Purpose, Queue
from ffrtmp.domain.worker import Load, Requirements, WorkerState
from ffrtmp.master.roster import Presence
from ffrtmp.store.records import (
    JobRecord,
    MasterRecord,
    PoolUse,
    ServedWorker,
    StoreFacts,
    WorkerRecord,
)


@dataclass(frozen=True, slots=True)
class Submission:
    """`digest`: a hash of the body as the client sent it; `key`: the client's idempotency key."""

    spec: JobSpec
    key: str
    digest: str
    purpose: Purpose = Purpose.PRODUCTION


class Submissions(Protocol):
    """So many, made one by one as they are asked for: what is refused as a whole is never made."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Submission]: ...


@dataclass(frozen=True, slots=True)
class JobView:
    """`waits_for`: a root that no worker can use now, and why; or labels that none has; or that
    there is no worker."""

    record: JobRecord
    events: list[JobEvent]
    progress: Progress | None
    waits_for: str = ""


@dataclass(frozen=True, slots=True)
class Watched:
    """One of the first two; `record` comes with the event of a terminal state, and with it `told`,
    as `results_in` has it."""

    event: JobEvent | None = None
    progress: Progress | None = None
    record: JobRecord | None = None
    told: Sequence[JobEvent] = ()


def results_in(events: Iterable[JobEvent]) -> list[JobEvent]:
    """The last event of each attempt that has figures, oldest first."""
    told = {event.fence: event for event in events if event.figures is not None}
    return list(told.values())


@dataclass(frozen=True, slots=True)
class WorkerAttempt:
    key: AttemptKey
    state: JobState
    phase: Phase | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerView:
    """`heartbeat_at` is None when nothing was heard since this master started."""

    record: WorkerRecord
    state: WorkerState
    heartbeat_at: datetime | None
    slots: int
    free_slots: int
    attempts: list[WorkerAttempt]
    load: Load
    refused_roots: Mapping[str, str]
    quarantined_until: datetime | None
    master: str = ""
    certificate_end: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterView:
    """`is_this`: the one that answers."""

    record: MasterRecord
    is_serving: bool
    is_this: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterView:
    """`oldest_eligible_at` is None when no job waits."""

    masters: Sequence[MasterView]
    workers: Mapping[WorkerState, int]
    jobs: Mapping[JobState, int]
    slots: int
    free_slots: int
    oldest_eligible_at: datetime | None
    read_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueView:
    """Jobs of one queue and class that have not ended. `needs` is None for a class that is gone
    meanwhile."""

    queue: Queue
    job_class: str
    needs: Requirements | None
    queued: int
    retrying: int
    paused: int
    held: int
    oldest_eligible_at: datetime | None
    able_workers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SlaView:
    """What became of the promises to jobs that ended since then, by queue and purpose."""

    accounts: Mapping[tuple[Queue, Purpose], Account]
    targets: Targets
    since: datetime
    read_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreView:
    """`commit_took` is None when a commit failed; `problems`: why this master is not ready."""

    facts: StoreFacts
    pools: Sequence[PoolUse]
    commits: int
    commit_took: timedelta | None
    problems: Sequence[str]


def view_of(
    record: WorkerRecord,
    presence: Presence | None,
    refused_roots: Mapping[str, str],
    *,
    now: datetime,
    served: tuple[str, ServedWorker] | None = None,
    this_master: str = "",
) -> WorkerView:
    """`served`: the other master that has its stream, and what that one says of it."""
    quarantined = record.standing.is_quarantined(now)
    if served is not None:
        master, seen = served
        return WorkerView(
            record=record,
            state=WorkerState(seen.state),
            heartbeat_at=None,
            slots=seen.slots,
            free_slots=seen.free_slots,
            attempts=[],
            load=Load(),
            refused_roots=refused_roots,
            quarantined_until=record.standing.quarantined_until if quarantined else None,
            master=master,
        )
    return WorkerView(
        record=record,
        state=_state(record, presence, quarantined=quarantined),
        master=this_master if presence and presence.outbox else "",
        certificate_end=presence.certificate_end if presence and presence.outbox else None,
        heartbeat_at=presence.heartbeat_at if presence else None,
        slots=presence.slots if presence else 0,
        free_slots=presence.free if presence else 0,
        attempts=_attempts(presence) if presence else [],
        load=presence.load if presence else Load(),
        refused_roots=refused_roots,
        quarantined_until=record.standing.quarantined_until if quarantined else None,
    )


def _state(record: WorkerRecord, presence: Presence | None, *, quarantined: bool) -> WorkerState:
    if presence is None:
        return WorkerState.SILENT if record.alive else WorkerState.GONE
    return state_of(presence, draining=record.standing.draining, quarantined=quarantined)


def state_of(presence: Presence, *, draining: bool, quarantined: bool) -> WorkerState:
    if presence.outbox is None:
        return WorkerState.SILENT
    if draining or presence.slots == 0:
        return WorkerState.DRAINING
    return WorkerState.QUARANTINED if quarantined else WorkerState.CONNECTED


def _attempts(presence: Presence) -> list[WorkerAttempt]:
    attempts = []
    for job in presence.held.values():
        key = AttemptKey(job.job_id, job.fence)
        report = presence.listed.get(key)
        attempts.append(WorkerAttempt(key, job.state, report.phase if report else None))
    return attempts
