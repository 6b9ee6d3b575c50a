"""The life of a job against an independent model.

The model shares no code with `domain/job.py` and `domain/retry.py`: states, reasons and the retry
table are written out here, as strings and numbers. It says of every message whether it moves the
job, was applied before, must be asked again or is refused; then both are compared.

To add a rule: a method of `Model` that returns its answer and makes the move, and a `@rule` of
`JobMachine` that hands both to `expect`. To add a field: `Model`, `Model.row` and `row_of`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ffrtmp.domain import job as jobs
from ffrtmp.domain.errors import DomainError, NewerGrant
from ffrtmp.domain.event import JobEvent, event_of
from ffrtmp.domain.job import Failure, FileRecord, Holder, Job, Manifest
from ffrtmp.domain.retry import Reason

START = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = 1_000_000

Sender = tuple[bool, tuple[str, str], int]

MOVES, REPEATS, WAITS, REFUSED = "moves", "repeats", "waits", "refused"

HELD = ("leased", "running", "publishing")
TERMINAL = ("succeeded", "failed", "cancelled")
ARROWS = {
    "queued": "queued leased running publishing succeeded failed cancelled",
    "leased": "queued running cancelled",
    "running": "queued running publishing failed cancelled",
    "publishing": "queued publishing succeeded failed",
}


@dataclass(frozen=True)
class Line:
    """A line of the retry table of architecture.md section 4. Without `retried`: terminal."""

    retried: bool = False
    charged: bool = False
    limit: int = 3
    backed_off_from: int = 0  # which charge or resource failure is the first to wait; 0: none
    resource: bool = False
    elsewhere: bool = False


TABLE = {
    "stopped": Line(retried=True),
    "timed_out": Line(),
    "stalled": Line(retried=True, charged=True, limit=2, elsewhere=True),
    "resource": Line(retried=True, backed_off_from=1, resource=True, elsewhere=True),
    "resource_memory": Line(
        retried=True, charged=True, backed_off_from=1, resource=True, elsewhere=True
    ),
    "transport": Line(retried=True, charged=True, backed_off_from=1),
    "worker_lost": Line(retried=True, charged=True, backed_off_from=2, elsewhere=True),
    "input_bad": Line(),
    "ffmpeg_failed": Line(),
    "verify_failed": Line(),
    "target_exists": Line(),
    "invalid_spec": Line(),
    "capability_mismatch": Line(),
}


@dataclass
class Model:
    """What a job should be. Times in microseconds since START; holders as (worker, incarnation)."""

    now: int = 0
    state: str = "queued"
    holder: tuple[str, str] | None = None
    last: tuple[str, str] | None = None
    fence: int = 0
    attempts: int = 0
    charges: dict[int, str] = field(default_factory=dict)  # the fences charged, and on whom
    resources: int = 0
    manifest: tuple[tuple[str, ...], int] | None = None
    eligible: int = 0
    failure: tuple[str, str] | None = None
    reported: tuple[str, str] | None = None  # the failure that made the job what it is
    taken_back: bool = False  # the offer, unanswered; nothing happened since
    avoid: str = ""
    started: int | None = None
    ended: int | None = None
    version: int = 1

    def row(self) -> dict[str, object]:
        """What a job's row must say; `row_of` says what it does."""
        return {
            "state": self.state,
            "holder": self.holder,
            "last": self.last,
            "fence": self.fence,
            "attempts": self.attempts,
            "charged": len(self.charges),
            "charged_on": [self.charges[fence] for fence in sorted(self.charges)],
            "resources": self.resources,
            "manifest": self.manifest,
            "eligible": self.eligible if self.state == "queued" else None,
            "failure": self.failure,
            "avoid": self.avoid,
            "started": self.started,
            "ended": self.ended,
            "version": self.version,
        }

    # -- what the messages mean ---------------------------------------------------------------

    def grant(self, who: tuple[str, str]) -> str:
        if self.state != "queued" or self.eligible > self.now:
            return REFUSED
        self.fence += 1
        self.last = who
        return self._move("leased", who)

    def accept(self, who: tuple[str, str], fence: int) -> str:
        if self._holds(who, fence, "running", "publishing"):
            return REPEATS
        if not self._holds(who, fence, "leased"):
            return REFUSED
        self.attempts += 1
        self.started = self.now
        return self._move("running", who)

    def reject(self, who: tuple[str, str], fence: int) -> str:
        return self._let_go(SECOND) if self._holds(who, fence, "leased") else REFUSED

    def leave_unanswered(self, fence: int) -> str:
        if fence != self.fence or self.state != "leased":
            return REFUSED
        self._let_go(0)
        self.taken_back = True
        return MOVES

    def stage(self, who: tuple[str, str], fence: int, files: tuple[str, ...]) -> str:
        if self._holds(who, fence, "publishing"):
            return REPEATS if self.manifest == (files, fence) else REFUSED
        if self.manifest is not None and self.manifest[0] != files:
            return REFUSED
        answer = self._news(who, fence, "running")
        if answer == MOVES:
            self.manifest = (files, fence)
            self._move("publishing", who)
        return answer

    def publish(self, who: tuple[str, str], fence: int) -> str:
        if self.state == "succeeded" and (who, fence) == (self.last, self.fence):
            return REPEATS
        if self._is_newer(fence):
            return WAITS if self.manifest is not None else REFUSED
        late = self._is_late(who, fence) and self.manifest is not None
        if not late and not self._holds(who, fence, "publishing"):
            return REFUSED
        if late:
            self.charges.pop(fence, None)
        self.failure = None
        return self._end("succeeded")

    def fail(self, who: tuple[str, str], fence: int, why: tuple[str, str], chance: float) -> str:
        if (who, fence) == (self.last, self.fence) and self.reported == why:
            return REPEATS
        answer = self._news(who, fence, "running", "publishing")
        if answer == MOVES:
            if why[0] != "stopped":
                self.manifest = None
            self._give_up(why, chance)
            self.reported = why
        return answer

    def lose(self, who: tuple[str, str], fence: int, message: str, chance: float) -> str:
        if not self._holds(who, fence, *HELD):
            return REFUSED
        if self.state == "running" and self.manifest is None:
            return self._give_up(("worker_lost", message), chance)
        self.failure = ("worker_lost", message)
        return self._let_go(0)

    def adopt(self, who: tuple[str, str], fence: int) -> str:
        if self._holds(who, fence, "running", "publishing"):
            return REPEATS
        if self.taken_back and self._is_late(who, fence):
            return REFUSED  # the late accept was answered with a stop
        answer = self._news(who, fence)
        return self._move("running", who) if answer == MOVES else answer

    def inherit(self, heir: tuple[str, str], fence: int) -> str:
        if fence != self.fence or self.last is None or self.last[0] != heir[0]:
            return REFUSED
        if self.last == heir:
            return REPEATS
        if self.state not in ("queued", "running", "publishing"):
            return REFUSED
        self.last = heir
        return self._move(self.state, heir if self.holder else None)

    def cancel(self) -> str:
        if self.state == "cancelled":
            return REPEATS
        if self.manifest is not None or self.state not in ("queued", "leased", "running"):
            return REFUSED
        return self._end("cancelled")

    # -- parts --------------------------------------------------------------------------------

    def _holds(self, who: tuple[str, str], fence: int, *states: str) -> bool:
        return (who, fence) == (self.holder, self.fence) and self.state in states

    def _is_late(self, who: tuple[str, str], fence: int) -> bool:
        return self.state == "queued" and (who, fence) == (self.last, self.fence)

    def _is_newer(self, fence: int) -> bool:
        return self.state == "leased" and fence == self.fence - 1

    def _news(self, who: tuple[str, str], fence: int, *live: str) -> str:
        """Live, or late: then the attempt was not lost after all, and was charged for nothing."""
        if self._holds(who, fence, *live):
            return MOVES
        if self._is_newer(fence):
            return WAITS
        if not self._is_late(who, fence):
            return REFUSED
        self.charges.pop(fence, None)
        self.failure = None
        return MOVES

    def _give_up(self, why: tuple[str, str], chance: float) -> str:
        line = TABLE[why[0]]
        if line.charged:
            self.charges[self.fence] = self.last[0]
        if why[0] != "stopped":
            self.resources = self.resources + 1 if line.resource else 0
        charged = len(self.charges)
        self.failure = why
        self.avoid = self.last[0] if line.elsewhere and self.last else ""
        if line.charged and charged >= line.limit:
            on = ", ".join(self.charges[fence] for fence in sorted(self.charges))
            message = f"{why[1]}; given up after {charged} charged attempts, on {on}"
            self.failure = (why[0], message)
            return self._end("failed")
        if not line.retried or self.resources >= 5:
            return self._end("failed")
        nth = charged if line.charged else self.resources
        return self._let_go(backoff(nth - line.backed_off_from, chance, line))

    def _let_go(self, delay: int) -> str:
        self.eligible = self.now + delay
        return self._move("queued", None)

    def _end(self, state: str) -> str:
        self.ended = self.now
        return self._move(state, None)

    def _move(self, state: str, holder: tuple[str, str] | None) -> str:
        self.state, self.holder, self.reported = state, holder, None
        self.taken_back = False
        self.version += 1
        return MOVES


