"""How a rule changes a row: every move, a release, an attempt given up. For rules only."""

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from ffrtmp.domain.attempt import Failure, Holder
from ffrtmp.domain.errors import IllegalTransition
from ffrtmp.domain.evidence import Evidence
from ffrtmp.domain.job.row import Job, with_changes
from ffrtmp.domain.retry import HEALTHY, RULES, Decision, Reason, decide
from ffrtmp.domain.states import ASIDE, TERMINAL_STATES, TRANSITIONS, Cause, JobState

SKEW = timedelta(minutes=1)


def move(
    job: Job, state: JobState, cause: Cause, *, actor: str, now: datetime, **changes: Any
) -> Job:
    """Every change of state passes here, and is checked against the table."""
    if state not in TRANSITIONS[job.state]:
        raise IllegalTransition(job.job_id, f"make {state}", job.state)
    if state in TERMINAL_STATES:
        changes["end_at"] = not_before(job, now)
    return changed(job, cause, actor=actor, now=now, state=state, **changes)


def changed(job: Job, cause: Cause, *, actor: str, now: datetime, **changes: Any) -> Job:
    at = not_before(job, now)
    evidence: Evidence = changes.get("evidence", job.evidence)
    changes["evidence"] = evidence.after(
        job.state, cause, since=job.changed_at, eligible_at=job.eligible_at, at=at
    )
    return with_changes(
        job,
        **{"detail": "", **changes},
        cause=cause,
        cause_before=job.moved_by if cause in ASIDE else None,
        actor=actor,
        changed_at=at,
        version=job.version + 1,
    )


def not_before(job: Job, now: datetime) -> datetime:
    """Two masters' clocks differ a little, and a job's history does not run backwards for that. A
    clock that was put back is followed."""
    return job.changed_at if timedelta(0) < job.changed_at - now <= SKEW else now


def release(
    job: Job,
    cause: Cause,
    *,
    actor: str,
    now: datetime,
    delay: timedelta = timedelta(0),
    detail: str = "",
    blocked_by: Holder | None = None,
) -> Job:
    return move(
        job,
        JobState.QUEUED,
        cause,
        actor=actor,
        now=now,
        holder=None,
        blocked_by=blocked_by,
        eligible_at=now + delay,
        detail=detail,
    )


def give_up(
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
    decision = _decision(job, failure.reason, chance)
    worker = job.last_holder.worker if job.last_holder else ""
    charged_now = decision.charged > job.charged
    charged_on = (*job.charged_on, worker) if charged_now else job.charged_on
    if decision.exhausted:
        failure = replace(failure, message=failure.message + _given_up(charged_on))
    return move(
        job,
        _back_to(job) if decision.retried else JobState.FAILED,
        cause,
        actor=actor,
        now=now,
        holder=None,
        blocked_by=blocked_by,
        failure=failure,
        evidence=blamed(job) if RULES[failure.reason].blames_platform else job.evidence,
        charged=decision.charged,
        charged_on=charged_on,
        resource_failures=decision.resource_failures,
        refundable=charged_now and decision.retried,
        avoid=worker if decision.avoids_worker else "",
        eligible_at=now + decision.delay,
        detail=failure.message,
    )


def _decision(job: Job, reason: Reason, chance: float) -> Decision:
    return decide(
        reason,
        charged=job.charged,
        resource_failures=job.resource_failures,
        chance=chance,
        restarts=job.restarts,
    )


def blamed(job: Job) -> Evidence:
    """With the attempt that holds it, or held it last, failed by the platform."""
    return job.evidence.failed(job.fence)


def _back_to(job: Job) -> JobState:
    """A paused job stays so when its last attempt turns out to have failed."""
    return JobState.PAUSED if job.state is JobState.PAUSED else JobState.QUEUED


def _given_up(workers: tuple[str, ...]) -> str:
    on = (f"{worker}{_often(count)}" for worker, count in Counter(workers).items())
    return f"; given up after {len(workers)} charged attempts, on {', '.join(on)}"


def _often(count: int) -> str:
    often = "twice" if count == 2 else f"{count} times"  # noqa: PLR2004
    return f" ({often})" if count > 1 else ""


def _forgiven(job: Job, now: datetime) -> Job:
    """A live job that ran well for a while starts with a clean slate."""
    ran_well = job.state is JobState.RUNNING and job.start_at and now - job.start_at >= HEALTHY
    return replace(job, charged=0, charged_on=()) if job.restarts and ran_well else job


def blocker_of(job: Job) -> Holder | None:
    """Whose FFmpeg may still write once the job is taken away."""
    return (job.holder or job.blocked_by) if job.exclusive else None


def actor_of(holder: Holder) -> str:
    return f"worker/{holder.worker}"
