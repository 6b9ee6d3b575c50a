"""A job's history: one event for each move, derived from the job after it."""

from dataclasses import dataclass
from datetime import datetime

from ffrtmp.domain.figures import Figures
from ffrtmp.domain.job import ENDINGS, Cause, Job, JobState
from ffrtmp.domain.retry import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """Who did what to a job, when and why. Numbered from 1 without a gap, never changed."""

    job_id: str
    number: int
    event_at: datetime
    actor: str
    cause: Cause
    state: JobState
    fence: int
    worker: str = ""
    reason: Reason | None = None
    detail: str = ""
    charged: int = 0
    blocked_by: str = ""
    eligible_at: datetime | None = None
    figures: Figures | None = None


def event_of(job: Job, figures: Figures | None = None) -> JobEvent:
    """The event of the move that made `job` what it is. `figures`: what the worker measured."""
    failed = job.failure is not None and job.cause in ENDINGS
    waits = job.state is JobState.QUEUED and job.eligible_at > job.changed_at
    return JobEvent(
        job_id=job.job_id,
        number=job.version,
        event_at=job.changed_at,
        actor=job.actor,
        cause=job.cause,
        state=job.state,
        fence=job.fence,
        worker=job.last_holder.worker if job.last_holder else "",
        reason=job.failure.reason if failed and job.failure else None,
        detail=job.detail,
        charged=job.charged,
        blocked_by=job.blocked_by.worker if job.blocked_by else "",
        eligible_at=job.eligible_at if waits else None,
        figures=figures,
    )
