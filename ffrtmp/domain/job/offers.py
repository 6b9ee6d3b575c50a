"""The moves of an offer: granted, accepted, rejected, left unanswered."""

from dataclasses import replace
from datetime import datetime, timedelta

from ffrtmp.domain.attempt import Accepted, Holder
from ffrtmp.domain.errors import IllegalTransition, StaleFence
from ffrtmp.domain.job.claims import holds, require_live
from ffrtmp.domain.job.moves import actor_of, blocker_of, move, not_before, release
from ffrtmp.domain.job.row import REJECTS, Job, is_eligible
from ffrtmp.domain.states import ATTEMPT_STATES, Cause, JobState

REJECT_DELAY = timedelta(seconds=1)
REJECTS_WITHIN = timedelta(minutes=10)
UNSCHEDULABLE_DELAY = timedelta(minutes=1)


def grant(job: Job, *, holder: Holder, now: datetime, above: int = 0) -> Job:
    """QUEUED to LEASED. The fence rises here and nowhere else: by one, or above one that a worker
    knows and the store, after a fail-over to an older copy, does not."""
    if job.state is not JobState.QUEUED or not is_eligible(job, now):
        raise IllegalTransition(job.job_id, "grant", job.state)
    if job.blocked_by is not None:
        raise IllegalTransition(job.job_id, "grant", f"blocked by worker {job.blocked_by.worker}")
    fence = max(job.granted, above) + 1
    return move(
        job,
        JobState.LEASED,
        Cause.GRANTED,
        actor="master",
        now=now,
        fence=fence,
        granted=fence,
        holder=holder,
        last_holder=holder,
    )


def accept(job: Job, *, holder: Holder, fence: int, now: datetime) -> Job:
    """LEASED to RUNNING. Comes before the worker touches the input."""
    if holds(job, holder, fence) and job.state in ATTEMPT_STATES:
        return job
    require_live(job, holder, fence, "accept", frozenset({JobState.LEASED}))
    return move(
        job,
        JobState.RUNNING,
        Cause.ACCEPTED,
        actor=actor_of(holder),
        now=now,
        attempts=job.attempts + 1,
        accepted=Accepted(holder, fence),
        refundable=False,
        start_at=not_before(job, now),
        rejects=0,
        rejected_since=None,
    )


def reject(job: Job, *, holder: Holder, fence: int, why: str, now: datetime) -> Job:
    """LEASED to QUEUED, not charged, after a second.

    From the twentieth in ten minutes on it is a minute, until an offer is accepted.
    """
    require_live(job, holder, fence, "reject", frozenset({JobState.LEASED}))
    since, rejects = job.rejected_since or now, job.rejects + 1
    if rejects <= REJECTS and now - since >= REJECTS_WITHIN:
        since, rejects = now, 1
    return release(
        replace(job, rejects=rejects, rejected_since=since),
        Cause.REJECTED,
        actor=actor_of(holder),
        now=now,
        delay=UNSCHEDULABLE_DELAY if rejects >= REJECTS else REJECT_DELAY,
        detail=why,
    )


def leave_unanswered(job: Job, *, fence: int, now: datetime) -> Job:
    """LEASED to QUEUED, not charged: the offer was not answered, or never sent.

    The worker may have begun all the same: an exclusive job is blocked.
    """
    if job.fence != fence:
        raise StaleFence(job.job_id, fence, job.fence, job.granted)
    if job.state is not JobState.LEASED:
        raise IllegalTransition(job.job_id, "take back the offer of", job.state)
    return release(job, Cause.UNANSWERED, actor="master", now=now, blocked_by=blocker_of(job))
