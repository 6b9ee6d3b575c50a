"""Facts as Prometheus metrics. Names of workers and jobs are on none of them."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, disable_created_metrics, generate_latest
from prometheus_client.core import Metric

from ffrtmp.domain.facts import DrainChanged, Fact, JobMoved, WorkerReleased, WorkerRemoved
from ffrtmp.telemetry.gauges import Gauges, Sources
from ffrtmp.telemetry.of_jobs import JobMetrics
from ffrtmp.telemetry.of_master import MasterFact, MasterMetrics
from ffrtmp.telemetry.of_workers import WorkerFact, WorkerMetrics


class Metrics:
    def __init__(self, sources: Sources) -> None:
        # When a series began is of no use here, and doubles the number of lines.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._jobs = JobMetrics(self._registry)
        self._workers = WorkerMetrics(self._registry)
        self._master = MasterMetrics(self._registry)
        self._registry.register(Gauges(sources))

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

    def note_loop_lag(self, seconds: float) -> None:
        """The event loop of the master was so late."""
        self._master.loop_lag.observe(seconds)

    def count(self, fact: Fact) -> None:
        if isinstance(fact, MasterFact):
            self._master.count(fact)
        elif isinstance(fact, JobMoved):
            self._jobs.count(fact.before, fact.after)
        elif isinstance(fact, WorkerFact):
            self._workers.count(fact)
        else:
            _leave_uncounted(fact)


def _leave_uncounted(_fact: DrainChanged | WorkerRemoved | WorkerReleased) -> None:
    """What operators do is in the log."""
