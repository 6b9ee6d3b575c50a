"""The life of a job: its row, and the rules that move it; the words are those of `states`.

A rule takes a `Job` and returns a `Job`, or raises a `DomainError` and changes nothing. It returns
the very same object when it was applied before: a message delivered twice is applied once. Each
move raises `version` by one and names its cause, so that a job's events are its history.

    QUEUED -grant-> LEASED -accept-> RUNNING -stage-> PUBLISHING -publish-> SUCCEEDED

The fence rises at every grant and nowhere else; it names the attempt. A *live* write needs the
job's fence, its holder and a held state. A *late* one (QUEUED or PAUSED, same fence, from the last
holder) is accepted when it brings a result: the work is done, and the charge is taken back.

An *exclusive* job (a live push) has nothing to stage and goes from RUNNING straight to SUCCEEDED.
Taken from its holder without the holder's word that its FFmpeg is gone, it is *blocked*: it is not
granted, and its targets are not free, until `unblock` says so.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from ffrtmp.domain.attempt import Failure, FileRecord, Holder, Manifest
from ffrtmp.domain.errors import IllegalTransition, NewerGrant, NotHolder, StaleFence
from ffrtmp.domain.retry import BACKOFF_LONGEST, HEALTHY, Reason, decide
from ffrtmp.domain.spec import Priority
from ffrtmp.domain.states import (
    ATTEMPT_STATES,
    HELD_STATES,
    ORDERS,
    TERMINAL_STATES,
    TRANSITIONS,
    WAITING_STATES,
    Cause,
    JobState,
)

__all__ = [
    "ATTEMPT_STATES",
    "HELD_STATES",
    "REJECTS",
    "REJECTS_WITHIN",
    "REJECT_DELAY",
    "TERMINAL_STATES",
    "TRANSITIONS",
    "UNSCHEDULABLE_DELAY",
    "WAITING_STATES",
    "Cause",
    "Failure",
    "FileRecord",
    "Holder",
    "Job",
    "JobState",
    "Manifest",
    "Rule",
    "accept",
    "adopt",
    "cancel",
    "fail",
    "grant",
    "inherit",
    "is_eligible",
    "leave_unanswered",
    "lose",
    "new_job",
    "order",
    "publish",
    "reject",
    "stage",
    "unblock",
]

REJECT_DELAY = timedelta(seconds=1)
REJECTS = 20
REJECTS_WITHIN = timedelta(minutes=10)
UNSCHEDULABLE_DELAY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The hot row. The spec lies apart (`NewJob.spec`): no rule here needs it.

    `charged_on`: the worker of each charge. `restarts`: how many charged failures of FFmpeg a live
    job is started again after. `blocked_by`: whose FFmpeg may still write an exclusive target.
    `priority` is None until somebody gives it another than its spec's.
    """

    job_id: str
    state: JobState
    job_class: str
    rank: int
    submit_at: datetime
    eligible_at: datetime
    version: int = 1
    cause: Cause = Cause.SUBMITTED
    actor: str = ""
    changed_at: datetime
    fence: int = 0
    attempts: int = 0
    charged: int = 0
    charged_on: tuple[str, ...] = ()
    resource_failures: int = 0
    refundable: bool = False
    holder: Holder | None = None
    last_holder: Holder | None = None
    avoid: str = ""
    start_at: datetime | None = None
    end_at: datetime | None = None
    manifest: Manifest | None = None
    failure: Failure | None = None
    detail: str = ""
    exclusive: bool = False
    restarts: int = 0
    blocked_by: Holder | None = None
    rejects: int = 0
    rejected_since: datetime | None = None
    priority: Priority | None = None
    cause_before: Cause | None = None

    @property
    def moved_by(self) -> Cause:
        """What moved it last, the orders of people aside."""
        return self.cause_before if self.cause in ORDERS and self.cause_before else self.cause

    @property
    def is_unschedulable(self) -> bool:
        """No worker takes it; `detail` has the last one's reason."""
        return self.state is JobState.QUEUED and self.rejects >= REJECTS

    @property
    def frees_targets(self) -> bool:
        """It has ended, and nobody writes its targets any more."""
        return self.state in TERMINAL_STATES and self.blocked_by is None


Rule = Callable[[Job], Job]
"""Returns the job after the move, the same object if it was made before, or raises."""


