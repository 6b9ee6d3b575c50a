"""A job's events in plain words, as JSON of the API tells them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from ffrtmp.sim.chaos.evidence import Evidence, Line

TERMINAL = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
WAITING = frozenset({"QUEUED", "PAUSED"})
HELD = frozenset({"LEASED", "RUNNING", "PUBLISHING"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """`at` in seconds since 1970, by the master's clock."""

    number: int
    at: float
    actor: str
    cause: str
    state: str
    fence: int
    worker: str
    reason: str
    detail: str
    charged: int
    blocked_by: str

    def __str__(self) -> str:
        return f"{self.cause}>{self.state}/{self.fence}@{self.worker or '-'}+{self.charged}"


@dataclass(frozen=True, slots=True)
class History:
    """`job`: the row, as the API shows it."""

    job: Line
    events: tuple[Event, ...]

    @property
    def job_id(self) -> str:
        return str(self.job["job_id"])

    @property
    def state(self) -> str:
        return word(self.job, "state", "JOB_STATE_")

    @property
    def target(self) -> str:
        """Of a live job without its key, which the API shows to nobody."""
        output = self.job["spec"]["outputs"][0]
        return str(output.get("url") or output["path"])

    @property
    def source(self) -> str:
        """Empty for a generated picture."""
        return str(self.job["spec"]["input"].get("path", ""))

    @property
    def is_live(self) -> bool:
        return bool(self.job["spec"]["outputs"][0].get("url"))

    @property
    def digest(self) -> str:
        return " ".join(file["sha256"] for file in self.job.get("files", ()))

    def __str__(self) -> str:
        return " ".join(map(str, self.events))


def histories(evidence: Evidence) -> Iterator[History]:
    for line in evidence.jobs.values():
        yield history_of(line)


def history_of(line: Line) -> History:
    return History(line["job"], tuple(event_of(event) for event in line.get("events", ())))


def event_of(event: Line) -> Event:
    return Event(
        number=int(event["number"]),
        at=seconds(event["event_time"]),
        actor=event.get("actor", ""),
        cause=word(event, "cause", "JOB_CAUSE_"),
        state=word(event, "state", "JOB_STATE_"),
        fence=int(event.get("fence", 0)),
        worker=event.get("worker", ""),
        reason=word(event, "reason", "FAILURE_REASON_"),
        detail=event.get("detail", ""),
        charged=int(event.get("charged", 0)),
        blocked_by=event.get("blocked_by", ""),
    )


def word(line: Line, name: str, prefix: str) -> str:
    """Of an enum; empty when it is not set."""
    text = str(line.get(name, "")).removeprefix(prefix)
    return "" if text == "UNSPECIFIED" else text


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
