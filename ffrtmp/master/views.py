"""What the use cases answer with."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ffrtmp.domain.event import JobEvent
from ffrtmp.domain.job import JobState
from ffrtmp.domain.messages import Progress
from ffrtmp.domain.session import AttemptKey, Phase
from ffrtmp.domain.spec import JobSpec
from ffrtmp.domain.worker import Load
from ffrtmp.master.roster import Presence
from ffrtmp.store.base import JobRecord, WorkerRecord


@dataclass(frozen=True, slots=True)
class Submission:
    """`digest`: a hash of the body as the client sent it; `key`: the client's idempotency key."""

    spec: JobSpec
    key: str
    digest: str


@dataclass(frozen=True, slots=True)
class JobView:
    record: JobRecord
    events: list[JobEvent]
    progress: Progress | None


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


class WorkerState(StrEnum):
    CONNECTED = "connected"
    SILENT = "silent"
    DRAINING = "draining"
    QUARANTINED = "quarantined"
    GONE = "gone"


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


def view_of(
    record: WorkerRecord,
    presence: Presence | None,
    refused_roots: Mapping[str, str],
    *,
    now: datetime,
) -> WorkerView:
    quarantined = record.standing.is_quarantined(now)
    return WorkerView(
        record=record,
        state=_state(record, presence, quarantined=quarantined),
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
    if presence.outbox is None:
        return WorkerState.SILENT
    if record.standing.draining or presence.slots == 0:
        return WorkerState.DRAINING
    return WorkerState.QUARANTINED if quarantined else WorkerState.CONNECTED


def _attempts(presence: Presence) -> list[WorkerAttempt]:
    attempts = []
    for job in presence.held.values():
        key = AttemptKey(job.job_id, job.fence)
        report = presence.listed.get(key)
        attempts.append(WorkerAttempt(key, job.state, report.phase if report else None))
    return attempts
