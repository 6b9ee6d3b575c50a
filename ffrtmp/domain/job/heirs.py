"""An attempt goes on under a job that was taken from it: adopted, or inherited."""

from datetime import datetime

from ffrtmp.domain.attempt import Holder
from ffrtmp.domain.errors import IllegalTransition, NotHolder, StaleFence
from ffrtmp.domain.job.claims import holds, refund_of, require_late
from ffrtmp.domain.job.moves import actor_of, move
from ffrtmp.domain.job.row import Job
from ffrtmp.domain.states import ATTEMPT_STATES, WAITING_STATES, Cause, JobState


def adopt(job: Job, *, holder: Holder, fence: int, now: datetime) -> Job:
    """Waiting to RUNNING, same fence: a worker thought lost still runs it. Refunds the charge."""
    if holds(job, holder, fence) and job.state in ATTEMPT_STATES:
        return job
    require_late(job, holder, fence)
    if job.moved_by is Cause.UNANSWERED:
        raise IllegalTransition(job.job_id, "adopt", "queued, its offer was taken back")
    return move(
        job,
        JobState.RUNNING,
        Cause.ADOPTED,
        actor=actor_of(holder),
        now=now,
        holder=holder,
        blocked_by=None,
        **refund_of(job),
    )


def inherit(job: Job, *, heir: Holder, fence: int, now: datetime) -> Job:
    """An attempt in its worker's journal passes to the worker's new incarnation, same fence.

    Its result is written down, so its FFmpeg has ended.
    """
    previous = job.last_holder
    if job.fence != fence:
        raise StaleFence(job.job_id, fence, job.fence)
    if previous is None or previous.worker != heir.worker:
        raise NotHolder(job.job_id, heir.worker)
    if previous == heir:
        return job
    if job.state not in ATTEMPT_STATES | WAITING_STATES:
        raise IllegalTransition(job.job_id, "inherit", job.state)
    return move(
        job,
        job.state,
        Cause.INHERITED,
        actor=actor_of(heir),
        now=now,
        holder=heir if job.holder else None,
        last_holder=heir,
        blocked_by=None,
    )
