"""What can go wrong, named once. `rpc/status.py` maps every leaf to a gRPC status code, once.
A leaf's docstring says when it comes and what to do; `ffrtmp docs errors` prints them.

DomainError
    InvalidArgument             a value the caller must change; names field, value and what is right
        InvalidSpec
        InvalidPageToken
    NotFound
        JobNotFound
        WorkerNotFound
    AlreadyExists
        IdempotencyMismatch     same key, another body
        TargetTaken             a live job writes this target
        NameTaken               another incarnation of this worker is alive
    Refused                     the state of things forbids it
        IllegalTransition
        WorkerInUse             it is connected, or a job is bound to it
    Stale                       a write that came too late and changed nothing
        StaleFence
        StaleEpoch
        NotHolder
        NewerGrant              granted anew, not yet accepted: ask again later
    NotAllowed                  the certificate's role does not permit the method
    ProtocolViolation           the peer broke the rules of the stream
    HelloLate                   the stream was opened and nothing said; it may dial again
    NameUnsettled               another run may still have the name; it may dial again
    WorkerDoesNotRead           its stream is closed; it may dial again
    WorkerFloods                it says more than it may; its stream is closed
    SessionExpired              its lease ran out; it may dial again
    Overtaken                   a later hello of the same run of the worker; it may dial again
    HelloOvertaken              of a stream that the worker has left; it may dial again
    CertificateEnded            it may dial again, with a newer one
    Overloaded                  too many jobs submitted at once; nothing stored; try again later
    TooManyClasses              of jobs that have not ended; nothing stored
    Unavailable                 cannot be done now; to try again is safe
        StoreBusy               no connection or lock was free in time
        StoreFailing            the disk is full or broken, the database is away
        OutcomeUnknown          the connection broke during the commit
"""

from enum import Enum
from math import ceil
from typing import Self


class DomainError(Exception):
    """The root. `str(error)` is one sentence for a person."""


class InvalidArgument(DomainError):
    def __init__(self, field: str, value: object, expected: str) -> None:
        """`field` is a path such as `outputs[0].video.crf`; `expected` says what would be right."""
        shown = value.value if isinstance(value, Enum) else value
        super().__init__(f"{field}: {shown!r} is not valid: {expected}")
        self.field = field
        self.value = value
        self.expected = expected

    def within(self, owner: str) -> Self:
        """The same, of a part of `owner`."""
        return type(self)(f"{owner}.{self.field}", self.value, self.expected)


class InvalidSpec(InvalidArgument):
    """A job's spec, or another argument of a call, is wrong; nothing was stored.

    Do: change the field that the message names: it says what would be right.
    """


class InvalidPageToken(InvalidArgument):
    """The page token is not from the answer before, or the filter is another one.

    Do: begin again without a token.
    """


class NotFound(DomainError):
    pass


class JobNotFound(NotFound):
    """No job has this id.

    Do: look at `ffrtmp jobs list`; a finished job may have been deleted by age.
    """

    def __init__(self, job_id: str) -> None:
        super().__init__(f"no job {job_id!r}")


