"""Where the queue of each class begins, for the times when that is slow to find.

PostgreSQL keeps every job that left the queue in the queue's index as long as somebody's snapshot
is older (a forgotten session, a long dump), and each pass reads past all of them. So a whole pass
that was slow is followed, for a second, by passes that begin where it ended. What turns up before
that place waits for the next whole pass: a retry that has become due, or what another master put
there. What this master queues itself is seen at once.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

from ffrtmp.domain.job import Job, JobState
from ffrtmp.store.records import QueueKey

SLOW_SECONDS = 0.05
HOLD_SECONDS = 1.0


class Floors:
    def __init__(self, boot: Callable[[], float], *, shared: bool) -> None:
        """Of a store that is not `shared`, the whole queue is always read."""
        self._boot = boot
        self._shared = shared
        self._floors: dict[str, QueueKey] = {}
        self._queued: dict[str, QueueKey] = {}
        self._began_at = 0.0
        self._until = 0.0

    def begin(self) -> Mapping[str, QueueKey]:
        """A pass begins: where, of each class that is not read from its beginning."""
        self._queued = {}
        self._began_at = self._boot()
        if self._began_at >= self._until:
            self._floors = {}
        return dict(self._floors)

    def note(self, _before: Job | None, after: Job) -> None:
        """A job came into the queue, perhaps before the place where passes begin."""
        if after.state is JobState.QUEUED:
            key = _key(after)
            self._queued[after.job_class] = min(key, self._queued.get(after.job_class, key))
            if key < self._floors.get(after.job_class, key):
                self._floors[after.job_class] = key

    def end(self, read: Sequence[Job], granted: Collection[str]) -> None:
        """The pass has read these, in their order, and granted some of them."""
        now = self._boot()
        was_whole = self._began_at >= self._until
        if was_whole and now - self._began_at >= SLOW_SECONDS and self._shared:
            self._until = now + HOLD_SECONDS
        if now < self._until:
            self._floors |= self._places(read, granted)

    def _places(self, read: Sequence[Job], granted: Collection[str]) -> dict[str, QueueKey]:
        """The first that was left of each class, else the last that was granted; or what came into
        the queue before it since the pass began."""
        places = {job.job_class: _key(job) for job in read if job.job_id in granted}
        left = [job for job in read if job.job_id not in granted]
        places |= {job.job_class: _key(job) for job in reversed(left)}
        return {each: min(key, self._queued.get(each, key)) for each, key in places.items()}


def _key(job: Job) -> QueueKey:
    return job.rank, job.job_id
