"""How a master keeps up: its dispatcher, its event loop, its store."""

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Histogram

from ffrtmp.domain.facts import (
    ClaimTook,
    Dispatched,
    GroupCommitted,
    JobsForgotten,
    StatementTook,
    StoreFailed,
)
from ffrtmp.telemetry.of_jobs import SECONDS

STATEMENT_SECONDS = (0.0005, 0.002, 0.01, 0.05, 0.2, 1, 5)
GROUP_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 512)

MasterFact = ClaimTook | Dispatched | StatementTook | GroupCommitted | StoreFailed | JobsForgotten


class MasterMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._measure_dispatcher(registry)
        self._measure_store(registry)
        self.loop_lag = Histogram(
            "ffrtmp_event_loop_lag_seconds",
            "How late the event loop of the master is.",
            registry=registry,
            buckets=SECONDS,
        )

    def _measure_dispatcher(self, registry: CollectorRegistry) -> None:
        self._claims = Histogram(
            "ffrtmp_claim_seconds",
            "How long one pass of the dispatcher over the queue took.",
            registry=registry,
            buckets=SECONDS,
        )
        self._dispatch = Histogram(
            "ffrtmp_dispatch_seconds",
            "From the news of a job or of a free slot to the offers that it led to.",
            registry=registry,
            buckets=SECONDS,
        )

    def _measure_store(self, registry: CollectorRegistry) -> None:
        self._statements = Histogram(
            "ffrtmp_store_statement_seconds",
            "How long statements of the store took, by the name of the query.",
            ["name"],
            registry=registry,
            buckets=STATEMENT_SECONDS,
        )
        self._groups = Histogram(
            "ffrtmp_store_group_size",
            "Operations in one transaction: the size of a group commit.",
            registry=registry,
            buckets=GROUP_SIZES,
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

    @cache  # noqa: B019 - as many as there are queries; metrics live as long as all
    def _statement(self, name: str) -> Histogram:
        return self._statements.labels(name)

    def count(self, fact: MasterFact) -> None:
        match fact:
            case StatementTook(name, seconds):
                self._statement(name).observe(seconds)
            case GroupCommitted(operations):
                self._groups.observe(operations)
            case ClaimTook(seconds, _):
                self._claims.observe(seconds)
            case Dispatched(seconds, _):
                self._dispatch.observe(seconds)
            case StoreFailed(where, _):
                self._store_failures.labels(where).inc()
            case JobsForgotten(jobs):
                self._forgotten.inc(jobs)
