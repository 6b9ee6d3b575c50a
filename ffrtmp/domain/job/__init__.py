"""The life of a job: its row, and the rules that move it; the words are those of `states`.

A rule takes a `Job` and returns a `Job`, or raises a `DomainError` and changes nothing. It returns
the very same object when it was applied before: a message delivered twice is applied once. Each
move raises `version` by one and names its cause, so that a job's events are its history.

    QUEUED -grant-> LEASED -accept-> RUNNING -stage-> PUBLISHING -publish-> SUCCEEDED

The fence rises at every grant and nowhere else; it names the attempt. A *live* write needs the
job's fence, its holder and a held state. A *late* one (QUEUED or PAUSED, from the last holder, or
from the attempt accepted last when newer grants came back) is accepted when it brings a result: the
work is done, the charge is taken back, and the job goes on under that attempt's fence.

An *exclusive* job (a live push) has nothing to stage and goes from RUNNING straight to SUCCEEDED.
Taken from its holder without the holder's word that its FFmpeg is gone, it is *blocked*: it is not
granted, and its targets are not free, until `unblock` says so.

The row is in `row`, who may speak of an attempt in `claims`, what all moves share in `moves`; the
moves themselves are in `offers`, `results`, `losses` and `heirs`.
"""

from ffrtmp.domain.attempt import Accepted, Failure, FileRecord, Holder, Manifest
from ffrtmp.domain.job.heirs import adopt, inherit
from ffrtmp.domain.job.losses import cancel, lose, unblock
from ffrtmp.domain.job.offers import (
    REJECT_DELAY,
    REJECTS_WITHIN,
    UNSCHEDULABLE_DELAY,
    accept,
    grant,
    leave_unanswered,
    reject,
)
from ffrtmp.domain.job.results import fail, publish, stage
from ffrtmp.domain.job.row import REJECTS, Job, Rule, is_eligible, new_job
from ffrtmp.domain.states import (
    ATTEMPT_STATES,
    ENDINGS,
    HELD_STATES,
    RETRIABLE_STATES,
    TERMINAL_STATES,
    TRANSITIONS,
    WAITING_STATES,
    Cause,
    JobState,
)

__all__ = [
    "ATTEMPT_STATES",
    "ENDINGS",
    "HELD_STATES",
    "REJECTS",
    "REJECTS_WITHIN",
    "REJECT_DELAY",
    "RETRIABLE_STATES",
    "TERMINAL_STATES",
    "TRANSITIONS",
    "UNSCHEDULABLE_DELAY",
    "WAITING_STATES",
    "Accepted",
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
    "publish",
    "reject",
    "stage",
    "unblock",
]
