"""What people may do to a job that waits: pause it, resume it, give it another priority.

A job that a worker has is left alone: FFmpeg does not stop in the middle and go on later. How the
last attempt ended stays known (`Job.moved_by`): late news of it are judged as before the order.
"""

from datetime import datetime
from typing import Any

from ffrtmp.domain.errors import IllegalTransition
from ffrtmp.domain.job import TERMINAL_STATES, WAITING_STATES, Cause, Job, JobState
from ffrtmp.domain.job.moves import move
from ffrtmp.domain.scheduling import rank
from ffrtmp.domain.spec import Priority, Queue


def pause(job: Job, *, actor: str, now: datetime) -> Job:
    """QUEUED to PAUSED. Idempotent. It keeps its rank, its wait and its targets."""
    if job.state is JobState.PAUSED:
        return job
    if job.state is not JobState.QUEUED:
        raise IllegalTransition(job.job_id, "pause", job.state)
    return _order(job, JobState.PAUSED, Cause.PAUSED, actor=actor, now=now)


def resume(job: Job, *, actor: str, now: datetime) -> Job:
    """PAUSED to QUEUED. A job that is not paused is returned as it is; one that has ended is not
    resumed."""
    if job.state in TERMINAL_STATES:
        raise IllegalTransition(job.job_id, "resume", job.state)
    if job.state is not JobState.PAUSED:
        return job
    return _order(job, JobState.QUEUED, Cause.RESUMED, actor=actor, now=now)


def reprioritise(job: Job, *, queue: Queue, priority: Priority, actor: str, now: datetime) -> Job:
    """Another place in its queue, counted from its submit. Idempotent."""
    if job.state not in WAITING_STATES:
        raise IllegalTransition(job.job_id, "change the priority of", job.state)
    place = rank(submit_at=job.submit_at, queue=queue, priority=priority)
    if place == job.rank:
        return job
    return _order(
        job,
        job.state,
        Cause.REPRIORITISED,
        actor=actor,
        now=now,
        rank=place,
        priority=priority,
        detail=f"priority {priority}",
    )


def _order(
    job: Job, state: JobState, cause: Cause, *, actor: str, now: datetime, **changes: Any
) -> Job:
    """Offers that nobody took are counted anew."""
    return move(
        job,
        state,
        cause,
        actor=actor,
        now=now,
        rejects=0,
        rejected_since=None,
        **changes,
    )
