"""A job is taken from its holder, lost or cancelled; and when that holder's FFmpeg is gone."""

from dataclasses import replace
from datetime import datetime

from ffrtmp.domain.attempt import Failure, Holder
from ffrtmp.domain.errors import IllegalTransition, NotHolder, StaleFence
from ffrtmp.domain.job.claims import require_live
from ffrtmp.domain.job.moves import blamed, blocker_of, changed, give_up, move, release
from ffrtmp.domain.job.row import Job
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.states import (
    ATTEMPT_STATES,
    HELD_STATES,
    TRANSITIONS,
    WAITING_STATES,
    Cause,
    JobState,
)

MAYBE_PUBLISHED = "by force: its outputs may be published already"


def lose(
    job: Job,
    *,
    holder: Holder,
    fence: int,
    why: str,
    chance: float,
    now: datetime,
    dead: bool = False,
    charged: bool = True,
) -> Job:
    """The holder is gone. LEASED and PUBLISHING return uncharged, RUNNING by the retry table.

    A job in PUBLISHING keeps its manifest: its next offer says *publish only*, and as long as it is
    kept no loss is charged: a job that may be published already must not end as FAILED. `dead`: the
    attempt's FFmpeg is known to be gone, by the worker's word or because its lease ran out in full;
    else an exclusive job is blocked. `charged` is False in a mass loss.
    """
    require_live(job, holder, fence, "lose", HELD_STATES)
    blocker = None if dead else blocker_of(job)
    failure = Failure(reason=Reason.WORKER_LOST, message=why)
    evidence = blamed(job) if job.state in ATTEMPT_STATES else job.evidence
    if job.state is not JobState.RUNNING or job.manifest is not None or not charged:
        # Else its event would name an earlier one's reason.
        lost = replace(job, failure=failure, evidence=evidence)
        return release(lost, Cause.LOST, actor="master", now=now, detail=why, blocked_by=blocker)
    return give_up(
        job, Cause.LOST, failure, actor="master", chance=chance, now=now, blocked_by=blocker
    )


def unblock(job: Job, *, holder: Holder, fence: int, why: str, now: datetime) -> Job:
    """The FFmpeg of attempt `fence` on `holder` is gone: the job may be granted again.

    The one thing that may still happen to a job that has ended; its state stays.
    """
    if job.fence != fence:
        raise StaleFence(job.job_id, fence, job.fence, job.granted)
    if job.blocked_by is None:
        return job
    if job.blocked_by != holder:
        raise NotHolder(job.job_id, holder.worker)
    return changed(job, Cause.UNBLOCKED, actor="master", now=now, blocked_by=None, detail=why)


def cancel(job: Job, *, actor: str, now: datetime, force: bool = False) -> Job:
    """Any state before PUBLISHING to CANCELLED. Idempotent. An exclusive attempt may go on for a
    moment: until then the job is blocked.

    A stored manifest may be published already, by a worker that was lost before it could say so: as
    long as it is kept, the job is past the point of no return whatever its state. `force` cancels
    one that only waits for its worker to return, and the event says that its outputs may be there.
    """
    if job.state is JobState.CANCELLED:
        return job
    if JobState.CANCELLED not in TRANSITIONS[job.state]:
        raise IllegalTransition(job.job_id, "cancel", job.state)
    unsure = job.manifest is not None
    if unsure and not (force and job.state in WAITING_STATES):
        raise IllegalTransition(job.job_id, "cancel", f"{job.state}, and maybe published already")
    return move(
        job,
        JobState.CANCELLED,
        Cause.CANCELLED,
        actor=actor,
        now=now,
        holder=None,
        blocked_by=blocker_of(job),
        detail=MAYBE_PUBLISHED if unsure else "",
    )
