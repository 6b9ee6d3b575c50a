"""What can go wrong, named once. `rpc/status.py` maps every leaf to a gRPC status code, once.

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
    Stale                       a write that came too late and changed nothing
        StaleFence
        StaleEpoch
        NotHolder
        NewerGrant              granted anew, not yet accepted: ask again later
    NotAllowed                  the certificate's role does not permit the method
    ProtocolViolation           the peer broke the rules of the stream
    HelloLate                   the stream was opened and nothing said; it may dial again
    NameUnsettled               the master has just started and waits for the name's last owner
    WorkerDoesNotRead           its stream is closed; it may dial again
    WorkerFloods                it says more than it may; its stream is closed
    SessionExpired              its lease ran out; it may dial again
    Overtaken                   a later hello of the same run of the worker; it may dial again
    Unavailable                 cannot be done now; to try again is safe
        StoreBusy               no connection or lock was free in time
        StoreFailing            the disk is full or broken, the database is away
        OutcomeUnknown          the connection broke during the commit
"""


class DomainError(Exception):
    """The root. `str(error)` is one sentence for a person."""


class InvalidArgument(DomainError):
    def __init__(self, field: str, value: object, expected: str) -> None:
        """`field` is a path such as `outputs[0].video.crf`; `expected` says what would be right."""
        super().__init__(f"{field}: {value!r} is not valid: {expected}")
        self.field = field
        self.value = value
        self.expected = expected

    def within(self, owner: str) -> "InvalidArgument":
        """The same, of a part of `owner`."""
        return type(self)(f"{owner}.{self.field}", self.value, self.expected)


class InvalidSpec(InvalidArgument):
    pass


class InvalidPageToken(InvalidArgument):
    pass


class NotFound(DomainError):
    pass


class JobNotFound(NotFound):
    def __init__(self, job_id: str) -> None:
        super().__init__(f"no job {job_id!r}")


class WorkerNotFound(NotFound):
    def __init__(self, name: str) -> None:
        super().__init__(f"no worker {name!r} has connected to this cluster")


class AlreadyExists(DomainError):
    pass


class IdempotencyMismatch(AlreadyExists):
    def __init__(self, key: str, job_id: str) -> None:
        super().__init__(
            f"idempotency key {key!r} was used for another job ({job_id}) with a different body"
        )


class TargetTaken(AlreadyExists):
    def __init__(self, target: str, job_id: str, *, stopping: bool = False) -> None:
        """`stopping`: the job has ended, its last attempt is not known to have."""
        if "://" in target:  # a live target: the hash of its key is nobody's business
            target = target.rpartition("#")[0]
        super().__init__(
            f"target {target} is still held by job {job_id}: its last attempt is being stopped; "
            "try again in a moment"
            if stopping
            else f"target {target} already belongs to job {job_id}, which has not ended"
        )


class NameTaken(AlreadyExists):
    def __init__(self, worker: str, address: str) -> None:
        super().__init__(
            f"worker {worker!r} is already connected from {address}; "
            "give each worker a certificate of its own"
        )


class Refused(DomainError):
    pass


class IllegalTransition(Refused):
    def __init__(self, job_id: str, verb: str, state: str) -> None:
        super().__init__(f"job {job_id} is {state}: cannot {verb} it")


class Stale(DomainError):
    pass


class StaleFence(Stale):
    def __init__(self, job_id: str, fence: int, current: int) -> None:
        super().__init__(f"attempt {fence} of job {job_id} is over: its fence is {current} now")
        self.is_from_the_future = fence > current


class StaleEpoch(Stale):
    def __init__(self, worker: str, epoch: int, current: int) -> None:
        super().__init__(f"stream {epoch} of worker {worker!r} was superseded by {current}")


class NotHolder(Stale):
    def __init__(self, job_id: str, worker: str) -> None:
        super().__init__(f"job {job_id} is not held by this incarnation of worker {worker!r}")


class NewerGrant(Stale):
    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"job {job_id} is on offer to another worker; keep the result and ask again"
        )


class NotAllowed(DomainError):
    pass


class ProtocolViolation(DomainError):
    pass


class WorkerDoesNotRead(DomainError):
    def __init__(self, worker: str) -> None:
        super().__init__(f"worker {worker!r} does not read its stream: too many commands wait")


class HelloLate(DomainError):
    def __init__(self, worker: str, seconds: float) -> None:
        super().__init__(f"worker {worker!r} said no hello in {seconds:g} s; dial again")


class NameUnsettled(DomainError):
    def __init__(self, worker: str, seconds: float) -> None:
        super().__init__(
            f"another run of worker {worker!r} was connected when this master started; "
            f"if it does not come back in {seconds:.0f} s, this one is taken"
        )


class WorkerFloods(DomainError):
    def __init__(self, worker: str) -> None:
        super().__init__(f"worker {worker!r} sends more messages than this master takes")


class SessionExpired(DomainError):
    def __init__(self, worker: str) -> None:
        super().__init__(f"the lease of worker {worker!r} ran out; dial again")


class Overtaken(DomainError):
    def __init__(self, worker: str) -> None:
        super().__init__(
            f"a hello of worker {worker!r} from a stream it had left arrived late and overtook "
            "this stream; dial again"
        )


class Unavailable(DomainError):
    pass


class StoreBusy(Unavailable):
    def __init__(self, waited_seconds: float) -> None:
        super().__init__(
            f"the store is busy: nothing was free for {waited_seconds:g} s; "
            "nothing was changed, try again"
        )


class StoreFailing(Unavailable):
    def __init__(self, why: str) -> None:
        super().__init__(f"the store cannot write: {why}; nothing was changed, try again")


class OutcomeUnknown(Unavailable):
    def __init__(self, why: str) -> None:
        super().__init__(
            f"the connection to the store broke during a commit: {why}; it may have been done, "
            "and is not done twice when tried again"
        )
