"""Facts as Prometheus metrics. Names of workers and jobs are on none of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ffrtmp.domain.facts import (
    AttemptDisowned,
    CertificateRanOut,
    ClaimTook,
    DrainChanged,
    EnvelopeUnknown,
    Fact,
    JobMoved,
    JobsForgotten,
    MassLossBegan,
    SessionClosed,
    SessionOpened,
    StoreFailed,
    StreamRefused,
    WorkerQuarantined,
    WorkerReleased,
    WorkerRemoved,
)
from ffrtmp.domain.job import TERMINAL_STATES, Cause, Job, JobState
from ffrtmp.telemetry.traffic import Traffic

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 30)
_FAILING = frozenset({Cause.FAILED, Cause.LOST})
LONG_SECONDS = (0.005, 0.02, 0.1, 1, 5, 15, 60, 300, 900, 3600, 14400)


@dataclass(frozen=True, slots=True)
class Fleet:
    """The workers as of now."""

    connected: int
    silent: int
    slots: int
    slots_free: int
    oldest_heartbeat_seconds: float
    traffic: Traffic = field(default_factory=Traffic)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLoad:
    """Connections to the store, the calls that wait for one, and those that waited in vain."""

    name: str
    size: int
    used: int
    waiting: int
    refused: int


@dataclass(frozen=True, slots=True)
class StoreUse:
    """The store as of now."""

    commits: int
    pools: Sequence[PoolLoad]
    operations: int = 0


class Metrics:
    def __init__(
        self,
        fleet: Callable[[], Fleet],
        store: Callable[[], StoreUse],
        certificates: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        """`certificates`: the seconds until the first of a kind ends."""
        # When a series began is of no use here, and doubles the number of lines.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        registry = CollectorRegistry()
        self._registry = registry
        self._moves = Counter(
            "ffrtmp_job_moves",
            "Moves of jobs, by what caused them and the state they led to.",
            ["cause", "state"],
            registry=registry,
        )
        self._failures = Counter(
            "ffrtmp_attempt_failures",
            "Attempts that failed, by reason, retried or not.",
            ["reason"],
            registry=registry,
        )
        self._queue_wait = Histogram(
            "ffrtmp_queue_wait_seconds",
            "How long jobs waited: from eligible to accepted by a worker.",
            registry=registry,
            buckets=LONG_SECONDS,
        )
        self._offers = Histogram(
            "ffrtmp_offer_seconds",
            "How long workers took to accept: from granted to accepted.",
            registry=registry,
            buckets=SECONDS,
        )
        self._run_time = Histogram(
            "ffrtmp_run_seconds",
            "How long jobs ran: from accepted to the end of the job.",
            registry=registry,
            buckets=LONG_SECONDS,
        )
        self._claims = Histogram(
            "ffrtmp_claim_seconds",
            "How long one pass of the dispatcher over the queue took.",
            registry=registry,
            buckets=SECONDS,
        )
        self.loop_lag = Histogram(
            "ffrtmp_event_loop_lag_seconds",
            "How late the event loop of the master is.",
            registry=registry,
            buckets=SECONDS,
        )
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
        self._ignored = Counter(
            "ffrtmp_unknown_messages",
            "Things that peers said and this build does not know.",
            registry=registry,
        )
        self._store_failures = Counter(
            "ffrtmp_store_failures",
            "Passes of a loop of the master that the store failed.",
            ["where"],
            registry=registry,
        )
        self._forgotten = Counter(
            "ffrtmp_forgotten_jobs", "Finished jobs deleted by retention.", registry=registry
        )
        registry.register(_Gauges(fleet, store, certificates))

    def text(self) -> bytes:
        """In the exposition format."""
        return generate_latest(self._registry)

    def described(self) -> Iterator[tuple[Metric, tuple[str, ...]]]:
        """Every family with its labels, also where nothing was counted yet."""
        for collector in self._registry._collector_to_names:  # noqa: SLF001  # it tells nobody else
            named = getattr(collector, "_labelnames", ())
            for family in collector.collect():
                shown = {label for sample in family.samples for label in sample.labels}
                yield family, tuple(named) or tuple(sorted(shown - {"le"}))

    def count(self, fact: Fact) -> None:  # noqa: C901, PLR0912  # one case a fact
        match fact:
            case JobMoved(before, after):
                self._count_move(before, after)
            case ClaimTook(seconds, _):
                self._claims.observe(seconds)
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
            case JobsForgotten(jobs):
                self._forgotten.inc(jobs)
            case DrainChanged() | WorkerRemoved() | WorkerReleased():
                pass
            case EnvelopeUnknown(_, number):
                self._ignored.inc(number)
            case StoreFailed(where, _):
                self._store_failures.labels(where).inc()

    @cache  # noqa: B019 - as many as there are causes and states; metrics live as long as all
    def _move_of(self, cause: Cause, state: JobState) -> Counter:
        return self._moves.labels(cause.value, state.value)

    def _count_move(self, before: Job | None, after: Job) -> None:
        self._move_of(after.cause, after.state).inc()
        if after.cause in _FAILING and after.failure is not None:
            self._failures.labels(after.failure.reason.value).inc()
        if before is not None and after.cause is Cause.ACCEPTED:
            waited = (after.changed_at - before.eligible_at).total_seconds()
            self._queue_wait.observe(max(0.0, waited))
            self._offers.observe(max(0.0, (after.changed_at - before.changed_at).total_seconds()))
        if after.state in TERMINAL_STATES and after.start_at and after.end_at:
            self._run_time.observe((after.end_at - after.start_at).total_seconds())


class _Gauges(Collector):
    """Read when they are scraped."""

    def __init__(
        self,
        fleet: Callable[[], Fleet],
        store: Callable[[], StoreUse],
        certificates: Callable[[], Mapping[str, float]],
    ) -> None:
        self._fleet = fleet
        self._store = store
        self._certificates = certificates

    def collect(self) -> Iterator[Metric]:
        yield from self._of_the_fleet()
        yield from self._of_the_store()
        left = GaugeMetricFamily(
            "ffrtmp_certificate_expiry_seconds",
            "Time until a certificate ends: this master's, and the first of its workers'.",
            labels=["role"],
        )
        for role, seconds in self._certificates().items():
            left.add_metric([role], seconds)
        yield left

    def _of_the_fleet(self) -> Iterator[Metric]:
        fleet = self._fleet()
        workers = GaugeMetricFamily(
            "ffrtmp_workers",
            "Workers of this master: connected, or silent (the stream is broken).",
            labels=["state"],
        )
        workers.add_metric(["connected"], fleet.connected)
        workers.add_metric(["silent"], fleet.silent)
        yield workers
        slots = GaugeMetricFamily(
            "ffrtmp_slots", "Slots of its connected workers: total, used, free.", labels=["state"]
        )
        slots.add_metric(["total"], fleet.slots)
        slots.add_metric(["used"], fleet.slots - fleet.slots_free)
        slots.add_metric(["free"], fleet.slots_free)
        yield slots
        yield from self._of_the_streams(fleet.traffic)
        yield GaugeMetricFamily(
            "ffrtmp_heartbeat_age_seconds",
            "Age of the oldest heartbeat of a live worker.",
            value=fleet.oldest_heartbeat_seconds,
        )

    def _of_the_streams(self, traffic: Traffic) -> Iterator[Metric]:
        messages = CounterMetricFamily(
            "ffrtmp_stream_messages",
            "Messages on the streams of workers: received, sent.",
            labels=["direction"],
        )
        messages.add_metric(["received"], traffic.received)
        messages.add_metric(["sent"], traffic.sent)
        parts = CounterMetricFamily(
            "ffrtmp_stream_parts",
            "Events received and commands sent in those messages.",
            labels=["direction"],
        )
        parts.add_metric(["received"], traffic.events)
        parts.add_metric(["sent"], traffic.commands)
        yield from (messages, parts)

    def _of_the_store(self) -> Iterator[Metric]:
        store = self._store()
        yield CounterMetricFamily(
            "ffrtmp_store_commits", "Transactions that were committed.", value=store.commits
        )
        yield CounterMetricFamily(
            "ffrtmp_store_operations",
            "Operations in those transactions: divided by them, the size of a group commit.",
            value=store.operations,
        )
        connections = GaugeMetricFamily(
            "ffrtmp_store_connections",
            "Connections to the store: most, used.",
            labels=["pool", "state"],
        )
        waiting = GaugeMetricFamily(
            "ffrtmp_store_waiting", "Calls that wait for the store.", labels=["pool"]
        )
        refused = CounterMetricFamily(
            "ffrtmp_store_refused", "Calls that waited for the store in vain.", labels=["pool"]
        )
        for pool in store.pools:
            connections.add_metric([pool.name, "most"], pool.size)
            connections.add_metric([pool.name, "used"], pool.used)
            waiting.add_metric([pool.name], pool.waiting)
            refused.add_metric([pool.name], pool.refused)
        yield from (connections, waiting, refused)