def backoff(doublings: int, chance: float, line: Line) -> int:
    """5, 10, 20 ... 300 s, of which the upper half is left to chance."""
    if not line.backed_off_from or doublings < 0:
        return 0
    half = min(300, 5 * 2**doublings) * SECOND // 2
    return half + round(half * chance)


# -- the subject, in the model's words ----------------------------------------------------------


def moment(micros: int) -> datetime:
    return START + timedelta(microseconds=micros)


def micros(at: datetime | None) -> int | None:
    return None if at is None else round((at - START) / timedelta(microseconds=1))


def name_of(holder: Holder | None) -> tuple[str, str] | None:
    return None if holder is None else (holder.worker, holder.incarnation)


def manifest_of(files: tuple[str, ...], fence: int) -> Manifest:
    return Manifest(tuple(FileRecord(f"m:{file}", 1, file) for file in files), fence)


def row_of(job: Job) -> dict[str, object]:
    stored = job.manifest and (
        tuple(file.sha256 for file in job.manifest.files),
        job.manifest.fence,
    )
    return {
        "state": str(job.state),
        "holder": name_of(job.holder),
        "last": name_of(job.last_holder),
        "fence": job.fence,
        "attempts": job.attempts,
        "charged": job.charged,
        "charged_on": list(job.charged_on),
        "resources": job.resource_failures,
        "manifest": stored,
        "eligible": micros(job.eligible_at) if str(job.state) == "queued" else None,
        "failure": job.failure and (str(job.failure.reason), job.failure.message),
        "avoid": job.avoid,
        "started": micros(job.start_at),
        "ended": micros(job.end_at),
        "version": job.version,
    }


