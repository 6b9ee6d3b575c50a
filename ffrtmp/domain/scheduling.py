"""Which job goes to which worker: rank, and the choice."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import heapify, heappop, heappush
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


MOST_CLASSES = 1000
"""Alive at once: each pass of a dispatcher looks into the queue of every class that is."""


def beyond_limit(wanted: Iterable[str], live: Collection[str]) -> frozenset[str]:
    """Of the classes wanted, in this order, those for which there is no room beside the live."""
    fresh = [each for each in dict.fromkeys(wanted) if each not in live]
    return frozenset(fresh[max(0, MOST_CLASSES - len(live)) :])


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
    vacancies = _Vacancies(rooms)
    return [
        Assignment(job, room.holder)
        for job in sorted(jobs, key=lambda job: (job.rank, job.job_id))
        if (room := vacancies.take(job)) is not None
    ]


class _Vacancies:
    """The free slots of all rooms; for each class the emptiest room is at hand.

    A heap holds how many slots a room had when it was put there. What was taken since, for another
    class too, is seen when the room comes up: then it goes back to its new place.
    """

    def __init__(self, rooms: Sequence[Room]) -> None:
        self._rooms = rooms
        self._free = {room.holder.worker: room.free for room in rooms}
        self._heaps: dict[str, list[tuple[int, str, Room]]] = {}

    def take(self, job: Job) -> Room | None:
        """One slot for this job, if there is one."""
        heap = self._heap_of(job.job_class)
        unsuitable = []
        chosen = None
        while heap and chosen is None:
            entry = heappop(heap)
            room, free = entry[2], self._free[entry[1]]
            if free < -entry[0]:
                self._put(heap, room)
            elif self._suits(room, job):
                chosen = room
                self._free[entry[1]] -= 1
                self._put(heap, room)
            else:
                unsuitable.append(entry)
        for entry in unsuitable:
            heappush(heap, entry)
        return chosen

    def _heap_of(self, job_class: str) -> list[tuple[int, str, Room]]:
        heap = self._heaps.get(job_class)
        if heap is None:
            heap = [
                (-room.free, room.holder.worker, room)
                for room in self._rooms
                if room.free > 0 and job_class in room.classes
            ]
            heapify(heap)
            self._heaps[job_class] = heap
        return heap

    def _put(self, heap: list[tuple[int, str, Room]], room: Room) -> None:
        worker = room.holder.worker
        if self._free[worker] > 0:
            heappush(heap, (-self._free[worker], worker, room))

    def _suits(self, room: Room, job: Job) -> bool:
        if job.job_id in room.excluded:
            return False
        return not is_avoided(
            job, room.holder.worker, (each.holder.worker for each in self._fit(job))
        )

    def _fit(self, job: Job) -> Iterator[Room]:
        return (room for room in self._rooms if _may_run(room, job))


def is_avoided(job: Job, worker: str, fit: Iterable[str]) -> bool:
    """Whether the job does not go there, after a loss: others are `fit` too, busy ones included."""
    return worker == job.avoid and any(each != worker for each in fit)


def _may_run(room: Room, job: Job) -> bool:
    return job.job_class in room.classes and job.job_id not in room.excluded
