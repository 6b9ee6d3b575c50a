"""Whose word about an attempt counts: the live holder's, and a late one's. For rules only.

Late news come from the attempt that held the job last, or from the one that was accepted last when
newer grants came back unaccepted. The job is then that attempt's again, under that one's fence.
"""

from typing import Any

from ffrtmp.domain.attempt import Accepted, Holder
from ffrtmp.domain.errors import IllegalTransition, NewerGrant, NotHolder, StaleFence
from ffrtmp.domain.job.row import Job
from ffrtmp.domain.states import ATTEMPT_STATES, TERMINAL_STATES, WAITING_STATES, JobState


def holds(job: Job, holder: Holder, fence: int) -> bool:
    return job.fence == fence and job.holder == holder


def was_accepted(job: Job, holder: Holder, fence: int) -> bool:
    """Whether this is the attempt that was accepted last."""
    accepted = job.accepted
    return accepted is not None and (accepted.holder, accepted.fence) == (holder, fence)


def require_live(
    job: Job, holder: Holder, fence: int, verb: str, states: frozenset[JobState]
) -> None:
    if job.fence != fence:
        raise StaleFence(job.job_id, fence, job.fence, job.granted)
    if job.last_holder != holder:
        raise NotHolder(job.job_id, holder.worker)
    if job.state not in states:
        raise IllegalTransition(job.job_id, verb, job.state)


def require_late(job: Job, holder: Holder, fence: int) -> None:
    """A newer grant that is not accepted yet may still come back: then the late one counts. Not
    while somebody else's FFmpeg may write the target of a live push."""
    if fence == job.fence or not was_accepted(job, holder, fence):
        require_live(job, holder, fence, "take late news of", WAITING_STATES)
    elif job.state is JobState.LEASED:
        raise NewerGrant(job.job_id)
    elif job.state not in WAITING_STATES:
        raise IllegalTransition(job.job_id, "take late news of", job.state)
    elif job.blocked_by is not None:
        raise NotHolder(job.job_id, holder.worker)


def require_live_or_late(
    job: Job, holder: Holder, fence: int, verb: str, states: frozenset[JobState]
) -> dict[str, Any]:
    """What else changes with the write: nothing when it is live."""
    if holds(job, holder, fence) and job.state in states:
        return {}
    if job.state in TERMINAL_STATES or job.state in ATTEMPT_STATES:
        require_live(job, holder, fence, verb, states)
    require_late(job, holder, fence)
    return taken_back(job, holder, fence)


def taken_back(job: Job, holder: Holder, fence: int) -> dict[str, Any]:
    """The job is this attempt's again. What was charged for its loss is refunded; an acceptance
    that was never heard of is made up for."""
    changes: dict[str, Any] = {
        "fence": fence,
        "last_holder": holder,
        "accepted": Accepted(holder, fence),
        "refundable": False,
        "failure": None,
        "evidence": job.evidence.not_failed(fence),
    }
    if not was_accepted(job, holder, fence):
        return changes | {"attempts": job.attempts + 1}
    if not job.refundable:
        return changes
    return changes | {"charged": job.charged - 1, "charged_on": job.charged_on[:-1]}
