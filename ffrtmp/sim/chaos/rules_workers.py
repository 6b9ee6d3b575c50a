"""What workers did by their own ledgers, and what lies on the disk: I3, I7, I8, I12, I13.

All in one clock: seconds of CLOCK_BOOTTIME of the machine that ran it all.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

from ffrtmp.sim.chaos.evidence import Evidence, Line
from ffrtmp.sim.chaos.history import History, histories
from ffrtmp.sim.chaos.violation import Violation

Check = Callable[[Evidence], Iterable[Violation]]

SIMULATED = "sim:"
OVER = frozenset({"staged", "sent", "stopped"})
BLINK = 0.001
"""Ledgers are rounded to less than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spell:
    """A run that writes, as far as its ledger and what was done to its process tell."""

    job_id: str
    fence: int
    worker: str
    begin: float
    end: float

    def __str__(self) -> str:
        return (
            f"{self.job_id}/{self.fence} on {self.worker} from {self.begin:.3f} to {self.end:.3f}"
        )


def runs(evidence: Evidence) -> Iterator[Spell]:
    """From `began` to what ended it; a killed worker's run ends with its process, one whose lease
    ran out with its lease: its guard would have seen to it."""
    processes = _process_of(evidence)
    deaths = _times(evidence, "killed", "ended")
    lines: defaultdict[tuple[str, str, int], list[Line]] = defaultdict(list)
    for line in evidence.workers:
        lines[line["worker"], line["job_id"], line["fence"]].append(line)
    for (worker, job_id, fence), said in lines.items():
        for begin in (line["at"] for line in said if line["did"] == "began"):
            ends = [line["at"] for line in said if line["did"] in OVER]
            ends += [line["until"] for line in said if line["did"] == "fenced"]
            ends += [at for at in deaths[processes.get(worker, "")] if at >= begin]
            end = min((at for at in ends if at >= begin), default=evidence.run["ended_at"])
            yield Spell(job_id=job_id, fence=fence, worker=worker, begin=begin, end=end)


def awake(evidence: Evidence) -> Iterator[Spell]:
    """The same without the times in which the process was frozen: what is frozen writes nothing."""
    processes = _process_of(evidence)
    for run in runs(evidence):
        begin = run.begin
        for frozen, thawed in _frozen(evidence, processes.get(run.worker, "")):
            if begin < frozen < run.end:
                yield _part(run, begin, frozen)
                begin = thawed
        if begin < run.end:
            yield _part(run, begin, run.end)


def _part(run: Spell, begin: float, end: float) -> Spell:
    return Spell(job_id=run.job_id, fence=run.fence, worker=run.worker, begin=begin, end=end)


def _process_of(evidence: Evidence) -> dict[str, str]:
    return {
        worker: process for process, those in evidence.run["members"].items() for worker in those
    }


def _times(evidence: Evidence, *did: str) -> defaultdict[str, list[float]]:
    found: defaultdict[str, list[float]] = defaultdict(list)
    for line in evidence.injections:
        if line["did"] in did:
            found[line["who"]].append(line["at"])
    return found


def _frozen(evidence: Evidence, process: str) -> list[tuple[float, float]]:
    """`since` to `at` of each line: a freeze is noted when it is over."""
    return sorted(
        (line["since"], line["at"])
        for line in evidence.injections
        if line["did"] == "frozen" and line["who"] == process
    )


def never_two_on_one_stream(evidence: Evidence) -> Iterator[Violation]:
    live = {history.job_id for history in histories(evidence) if history.is_live}
    targets = {
        line["job_id"]: line["target"]
        for line in evidence.clients
        if line["did"] == "acknowledged" and line["job_id"] in live
    }
    by_target: defaultdict[str, list[Spell]] = defaultdict(list)
    for run in awake(evidence):
        if run.job_id in targets:
            by_target[targets[run.job_id]].append(run)
    for target, those in by_target.items():
        those.sort(key=lambda run: run.begin)
        for before, after in pairwise(those):
            if after.begin < before.end - BLINK:
                yield Violation("I8", target, f"{before}, and {after}")


def never_more_runs_than_slots(evidence: Evidence) -> Iterator[Violation]:
    changes: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
    for run in runs(evidence):
        changes[run.worker] += [(run.begin, 1), (run.end, -1)]
    for worker, those in changes.items():
        load, slots = 0, evidence.run["slots"].get(worker, 0)
        for at, step in sorted(those):
            load += step
            if load > slots:
                yield Violation("I7", worker, f"{load} runs on {slots} slots at {at:.3f}")
                break


