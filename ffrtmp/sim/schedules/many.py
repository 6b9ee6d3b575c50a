"""Many schedules on all cores, and what came of them."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one schedule went. `trace`: a digest of all that happened; `counts`: what it bore."""

    seed: int
    violations: tuple[str, ...]
    trace: str = ""
    counts: Counter[str] = field(default_factory=Counter)


Simulate = Callable[[int], Verdict]


@dataclass(slots=True)
class Total:
    """`failed`: the schedules with a violation."""

    schedules: int = 0
    failed: list[Verdict] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, verdicts: Sequence[Verdict]) -> None:
        for verdict in verdicts:
            self.schedules += 1
            self.counts.update(verdict.counts)
            if verdict.violations:
                self.failed.append(verdict)


def run_many(
    simulate: Simulate, seeds: Sequence[int], *, processes: int, chunk: int
) -> Iterator[Total]:
    """The total so far, each time some are done. `simulate` is a function of a module."""
    total = Total()
    chunks = [seeds[start : start + chunk] for start in range(0, len(seeds), chunk)]
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
    try:
        for verdicts in pool.map(_run, [simulate] * len(chunks), chunks):
            total.add(verdicts)
            yield total
    finally:
        pool.shutdown(cancel_futures=True)


def _run(simulate: Simulate, seeds: Sequence[int]) -> list[Verdict]:
    logging.disable(logging.CRITICAL)  # a worker says a lot about connections that break
    return [simulate(seed) for seed in seeds]
