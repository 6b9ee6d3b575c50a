"""What is read when somebody scrapes: the fleet, the jobs that were counted, the store's pools."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ffrtmp.domain.job import JobState
from ffrtmp.domain.spec import Queue
from ffrtmp.telemetry.traffic import Traffic


@dataclass(frozen=True, slots=True)
class Fleet:
    """The workers as of now."""

    connected: int
    silent: int
    slots: int
    slots_free: int
    oldest_heartbeat_seconds: float
    traffic: Traffic = field(default_factory=Traffic)
    hellos: int = 0
    hellos_waiting: int = 0


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
    oldest_snapshot_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class QueueLoad:
    """Jobs that are queued, and how long the first of them could have run."""

    jobs: int = 0
    oldest_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCounts:
    """The jobs of the store, all masters' together, as they were counted `age_seconds` ago."""

    states: Mapping[JobState, int]
    queues: Mapping[Queue, QueueLoad]
    age_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What is asked for at each scrape. `jobs` is None before they were counted; `certificates`:
    the seconds until the first of a kind ends."""

    fleet: Callable[[], Fleet]
    store: Callable[[], StoreUse]
    jobs: Callable[[], JobCounts | None] = lambda: None
    certificates: Callable[[], Mapping[str, float]] = dict


class Gauges(Collector):
    """Read when they are scraped."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        yield from self._of_the_fleet()
        yield from self._of_the_store()
        yield from self._of_the_jobs()
        left = GaugeMetricFamily(
            "ffrtmp_certificate_expiry_seconds",
            "Time until a certificate ends: this master's, and the first of its workers'.",
            labels=["role"],
        )
        for role, seconds in self._sources.certificates().items():
            left.add_metric([role], seconds)
        yield left

    def _of_the_fleet(self) -> Iterator[Metric]:
        fleet = self._sources.fleet()
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
        hellos = GaugeMetricFamily(
            "ffrtmp_hellos",
            "Workers that say hello just now: handled, or waiting for their turn.",
            labels=["state"],
        )
        hellos.add_metric(["handled"], fleet.hellos)
        hellos.add_metric(["waiting"], fleet.hellos_waiting)
        yield hellos
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
        store = self._sources.store()
        yield CounterMetricFamily(
            "ffrtmp_store_commits", "Transactions that were committed.", value=store.commits
        )
        yield CounterMetricFamily(
            "ffrtmp_store_operations",
            "Operations in those transactions.",
            value=store.operations,
        )
        yield GaugeMetricFamily(
            "ffrtmp_store_oldest_snapshot_seconds",
            "Age of the oldest transaction that keeps PostgreSQL from clearing away old rows.",
            value=store.oldest_snapshot_seconds,
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

    def _of_the_jobs(self) -> Iterator[Metric]:
        counts = self._sources.jobs()
        states = GaugeMetricFamily(
            "ffrtmp_jobs",
            "Jobs of the whole store by state, the same on every master.",
            labels=["state"],
        )
        depths = GaugeMetricFamily(
            "ffrtmp_queue_depth",
            "Jobs that are queued, by queue, the same on every master.",
            labels=["queue"],
        )
        oldest = GaugeMetricFamily(
            "ffrtmp_queue_oldest_seconds",
            "How long the first job of a queue could have run already, the same on every master.",
            labels=["queue"],
        )
        age = GaugeMetricFamily(
            "ffrtmp_jobs_counted_seconds", "How long ago jobs and queues were counted."
        )
        if counts is not None:
            for state in JobState:
                states.add_metric([state.value], counts.states.get(state, 0))
            for queue in Queue:
                load = counts.queues.get(queue, QueueLoad())
                depths.add_metric([queue.value], load.jobs)
                oldest.add_metric([queue.value], load.oldest_seconds)
            age.add_metric([], counts.age_seconds)
        yield from (states, depths, oldest, age)
