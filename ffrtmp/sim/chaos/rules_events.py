"""What a job's events must be, whoever asks: I1 to I5, I7 to I10, I12, I15, I16."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from types import MappingProxyType

from ffrtmp.sim.chaos.evidence import Evidence, Line
from ffrtmp.sim.chaos.history import (
    HELD,
    TERMINAL,
    WAITING,
    Event,
    History,
    histories,
    history_of,
    seconds,
    word,
)
from ffrtmp.sim.chaos.violation import Violation

CHARGE_LIMIT = 3
TICK = 1e-6
MOVES: Mapping[tuple[str, str], frozenset[str]] = MappingProxyType(
    {
        ("", "QUEUED"): frozenset({"SUBMITTED"}),
        ("QUEUED", "QUEUED"): frozenset({"INHERITED", "FAILED", "RETURNED", "REPRIORITISED"}),
        ("QUEUED", "PAUSED"): frozenset({"PAUSED"}),
        ("PAUSED", "QUEUED"): frozenset({"RESUMED"}),
        ("PAUSED", "PAUSED"): frozenset({"INHERITED", "FAILED", "RETURNED", "REPRIORITISED"}),
        ("PAUSED", "RUNNING"): frozenset({"ADOPTED"}),
        ("PAUSED", "PUBLISHING"): frozenset({"STAGED"}),
        ("PAUSED", "SUCCEEDED"): frozenset({"PUBLISHED"}),
        ("PAUSED", "FAILED"): frozenset({"FAILED"}),
        ("PAUSED", "CANCELLED"): frozenset({"CANCELLED"}),
        ("QUEUED", "LEASED"): frozenset({"GRANTED"}),
        ("QUEUED", "RUNNING"): frozenset({"ADOPTED"}),
        ("QUEUED", "PUBLISHING"): frozenset({"STAGED"}),
        ("QUEUED", "SUCCEEDED"): frozenset({"PUBLISHED"}),
        ("QUEUED", "FAILED"): frozenset({"FAILED"}),
        ("QUEUED", "CANCELLED"): frozenset({"CANCELLED"}),
        ("LEASED", "LEASED"): frozenset({"INHERITED"}),
        ("LEASED", "QUEUED"): frozenset({"REJECTED", "UNANSWERED", "LOST"}),
        ("LEASED", "RUNNING"): frozenset({"ACCEPTED"}),
        ("LEASED", "CANCELLED"): frozenset({"CANCELLED"}),
        ("RUNNING", "RUNNING"): frozenset({"INHERITED"}),
        ("RUNNING", "QUEUED"): frozenset({"FAILED", "LOST", "RETURNED"}),
        ("RUNNING", "PUBLISHING"): frozenset({"STAGED"}),
        ("RUNNING", "FAILED"): frozenset({"FAILED", "LOST"}),
        ("RUNNING", "CANCELLED"): frozenset({"CANCELLED"}),
        ("PUBLISHING", "PUBLISHING"): frozenset({"INHERITED"}),
        ("PUBLISHING", "QUEUED"): frozenset({"FAILED", "LOST", "RETURNED"}),
        ("PUBLISHING", "SUCCEEDED"): frozenset({"PUBLISHED"}),
        ("PUBLISHING", "FAILED"): frozenset({"FAILED"}),
    }
)
LIVE_MOVES: Mapping[tuple[str, str], frozenset[str]] = MappingProxyType(
    {
        **{move: causes for move, causes in MOVES.items() if "PUBLISHING" not in move},
        ("RUNNING", "SUCCEEDED"): frozenset({"PUBLISHED"}),
    }
)
BY_WORKER = frozenset(
    {"ACCEPTED", "REJECTED", "STAGED", "PUBLISHED", "FAILED", "RETURNED", "ADOPTED", "INHERITED"}
)
BY_MASTER = frozenset({"GRANTED", "UNANSWERED", "LOST", "UNBLOCKED"})
LATE = frozenset({"ADOPTED", "STAGED", "PUBLISHED", "FAILED", "RETURNED"})
"""What an attempt may say that the job was taken from, also when newer grants came back."""
ONCE_AN_ATTEMPT = frozenset(
    {"GRANTED", "ACCEPTED", "REJECTED", "UNANSWERED", "STAGED", "PUBLISHED"}
)


def _of_each(check: Callable[[History], Iterable[str]], rule: str) -> "Check":
    def every(evidence: Evidence) -> Iterator[Violation]:
        for history in histories(evidence):
            for what in check(history):
                yield Violation(rule, history.job_id, f"{what}: {history}")

    return every


Check = Callable[[Evidence], Iterable[Violation]]


def ends_once(history: History) -> Iterator[str]:
    ended = False
    for event in history.events:
        if ended and event.cause != "UNBLOCKED":
            yield f"{event} after the end"
        ended = ended or event.state in TERMINAL


def everything_ended(evidence: Evidence) -> Iterator[Violation]:
    for history in histories(evidence):
        blocked = history.job.get("blocked_by", "")
        if history.state not in TERMINAL:
            rule = "I5" if history.state in HELD else "I6"
            yield Violation(rule, history.job_id, f"still {history.state} at the end: {history}")
        elif blocked:
            yield Violation("I5", history.job_id, f"still blocked by {blocked}: {history}")


def fences_rise(history: History) -> Iterator[str]:
    state, fence, newest, begun = "", 0, 0, 0
    for event in history.events:
        expected = newest + 1 if event.cause == "GRANTED" else fence
        returns = state in WAITING and event.cause in LATE and event.fence == begun
        if event.fence != expected and not returns:
            yield f"fence {fence} before {event}"
        state, fence, newest = event.state, event.fence, max(newest, event.fence)
        if event.cause == "ACCEPTED" or event.cause in LATE:
            begun = event.fence


def by_its_holder(history: History) -> Iterator[str]:
    state, holder, begun_by = "", "", ""
    for event in history.events:
        if event.cause == "GRANTED":
            holder = event.worker
        elif state in WAITING and event.cause in LATE and event.worker == begun_by:
            holder = begun_by
        elif event.worker != holder:
            yield f"{event} of another worker than {holder or 'none'}"
        heirs = {holder, begun_by} if event.cause == "INHERITED" else {holder}
        if event.cause in BY_WORKER and event.actor not in {f"worker/{name}" for name in heirs}:
            yield f"{event} by {event.actor}, held by {holder}"
        if event.cause in BY_MASTER and event.actor != "master":
            yield f"{event} by {event.actor}"
        state = event.state
        if event.cause == "ACCEPTED" or event.cause in LATE:
            begun_by = holder


def moves_of_the_table(history: History) -> Iterator[str]:
    moves = LIVE_MOVES if history.is_live else MOVES
    state = ""
    for event in history.events:
        if event.cause == "UNBLOCKED":
            if event.state != state:
                yield f"{event} moved it from {state}"
        elif event.cause not in moves.get((state, event.state), frozenset()):
            yield f"{event} from {state or 'nothing'}"
        state = event.state


def charges_are_counted(history: History) -> Iterator[str]:
    by_fence: Counter[int] = Counter()
    for before, after in pairwise(history.events):
        by_fence[after.fence] += after.charged - before.charged
        if by_fence[after.fence] not in {0, 1}:
            yield f"{after} charges its attempt {by_fence[after.fence]} times"
        if after.charged > CHARGE_LIMIT:
            yield f"{after} is over the limit"
    if history.events and history.events[0].charged:
        yield "charged at its submit"


def failures_of_ffmpeg_are_the_end(history: History) -> Iterator[str]:
    for event in history.events:
        if event.reason == "FFMPEG_FAILED" and event.state != "FAILED":
            yield f"{event} is tried again"


def each_word_counts_once(history: History) -> Iterator[str]:
    said: set[tuple[int, str]] = set()
    for event in history.events:
        if (event.fence, event.cause) in said:
            yield f"{event.cause} twice in attempt {event.fence}"
        if event.cause in ONCE_AN_ATTEMPT:
            said.add((event.fence, event.cause))
        if event.cause == "LOST":  # from then on its staged result is a late one
            said.discard((event.fence, "STAGED"))
    published = sum(event.cause == "PUBLISHED" for event in history.events)
    if published != (history.state == "SUCCEEDED"):
        yield f"{history.state} and published {published} times"


def blocked_is_not_granted(history: History) -> Iterator[str]:
    for before, after in pairwise(history.events):
        if before.blocked_by and after.cause == "GRANTED":
            yield f"{after} while {before.blocked_by} may still write"


def replays_to_the_row(history: History) -> Iterator[str]:
    numbers = [event.number for event in history.events]
    if not numbers or numbers != list(range(1, len(numbers) + 1)):
        yield f"events are numbered {numbers}"
        return
    job, last = history.job, history.events[-1]
    for name, shown, replayed in _row(history, job, last):
        if shown != replayed:
            yield f"the row says {name} {shown!r}, its events {replayed!r}"


def _row(history: History, job: Line, last: Event) -> Iterator[tuple[str, object, object]]:
    started = _starts(history)
    ended = [event.at for event in history.events if event.state in TERMINAL]
    yield "event_number", int(job["event_number"]), last.number
    yield "state", history.state, last.state
    yield "fence", int(job.get("fence", 0)), last.fence
    yield "charged", int(job.get("charged", 0)), last.charged
    yield "worker", job.get("worker", ""), last.worker
    yield "blocked_by", job.get("blocked_by", ""), last.blocked_by
    yield "attempts", int(job.get("attempts", 0)), len(_begun(history))
    yield "submit_time", seconds(job["submit_time"]), history.events[0].at
    if started:
        yield "start_time", seconds(job["start_time"]), started[-1]
    yield "end_time", "end_time" in job, bool(ended)
    if ended and "end_time" in job:
        yield "end_time", seconds(job["end_time"]), ended[0]
    yield "files", bool(job.get("files")), last.state == "SUCCEEDED" and not history.is_live
    if last.state == "FAILED" and last.cause != "UNBLOCKED":
        yield "reason", word(job.get("failure", {}), "reason", "FAILURE_REASON_"), last.reason


def _begun(history: History) -> set[int]:
    """Attempts that were accepted, or that brought a result though nobody had heard of that."""
    return {
        event.fence for event in history.events if event.cause == "ACCEPTED" or event.cause in LATE
    }


def _starts(history: History) -> list[float]:
    """When each attempt was first heard of as running: accepted, or adopted without that."""
    heard: set[int] = set()
    starts = []
    for event in history.events:
        if event.cause == "ACCEPTED" or (event.cause == "ADOPTED" and event.fence not in heard):
            starts.append(event.at)
            heard.add(event.fence)
    return starts


def never_more_than_its_slots(evidence: Evidence) -> Iterator[Violation]:
    """By the master's clock. It says when something was decided; what was decided before the
    event in front of it had only to wait for its turn."""
    moves = sorted(
        (
            (at, event.state in HELD, event.number, history.job_id, event)
            for history in histories(evidence)
            for at, event in _in_order(history)
            if event.cause != "UNBLOCKED"
        ),
        key=lambda move: move[:3],
    )
    holder: dict[str, str] = {}
    load: Counter[str] = Counter()
    for _, held, _, job_id, event in moves:
        if job_id in holder:
            load[holder.pop(job_id)] -= 1
        if held:
            holder[job_id] = event.worker
            load[event.worker] += 1
            slots = evidence.run["slots"].get(event.worker, 0)
            if load[event.worker] > slots and event.cause == "GRANTED":
                what = f"holds {load[event.worker]} with {slots} slots at {event} of {job_id}"
                yield Violation("I7", event.worker, what)


def _in_order(history: History) -> Iterator[tuple[float, Event]]:
    latest = 0.0
    for event in history.events:
        latest = max(latest + TICK, event.at)
        yield latest, event


def a_start_changes_nothing(evidence: Evidence) -> Iterator[Violation]:
    if not evidence.after_restart:
        return
    for job_id in evidence.jobs.keys() | evidence.after_restart.keys():
        before, after = evidence.jobs.get(job_id), evidence.after_restart.get(job_id)
        if before is None or after is None:
            yield Violation("I15", job_id, f"{'came' if after else 'went'} with a master's restart")
        elif _durable(before) != _durable(after):
            yield Violation("I15", job_id, f"changed with a master's restart: {history_of(after)}")


def _durable(line: Line) -> Line:
    return {"job": line["job"], "events": line.get("events", [])}


RULES: Mapping[str, Check] = MappingProxyType(
    {
        "I1 ends once": _of_each(ends_once, "I1"),
        "I5 everything ended": everything_ended,
        "I2 fences rise": _of_each(fences_rise, "I2"),
        "I3 by its holder": _of_each(by_its_holder, "I3"),
        "I4 moves of the table": _of_each(moves_of_the_table, "I4"),
        "I9 charges are counted": _of_each(charges_are_counted, "I9"),
        "I10 failures of FFmpeg are the end": _of_each(failures_of_ffmpeg_are_the_end, "I10"),
        "I12 each word counts once": _of_each(each_word_counts_once, "I12"),
        "I8 blocked is not granted": _of_each(blocked_is_not_granted, "I8"),
        "I16 replays to the row": _of_each(replays_to_the_row, "I16"),
        "I7 never more than its slots": never_more_than_its_slots,
        "I15 a start changes nothing": a_start_changes_nothing,
    }
)
