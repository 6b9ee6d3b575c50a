"""What follows from what went wrong around FFmpeg: one table from exceptions to reasons."""

from collections.abc import Iterator
from contextlib import contextmanager

from ffrtmp.domain.job import Failure
from ffrtmp.domain.retry import Reason
from ffrtmp.ffmpeg.plan import NothingToEncode
from ffrtmp.storage import errors
from ffrtmp.worker.probe import ProbeDied, ProbeRefused
from ffrtmp.worker.process import CannotStart


class AttemptFailed(Exception):
    """An attempt ended without output; nothing of it is left on disk."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure

    @classmethod
    def because(cls, reason: Reason, message: str) -> "AttemptFailed":
        return cls(Failure(reason=reason, message=message))


REASON_OF: dict[type[Exception], Reason] = {
    errors.RootAbsent: Reason.TRANSPORT,
    errors.PathEscapes: Reason.INVALID_SPEC,
    errors.InputBad: Reason.INPUT_BAD,
    errors.TargetConflict: Reason.TARGET_EXISTS,
    errors.TargetIsInput: Reason.INVALID_SPEC,
    errors.TargetSwapped: Reason.TRANSPORT,
    errors.TargetUnusable: Reason.INVALID_SPEC,
    errors.NoSpace: Reason.RESOURCE,
    errors.StagedLost: Reason.TRANSPORT,
    errors.StorageFailing: Reason.TRANSPORT,
    NothingToEncode: Reason.INPUT_BAD,
    ProbeRefused: Reason.INPUT_BAD,
    ProbeDied: Reason.RESOURCE_MEMORY,
    CannotStart: Reason.RESOURCE,
    OSError: Reason.RESOURCE,  # of the worker's own: no more processes, descriptors, memory
}


@contextmanager
def named() -> Iterator[None]:
    """Turns every exception of the table into AttemptFailed."""
    try:
        yield
    except tuple(REASON_OF) as error:
        raise AttemptFailed.because(_reason(error), str(error)) from error


def _reason(error: Exception) -> Reason:
    return next(REASON_OF[kind] for kind in type(error).__mro__ if kind in REASON_OF)
