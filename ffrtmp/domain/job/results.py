"""The moves of a result: staged, published, failed; live or late."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from ffrtmp.domain.attempt import Failure, Holder, Manifest
from ffrtmp.domain.errors import IllegalTransition
from ffrtmp.domain.job.claims import (
    holds,
    refund_of,
    require_late,
    require_live,
    require_live_or_late,
)
from ffrtmp.domain.job.moves import actor_of, give_up, move, told_given_up
from ffrtmp.domain.job.row import Job
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.states import ATTEMPT_STATES, WAITING_STATES, Cause, JobState


def stage(job: Job, *, holder: Holder, fence: int, manifest: Manifest, now: datetime) -> Job:
    """RUNNING to PUBLISHING: from now on only the bytes of the manifest may be published.

    A late result is accepted and refunds its charge. A stored manifest cannot be replaced.
    """
    if holds(job, holder, fence) and job.state is JobState.PUBLISHING:
        if job.manifest == manifest:
            return job
        raise IllegalTransition(job.job_id, "change the manifest of", job.state)
    if job.exclusive:
        raise IllegalTransition(job.job_id, "stage", "exclusive")
    if job.manifest is not None and job.manifest.files != manifest.files:
        raise IllegalTransition(job.job_id, "change the manifest of", job.state)
    refund = require_live_or_late(job, holder, fence, "stage", frozenset({JobState.RUNNING}))
    return move(
        job,
        JobState.PUBLISHING,
        Cause.STAGED,
        actor=actor_of(holder),
        now=now,
        holder=holder,
        manifest=manifest,
        **refund,
    )


def publish(job: Job, *, holder: Holder, fence: int, now: datetime) -> Job:
    """PUBLISHING to SUCCEEDED: the files lie under their final names.

    An exclusive job was RUNNING: its push came to its end.
    """
    if job.state is JobState.SUCCEEDED and job.fence == fence and job.last_holder == holder:
        return job
    refund: dict[str, Any] = {}
    waiting = job.state in WAITING_STATES | {JobState.LEASED}
    if waiting and (job.exclusive or job.manifest is not None):
        require_late(job, holder, fence)
        refund = refund_of(job)
    else:
        before = JobState.RUNNING if job.exclusive else JobState.PUBLISHING
        require_live(job, holder, fence, "publish", frozenset({before}))
    return move(
        job,
        JobState.SUCCEEDED,
        Cause.PUBLISHED,
        actor=actor_of(holder),
        now=now,
        holder=None,
        end_at=now,
        **{**refund, "failure": None, "blocked_by": None},
    )


def fail(
    job: Job, *, holder: Holder, fence: int, failure: Failure, chance: float, now: datetime
) -> Job:
    """RUNNING or PUBLISHING to QUEUED or FAILED, as the retry table says.

    A real failure drops the manifest: what was staged cannot be published any more. STOPPED (by
    the cluster or its worker: drain) keeps it. A late failure replaces the loss that was assumed,
    and its charge.
    """
    if job.fence == fence and job.last_holder == holder and _was_reported(job, failure):
        return job
    refund = require_live_or_late(job, holder, fence, "fail", ATTEMPT_STATES)
    stopped = failure.reason is Reason.STOPPED
    return give_up(
        replace(job, manifest=job.manifest if stopped else None, **refund),
        Cause.RETURNED if stopped else Cause.FAILED,
        failure,
        actor=actor_of(holder),
        chance=chance,
        now=now,
    )


def _was_reported(job: Job, failure: Failure) -> bool:
    """The stored message may say in addition that the job was given up."""
    if job.moved_by not in {Cause.FAILED, Cause.RETURNED} or job.failure is None:
        return False
    told = (failure.message, failure.message + told_given_up(job.charged_on))
    same = replace(job.failure, message=failure.message) == failure
    return same and job.failure.message in told