def replayed(events: list[JobEvent]) -> dict[str, object]:
    """A job's row, as far as its events carry it."""
    row: dict[str, object] = {"attempts": 0, "started": None, "ended": None}
    for number, event in enumerate(events, start=1):
        assert event.number == number
        row["attempts"] += event.cause == "accepted"
        if event.cause == "accepted":
            row["started"] = micros(event.event_at)
        if str(event.state) in TERMINAL:
            row["ended"] = micros(event.event_at)
        row |= {
            "state": str(event.state),
            "fence": event.fence,
            "worker": event.worker,
            "held": str(event.state) in HELD,
            "charged": event.charged,
            "version": event.number,
            "eligible": micros(event.eligible_at) or 0,
        }
    return row


# -- the machine ----------------------------------------------------------------------------------

WORKERS = [("w1", "a"), ("w1", "b"), ("w2", "a"), ("w2", "b"), ("w3", "a")]
whos = st.sampled_from(WORKERS)
senders = st.tuples(  # the last holder itself? else who; how far from the current fence
    st.sampled_from([True, True, True, True, False]),
    whos,
    st.sampled_from([0, 0, 0, 0, 0, 0, -1, 1]),
)
ITSELF = (True, ("", ""), 0)
chances = st.sampled_from([0.0, 0.5, 1 - 2**-53])
contents = st.sampled_from([("x",), ("x",), ("y", "z")])
reasons = st.sampled_from(sorted(TABLE))
words = st.sampled_from(["it broke", "it broke again"])