def new_job(
    *,
    job_id: str,
    job_class: str,
    rank: int,
    now: datetime,
    actor: str,
    exclusive: bool = False,
    restarts: int = 0,
) -> Job:
    return Job(
        job_id=job_id,
        state=JobState.QUEUED,
        job_class=job_class,
        rank=rank,
        submit_at=now,
        eligible_at=now,
        changed_at=now,
        actor=actor,
        exclusive=exclusive,
        restarts=restarts,
    )


def is_eligible(job: Job, now: datetime) -> bool:
    """Nothing waits longer than the longest back-off: what seems to, was queued before the clock
    was put back, and has waited."""
    return not timedelta(0) < job.eligible_at - now <= BACKOFF_LONGEST


def grant(job: Job, *, holder: Holder, now: datetime) -> Job:
    """QUEUED to LEASED. The fence rises here and nowhere else."""
    if job.state is not JobState.QUEUED or not is_eligible(job, now):
        raise IllegalTransition(job.job_id, "grant", job.state)
    if job.blocked_by is not None:
        raise IllegalTransition(job.job_id, "grant", f"blocked by worker {job.blocked_by.worker}")
    return _move(
        job,
        JobState.LEASED,
        Cause.GRANTED,
        actor="master",
        now=now,
        fence=job.fence + 1,
        holder=holder,
        last_holder=holder,
        refundable=False,
    )


def accept(job: Job, *, holder: Holder, fence: int, now: datetime) -> Job:
    """LEASED to RUNNING. Comes before the worker touches the input."""
    if _holds(job, holder, fence) and job.state in ATTEMPT_STATES:
        return job
    _require_live(job, holder, fence, "accept", frozenset({JobState.LEASED}))
    return _move(
        job,
        JobState.RUNNING,
        Cause.ACCEPTED,
        actor=_actor(holder),
        now=now,
        attempts=job.attempts + 1,
        start_at=now,
        rejects=0,
        rejected_since=None,
    )


def reject(job: Job, *, holder: Holder, fence: int, why: str, now: datetime) -> Job:
    """LEASED to QUEUED, not charged, after a second.

    From the twentieth in ten minutes on it is a minute, until an offer is accepted.
    """
    _require_live(job, holder, fence, "reject", frozenset({JobState.LEASED}))
    since, rejects = job.rejected_since or now, job.rejects + 1
    if rejects <= REJECTS and now - since >= REJECTS_WITHIN:
        since, rejects = now, 1
    return _release(
        replace(job, rejects=rejects, rejected_since=since),
        Cause.REJECTED,
        actor=_actor(holder),
        now=now,
        delay=UNSCHEDULABLE_DELAY if rejects >= REJECTS else REJECT_DELAY,
        detail=why,
    )


def leave_unanswered(job: Job, *, fence: int, now: datetime) -> Job:
    """LEASED to QUEUED, not charged: the offer was not answered, or never sent.

    The worker may have begun all the same: an exclusive job is blocked.
    """
    if job.fence != fence:
        raise StaleFence(job.job_id, fence, job.fence)
    if job.state is not JobState.LEASED:
        raise IllegalTransition(job.job_id, "take back the offer of", job.state)
    return _release(job, Cause.UNANSWERED, actor="master", now=now, blocked_by=_blocker(job))


