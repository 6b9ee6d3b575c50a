"""Whose word about an attempt counts: the live holder's, and a late one's. For rules only."""

from typing import Any

from ffrtmp.domain.attempt import Holder
from ffrtmp.domain.errors import IllegalTransition, NewerGrant, NotHolder, StaleFence
from ffrtmp.domain.job.row import Job
from ffrtmp.domain.states import ATTEMPT_STATES, TERMINAL_STATES, WAITING_STATES, JobState


def holds(job: Job, holder: Holder, fence: int) -> bool:
    return job.fence == fence and job.holder == holder


def require_live(
    job: Job, holder: Holder, fence: int, verb: str, states: frozenset[JobState]
) -> None:
    if job.fence != fence:
        raise StaleFence(job.job_id, fence, job.fence)
    if job.last_holder != holder:
        raise NotHolder(job.job_id, holder.worker)
    if job.state not in states:
        raise IllegalTransition(job.job_id, verb, job.state)


def require_late(job: Job, holder: Holder, fence: int) -> None:
    """A newer grant that is not accepted yet may still come back: then the late one counts."""
    if job.fence == fence + 1 and job.state is JobState.LEASED:
        raise NewerGrant(job.job_id)
    require_live(job, holder, fence, "take late news of", WAITING_STATES)


def require_live_or_late(
    job: Job, holder: Holder, fence: int, verb: str, states: frozenset[JobState]
) -> dict[str, Any]:
    """What the write refunds: nothing when it is live."""
    if holds(job, holder, fence) and job.state in states:
        return {}
    if job.state in TERMINAL_STATES or job.state in ATTEMPT_STATES:
        require_live(job, holder, fence, verb, states)
    require_late(job, holder, fence)
    return refund_of(job)


def refund_of(job: Job) -> dict[str, Any]:
    taken = {"refundable": False, "failure": None}
    if not job.refundable:
        return taken
    return {**taken, "charged": job.charged - 1, "charged_on": job.charged_on[:-1]}