class JobMachine(RuleBasedStateMachine):
    """Senders are mostly the last holder, fences mostly the current one, times mostly the edge."""

    @initialize()
    def submit(self) -> None:
        self.model = Model()
        self.message = None
        self.job = jobs.new_job(job_id="01J", job_class="c", rank=1, now=START, actor="client/a")
        self.events = [event_of(self.job)]

    def expect(self, answer: str, act: Callable[..., Job], **arguments: object) -> None:
        """Applies a rule, and holds what comes of it against the model's answer."""
        before = self.job
        if answer in (REFUSED, WAITS):
            with pytest.raises(DomainError) as refusal:
                act(before, **arguments)
            assert isinstance(refusal.value, NewerGrant) == (answer == WAITS)
            return
        self.job = act(before, **arguments)
        if answer == REPEATS:
            assert self.job is before
            return
        assert str(self.job.state) in ARROWS[str(before.state)].split()
        assert self.job.version == before.version + 1
        assert self.job.changed_at == moment(self.model.now)
        self.events.append(self._event(before))

    def _event(self, before: Job) -> JobEvent:
        event = event_of(self.job)
        assert (event.job_id, event.number) == ("01J", before.version + 1)
        assert event.event_at == moment(self.model.now)
        given_up = event.cause in ("failed", "lost", "returned")
        assert (event.reason is not None) == given_up
        if given_up:
            assert (str(event.reason), event.detail) == self.model.failure
        return event

    def named(self, sender: Sender) -> tuple[tuple[str, str], int]:
        own, other, step = sender
        who = self.model.last if own and self.model.last else other
        return who, self.model.fence + step

    @property
    def now(self) -> datetime:
        return moment(self.model.now)

    # -- time ---------------------------------------------------------------------------------

    @rule(step=st.sampled_from([1, SECOND, 5 * SECOND]))
    def time_passes(self, step: int) -> None:
        self.model.now += step

    @precondition(lambda self: self.model.eligible > self.model.now + 1)
    @rule(early=st.booleans())
    def the_wait_is_over_or_almost(self, early: bool) -> None:
        self.model.now = self.model.eligible - early

    # -- the master ---------------------------------------------------------------------------

    @rule(who=whos)
    def grant(self, who: tuple[str, str]) -> None:
        self.expect(self.model.grant(who), jobs.grant, holder=Holder(*who), now=self.now)

    @rule(sender=senders)
    def leave_unanswered(self, sender) -> None:
        _, fence = self.named(sender)
        answer = self.model.leave_unanswered(fence)
        self.expect(answer, jobs.leave_unanswered, fence=fence, now=self.now)

    @rule(sender=senders, message=words, chance=chances)
    def lose(self, sender, message, chance) -> None:
        who, fence = self.named(sender)
        self.expect(
            self.model.lose(who, fence, message, chance),
            jobs.lose,
            holder=Holder(*who),
            fence=fence,
            why=message,
            chance=chance,
            now=self.now,
        )

    @rule()
    def cancel(self) -> None:
        self.expect(self.model.cancel(), jobs.cancel, actor="client/a", now=self.now)

    # -- the worker ---------------------------------------------------------------------------

    @rule(sender=senders)
    def accept(self, sender) -> None:
        self._say("accept", sender)

    @rule(sender=senders)
    def reject(self, sender) -> None:
        self._say("reject", sender, why="no room")

    @rule(sender=senders)
    def publish(self, sender) -> None:
        self._say("publish", sender)

    @rule(sender=senders)
    def adopt(self, sender) -> None:
        self._say("adopt", sender)

    @rule(sender=senders, files=contents)
    def stage(self, sender, files) -> None:
        _, fence = self.named(sender)
        self._say("stage", sender, files, manifest=manifest_of(files, fence))

    @rule(sender=senders, reason=reasons, message=words, chance=chances)
    def fail(self, sender, reason, message, chance) -> None:
        failure = Failure(reason=Reason(reason), message=message)
        self._say("fail", sender, (reason, message), chance, failure=failure, chance=chance)

    @rule(incarnation=st.sampled_from(["a", "b"]), sender=senders)
    def inherit(self, incarnation, sender) -> None:
        (worker, _), fence = self.named(sender)
        self._hear("inherit", (worker, incarnation), fence)

    @precondition(lambda self: self.message)
    @rule()
    def hear_the_same_again(self) -> None:
        verb, who, fence, told, details = self.message
        self._hear(verb, who, fence, *told, **details)

    def _say(self, verb: str, sender: Sender, *told: object, **details: object) -> None:
        self._hear(verb, *self.named(sender), *told, **details)

    def _hear(
        self, verb: str, who: tuple[str, str], fence: int, *told: object, **details: object
    ) -> None:
        """Tells the model and the subject the same, each in its own words."""
        self.message = verb, who, fence, told, details
        answer = getattr(self.model, verb)(who, fence, *told)
        role = "heir" if verb == "inherit" else "holder"
        arguments = {role: Holder(*who), "fence": fence, "now": self.now, **details}
        self.expect(answer, getattr(jobs, verb), **arguments)

    # -- what random steps seldom reach -------------------------------------------------------

    @precondition(lambda self: self.model.state == "queued")
    @rule(who=whos)
    def run(self, who: tuple[str, str]) -> None:
        self.model.now = max(self.model.now, self.model.eligible)
        self.grant(who)
        self.accept(ITSELF)

    @precondition(lambda self: self.model.state == "queued")
    @rule(who=whos, reason=reasons, message=words, chance=chances, times=st.integers(2, 5))
    def keep_failing(self, who, reason, message, chance, times) -> None:
        for _ in range(times):
            if self.model.state == "queued":
                self.run(who)
                self.fail(ITSELF, reason, message, chance)
                self.hear_the_same_again()

    @precondition(lambda self: self.model.state == "queued")
    @rule(who=whos, other=whos, files=contents, retaken=st.booleans(), thawed=st.booleans())
    def lose_while_publishing(self, who, other, files, retaken, thawed) -> None:
        self.run(who)
        self.stage(ITSELF, files)
        self.lose(ITSELF, "it broke", 0.0)
        if retaken:
            self.grant(other)
        if thawed:
            self._say("publish", (False, who, -1 if retaken else 0))

    @precondition(lambda self: self.model.state == "leased" and self.model.fence > 1)
    @rule(who=whos, files=contents, verb=st.sampled_from(["stage", "publish", "fail", "adopt"]))
    def hear_of_the_attempt_before(self, who, files, verb) -> None:
        match verb:
            case "stage":
                self.stage((False, who, -1), files)
            case "fail":
                self.fail((False, who, -1), "transport", "it broke", 0.0)
            case _:
                self._say(verb, (False, who, -1))

    # -- what must always hold ----------------------------------------------------------------

    @invariant()
    def holds(self) -> None:
        """The row is the model's, the events tell it again, and I1, I2, I4 and I9 hold."""
        assert row_of(self.job) == self.model.row()
        assert replayed(self.events) == self._told()
        ended = [event for event in self.events if str(event.state) in TERMINAL]
        assert len(ended) == (str(self.job.state) in TERMINAL)
        assert self.job.fence == sum(event.cause == "granted" for event in self.events)
        assert (self.job.holder is not None) == (str(self.job.state) in HELD)
        assert self.job.holder in (None, self.job.last_holder)
        assert 0 <= self.job.charged <= min(3, self.job.fence)

    def _told(self) -> dict[str, object]:
        """What events carry of the row; the wait only where the job must wait."""
        row = self.model.row()
        waits = self.model.state == "queued" and self.model.eligible > micros(self.job.changed_at)
        carried = ("state", "fence", "charged", "version", "attempts", "started", "ended")
        return {name: row[name] for name in carried} | {
            "worker": self.model.last[0] if self.model.last else "",
            "held": row["holder"] is not None,
            "eligible": self.model.eligible if waits else 0,
        }


JobMachine.TestCase.settings = settings(max_examples=400, stateful_step_count=30)
TestLifeOfAJob = JobMachine.TestCase
