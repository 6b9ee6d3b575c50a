"""What happened, as values. The parts report facts; telemetry counts and writes them down."""

from dataclasses import dataclass
from datetime import datetime

from ffrtmp.domain.job import Job


@dataclass(frozen=True, slots=True)
class JobMoved:
    """`before` is None for a job that was just submitted."""

    before: Job | None
    after: Job


@dataclass(frozen=True, slots=True)
class SessionOpened:
    worker: str
    epoch: int
    address: str


@dataclass(frozen=True, slots=True)
class SessionClosed:
    worker: str
    epoch: int
    why: str


@dataclass(frozen=True, slots=True)
class StreamRefused:
    worker: str
    address: str
    why: str


@dataclass(frozen=True, slots=True)
class CertificateRanOut:
    """A worker's stream was ended with the certificate that it was opened with."""

    worker: str
    ended_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainChanged:
    """An operator asked for it."""

    worker: str
    draining: bool
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRemoved:
    """An operator forgot it."""

    worker: str
    actor: str


@dataclass(frozen=True, slots=True)
class JobsForgotten:
    """Retention deleted jobs that had ended long ago."""

    jobs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerQuarantined:
    """It lost too much: no offers until then. `jobs`: what it lost lately."""

    worker: str
    until: datetime
    jobs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReleased:
    """An operator ended its quarantine."""

    worker: str
    actor: str


@dataclass(frozen=True, slots=True)
class MassLossBegan:
    """So many sessions were lost at once that nobody is charged. `fleet`: how many there were."""

    lost: int
    fleet: int


@dataclass(frozen=True, slots=True)
class AttemptDisowned:
    """A worker speaks of an attempt that it cannot have. `what`: unknown_job, future_fence or
    another_worker."""

    worker: str
    job_id: str
    fence: int
    what: str


@dataclass(frozen=True, slots=True)
class ClaimTook:
    """One pass of the dispatcher: how long, and how many jobs it granted."""

    seconds: float
    jobs: int


@dataclass(frozen=True, slots=True)
class Dispatched:
    """From the first news that something may be offered (a job, a slot, a worker) to the offers."""

    seconds: float
    offers: int


@dataclass(frozen=True, slots=True)
class MessageStale:
    """A worker speaks of an attempt that is not its any more. `what`: accept, reject, staged,
    published, failed, progress, stream (all that an older stream of it still says) or hello (that
    of a stream which it has left)."""

    worker: str
    what: str


@dataclass(frozen=True, slots=True)
class StatementTook:
    """One statement of the store; `name` is that of the query in the code."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class GroupCommitted:
    """One transaction of the store, with so many operations in it."""

    operations: int


@dataclass(frozen=True, slots=True)
class EnvelopeUnknown:
    """A peer said something this build does not know; it was ignored."""

    peer: str
    count: int


@dataclass(frozen=True, slots=True)
class StoreFailed:
    """The store could not serve a loop of the master, which tries again."""

    where: str
    why: str


Fact = (
    JobMoved
    | SessionOpened
    | SessionClosed
    | StreamRefused
    | CertificateRanOut
    | DrainChanged
    | WorkerRemoved
    | JobsForgotten
    | WorkerQuarantined
    | WorkerReleased
    | MassLossBegan
    | AttemptDisowned
    | ClaimTook
    | Dispatched
    | MessageStale
    | StatementTook
    | GroupCommitted
    | EnvelopeUnknown
    | StoreFailed
)
