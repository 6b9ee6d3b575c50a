"""What a worker is told of its results."""

from ffrtmp.domain.errors import NewerGrant
from ffrtmp.domain.messages import Failed, Published, Result, ResultOutcome, ResultStep, Staged
from ffrtmp.store.base import Moved, Outcome


def outcome_of(outcome: Outcome) -> ResultOutcome:
    match outcome:
        case Moved(before, after):
            return ResultOutcome.ALREADY if before is after else ResultOutcome.COMMITTED
        case NewerGrant():
            return ResultOutcome.RETRY_LATER
        case _:
            return ResultOutcome.STALE


def step_of(result: Result) -> ResultStep:
    match result:
        case Staged():
            return ResultStep.STAGED
        case Published():
            return ResultStep.PUBLISHED
        case Failed():
            return ResultStep.FAILED
