"""Every metric of a master, read off the very object that counts: what a scrape can show."""

from dataclasses import dataclass

from ffrtmp.telemetry.gauges import Fleet, JobCounts, PoolLoad, Sources, StoreUse
from ffrtmp.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """`name` as it is asked for in an expression, but for the `_bucket`, `_sum` and `_count` of a
    histogram."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str

    @property
    def samples(self) -> frozenset[str]:
        """The names of its samples."""
        if self.kind != "histogram":
            return frozenset({self.name})
        return frozenset(f"{self.name}_{part}" for part in ("bucket", "sum", "count"))


def families() -> list[Family]:
    """By name."""
    pool = PoolLoad(name="", size=0, used=0, waiting=0, refused=0)
    metrics = Metrics(
        Sources(
            fleet=lambda: Fleet(0, 0, 0, 0, 0.0),
            store=lambda: StoreUse(0, [pool]),
            jobs=lambda: JobCounts(states={}, queues={}, age_seconds=0.0),
            certificates=lambda: {"master": 0.0},
        )
    )
    found = [
        Family(
            name=f"{each.name}_total" if each.type == "counter" else each.name,
            kind=each.type,
            labels=labels,
            meaning=each.documentation,
        )
        for each, labels in metrics.described()
    ]
    return sorted(found, key=lambda family: family.name)
