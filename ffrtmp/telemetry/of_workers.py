"""What workers and their streams do: how they come and go, and what they should not say."""

from prometheus_client import CollectorRegistry, Counter

from ffrtmp.domain.facts import (
    AttemptDisowned,
    CertificateRanOut,
    EnvelopeUnknown,
    MassLossBegan,
    MessageStale,
    SessionClosed,
    SessionOpened,
    StreamRefused,
    WorkerQuarantined,
)

WorkerFact = (
    SessionOpened
    | SessionClosed
    | StreamRefused
    | CertificateRanOut
    | WorkerQuarantined
    | MassLossBegan
    | AttemptDisowned
    | MessageStale
    | EnvelopeUnknown
)


class WorkerMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._streams = Counter(
            "ffrtmp_streams",
            "Streams of workers: opened, closed (gone for good), refused, certificate_ended.",
            ["what"],
            registry=registry,
        )
        self._quarantines = Counter(
            "ffrtmp_quarantines", "Workers put into quarantine.", registry=registry
        )
        self._mass_losses = Counter(
            "ffrtmp_mass_losses", "Times that many workers were lost at once.", registry=registry
        )
        self._disowned = Counter(
            "ffrtmp_disowned_attempts",
            "Words of workers about attempts that they cannot have.",
            ["what"],
            registry=registry,
        )
        self._stale = Counter(
            "ffrtmp_stale_messages",
            "Words of workers about attempts that are not theirs any more; they change nothing.",
            ["what"],
            registry=registry,
        )
        self._ignored = Counter(
            "ffrtmp_unknown_messages",
            "Things that peers said and this build does not know.",
            registry=registry,
        )

    def count(self, fact: WorkerFact) -> None:
        match fact:
            case SessionOpened():
                self._streams.labels("opened").inc()
            case SessionClosed():
                self._streams.labels("closed").inc()
            case StreamRefused():
                self._streams.labels("refused").inc()
            case CertificateRanOut():
                self._streams.labels("certificate_ended").inc()
            case WorkerQuarantined():
                self._quarantines.inc()
            case MassLossBegan():
                self._mass_losses.inc()
            case AttemptDisowned(what=what):
                self._disowned.labels(what).inc()
            case MessageStale(what=what):
                self._stale.labels(what).inc()
            case EnvelopeUnknown(_, number):
                self._ignored.inc(number)
