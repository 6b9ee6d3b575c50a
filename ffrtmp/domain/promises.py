"""What the platform promises to jobs. Whether it kept that is judged in `sla`."""

from dataclasses import dataclass
from datetime import timedelta

from ffrtmp.domain.spec import Queue

LATELY = timedelta(days=1)
LONGEST = timedelta(days=366)


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What is promised: the longest wait in each queue, all waits of a job together, and the
    longest time on offer. Raises ValueError for a target that no job can meet."""

    live_wait: timedelta = timedelta(seconds=30)
    default_wait: timedelta = timedelta(minutes=10)
    batch_wait: timedelta = timedelta(hours=12)
    start_delay: timedelta = timedelta(seconds=15)

    def __post_init__(self) -> None:
        for queue in Queue:
            if self.wait_in(queue) <= timedelta(0):
                raise ValueError(f"the longest wait in the {queue} queue must be above 0")
        if self.start_delay <= timedelta(0):
            raise ValueError("the longest start delay must be above 0")

    def wait_in(self, queue: Queue) -> timedelta:
        match queue:
            case Queue.LIVE:
                return self.live_wait
            case Queue.DEFAULT:
                return self.default_wait
            case Queue.BATCH:
                return self.batch_wait