def published_is_what_the_row_says(evidence: Evidence) -> Iterator[Violation]:
    by_job = _by_job(evidence, "published")
    for history in histories(evidence):
        if history.is_live or not history.target.startswith(SIMULATED):
            continue
        lines = by_job[history.job_id]
        if history.state != "SUCCEEDED" and lines:
            yield Violation("I13", history.job_id, f"published and {history.state}: {history}")
            continue
        yield from _publications(history, lines)


def _publications(history: History, lines: list[Line]) -> Iterator[Violation]:
    staged = {event.fence for event in history.events if event.cause == "STAGED"}
    for line in lines:
        if line["sha256"] != history.digest:
            what = f"{line['worker']} published other bytes in attempt {line['fence']}: {history}"
            yield Violation("I13", history.job_id, what)
        if line["fence"] not in staged:
            what = f"{line['worker']} published without leave in attempt {line['fence']}: {history}"
            yield Violation("I13", history.job_id, what)
    if history.state == "SUCCEEDED":
        yield from _is_done(history, lines)


def _is_done(history: History, lines: list[Line]) -> Iterator[Violation]:
    if int(history.job["fence"]) not in {line["fence"] for line in lines}:
        yield Violation("I13", history.job_id, f"succeeded, and nobody published it: {history}")


def sent_is_done(evidence: Evidence) -> Iterator[Violation]:
    by_job = _by_job(evidence, "sent")
    for history in histories(evidence):
        if history.is_live and history.state == "SUCCEEDED":
            yield from _is_done(history, by_job[history.job_id])


def no_publish_by_a_stale_fence(evidence: Evidence) -> Iterator[Violation]:
    newest: dict[str, Line] = {}
    for line in evidence.workers:
        if line["did"] in {"began", "took over"}:
            known = newest.get(line["job_id"])
            if known is None or known["fence"] < line["fence"]:
                newest[line["job_id"]] = line
        newer = newest.get(line["job_id"])
        if line["did"] == "published" and newer and newer["fence"] > line["fence"]:
            what = (
                f"{line['worker']} published attempt {line['fence']} at {line['at']:.3f}, "
                f"{newer['worker']} had begun {newer['fence']} at {newer['at']:.3f}"
            )
            yield Violation("I3", line["job_id"], what)


def a_run_publishes_once(evidence: Evidence) -> Iterator[Violation]:
    """Twice only by a worker that was killed before it had noted the first on its disk."""
    processes = _process_of(evidence)
    deaths = _times(evidence, "killed", "ended")
    for job_id, lines in _by_job(evidence, "published").items():
        last: dict[tuple[str, int], float] = {}
        for line in lines:
            named, at = (line["worker"], line["fence"]), line["at"]
            died = deaths[processes.get(line["worker"], "")]
            if named in last and not any(last[named] <= death <= at for death in died):
                yield Violation(
                    "I12", job_id, f"{named} published it twice, the second at {at:.3f}"
                )
            last[named] = at


def _by_job(evidence: Evidence, did: str) -> defaultdict[str, list[Line]]:
    found: defaultdict[str, list[Line]] = defaultdict(list)
    for line in evidence.workers:
        if line["did"] == did:
            found[line["job_id"]].append(line)
    return found


def the_disk_agrees(evidence: Evidence) -> Iterator[Violation]:
    for history in histories(evidence):
        if history.is_live or history.target.startswith(SIMULATED):
            continue
        if history.state == "SUCCEEDED":
            for file in history.job["files"]:
                found = evidence.files.get(file["path"], "nothing")
                if found != file["sha256"]:
                    what = f"{file['path']} is {found}, published as {file['sha256']}"
                    yield Violation("I13", history.job_id, what)
        elif history.target in evidence.files:
            what = f"{history.state}, and {history.target} is there: {history}"
            yield Violation("I13", history.job_id, what)


RULES: Mapping[str, Check] = MappingProxyType(
    {
        "I8 never two on one stream": never_two_on_one_stream,
        "I7 never more runs than slots": never_more_runs_than_slots,
        "I13 published is what the row says": published_is_what_the_row_says,
        "I13 sent is done": sent_is_done,
        "I3 no publish by a stale fence": no_publish_by_a_stale_fence,
        "I12 a run publishes once": a_run_publishes_once,
        "I13 the disk agrees": the_disk_agrees,
    }
)
