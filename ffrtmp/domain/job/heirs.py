"""An attempt goes on under a job that was taken from it: adopted, or inherited."""

from dataclasses import replace
from datetime import datetime

from ffrtmp.domain.attempt import Accepted, Holder
from ffrtmp.domain.errors import IllegalTransition, NotHolder, StaleFence
from ffrtmp.domain.job.claims import holds, require_late, taken_back, was_accepted
from ffrtmp.domain.job.moves import actor_of, changed, move, not_before
from ffrtmp.domain.job.row import Job
from ffrtmp.domain.states import ATTEMPT_STATES, WAITING_STATES, Cause, JobState


def adopt(job: Job, *, holder: Holder, fence: int, now: datetime) -> Job:
    """Waiting to RUNNING, same fence: a worker thought lost still runs it. Refunds the charge."""
    if holds(job, holder, fence) and job.state in ATTEMPT_STATES:
        return job
    require_late(job, holder, fence)
    if job.took_offer_back(fence):
        raise IllegalTransition(job.job_id, "adopt", "queued, its offer was taken back")
    heard_of = was_accepted(job, holder, fence)
    return move(
        job,
        JobState.RUNNING,
        Cause.ADOPTED,
        actor=actor_of(holder),
        now=now,
        holder=holder,
        blocked_by=None,
        start_at=job.start_at if heard_of else not_before(job, now),
        **taken_back(job, holder, fence),
    )


def inherit(job: Job, *, heir: Holder, fence: int, now: datetime) -> Job:
    """An attempt in its worker's journal passes to the worker's new incarnation, same fence.

    Its result is written down, so its FFmpeg has ended.
    """
    if job.fence != fence:
        return _inherit_the_accepted(job, heir, fence, now)
    previous = job.last_holder
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
        accepted=_passed_on(job, heir, fence),
        blocked_by=None,
    )


def _inherit_the_accepted(job: Job, heir: Holder, fence: int, now: datetime) -> Job:
    """Newer grants came back unaccepted, or one is on offer: the result may still be wanted."""
    previous = job.accepted
    if previous is None or previous.fence != fence:
        raise StaleFence(job.job_id, fence, job.fence, job.granted)
    if previous.holder.worker != heir.worker:
        raise NotHolder(job.job_id, heir.worker)
    if previous.holder == heir:
        return job
    if job.state not in WAITING_STATES | {JobState.LEASED}:
        raise IllegalTransition(job.job_id, "inherit", job.state)
    return changed(
        job,
        Cause.INHERITED,
        actor=actor_of(heir),
        now=now,
        accepted=_passed_on(job, heir, fence),
        detail=f"of attempt {fence}",
    )


def _passed_on(job: Job, heir: Holder, fence: int) -> Accepted | None:
    if job.accepted is None or job.accepted.fence != fence:
        return job.accepted
    return replace(job.accepted, holder=heir)
