"""What master and worker say to each other, as types. `rpc/convert.py` turns them into protobuf.

A message up carries a batch of events, a message down a batch of numbered commands. An event or
command about an attempt names it by its `AttemptKey`.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from ffrtmp.domain.figures import Figures
from ffrtmp.domain.job import Failure, Manifest
from ffrtmp.domain.log import Lines
from ffrtmp.domain.session import AttemptKey, AttemptReport, Phase, Verdict
from ffrtmp.domain.spec import JobSpec
from ffrtmp.domain.timers import Timers
from ffrtmp.domain.worker import Capabilities, Load

MOST_EVENTS = 1024
"""In one message. A worker's outbox holds fewer."""
MOST_ATTEMPTS = 1024
"""That one worker may list, and slots it may have."""
MOST_LOG = 256 * 1024
"""Characters of log lines in one report, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """First on every stream. `attempts` is everything the worker holds, journalled or running.

    `previous` is the incarnation before, where this run holds the lock of that one's state folder:
    that one has ended. Empty: nothing is known of it.

    `dial`: which stream of this incarnation it opens, from 1; 0: not known.
    """

    incarnation: str
    previous: str = ""
    capabilities: Capabilities
    attempts: tuple[AttemptReport, ...] = ()
    slots: int = 0
    load: Load = field(default_factory=Load)
    dial: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """`seen` is the number of the last command received on this stream; 0 slots: draining."""

    number: int
    seen: int
    slots: int
    attempts: tuple[AttemptReport, ...] = ()
    load: Load = field(default_factory=Load)


@dataclass(frozen=True, slots=True)
class CapabilitiesChanged:
    capabilities: Capabilities


@dataclass(frozen=True, slots=True)
class OfferReply:
    """`rejection` says why not; empty: accepted. `passing`: the reason will pass by itself.
    `crowded`: when another attempt has ended."""

    key: AttemptKey
    rejection: str = ""
    passing: bool = False
    crowded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an attempt is; `total` None when unknown. Spans of media time."""

    key: AttemptKey
    phase: Phase
    position: timedelta = timedelta(0)
    total: timedelta | None = None
    frames: int = 0
    frames_per_second: float = 0.0
    speed: float = 0.0
    size: int = 0


@dataclass(frozen=True, slots=True)
class ProgressReport:
    """All running attempts of a worker at once."""

    attempts: tuple[Progress, ...]


@dataclass(frozen=True, slots=True)
class LogPart:
    """Lines that FFmpeg wrote. May be lost, or come twice: they are numbered."""

    key: AttemptKey
    lines: Lines


@dataclass(frozen=True, slots=True)
class LogReport:
    """What is new of every running attempt's log."""

    parts: tuple[LogPart, ...]


@dataclass(frozen=True, slots=True)
class Staged:
    """The outputs are verified and lie next to their targets."""

    key: AttemptKey
    manifest: Manifest
    figures: Figures | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """The outputs lie under their final names. `figures` only of a live push."""

    key: AttemptKey
    figures: Figures | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    key: AttemptKey
    failure: Failure
    figures: Figures | None = None


Result = Staged | Published | Failed
AttemptEvent = OfferReply | Result
"""What is committed of an attempt."""


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The worker leaves and holds nothing any more; its session may be closed at once."""


Event = (
    Hello
    | Heartbeat
    | CapabilitiesChanged
    | OfferReply
    | ProgressReport
    | LogReport
    | Result
    | Goodbye
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """`epoch` numbers this stream among the worker's streams. `draining`: an operator wants it.
    `acknowledges_offers`: an older master does not, and nobody waits for it."""

    epoch: int
    timers: Timers
    reconnect_spread: timedelta
    verdicts: tuple[Verdict, ...] = ()
    draining: bool = False
    acknowledges_offers: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatAck:
    """`remaining` counts from when the worker *sent* the heartbeat of that `number`."""

    number: int
    remaining: timedelta
    verdicts: tuple[Verdict, ...] = ()
    draining: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """`publish_only`: publish those bytes, staged under its fence, and encode nothing."""

    key: AttemptKey
    spec: JobSpec
    publish_only: Manifest | None = None


@dataclass(frozen=True, slots=True)
class OfferAck:
    """The acceptance is committed: the worker may touch the input now."""

    key: AttemptKey


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop the attempt and throw away what it made."""

    key: AttemptKey


class ResultOutcome(StrEnum):
    """What became of a result. RETRY_LATER: keep it and send it again."""

    COMMITTED = "committed"
    ALREADY = "already"
    STALE = "stale"
    RETRY_LATER = "retry_later"


class ResultStep(StrEnum):
    """Which of an attempt's results is meant."""

    STAGED = "staged"
    PUBLISHED = "published"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ResultAck:
    key: AttemptKey
    step: ResultStep
    outcome: ResultOutcome


@dataclass(frozen=True, slots=True)
class Reconnect:
    """The master goes down: come back after this long."""

    after: timedelta


@dataclass(frozen=True, slots=True)
class Reject:
    """The stream is refused; `why` is a sentence for the worker's operator."""

    why: str


Command = Welcome | HeartbeatAck | Offer | OfferAck | Cancel | ResultAck | Reconnect | Reject


@dataclass(frozen=True, slots=True)
class Numbered:
    """A command as sent: numbers rise by one on each stream, from 1."""

    number: int
    command: Command
