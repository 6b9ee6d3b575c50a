"""What clients were told must be so: I1, I11, I12, I16. And processes end when they are told to."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

from ffrtmp.sim.chaos.evidence import Evidence, Line
from ffrtmp.sim.chaos.history import TERMINAL, Event, History, histories, history_of
from ffrtmp.sim.chaos.violation import Violation

Check = Callable[[Evidence], Iterable[Violation]]

TWIN = "already connected"
"""What a worker says that was refused because the run before it still seems to be there."""


def nothing_acknowledged_is_lost(evidence: Evidence) -> Iterator[Violation]:
    for line in _said(evidence, "acknowledged"):
        if line["job_id"] not in evidence.jobs:
            yield Violation(
                "I1", line["job_id"], f"was acknowledged to {line['client']} and is gone"
            )


def one_key_is_one_job(evidence: Evidence) -> Iterator[Violation]:
    jobs: defaultdict[str, set[str]] = defaultdict(set)
    for line in _said(evidence, "acknowledged"):
        jobs[line["key"]].add(line["job_id"])
    for key, ids in jobs.items():
        if len(ids) > 1:
            yield Violation("I12", key, f"one key, several jobs: {sorted(ids)}")


def a_refused_job_is_not_there(evidence: Evidence) -> Iterator[Violation]:
    """Nor does a key that was used once have another body."""
    for line in _said(evidence, "contradicted"):
        yield Violation("I12", line["key"], f"its own key is refused: {line['why']}")
    acknowledged = {line["key"] for line in _said(evidence, "acknowledged")}
    refused = {line["key"] for line in _said(evidence, "refused")} - acknowledged
    names = {
        line["source"] or line["target"]: line["key"] for line in _said(evidence, "submitting")
    }
    for history in histories(evidence):
        if names.get(history.source or history.target) in refused:
            yield Violation("I12", history.job_id, f"was refused, and is there: {history}")


def jobs_are_what_was_submitted(evidence: Evidence) -> Iterator[Violation]:
    """Every job has a source or a target of its own in this run: it is its key once more."""
    submitted = {line["source"] or line["target"] for line in _said(evidence, "submitting")}
    found = Counter(history.source or history.target for history in histories(evidence))
    for what, count in found.items():
        if what not in submitted:
            yield Violation("I12", what, "nobody submitted this job")
        elif count > 1:
            yield Violation("I12", what, f"submitted once, there {count} times")


def cancelled_stays_cancelled(evidence: Evidence) -> Iterator[Violation]:
    asked = {line["job_id"] for line in _said(evidence, "cancelling")}
    told = {line["job_id"] for line in _said(evidence, "cancelled")}
    for history in histories(evidence):
        cancelled = history.state == "CANCELLED"
        if history.job_id in told and not cancelled:
            yield Violation("I11", history.job_id, f"said to be cancelled: {history}")
        if cancelled and history.job_id not in asked:
            yield Violation("I11", history.job_id, f"cancelled, and nobody asked: {history}")


def what_was_seen_stays(evidence: Evidence) -> Iterator[Violation]:
    """A row that a client read is what the events up to its number make it."""
    found = {history.job_id: history for history in histories(evidence)}
    for line in _said(evidence, "saw"):
        history = found.get(line["job_id"])
        if history is None:
            yield Violation("I16", line["job_id"], "was seen and is gone")
        elif _row(line) != _row_after(history, line["number"]):
            now = _row_after(history, line["number"])
            yield Violation("I16", line["job_id"], f"seen as {_row(line)}, now {now}: {history}")


def _row(line: Line) -> tuple[object, ...]:
    return line["state"], line["fence"], line["charged"], line["worker"]


def _row_after(history: History, number: int) -> tuple[object, ...] | None:
    event = _event(history, number)
    return (event.state, event.fence, event.charged, event.worker) if event else None


def _event(history: History, number: int) -> Event | None:
    return next((event for event in history.events if event.number == number), None)


def watches_miss_nothing(evidence: Evidence) -> Iterator[Violation]:
    found = {history.job_id: history for history in histories(evidence)}
    watches: defaultdict[str, list[Line]] = defaultdict(list)
    for line in _said(evidence, "watched", "watched to the end"):
        watches[line["job_id"]].append(line)
    for job_id, lines in watches.items():
        if job_id in found:
            yield from _watch(found[job_id], lines)


def _watch(history: History, lines: list[Line]) -> Iterator[Violation]:
    watched = [line for line in lines if line["did"] == "watched"]
    numbers = [line["number"] for line in watched]
    if numbers != list(range(1, len(numbers) + 1)):
        yield Violation("I16", history.job_id, f"watched as {numbers}")
    for line in watched:
        event = _event(history, line["number"])
        said = (line["cause"], line["state"], line["fence"])
        if event is None or said != (event.cause, event.state, event.fence):
            yield Violation("I16", history.job_id, f"watched {said}, now {event}: {history}")
    if len(watched) < len(lines) and (not watched or watched[-1]["state"] not in TERMINAL):
        yield Violation("I16", history.job_id, f"the watch ended before the job: {numbers}")


def processes_end_when_told(evidence: Evidence) -> Iterator[Violation]:
    for line in evidence.injections:
        if line["did"] == "ended" and TWIN not in line["why"]:
            yield Violation(
                "process", line["who"], f"ended by itself, code {line['code']}: {line['why']}"
            )


def a_start_loses_nothing_that_was_told(evidence: Evidence) -> Iterator[Violation]:
    for job_id, line in evidence.after_restart.items():
        history = history_of(line)
        if history.state not in TERMINAL and job_id in evidence.jobs:
            before = history_of(evidence.jobs[job_id])
            if before.state in TERMINAL:
                yield Violation("I1", job_id, f"was {before.state}, now {history.state}")


def _said(evidence: Evidence, *did: str) -> Iterator[Line]:
    return (line for line in evidence.clients if line["did"] in did)


RULES: Mapping[str, Check] = MappingProxyType(
    {
        "I1 nothing acknowledged is lost": nothing_acknowledged_is_lost,
        "I1 a start loses nothing": a_start_loses_nothing_that_was_told,
        "I12 one key is one job": one_key_is_one_job,
        "I12 a refused job is not there": a_refused_job_is_not_there,
        "I12 jobs are what was submitted": jobs_are_what_was_submitted,
        "I11 cancelled stays cancelled": cancelled_stays_cancelled,
        "I16 what was seen stays": what_was_seen_stays,
        "I16 watches miss nothing": watches_miss_nothing,
        "processes end when told": processes_end_when_told,
    }
)
