"""Which job goes to which worker: rank, and the choice."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType

from ffrtmp.domain.job import Holder, Job
from ffrtmp.domain.spec import Priority, Queue

HEAD_STARTS: Mapping[Queue | Priority, timedelta] = MappingProxyType(
    {
        Queue.LIVE: timedelta(hours=24),
        Queue.DEFAULT: timedelta(0),
        Queue.BATCH: timedelta(hours=-6),
        Priority.HIGH: timedelta(hours=1),
        Priority.NORMAL: timedelta(0),
        Priority.LOW: timedelta(hours=-1),
    }
)


def rank(*, submit_at: datetime, queue: Queue, priority: Priority) -> int:
    """A virtual deadline in microseconds, fixed at submit: lower goes first, nothing starves."""
    start = submit_at - HEAD_STARTS[queue] - HEAD_STARTS[priority]
    return round(start.timestamp() * 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A worker with free slots, as the dispatcher sees it."""

    holder: Holder
    free: int
    classes: frozenset[str]
    excluded: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Assignment:
    job: Job
    holder: Holder


def assign(jobs: Iterable[Job], rooms: Sequence[Room]) -> list[Assignment]:
    """Gives each job, best rank first, to the worker with the most free slots that may run it.

    A worker that the job avoids, after a loss, gets it only when no other is fit at all: busy ones
    count as fit, the job waits for them. Ties go to the first name, so that the result does not
    depend on the order of `rooms`.
    """
    free = {room.holder: room.free for room in rooms}
    assignments = []
    for job in sorted(jobs, key=lambda job: (job.rank, job.job_id)):
        fit = [room for room in rooms if _may_run(room, job)]
        willing = [room for room in fit if room.holder.worker != job.avoid] or fit
        open_rooms = [room for room in willing if free[room.holder] > 0]
        if not open_rooms:
            continue
        chosen = min(open_rooms, key=lambda room: (-free[room.holder], room.holder.worker))
        free[chosen.holder] -= 1
        assignments.append(Assignment(job, chosen.holder))
    return assignments


def _may_run(room: Room, job: Job) -> bool:
    return job.job_class in room.classes and job.job_id not in room.excluded
