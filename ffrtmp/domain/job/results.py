"""The moves of a result: staged, published, failed; live or late."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from ffrtmp.domain.attempt import Accepted, Failure, Holder, Manifest
from ffrtmp.domain.errors import IllegalTransition
from ffrtmp.domain.job.claims import (
    holds,
    require_late,
    require_live,
    require_live_or_late,
    taken_back,
)
from ffrtmp.domain.job.moves import actor_of, give_up, move
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
    late = require_live_or_late(job, holder, fence, "stage", frozenset({JobState.RUNNING}))
    return move(
        job,
        JobState.PUBLISHING,
        Cause.STAGED,
        actor=actor_of(holder),
        now=now,
        holder=holder,
        manifest=manifest,
        **late,
    )


def publish(job: Job, *, holder: Holder, fence: int, now: datetime) -> Job:
    """PUBLISHING to SUCCEEDED: the files lie under their final names.

    An exclusive job was RUNNING: its push came to its end.
    """
    if job.state is JobState.SUCCEEDED and job.fence == fence and job.last_holder == holder:
        return job
    late: dict[str, Any] = {}
    waiting = job.state in WAITING_STATES | {JobState.LEASED}
    if waiting and (job.exclusive or job.manifest is not None):
        require_late(job, holder, fence)
        late = taken_back(job, holder, fence)
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
        **{**late, "failure": None, "blocked_by": None},
    )


def fail(
    job: Job, *, holder: Holder, fence: int, failure: Failure, chance: float, now: datetime
) -> Job:
    """RUNNING or PUBLISHING to QUEUED or FAILED, as the retry table says.

    A real failure drops the manifest: what was staged cannot be published any more. STOPPED (by
    the cluster or its worker: drain) keeps it. A late failure replaces the loss that was assumed,
    and its charge. An attempt fails once: what it says of that later changes nothing.
    """
    if job.accepted == (failed := Accepted(holder, fence, failed=True)):
        return job
    late = require_live_or_late(job, holder, fence, "fail", ATTEMPT_STATES)
    stopped = failure.reason is Reason.STOPPED
    return give_up(
        replace(job, manifest=job.manifest if stopped else None, **late | {"accepted": failed}),
        Cause.RETURNED if stopped else Cause.FAILED,
        failure,
        actor=actor_of(holder),
        chance=chance,
        now=now,
    )
