"""The hot row of a job, how it begins, and when it may be granted."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

from ffrtmp.domain.attempt import Accepted, Failure, Holder, Manifest
from ffrtmp.domain.evidence import NO_EVIDENCE, Evidence
from ffrtmp.domain.judgement import Judgement
from ffrtmp.domain.retry import BACKOFF_LONGEST
from ffrtmp.domain.spec import Priority, Purpose, Queue
from ffrtmp.domain.states import ASIDE, TERMINAL_STATES, Cause, JobState

REJECTS = 20
"""So many rejects in ten minutes, and a job counts as one that no worker takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The hot row. The spec lies apart (`NewJob.spec`): no rule here needs it.

    `fence` and `last_holder` name the attempt that holds the job or held it last, `granted` is the
    highest fence so far. `refundable`: the charge of the attempt `accepted` may be taken back.
    `charged_on`: the worker of each charge. `restarts`: how many charged failures of FFmpeg a live
    job is started again after. `blocked_by`: whose FFmpeg may still write an exclusive target.
    `priority` is None until somebody gives it another than its spec's. `evidence` is judged once it
    has ended: `sla`.
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
    granted: int = 0
    attempts: int = 0
    charged: int = 0
    charged_on: tuple[str, ...] = ()
    resource_failures: int = 0
    refundable: bool = False
    holder: Holder | None = None
    last_holder: Holder | None = None
    accepted: Accepted | None = None
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
    queue: Queue = Queue.DEFAULT
    purpose: Purpose = Purpose.PRODUCTION
    evidence: Evidence = NO_EVIDENCE
    sla: Judgement | None = None

    @property
    def moved_by(self) -> Cause:
        """What moved it last: how its last attempt ended, whatever was noted since."""
        return self.cause_before if self.cause in ASIDE and self.cause_before else self.cause

    def took_offer_back(self, fence: int) -> bool:
        """Whether the offer of this attempt came back unanswered: what runs on it is to stop."""
        accepted = self.accepted is not None and self.accepted.fence == fence
        return self.moved_by is Cause.UNANSWERED and not accepted

    @property
    def is_unschedulable(self) -> bool:
        """No worker takes it; `detail` has the last one's reason."""
        return self.state is JobState.QUEUED and self.rejects >= REJECTS

    @property
    def frees_targets(self) -> bool:
        """It has ended, and nobody writes its targets any more."""
        return self.state in TERMINAL_STATES and self.blocked_by is None


_FIELDS = tuple(field.name for field in fields(Job))
_VALUES = attrgetter(*_FIELDS)


def with_changes(job: Job, **changes: Any) -> Job:
    """As `dataclasses.replace`, in three fifths of its time: with so many fields, that was the
    dearest part of a move."""
    after = object.__new__(Job)
    for name, value in zip(_FIELDS, _VALUES(job), strict=True):
        object.__setattr__(after, name, value)
    for name, value in changes.items():
        object.__setattr__(after, name, value)
    return after


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
    queue: Queue = Queue.DEFAULT,
    purpose: Purpose = Purpose.PRODUCTION,
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
        queue=queue,
        purpose=purpose,
    )


def is_eligible(job: Job, now: datetime) -> bool:
    """Nothing waits longer than the longest back-off: what seems to, was queued before the clock
    was put back, and has waited."""
    return not timedelta(0) < job.eligible_at - now <= BACKOFF_LONGEST
