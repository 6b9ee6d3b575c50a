"""What became of the jobs of a trial, counted from its two ledgers alone: what the client was told,
and what the workers did. Shares no code with those that wrote them."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Line = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """`lost`: submitted, and without an end. `duplicates`: published with other bytes by a second
    attempt, or a second job of one submission. `again`: published twice, the very same bytes."""

    jobs: int
    finished: int
    failed_as_meant: int
    failed_otherwise: int
    lost: int
    duplicates: int
    again: int
    attempts: int
    seconds: float

    @property
    def is_good(self) -> bool:
        return self.jobs == self.finished + self.failed_as_meant and not self.duplicates

    @property
    def lines(self) -> Iterator[str]:
        yield f"finished: {self.finished}"
        yield f"failed as meant: {self.failed_as_meant}"
        yield f"failed otherwise: {self.failed_otherwise}"
        yield f"lost: {self.lost}"
        yield f"duplicates: {self.duplicates}"
        yield f"published again, same bytes: {self.again}"
        yield f"attempts: {self.attempts}"
        yield f"seconds: {self.seconds:.1f}"
        yield f"jobs/s: {self.jobs / self.seconds if self.seconds else 0:.0f}"


def count(client: Path, fleets: Iterable[Path]) -> Tally:
    told = list(_read(client))
    did = [line for fleet in fleets for line in _read(fleet)]
    submitted = {line["job_id"]: line for line in told if line["did"] == "submitted"}
    ends = {line["job_id"]: line for line in told if line["did"] == "ended"}
    published = _published(did)
    meant = {job_id for job_id, line in submitted.items() if line["fails"]}
    good = {
        job_id
        for job_id, end in ends.items()
        if end["state"] == "succeeded" and job_id in published and job_id not in meant
    }
    as_meant = {
        job_id for job_id in meant & ends.keys() if ends[job_id]["reason"] == "ffmpeg_failed"
    }
    return Tally(
        jobs=len(submitted),
        finished=len(good & submitted.keys()),
        failed_as_meant=len(as_meant),
        failed_otherwise=len(submitted.keys() & ends.keys() - good - as_meant),
        lost=len(submitted.keys() - ends.keys()),
        duplicates=_doubled(submitted, ends, published),
        again=sum(sum(found.values()) - len(found) for found in published.values()),
        attempts=sum(line["did"] == "began" for line in did),
        seconds=_span([*submitted.values(), *(line for line in did if line["did"] in _LAST)]),
    )


_LAST = frozenset({"published", "failed"})


def _published(did: Iterable[Line]) -> dict[str, Counter[str]]:
    """How often which bytes of each job were published."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for line in did:
        if line["did"] == "published":
            found[line["job_id"]][line["sha256"]] += 1
    return found


def _doubled(
    submitted: Mapping[str, Line], ends: Mapping[str, Line], published: Mapping[str, Counter[str]]
) -> int:
    other_bytes = sum(len(found) > 1 for found in published.values())
    return other_bytes + len(ends.keys() - submitted.keys())


def _span(lines: Iterable[Line]) -> float:
    moments = [line["at"] for line in lines]
    return max(moments) - min(moments) if moments else 0.0


def _read(path: Path) -> Iterator[Line]:
    if not path.exists():
        return
    for line in path.read_text().splitlines():
        try:
            yield json.loads(line)
        except ValueError:  # what a kill -9 cut off
            continue