def stage(job: Job, *, holder: Holder, fence: int, manifest: Manifest, now: datetime) -> Job:
    """RUNNING to PUBLISHING: from now on only the bytes of the manifest may be published.

    A late result is accepted and refunds its charge. A stored manifest cannot be replaced.
    """
    if _holds(job, holder, fence) and job.state is JobState.PUBLISHING:
        if job.manifest == manifest:
            return job
        raise IllegalTransition(job.job_id, "change the manifest of", job.state)
    if job.exclusive:
        raise IllegalTransition(job.job_id, "stage", "exclusive")
    if job.manifest is not None and job.manifest.files != manifest.files:
        raise IllegalTransition(job.job_id, "change the manifest of", job.state)
    refund = _require_live_or_late(job, holder, fence, "stage", frozenset({JobState.RUNNING}))
    return _move(
        job,
        JobState.PUBLISHING,
        Cause.STAGED,
        actor=_actor(holder),
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
        _require_late(job, holder, fence)
        refund = _refund(job)
    else:
        before = JobState.RUNNING if job.exclusive else JobState.PUBLISHING
        _require_live(job, holder, fence, "publish", frozenset({before}))
    return _move(
        job,
        JobState.SUCCEEDED,
        Cause.PUBLISHED,
        actor=_actor(holder),
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
    refund = _require_live_or_late(job, holder, fence, "fail", ATTEMPT_STATES)
    stopped = failure.reason is Reason.STOPPED
    return _give_up(
        replace(job, manifest=job.manifest if stopped else None, **refund),
        Cause.RETURNED if stopped else Cause.FAILED,
        failure,
        actor=_actor(holder),
        chance=chance,
        now=now,
    )


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
    _require_live(job, holder, fence, "lose", HELD_STATES)
    blocker = None if dead else _blocker(job)
    failure = Failure(reason=Reason.WORKER_LOST, message=why)
    if job.state is not JobState.RUNNING or job.manifest is not None or not charged:
        lost = replace(job, failure=failure)  # else its event would name an earlier one's reason
        return _release(lost, Cause.LOST, actor="master", now=now, detail=why, blocked_by=blocker)
    return _give_up(
        job, Cause.LOST, failure, actor="master", chance=chance, now=now, blocked_by=blocker
    )


def unblock(job: Job, *, holder: Holder, fence: int, why: str, now: datetime) -> Job:
    """The FFmpeg of attempt `fence` on `holder` is gone: the job may be granted again.

    The one thing that may still happen to a job that has ended; its state stays.
    """
    if job.fence != fence:
        raise StaleFence(job.job_id, fence, job.fence)
    if job.blocked_by is None:
        return job
    if job.blocked_by != holder:
        raise NotHolder(job.job_id, holder.worker)
    return _changed(job, Cause.UNBLOCKED, actor="master", now=now, blocked_by=None, detail=why)


def adopt(job: Job, *, holder: Holder, fence: int, now: datetime) -> Job:
    """Waiting to RUNNING, same fence: a worker thought lost still runs it. Refunds the charge."""
    if _holds(job, holder, fence) and job.state in ATTEMPT_STATES:
        return job
    _require_late(job, holder, fence)
    if job.moved_by is Cause.UNANSWERED:
        raise IllegalTransition(job.job_id, "adopt", "queued, its offer was taken back")
    return _move(
        job,
        JobState.RUNNING,
        Cause.ADOPTED,
        actor=_actor(holder),
        now=now,
        holder=holder,
        blocked_by=None,
        **_refund(job),
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
    return _move(
        job,
        job.state,
        Cause.INHERITED,
        actor=_actor(heir),
        now=now,
        holder=heir if job.holder else None,
        last_holder=heir,
        blocked_by=None,
    )


def cancel(job: Job, *, actor: str, now: datetime) -> Job:
    """Any state before PUBLISHING to CANCELLED. Idempotent. An exclusive attempt may go on for a
    moment: until then the job is blocked.

    A stored manifest may be published already, by a worker that was lost before it could say so: as
    long as it is kept, the job is past the point of no return whatever its state.
    """
    if job.state is JobState.CANCELLED:
        return job
    if JobState.CANCELLED not in TRANSITIONS[job.state]:
        raise IllegalTransition(job.job_id, "cancel", job.state)
    if job.manifest is not None:
        raise IllegalTransition(job.job_id, "cancel", f"{job.state}, and maybe published already")
    return _move(
        job,
        JobState.CANCELLED,
        Cause.CANCELLED,
        actor=actor,
        now=now,
        holder=None,
        blocked_by=_blocker(job),
        end_at=now,
    )


def _move(
    job: Job, state: JobState, cause: Cause, *, actor: str, now: datetime, **changes: Any
) -> Job:
    """Every change of state passes here, and is checked against the table."""
    if state not in TRANSITIONS[job.state]:
        raise IllegalTransition(job.job_id, f"make {state}", job.state)
    return _changed(job, cause, actor=actor, now=now, state=state, **changes)


def _changed(job: Job, cause: Cause, *, actor: str, now: datetime, **changes: Any) -> Job:
    return replace(
        job,
        **{"detail": "", **changes},
        cause=cause,
        actor=actor,
        changed_at=now,
        version=job.version + 1,
    )


def _release(
    job: Job,
    cause: Cause,
    *,
    actor: str,
    now: datetime,
    delay: timedelta = timedelta(0),
    detail: str = "",
    blocked_by: Holder | None = None,
) -> Job:
    return _move(
        job,
        JobState.QUEUED,
        cause,
        actor=actor,
        now=now,
        holder=None,
        blocked_by=blocked_by,
        eligible_at=now + delay,
        refundable=False,
        detail=detail,
    )


def _give_up(
    job: Job,
    cause: Cause,
    failure: Failure,
    *,
    actor: str,
    chance: float,
    now: datetime,
    blocked_by: Holder | None = None,
) -> Job:
    job = _forgiven(job, now)
    decision = decide(
        failure.reason,
        charged=job.charged,
        resource_failures=job.resource_failures,
        chance=chance,
        restarts=job.restarts,
    )
    worker = job.last_holder.worker if job.last_holder else ""
    charged_now = decision.charged > job.charged
    charged_on = (*job.charged_on, worker) if charged_now else job.charged_on
    if decision.exhausted:
        failure = replace(failure, message=failure.message + _given_up(charged_on))
    return _move(
        job,
        _back_to(job) if decision.retried else JobState.FAILED,
        cause,
        actor=actor,
        now=now,
        holder=None,
        blocked_by=blocked_by,
        failure=failure,
        charged=decision.charged,
        charged_on=charged_on,
        resource_failures=decision.resource_failures,
        refundable=charged_now and decision.retried,
        avoid=worker if decision.avoids_worker else "",
        eligible_at=now + decision.delay,
        end_at=None if decision.retried else now,
        detail=failure.message,
    )


def _back_to(job: Job) -> JobState:
    """A paused job stays so when its last attempt turns out to have failed."""
    return JobState.PAUSED if job.state is JobState.PAUSED else JobState.QUEUED


def order(job: Job, cause: Cause, *, actor: str, now: datetime, **changes: Any) -> Job:
    """A move by a person; offers that nobody took are counted anew. For `orders` only."""
    return _move(
        job,
        changes.pop("state", job.state),
        cause,
        actor=actor,
        now=now,
        cause_before=job.moved_by,
        rejects=0,
        rejected_since=None,
        **changes,
    )


def _forgiven(job: Job, now: datetime) -> Job:
    """A live job that ran well for a while starts with a clean slate."""
    ran_well = job.state is JobState.RUNNING and job.start_at and now - job.start_at >= HEALTHY
    return replace(job, charged=0, charged_on=()) if job.restarts and ran_well else job


def _given_up(workers: tuple[str, ...]) -> str:
    return f"; given up after {len(workers)} charged attempts, on {', '.join(workers)}"


def _blocker(job: Job) -> Holder | None:
    """Whose FFmpeg may still write once the job is taken away."""
    return (job.holder or job.blocked_by) if job.exclusive else None


def _holds(job: Job, holder: Holder, fence: int) -> bool:
    return job.fence == fence and job.holder == holder


def _require_live(
    job: Job, holder: Holder, fence: int, verb: str, states: frozenset[JobState]
) -> None:
    if job.fence != fence:
        raise StaleFence(job.job_id, fence, job.fence)
    if job.last_holder != holder:
        raise NotHolder(job.job_id, holder.worker)
    if job.state not in states:
        raise IllegalTransition(job.job_id, verb, job.state)


def _require_late(job: Job, holder: Holder, fence: int) -> None:
    """A newer grant that is not accepted yet may still come back: then the late one counts."""
    if job.fence == fence + 1 and job.state is JobState.LEASED:
        raise NewerGrant(job.job_id)
    _require_live(job, holder, fence, "take late news of", WAITING_STATES)


def _require_live_or_late(
    job: Job, holder: Holder, fence: int, verb: str, states: frozenset[JobState]
) -> dict[str, Any]:
    """What the write refunds: nothing when it is live."""
    if _holds(job, holder, fence) and job.state in states:
        return {}
    if job.state in TERMINAL_STATES or job.state in ATTEMPT_STATES:
        _require_live(job, holder, fence, verb, states)
    _require_late(job, holder, fence)
    return _refund(job)


def _refund(job: Job) -> dict[str, Any]:
    taken = {"refundable": False, "failure": None}
    if not job.refundable:
        return taken
    return {**taken, "charged": job.charged - 1, "charged_on": job.charged_on[:-1]}


def _was_reported(job: Job, failure: Failure) -> bool:
    """The stored message may say in addition that the job was given up."""
    if job.moved_by not in {Cause.FAILED, Cause.RETURNED} or job.failure is None:
        return False
    told = (failure.message, failure.message + _given_up(job.charged_on))
    same = replace(job.failure, message=failure.message) == failure
    return same and job.failure.message in told


def _actor(holder: Holder) -> str:
    return f"worker/{holder.worker}"
