"""Judges the history of a job against the invariants of architecture.md, from outside.

Shares no code with master or worker: states and moves are words written here.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ffrtmp.v1 import job_pb2
from ffrtmp.v1 import job_service_pb2 as pb

TERMINAL = {"SUCCEEDED", "FAILED", "CANCELLED"}
HELD = {"LEASED", "RUNNING", "PUBLISHING"}
CHARGE_LIMIT = 3
EVERYTHING = ["SUBMITTED", "GRANTED", "ACCEPTED", "STAGED", "PUBLISHED"]
"""The causes of a job to which nothing happened."""
MOVES = {
    ("", "QUEUED"): {"SUBMITTED"},
    ("QUEUED", "QUEUED"): {"INHERITED", "FAILED", "RETURNED", "UNBLOCKED"},
    ("QUEUED", "LEASED"): {"GRANTED"},
    ("QUEUED", "RUNNING"): {"ADOPTED"},
    ("QUEUED", "PUBLISHING"): {"STAGED"},
    ("QUEUED", "SUCCEEDED"): {"PUBLISHED"},
    ("QUEUED", "FAILED"): {"FAILED"},
    ("QUEUED", "CANCELLED"): {"CANCELLED"},
    ("LEASED", "QUEUED"): {"REJECTED", "UNANSWERED", "LOST"},
    ("LEASED", "LEASED"): {"INHERITED"},
    ("LEASED", "RUNNING"): {"ACCEPTED"},
    ("LEASED", "CANCELLED"): {"CANCELLED"},
    ("RUNNING", "RUNNING"): {"INHERITED"},
    ("RUNNING", "QUEUED"): {"FAILED", "LOST", "RETURNED"},
    ("RUNNING", "PUBLISHING"): {"STAGED"},
    ("RUNNING", "SUCCEEDED"): {"PUBLISHED"},
    ("RUNNING", "FAILED"): {"FAILED", "LOST"},
    ("RUNNING", "CANCELLED"): {"CANCELLED"},
    ("PUBLISHING", "PUBLISHING"): {"INHERITED"},
    ("PUBLISHING", "QUEUED"): {"FAILED", "LOST", "RETURNED"},
    ("PUBLISHING", "SUCCEEDED"): {"PUBLISHED"},
    ("PUBLISHING", "FAILED"): {"FAILED"},
    ("CANCELLED", "CANCELLED"): {"UNBLOCKED"},
    ("FAILED", "FAILED"): {"UNBLOCKED"},
}
LATE = {"ADOPTED", "STAGED", "PUBLISHED", "FAILED", "RETURNED"}
BY_WORKER = {
    "ACCEPTED",
    "REJECTED",
    "STAGED",
    "PUBLISHED",
    "FAILED",
    "RETURNED",
    "ADOPTED",
    "INHERITED",
}


@dataclass(frozen=True)
class Event:
    """One event in words; `at` in seconds."""

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

    def __str__(self) -> str:
        return f"{self.cause}>{self.state}/{self.fence}@{self.worker or '-'}+{self.charged}"


class History:
    """All that the API tells of a job."""

    def __init__(self, response: pb.GetJobResponse) -> None:
        self.job = response.job
        self.state = job_pb2.JobState.Name(response.job.state).removeprefix("JOB_STATE_")
        self.events = [_event(event) for event in response.events]

    @property
    def ended(self) -> bool:
        return self.state in TERMINAL

    @property
    def causes(self) -> list[str]:
        return [event.cause for event in self.events]

    @property
    def reasons(self) -> list[str]:
        return [event.reason for event in self.events if event.reason]

    def events_of(self, cause: str) -> list[Event]:
        return [event for event in self.events if event.cause == cause]

    @property
    def workers(self) -> list[str]:
        """Whom it was granted to, in order."""
        return [event.worker for event in self.events_of("GRANTED")]

    def __str__(self) -> str:
        return f"{self.job.job_id}: " + " ".join(map(str, self.events))

    def check(self) -> "History":
        """I1 to I4, I9, I11, and that what was published was published once."""
        assert [event.number for event in self.events] == list(range(1, len(self.events) + 1)), self
        assert self.events[-1].state == self.state, self
        newest, begun = 0, None
        for before, after in zip([None, *self.events], self.events, strict=False):
            self._check_move(before, after, newest, begun)
            newest = max(newest, after.fence)
            begun = after if after.cause == "ACCEPTED" or after.cause in LATE else begun
        self._check_charges()
        moves = [event for event in self.events if event.cause != "UNBLOCKED"]
        ended = [event for event in moves if event.state in TERMINAL]
        assert len(ended) <= 1, f"I1, two ends: {self}"
        published = self.events_of("PUBLISHED")
        assert len(published) == (self.state == "SUCCEEDED"), f"published twice: {self}"
        lost = Counter(event.fence for event in self.events_of("LOST"))
        staged = Counter(event.fence for event in self.events_of("STAGED"))
        # What was lost with its manifest, and nobody took over, is staged when its holder returns.
        assert all(staged[each] <= 1 + lost[each] for each in staged), f"staged twice: {self}"
        return self

    def _check_move(
        self, before: Event | None, after: Event, newest: int, begun: Event | None
    ) -> None:
        """`begun`: what was last heard of the attempt accepted last; late news bring it back."""
        state, fence = (before.state, before.fence) if before else ("", 0)
        assert state not in TERMINAL or after.cause == "UNBLOCKED", (
            f"I1, I11, after the end: {self}"
        )
        causes = MOVES.get((state, after.state), set())
        assert after.cause in causes, f"I4, {state} to {after}: {self}"
        if state in {"QUEUED", "PAUSED"} and after.cause in LATE and begun and after.fence != fence:
            assert (after.fence, after.worker) == (begun.fence, begun.worker), f"I3: {self}"
            return
        assert after.fence == (newest + 1 if after.cause == "GRANTED" else fence), f"I2: {self}"
        actors = {after.worker, begun.worker if begun and after.cause == "INHERITED" else ""}
        if after.cause in BY_WORKER:
            assert after.actor.removeprefix("worker/") in actors, f"I3, {after.actor}: {self}"
        if before and after.cause != "GRANTED":
            assert after.worker == before.worker, f"I4, another holder at {after}: {self}"

    def _check_charges(self) -> None:
        charged_by: dict[int, int] = {}
        before = 0
        for event in self.events:
            step = event.charged - before
            before = event.charged
            assert abs(step) <= 1, f"I9, two charges at once: {self}"
            charged_by[event.fence] = charged_by.get(event.fence, 0) + step
            assert 0 <= charged_by[event.fence] <= 1, f"I9, charged twice: {self}"
        assert before <= CHARGE_LIMIT, f"I9, over the limit: {self}"
        assert before == self.job.charged, self


def _event(event: job_pb2.JobEvent) -> Event:
    return Event(
        number=event.number,
        at=event.event_time.ToNanoseconds() / 1e9,
        actor=event.actor,
        cause=job_pb2.JobCause.Name(event.cause).removeprefix("JOB_CAUSE_"),
        state=job_pb2.JobState.Name(event.state).removeprefix("JOB_STATE_"),
        fence=event.fence,
        worker=event.worker,
        reason=job_pb2.FailureReason.Name(event.reason).removeprefix("FAILURE_REASON_")
        if event.reason
        else "",
        detail=event.detail,
        charged=event.charged,
    )


def never_more_than(slots: int, histories: Sequence[History]) -> None:
    """I7, as far as events tell: what one worker holds at a time."""
    moves = sorted(
        (event.at, event.number, history.job.job_id, event)
        for history in histories
        for event in history.events
    )
    held: dict[str, set[str]] = {}
    for _, _, job_id, event in moves:
        for jobs in held.values():
            jobs.discard(job_id)
        if event.state in HELD:
            jobs = held.setdefault(event.worker, set())
            jobs.add(job_id)
            assert len(jobs) <= slots, f"I7, worker {event.worker} holds {len(jobs)}"
