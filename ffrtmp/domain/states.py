"""The states of a job, the table of moves between them, and what moves one."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class JobState(StrEnum):
    QUEUED = "queued"
    PAUSED = "paused"
    LEASED = "leased"
    RUNNING = "running"
    PUBLISHING = "publishing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Cause(StrEnum):
    """What moved a job; the state after it says where to."""

    SUBMITTED = "submitted"
    GRANTED = "granted"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNANSWERED = "unanswered"
    STAGED = "staged"
    PUBLISHED = "published"
    FAILED = "failed"
    LOST = "lost"
    RETURNED = "returned"
    ADOPTED = "adopted"
    INHERITED = "inherited"
    CANCELLED = "cancelled"
    UNBLOCKED = "unblocked"
    PAUSED = "paused"
    RESUMED = "resumed"
    REPRIORITISED = "reprioritised"


TRANSITIONS: Mapping[JobState, frozenset[JobState]] = MappingProxyType(
    {
        JobState.QUEUED: frozenset(
            {
                JobState.QUEUED,  # its last attempt inherited by a new incarnation
                JobState.PAUSED,
                JobState.LEASED,
                JobState.RUNNING,  # adopted: a worker thought lost still runs it
                JobState.PUBLISHING,  # a late STAGED
                JobState.SUCCEEDED,  # a late PUBLISHED
                JobState.FAILED,  # a late failure
                JobState.CANCELLED,
            }
        ),
        JobState.PAUSED: frozenset(
            {
                JobState.QUEUED,
                JobState.PAUSED,  # inherited, or a late failure that is to be tried again
                JobState.RUNNING,  # from here on as above: late news of the last attempt
                JobState.PUBLISHING,
                JobState.SUCCEEDED,
                JobState.FAILED,
                JobState.CANCELLED,
            }
        ),
        JobState.LEASED: frozenset({JobState.QUEUED, JobState.RUNNING, JobState.CANCELLED}),
        JobState.RUNNING: frozenset(
            {
                JobState.QUEUED,
                JobState.RUNNING,  # inherited by a new incarnation
                JobState.PUBLISHING,
                JobState.SUCCEEDED,  # exclusive: there is nothing to publish
                JobState.FAILED,
                JobState.CANCELLED,
            }
        ),
        JobState.PUBLISHING: frozenset(
            {JobState.QUEUED, JobState.PUBLISHING, JobState.SUCCEEDED, JobState.FAILED}
        ),
        JobState.SUCCEEDED: frozenset(),
        JobState.FAILED: frozenset(),
        JobState.CANCELLED: frozenset(),
    }
)
TERMINAL_STATES = frozenset(state for state, following in TRANSITIONS.items() if not following)
RETRIABLE_STATES = TERMINAL_STATES - {JobState.SUCCEEDED}
"""A person may have it done once more: what has succeeded is there, and is submitted anew."""
HELD_STATES = frozenset({JobState.LEASED, JobState.RUNNING, JobState.PUBLISHING})
ATTEMPT_STATES = frozenset({JobState.RUNNING, JobState.PUBLISHING})
WAITING_STATES = frozenset({JobState.QUEUED, JobState.PAUSED})
ENDINGS = frozenset({Cause.FAILED, Cause.LOST, Cause.RETURNED})
"""With what an attempt ends badly."""
ORDERS = frozenset({Cause.PAUSED, Cause.RESUMED, Cause.REPRIORITISED})
"""What a person may do to a job that waits."""
ASIDE = ORDERS | {Cause.UNBLOCKED, Cause.INHERITED}
"""What says nothing of how the last attempt ended: that stays known beside it."""