class WorkerNotFound(NotFound):
    """No worker of this name ever connected.

    Do: look at `ffrtmp workers list`; the name is the one in its certificate.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"no worker {name!r} has connected to this cluster")


class AlreadyExists(DomainError):
    pass


class IdempotencyMismatch(AlreadyExists):
    """The idempotency key was used before, for a job with another body.

    Do: use a new key for a new job; the message names the old one.
    """

    def __init__(self, key: str, job_id: str) -> None:
        super().__init__(
            f"key {key!r} was used before, for job {job_id}, which is not the same: use a new key "
            "for a new job"
        )


class TargetTaken(AlreadyExists):
    """A job that has not ended, or whose FFmpeg may still write, has this target, or one that is a
    folder of this one or lies below it.

    Do: wait for that job, cancel it, or choose another target.
    """

    def __init__(
        self, target: str, job_id: str, *, stopping: bool = False, owned: str = ""
    ) -> None:
        """`stopping`: the job has ended, its last attempt is not known to have. `owned`: that job's
        target, where it is another one, a folder of this one or the reverse."""
        if owned:
            super().__init__(
                f"target {target} cannot be made beside {owned} of job {job_id}, which has not "
                "ended: one is a file, and a folder of the other; choose another path"
            )
            return
        if "://" in target:  # a live target: the hash of its key is nobody's business
            target = target.rpartition("#")[0]
        super().__init__(
            f"target {target} is still held by job {job_id}: its last attempt is being stopped; "
            "try again in a moment"
            if stopping
            else f"target {target} already belongs to job {job_id}, which has not ended"
        )


class NameTaken(AlreadyExists):
    """A worker says hello while another one of its name is alive.

    Do: give each worker a certificate of its own.
    """

    def __init__(self, worker: str, address: str) -> None:
        super().__init__(
            f"worker {worker!r} is already connected from {address}; "
            "give each worker a certificate of its own"
        )


class Refused(DomainError):
    pass


class IllegalTransition(Refused):
    """The job is in a state that does not allow this: a cancel after its end, say.

    Do: look at the job; when it has ended, `ffrtmp jobs retry` makes a new one.
    """

    def __init__(self, job_id: str, verb: str, state: str) -> None:
        being = {"succeeded": "has", "failed": "has", "cancelled": "was"}.get(state, "is")
        super().__init__(f"job {job_id} {being} {state}: cannot {verb} it")


class WorkerInUse(Refused):
    """A worker that is connected, or whose name a job still bears, was to be removed.

    Do: stop it, wait until `ffrtmp workers list` shows it as gone, and say it again.
    """

    def __init__(self, worker: str, why: str) -> None:
        super().__init__(f"worker {worker!r} cannot be removed: {why}")


class Stale(DomainError):
    pass


class StaleFence(Stale):
    """A worker speaks of an attempt that is over; nothing was changed.

    Do: nothing: the worker stops that attempt.
    """

    def __init__(self, job_id: str, fence: int, current: int, newest: int = 0) -> None:
        """`newest`: the highest ever granted, where an older attempt is the current one."""
        super().__init__(f"attempt {fence} of job {job_id} is over: its fence is {current} now")
        self.newest = max(current, newest)
        self.is_from_the_future = fence > self.newest


class StaleEpoch(Stale):
    """A newer stream of the same worker has taken over; nothing was changed.

    Do: nothing, unless it comes again and again: then two processes share one certificate.
    """

    def __init__(self, worker: str, epoch: int, current: int) -> None:
        super().__init__(f"stream {epoch} of worker {worker!r} was superseded by {current}")


class NotHolder(Stale):
    """A worker speaks of a job that it does not hold; nothing was changed.

    Do: nothing: the worker stops that attempt.
    """

    def __init__(self, job_id: str, worker: str) -> None:
        super().__init__(f"job {job_id} is not held by this incarnation of worker {worker!r}")


class NewerGrant(Stale):
    """A late result, while the job is on offer to another worker.

    Do: nothing: the worker keeps its result and asks again.
    """

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"job {job_id} is on offer to another worker; keep the result and ask again"
        )


class NotAllowed(DomainError):
    """The certificate is of another cluster, names no member, or its role may not call this.

    Do: use a certificate of the role that the message names.
    """


class ProtocolViolation(DomainError):
    """A peer broke the rules of the stream, which is closed.

    Do: run the same version of ffrtmp on both sides; if it comes again, report it.
    """


class WorkerDoesNotRead(DomainError):
    """A worker does not read what the master sends; its stream is closed.

    Do: nothing: it dials again. If it comes again: is its machine overloaded?
    """

    def __init__(self, worker: str) -> None:
        super().__init__(f"worker {worker!r} does not read its stream: too many commands wait")


class HelloLate(DomainError):
    """A worker opened a stream and said nothing on it.

    Do: nothing: it dials again. If it comes again: is its machine overloaded?
    """

    def __init__(self, worker: str, seconds: float) -> None:
        super().__init__(f"worker {worker!r} said no hello in {seconds:g} s; dial again")


class NameUnsettled(DomainError):
    """Another run of that worker may still live: this master has just started, or another one heard
    of it lately.

    Do: nothing: the worker dials again. It is taken when the time is over, or refused once the
    other was heard of again.
    """

    def __init__(self, worker: str, seconds: float) -> None:
        super().__init__(
            f"another run of worker {worker!r} was connected last; "
            f"if nothing is heard of it in {ceil(seconds)} s, this one is taken"
        )


class WorkerFloods(DomainError):
    """A worker sends more messages than any good one; its stream is closed.

    Do: update that worker; its jobs go to others.
    """

    def __init__(self, worker: str) -> None:
        super().__init__(f"worker {worker!r} sends more messages than this master takes")


class SessionExpired(DomainError):
    """A worker was not heard for a whole lease; its jobs go to others.

    Do: look at its machine and network; it dials again by itself.
    """

    def __init__(self, worker: str) -> None:
        super().__init__(f"the lease of worker {worker!r} ran out; dial again")


class Overtaken(DomainError):
    """A hello of this very run of the worker, sent on a stream that it had left, came late: after
    that of this stream.

    Do: nothing; the worker dials again by itself.
    """

    def __init__(self, worker: str) -> None:
        super().__init__(
            f"a hello of worker {worker!r} from a stream it had left arrived late and overtook "
            "this stream; dial again"
        )


class HelloOvertaken(DomainError):
    """This hello of the worker was read after a later one, of the same run or of the next: its
    stream was left.

    Do: nothing; the worker dials again by itself, if it waits for an answer at all.
    """

    def __init__(self, worker: str, dial: int) -> None:
        super().__init__(
            f"hello {dial} of worker {worker!r} was read after a later one; dial again"
        )


class CertificateEnded(DomainError):
    """The connection was opened with a certificate that has ended meanwhile.

    Do: renew it: `ffrtmp certs renew DIR`; a worker takes the new files by itself.
    """

    def __init__(self, member: str) -> None:
        super().__init__(
            f"the certificate of {member} has ended: renew it with `ffrtmp certs renew DIR`"
        )


class Overloaded(DomainError):
    """Too many jobs are being submitted at once; nothing of this call was stored.

    Do: try again a little later, with fewer at a time.
    """

    def __init__(self, jobs: int, most: int) -> None:
        super().__init__(
            f"{jobs} jobs more than the {most} that may be submitted at once; nothing of this call "
            "was stored: try again a little later"
        )


class TooManyClasses(DomainError):
    """Jobs that have not ended ask for too many different things; nothing of this call was stored.

    Do: ask for fewer different labels, codecs and roots, or wait until some of those jobs end
    (`ffrtmp overview` lists what is asked for).
    """

    def __init__(self, most: int) -> None:
        super().__init__(
            f"jobs of {most} classes have not ended, which is the limit: this one asks for labels, "
            "codecs or roots that none of them does; nothing of this call was stored"
        )


class Unavailable(DomainError):
    pass


class StoreBusy(Unavailable):
    """No connection or lock was free in time; nothing was changed.

    Do: try again. Often? Look at `ffrtmp_store_waiting` and `--store-api-connections`.
    """

    def __init__(self, waited_seconds: float) -> None:
        super().__init__(
            f"the store is busy: nothing was free for {waited_seconds:g} s; "
            "nothing was changed, try again"
        )


class StoreFailing(Unavailable):
    """The disk is full or broken, or the database is away; nothing was changed.

    Do: mend the disk or the database, then try again; running jobs go on meanwhile.
    """

    def __init__(self, why: str) -> None:
        super().__init__(f"the store cannot write: {why}; nothing was changed, try again")


class OutcomeUnknown(Unavailable):
    """The connection to the database broke during a commit: it may have been done.

    Do: try again: what was done is not done twice.
    """

    def __init__(self, why: str) -> None:
        super().__init__(
            f"the connection to the store broke during a commit: {why}; it may have been done, "
            "and is not done twice when tried again"
        )
