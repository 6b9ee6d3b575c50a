"""The life of a job against an independent model.

The model shares no code with `domain/job` and `domain/retry.py`: states, reasons and the retry
table are written out here, as strings and numbers. It says of every message whether it moves the
job, was applied before, must be asked again or is refused; then both are compared.

To add a rule: a method of `Model` that returns its answer and makes the move, and a `@rule` of
`JobMachine` that hands both to `expect`. To add a field: `Model`, `Model.row` and `row_of`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ffrtmp.domain import job as jobs
from ffrtmp.domain import orders
from ffrtmp.domain.errors import DomainError, NewerGrant
from ffrtmp.domain.event import JobEvent, event_of
from ffrtmp.domain.job import Failure, FileRecord, Holder, Job, Manifest
from ffrtmp.domain.promises import Targets
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.sla import judged
from ffrtmp.domain.spec import Priority, Queue

HOURS = {"high": 1, "normal": 0, "low": -1}
QUEUES = {"live": 24, "default": 0, "batch": -6}
START = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = 1_000_000

Sender = tuple[bool, tuple[str, str], int | None]

NEWS = ("stage", "publish", "fail", "adopt", "inherit")
MOVES, REPEATS, WAITS, REFUSED = "moves", "repeats", "waits", "refused"

HELD = ("leased", "running", "publishing")
TERMINAL = ("succeeded", "failed", "cancelled")
PLATFORM = ("stopped", "stalled", "resource", "resource_memory", "transport", "worker_lost")
LONGEST = {"live": 1, "default": 5, "batch": 600}
TARGETS = Targets(
    live_wait=timedelta(seconds=LONGEST["live"]),
    default_wait=timedelta(seconds=LONGEST["default"]),
    batch_wait=timedelta(seconds=LONGEST["batch"]),
    start_delay=timedelta(seconds=5),
)
BEGUN = ("accepted", "adopted", "staged", "published", "failed", "returned")
WAITING = ("queued", "paused")
ARROWS = {
    "queued": "queued paused leased running publishing succeeded failed cancelled",
    "paused": "queued paused running publishing succeeded failed cancelled",
    "leased": "queued running cancelled",
    "running": "queued running publishing succeeded failed cancelled",
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
    granted: int = 0
    accepted: tuple[tuple[str, str], int] | None = None  # who accepted last, and which fence
    failed: bool = False  # that one said itself that it failed
    changed: int = 0
    attempts: int = 0
    charges: dict[int, str] = field(default_factory=dict)  # fences that were charged, on whom
    resources: int = 0
    manifest: tuple[tuple[str, ...], int] | None = None
    eligible: int = 0
    failure: tuple[str, str] | None = None
    avoid: str = ""
    started: int | None = None
    ended: int | None = None
    version: int = 1
    cause: str = "submit"
    exclusive: bool = False
    restarts: int = 0
    blocked: tuple[str, str] | None = None
    rejects: int = 0
    rejected_since: int = 0
    queue: str = "default"
    priority: str | None = None  # None: as it was submitted, normal
    waited: int = 0
    offered: int = 0
    blamed: set[int] = field(default_factory=set)  # fences of attempts that the platform failed
    verdict: str | None = None

    def copied(self) -> "Model":
        """Of its fields only two can be changed in place; `deepcopy` took a sixth of the test."""
        return replace(self, charges=dict(self.charges), blamed=set(self.blamed))

    def row(self) -> dict[str, object]:
        """What a job's row must say; `row_of` says what it does."""
        return {
            "state": self.state,
            "holder": self.holder,
            "last": self.last,
            "fence": self.fence,
            "granted": self.granted,
            "accepted": self.accepted and (*self.accepted, self.failed),
            "attempts": self.attempts,
            "charged": len(self.charges),
            "resources": self.resources,
            "manifest": self.manifest,
            "eligible": self.eligible if self.state in WAITING else None,
            "rank": -3600 * SECOND * (QUEUES[self.queue] + HOURS[self.priority or "normal"]),
            "priority": self.priority,
            "failure": self.failure,
            "avoid": self.avoid,
            "started": self.started,
            "ended": self.ended,
            "version": self.version,
            "charged_on": tuple(self.charges.values()),
            "blocked": self.blocked,
            "unschedulable": self.state == "queued" and self.rejects >= 20,
            "frees_targets": self.state in TERMINAL and self.blocked is None,
            "waited": self.waited,
            "offered": self.offered,
            "blamed": len(self.blamed),
            "known": self.version,
            "verdict": self.verdict,
        }

    # -- what the messages mean ---------------------------------------------------------------

    def grant(self, who: tuple[str, str]) -> str:
        waits = 0 < self.eligible - self.now <= 300 * SECOND
        if self.state != "queued" or waits or self.blocked:
            return REFUSED
        self.granted += 1
        self.fence = self.granted
        self.last = who
        return self._move("leased", who)

    def accept(self, who: tuple[str, str], fence: int) -> str:
        if self._holds(who, fence, "running", "publishing"):
            return REPEATS
        if not self._holds(who, fence, "leased"):
            return REFUSED
        self.attempts += 1
        self.started = self._not_before()
        self.rejects = 0
        self.accepted, self.failed = (who, fence), False
        return self._move("running", who)

    def reject(self, who: tuple[str, str], fence: int) -> str:
        if not self._holds(who, fence, "leased"):
            return REFUSED
        over = self.now - self.rejected_since >= 600 * SECOND and self.rejects < 20
        if self.rejects == 0 or over:
            self.rejects, self.rejected_since = 0, self.now
        self.rejects += 1
        return self._let_go(60 * SECOND if self.rejects >= 20 else SECOND)

    def leave_unanswered(self, fence: int) -> str:
        if fence != self.fence or self.state != "leased":
            return REFUSED
        self._block()
        answer = self._let_go(0, still_blocked=True)
        self.cause = "unanswered"
        return answer

    def stage(self, who: tuple[str, str], fence: int, files: tuple[str, ...]) -> str:
        if self._holds(who, fence, "publishing"):
            return REPEATS if self.manifest == (files, fence) else REFUSED
        if self.exclusive:
            return REFUSED
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
        has_result = self.exclusive or self.manifest is not None
        if self._is_newer(who, fence):
            return WAITS if has_result else REFUSED
        if self._is_late(who, fence) and has_result:
            self._take_back(who, fence)
        elif not self._holds(who, fence, "running" if self.exclusive else "publishing"):
            return REFUSED
        self.blocked = None
        self.failure = None
        return self._end("succeeded")

    def fail(self, who: tuple[str, str], fence: int, why: tuple[str, str], chance: float) -> str:
        if (who, fence) == self.accepted and self.failed:
            return REPEATS
        answer = self._news(who, fence, "running", "publishing")
        if answer == MOVES:
            if why[0] != "stopped":
                self.manifest = None
            self._give_up(why, chance)
            self.failed = True
        return answer

    def lose(self, who: tuple[str, str], fence: int, message: str, chance: float, how: str) -> str:
        """`how`: dead (its FFmpeg is known to be gone), mass (not charged), or neither."""
        if not self._holds(who, fence, *HELD):
            return REFUSED
        if how != "dead":
            self._block()
        if self.state == "running" and how != "mass" and self.manifest is None:
            return self._give_up(("worker_lost", message), chance, still_blocked=how != "dead")
        if self.state != "leased":
            self.blamed.add(self.fence)
        self.failure = ("worker_lost", message)
        return self._let_go(0, still_blocked=how != "dead")

    def unblock(self, who: tuple[str, str], fence: int) -> str:
        if fence != self.fence:
            return REFUSED
        if self.blocked is None:
            return REPEATS
        if self.blocked != who:
            return REFUSED
        self.blocked = None
        return self._aside()

    def adopt(self, who: tuple[str, str], fence: int) -> str:
        if self._holds(who, fence, "running", "publishing"):
            return REPEATS
        known = (who, fence) == self.accepted
        if self._is_late(who, fence) and self.cause == "unanswered" and not known:
            return REFUSED
        answer = self._news(who, fence)
        if answer == MOVES:
            self.blocked = None
            if not known:
                self.started = self._not_before()
            self._move("running", who)
        return answer

    def inherit(self, heir: tuple[str, str], fence: int) -> str:
        is_accepted = self.accepted is not None and self.accepted[1] == fence
        if fence != self.fence and is_accepted:
            return self._inherit_the_accepted(heir, fence)
        if fence != self.fence or self.last is None or self.last[0] != heir[0]:
            return REFUSED
        if self.last == heir:
            return REPEATS
        if self.state not in (*WAITING, "running", "publishing"):
            return REFUSED
        self.last, self.blocked = heir, None
        if is_accepted:
            self.accepted = (heir, fence)
        self.holder = heir if self.holder else None
        return self._aside()

    def _inherit_the_accepted(self, heir: tuple[str, str], fence: int) -> str:
        if self.accepted[0][0] != heir[0]:
            return REFUSED
        if self.accepted[0] == heir:
            return REPEATS
        if self.state not in (*WAITING, "leased"):
            return REFUSED
        self.accepted = (heir, fence)
        return self._aside()

    def cancel(self, *, force: bool) -> str:
        """`force`: of what may be published already, while nobody has it."""
        if self.state == "cancelled":
            return REPEATS
        if self.manifest is not None and not (force and self.state in WAITING):
            return REFUSED
        if self.state not in (*WAITING, "leased", "running"):
            return REFUSED
        self._block()
        return self._end("cancelled", still_blocked=True)

    def pause(self) -> str:
        if self.state == "paused":
            return REPEATS
        return self._order("paused") if self.state == "queued" else REFUSED

    def resume(self) -> str:
        if self.state in TERMINAL:
            return REFUSED
        return self._order("queued") if self.state == "paused" else REPEATS

    def reprioritise(self, priority: str) -> str:
        if self.state not in WAITING:
            return REFUSED
        if priority == (self.priority or "normal"):
            return REPEATS
        self.priority = priority
        return self._order(self.state)

    # -- what it says of the platform ---------------------------------------------------------

    def serve(self, before: "Model", *, late: bool) -> None:
        """After a move. `late`: of an attempt that had never stopped, or had its result, so that
        nothing waited."""
        until = self.changed
        if before.state == "queued" and not late:
            self.waited += max(0, until - max(before.changed, before.eligible))
        if before.state == "leased":
            self.offered += max(0, until - before.changed)
        if self.state in TERMINAL and before.state not in TERMINAL:
            self.verdict = self._judged()

    def _judged(self) -> str:
        broken = ["queue_wait"] if self.waited > LONGEST[self.queue] * SECOND else []
        broken += ["start_delay"] if self.offered > 5 * SECOND else []
        broken += ["platform_failure"] if self.blamed else []
        if broken:
            return ",".join(broken)
        never_begun = self.state == "cancelled" and self.attempts == 0
        return "withdrawn" if never_begun else "met"

    # -- parts --------------------------------------------------------------------------------

    def _order(self, state: str) -> str:
        """By a person."""
        self.state, self.rejects = state, 0
        return self._aside()

    def _aside(self) -> str:
        """Noted, and of the attempt before it everything stays known."""
        self.changed = self._not_before()
        self.version += 1
        return MOVES

    def _holds(self, who: tuple[str, str], fence: int, *states: str) -> bool:
        return (who, fence) == (self.holder, self.fence) and self.state in states

    def _is_late(self, who: tuple[str, str], fence: int) -> bool:
        if self.state not in WAITING:
            return False
        if (who, fence) == (self.last, self.fence):
            return True
        return (who, fence) == self.accepted and self.blocked is None

    def _is_newer(self, who: tuple[str, str], fence: int) -> bool:
        older = (who, fence) == self.accepted and fence != self.fence
        return self.state == "leased" and older

    def _news(self, who: tuple[str, str], fence: int, *live: str) -> str:
        """Live, or late: then the attempt was not lost after all, and was charged for nothing."""
        if self._holds(who, fence, *live):
            return MOVES
        if self._is_newer(who, fence):
            return WAITS
        if not self._is_late(who, fence):
            return REFUSED
        self._take_back(who, fence)
        return MOVES

    def _take_back(self, who: tuple[str, str], fence: int) -> None:
        """The job is that attempt's again, whatever came back since."""
        self.charges.pop(fence, None)
        self.blamed.discard(fence)
        self.failure = None
        self.attempts += (who, fence) != self.accepted
        self.last, self.fence = who, fence
        self.accepted, self.failed = (who, fence), False

    def _block(self) -> None:
        """Of a live push that is taken away nobody knows whether it still goes on."""
        if self.exclusive:
            self.blocked = self.holder or self.blocked

    def _give_up(self, why: tuple[str, str], chance: float, *, still_blocked: bool = False) -> str:
        line = self._line(why[0])
        if why[0] in PLATFORM:
            self.blamed.add(self.fence)
        healthy = self.state == "running" and self.started is not None
        if self.restarts and healthy and self.now - self.started >= 600 * SECOND:
            self.charges.clear()
        if line.charged:
            self.charges[self.fence] = self.last[0]
        if why[0] != "stopped":
            self.resources = self.resources + 1 if line.resource else 0
        charged = len(self.charges)
        self.failure = why
        self.avoid = self.last[0] if line.elsewhere and self.last else ""
        exhausted = line.charged and charged >= line.limit
        if exhausted:
            times = {1: "", 2: " (twice)", 3: " (3 times)"}
            on = ", ".join(
                worker + times[list(self.charges.values()).count(worker)]
                for worker in dict.fromkeys(self.charges.values())
            )
            self.failure = (why[0], f"{why[1]}; given up after {charged} charged attempts, on {on}")
        if not line.retried or exhausted or self.resources >= 5:
            return self._end("failed", still_blocked=still_blocked)
        nth = charged if line.charged else self.resources
        delay = backoff(nth - line.backed_off_from, chance, line)
        return self._let_go(delay, still_blocked=still_blocked)

    def _line(self, reason: str) -> Line:
        """A live job with a budget of restarts survives so many charges, also FFmpeg's failures."""
        line, limit = TABLE[reason], self.restarts + 1
        if not self.restarts:
            return line
        if reason in ("stalled", "ffmpeg_failed"):
            return replace(line, retried=True, charged=True, backed_off_from=1, limit=limit)
        return replace(line, limit=max(line.limit, limit))

    def _let_go(self, delay: int, *, still_blocked: bool = False) -> str:
        self.eligible = self.now + delay
        back = "paused" if self.state == "paused" else "queued"
        return self._leave(back, still_blocked=still_blocked)

    def _end(self, state: str, *, still_blocked: bool = False) -> str:
        self.ended = self._not_before()
        return self._leave(state, still_blocked=still_blocked)

    def _leave(self, state: str, *, still_blocked: bool) -> str:
        if not still_blocked:
            self.blocked = None
        return self._move(state, None)

    def _move(self, state: str, holder: tuple[str, str] | None) -> str:
        self.state, self.holder, self.cause = state, holder, "moved"
        self.changed = self._not_before()
        self.version += 1
        return MOVES

    def _not_before(self) -> int:
        """A history follows the clock back only where that is put back by far."""
        return self.changed if 0 < self.changed - self.now <= 60 * SECOND else self.now


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
        "granted": job.granted,
        "accepted": job.accepted
        and (name_of(job.accepted.holder), job.accepted.fence, job.accepted.failed),
        "attempts": job.attempts,
        "charged": job.charged,
        "resources": job.resource_failures,
        "manifest": stored,
        "eligible": micros(job.eligible_at) if str(job.state) in WAITING else None,
        "rank": job.rank - round(START.timestamp()) * SECOND,
        "priority": job.priority,
        "failure": job.failure and (str(job.failure.reason), job.failure.message),
        "avoid": job.avoid,
        "started": micros(job.start_at),
        "ended": micros(job.end_at),
        "version": job.version,
        "charged_on": job.charged_on,
        "blocked": name_of(job.blocked_by),
        "unschedulable": job.is_unschedulable,
        "frees_targets": job.frees_targets,
        "waited": job.evidence.queue_wait // timedelta(microseconds=1),
        "offered": job.evidence.start_delay // timedelta(microseconds=1),
        "blamed": job.evidence.failures,
        "known": job.evidence.moves,
        "verdict": job.sla and (",".join(job.sla.breaches) or str(job.sla.verdict)),
    }


def replayed(events: list[JobEvent]) -> dict[str, object]:
    """A job's row, as far as its events carry it."""
    row: dict[str, object] = {"started": None, "ended": None}
    begun: set[int] = set()
    granted = 0
    for number, event in enumerate(events, start=1):
        assert event.number == number
        if event.cause in ("accepted", "adopted") and event.fence not in begun:
            row["started"] = micros(event.event_at)
        if event.cause in BEGUN:
            begun.add(event.fence)
        granted = max(granted, event.fence)
        if str(event.state) in TERMINAL and event.cause != "unblocked":
            row["ended"] = micros(event.event_at)
        row |= {
            "state": str(event.state),
            "fence": event.fence,
            "worker": event.worker,
            "held": str(event.state) in HELD,
            "charged": event.charged,
            "blocked": event.blocked_by,
            "version": event.number,
            "eligible": micros(event.eligible_at) or 0,
            "attempts": len(begun),
            "granted": granted,
        }
    return row


# -- the machine ----------------------------------------------------------------------------------

WORKERS = [("w1", "a"), ("w1", "b"), ("w2", "a"), ("w2", "b"), ("w3", "a")]
whos = st.sampled_from(WORKERS)
senders = st.tuples(  # the last holder itself? else who; how far from the current fence
    st.sampled_from([True, True, True, True, False]),
    whos,
    st.sampled_from([0, 0, 0, 0, 0, 0, None, -1, 1]),  # None: the attempt accepted last
)
ITSELF = (True, ("", ""), 0)
chances = st.sampled_from([0.0, 0.5, 1 - 2**-53])
contents = st.sampled_from([("x",), ("x",), ("y", "z")])
reasons = st.sampled_from(sorted(TABLE))
words = st.sampled_from(["it broke", "it broke again"])


class JobMachine(RuleBasedStateMachine):
    """Senders are mostly the last holder, fences mostly the current one, times mostly the edge."""

    @initialize(
        kind=st.sampled_from([(False, 0), (False, 0), (True, 0), (True, 2)]),
        queue=st.sampled_from(sorted(QUEUES)),
    )
    def submit(self, kind: tuple[bool, int], queue: str) -> None:
        exclusive, restarts = kind
        self.model = Model(exclusive=exclusive, restarts=restarts, queue=queue)
        self.message = None
        self.job = jobs.new_job(
            job_id="01J",
            job_class="c",
            rank=(round(START.timestamp()) - 3600 * QUEUES[queue]) * SECOND,
            now=START,
            actor="client/a",
            exclusive=exclusive,
            restarts=restarts,
            queue=Queue(queue),
        )
        self.before = self.model.copied()
        self.events = [event_of(self.job)]

    def expect(self, answer: str, act: Callable[..., Job], **arguments: object) -> None:
        """Applies a rule, and holds what comes of it against the model's answer."""
        before = self.job
        if answer == MOVES:
            self.model.serve(self.before, late=act.__name__ in NEWS)
        self.before = self.model.copied()
        if answer in (REFUSED, WAITS):
            with pytest.raises(DomainError) as refusal:
                act(before, **arguments)
            assert isinstance(refusal.value, NewerGrant) == (answer == WAITS)
            return
        self.job = judged(partial(act, **arguments), TARGETS)(before)
        if answer == REPEATS:
            assert self.job is before
            return
        if self.job.cause not in ("unblocked", "inherited"):
            assert str(self.job.state) in ARROWS[str(before.state)].split()
        assert self.job.version == before.version + 1
        assert self.job.changed_at == moment(self.model.changed)
        self.events.append(self._event(before))

    def _event(self, before: Job) -> JobEvent:
        event = event_of(self.job)
        assert (event.job_id, event.number) == ("01J", before.version + 1)
        assert event.event_at == moment(self.model.changed)
        given_up = event.cause in ("failed", "lost", "returned")
        assert (event.reason is not None) == given_up
        if given_up:
            assert (str(event.reason), event.detail) == self.model.failure
        return event

    def named(self, sender: Sender) -> tuple[tuple[str, str], int]:
        own, other, step = sender
        if step is None:
            accepted = self.model.accepted or (other, 0)
            return (accepted[0] if own else other), accepted[1]
        who = self.model.last if own and self.model.last else other
        return who, self.model.fence + step

    @property
    def now(self) -> datetime:
        return moment(self.model.now)

    # -- time ---------------------------------------------------------------------------------

    @rule(step=st.sampled_from([1, SECOND, 5 * SECOND, 600 * SECOND - 1, 600 * SECOND]))
    def time_passes(self, step: int) -> None:
        self.model.now += step

    @rule(step=st.sampled_from([1, SECOND, 60 * SECOND, 60 * SECOND + 1]))
    def the_clock_is_put_back(self, step: int) -> None:
        self.model.now -= step

    @precondition(lambda self: self.model.eligible > self.model.now + 1)
    @rule(early=st.booleans())
    def the_wait_is_over_or_almost(self, early: bool) -> None:
        self.model.now = self.model.eligible - early
        self.grant(("w1", "a"))

    # -- the master ---------------------------------------------------------------------------

    @rule(who=whos)
    def grant(self, who: tuple[str, str]) -> None:
        self.expect(self.model.grant(who), jobs.grant, holder=Holder(*who), now=self.now)

    @rule(sender=senders)
    def leave_unanswered(self, sender) -> None:
        _, fence = self.named(sender)
        answer = self.model.leave_unanswered(fence)
        self.expect(answer, jobs.leave_unanswered, fence=fence, now=self.now)

    @rule(
        sender=senders, message=words, chance=chances, how=st.sampled_from(["", "", "dead", "mass"])
    )
    def lose(self, sender, message, chance, how="") -> None:
        who, fence = self.named(sender)
        self.expect(
            self.model.lose(who, fence, message, chance, how),
            jobs.lose,
            holder=Holder(*who),
            fence=fence,
            why=message,
            chance=chance,
            now=self.now,
            dead=how == "dead",
            charged=how != "mass",
        )

    @rule(sender=senders)
    def unblock(self, sender) -> None:
        who, fence = self.named(sender)
        answer = self.model.unblock(who, fence)
        arguments = {"holder": Holder(*who), "fence": fence, "now": self.now, "why": "it is gone"}
        self.expect(answer, jobs.unblock, **arguments)

    @rule(force=st.booleans())
    def cancel(self, force) -> None:
        unsure = self.model.manifest is not None
        answer = self.model.cancel(force=force)
        self.expect(answer, jobs.cancel, actor="client/a", now=self.now, force=force)
        if answer == MOVES:
            assert ("maybe" in self.job.detail or "may be" in self.job.detail) == unsure

    # -- people -------------------------------------------------------------------------------

    @rule()
    def pause(self) -> None:
        self.expect(self.model.pause(), orders.pause, actor="admin/a", now=self.now)

    @rule()
    def resume(self) -> None:
        self.expect(self.model.resume(), orders.resume, actor="admin/a", now=self.now)

    @rule(priority=st.sampled_from(sorted(HOURS)))
    def reprioritise(self, priority) -> None:
        self.expect(
            self.model.reprioritise(priority),
            orders.reprioritise,
            queue=Queue(self.model.queue),
            priority=Priority(priority),
            actor="admin/a",
            now=self.now,
        )

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

    @precondition(lambda self: self.model.state == "queued" and not self.model.blocked)
    @rule(who=whos)
    def run(self, who: tuple[str, str]) -> None:
        self.model.now = max(self.model.now, self.model.eligible)
        self.grant(who)
        self.accept(ITSELF)

    @precondition(lambda self: self.model.state == "queued" and not self.model.blocked)
    @rule(who=whos, reason=reasons, message=words, chance=chances, times=st.integers(2, 5))
    def keep_failing(self, who, reason, message, chance, times) -> None:
        for _ in range(times):
            if self.model.state == "queued":
                self.run(who)
                self.fail(ITSELF, reason, message, chance)
                self.hear_the_same_again()

    @precondition(lambda self: self.model.state == "queued" and not self.model.blocked)
    @rule(who=whos, other=whos, files=contents, retaken=st.booleans(), thawed=st.booleans())
    def lose_while_publishing(self, who, other, files, retaken, thawed) -> None:
        self.run(who)
        self.stage(ITSELF, files)
        self.lose(ITSELF, "it broke", 0.0)
        if retaken:
            self.grant(other)
        if thawed:
            self._say("publish", (False, who, -1 if retaken else 0))

    @precondition(lambda self: self.model.state == "queued" and not self.model.exclusive)
    @rule(who=whos, retaken=st.booleans(), force=st.booleans())
    def cancel_what_may_be_published(self, who, retaken, force) -> None:
        self.lose_while_publishing(who, who, ("x",), retaken, False)
        self.cancel(force)

    @precondition(lambda self: self.model.state == "queued" and not self.model.blocked)
    @rule(who=whos, times=st.sampled_from([19, 20, 21]))
    def keep_rejecting(self, who, times) -> None:
        for _ in range(times):
            self.model.now = max(self.model.now, self.model.eligible)
            self.grant(who)
            self.reject(ITSELF)

    @precondition(lambda self: self.model.state == "queued" and not self.model.blocked)
    @rule(who=whos, held=contents, brought=contents)
    def publish_again(self, who, held, brought) -> None:
        self.lose_while_publishing(who, who, held, True, False)
        self.accept(ITSELF)
        self.stage(ITSELF, brought)

    @precondition(lambda self: self.model.state == "queued" and not self.model.blocked)
    @rule(
        who=whos,
        ran=st.booleans(),
        given=st.sampled_from(["", "pause", "pause resume", "unblock", "inherit", "unblock pause"]),
    )
    def adopt_what_was_taken_back(self, who, ran, given) -> None:
        if ran:
            self.run(("w3", "a"))
            self.lose(ITSELF, "it broke", 0.0, "dead")
        if self.model.state != "queued":
            return
        self.model.now = max(self.model.now, self.model.eligible)
        self.grant(who)
        self.leave_unanswered(ITSELF)
        self._obey(given)
        self.adopt(ITSELF)

    @precondition(lambda self: self.model.state == "queued" and not self.model.blocked)
    @rule(who=whos, reason=reasons, short=st.sampled_from([0, 1]))
    def fail_after_a_healthy_while(self, who, reason, short) -> None:
        self.keep_failing(who, "transport", "it broke", 0.0, 1)  # a charge to be forgotten
        if self.model.state != "queued":
            return
        self.run(who)
        self.model.now += 600 * SECOND - short
        self.fail(ITSELF, reason, "it broke", 0.0)

    @precondition(lambda self: self.model.state == "queued" and not self.model.blocked)
    @rule(who=whos)
    def adopt_an_uncharged_attempt_after_a_charged_one(self, who) -> None:
        self.keep_failing(who, "transport", "it broke", 0.0, 1)
        self.keep_failing(who, "stopped", "it broke", 0.0, 1)
        self.adopt(ITSELF)

    @precondition(lambda self: self.model.state == "queued" and not self.model.blocked)
    @rule(
        who=whos,
        course=st.tuples(
            st.sampled_from(["lose", "fail", "leave_unanswered"]),
            st.sampled_from(["pause", "pause resume", "reprioritise", "reprioritise pause"]),
            st.sampled_from(["adopt", "stage", "fail", "publish", "repeat"]),
        ),
        reason=reasons,
        files=contents,
    )
    def order_before_late_news(self, who, course, reason, files) -> None:
        """What a person ordered meanwhile makes no difference to what late news mean."""
        end, given, late = course
        self._let_end(who, end, reason)
        self._obey(given)
        match late:
            case "stage":
                self.stage((False, who, 0), files)
            case "fail":
                self.fail((False, who, 0), reason, "it broke again", 0.0)
            case "repeat" if self.message:
                self.hear_the_same_again()
            case "repeat":
                pass
            case _:
                self._say(late, (False, who, 0))

    def _obey(self, given) -> None:
        for order in given.split():
            if order == "reprioritise":
                self.reprioritise("low" if self.model.priority == "high" else "high")
            elif order == "unblock":
                self.unblock(ITSELF)
            elif order == "inherit":
                self.inherit("b", (True, ("w3", "a"), None))
            else:
                getattr(self, order)()

    def _let_end(self, who, end, reason) -> None:
        self.model.now = max(self.model.now, self.model.eligible)
        self.grant(who)
        if end == "leave_unanswered":
            self.leave_unanswered(ITSELF)
            return
        self.accept(ITSELF)
        if end == "lose":
            self.lose(ITSELF, "it broke", 0.0)
        else:
            self.fail(ITSELF, reason, "it broke", 0.0)

    @precondition(lambda self: self.model.state == "queued" and not self.model.blocked)
    @rule(who=whos)
    def order_what_nobody_takes(self, who) -> None:
        self.keep_rejecting(who, 20)
        self.pause()
        self.resume()

    @precondition(lambda self: self.model.state == "queued")
    @rule(longer=st.sampled_from([0, 1]))
    def wait_in_vain(self, longer) -> None:
        since = max(self.model.now, self.model.eligible)
        self.model.now = since + LONGEST[self.model.queue] * SECOND + longer
        self.cancel(False)

    @precondition(lambda self: self.model.blocked)
    @rule(who=whos)
    def hear_of_the_blocker(self, who) -> None:
        self.unblock((False, who, 0))

    @precondition(lambda self: self.model.accepted and self.model.state in ("leased", "queued"))
    @rule(files=contents, verb=st.sampled_from(["stage", "publish", "fail", "adopt", "inherit"]))
    def hear_of_the_attempt_accepted_last(self, files, verb) -> None:
        it = (True, ("w3", "a"), None)
        match verb:
            case "stage":
                self.stage(it, files)
            case "fail":
                self.fail(it, "resource", "it broke", 0.0)
                self.hear_the_same_again()
            case "inherit":
                self.inherit("b", it)
            case _:
                self._say(verb, it)

    @precondition(lambda self: self.model.state == "queued" and not self.model.blocked)
    @rule(
        who=whos,
        other=whos,
        how=st.sampled_from(["reject", "unanswered", "lose", "on offer", "accept"]),
        times=st.integers(1, 2),
        news=st.sampled_from(["stage", "publish", "fail", "adopt", "inherit"]),
    )
    def hear_of_it_after_newer_grants(self, who, other, how, times, news) -> None:
        """A finished encode is not thrown away because a newer grant came to nothing."""
        self.run(who)
        self.lose(ITSELF, "it broke", 0.0, "dead")
        for _ in range(times):
            if self.model.state != "queued" or self.model.blocked:
                return
            self.model.now = max(self.model.now, self.model.eligible)
            self.grant(other)
            match how:
                case "reject":
                    self.reject(ITSELF)
                case "unanswered":
                    self.leave_unanswered(ITSELF)
                case "lose":
                    self.lose(ITSELF, "it broke", 0.0)
                case "accept":
                    self.accept(ITSELF)
                    self.lose(ITSELF, "it broke", 0.0)
                case _:
                    break
        self._say("adopt", (False, who, 0)) if how == "unanswered" else None
        if self.model.accepted and self.model.state in ("leased", "queued"):
            self.hear_of_the_attempt_accepted_last(("x",), news)

    @precondition(lambda self: self.model.state == "queued" and not self.model.blocked)
    @rule(who=whos, reason=st.sampled_from(["resource", "resource_memory"]))
    def fail_and_say_it_again_as_a_new_run(self, who, reason) -> None:
        self.run(who)
        self.fail(ITSELF, reason, "it broke", 0.0)
        self.inherit("b" if who[1] == "a" else "a", ITSELF)
        self.fail(ITSELF, reason, "it broke", 0.0)

    # -- what must always hold ----------------------------------------------------------------

    @invariant()
    def holds(self) -> None:
        """The row is the model's, the events tell it again, and I1, I2, I4 and I9 hold."""
        assert row_of(self.job) == self.model.row()
        assert replayed(self.events) == self._told()
        moves = [event for event in self.events if event.cause != "unblocked"]
        ended = [event for event in moves if str(event.state) in TERMINAL]
        assert len(ended) == (str(self.job.state) in TERMINAL)
        assert self.job.granted == sum(event.cause == "granted" for event in self.events)
        assert self.job.fence <= self.job.granted
        assert (self.job.holder is not None) == (str(self.job.state) in HELD)
        assert self.job.holder in (None, self.job.last_holder)
        assert 0 <= self.job.charged <= min(3, self.job.fence)

    def _told(self) -> dict[str, object]:
        """What events carry of the row; the wait only where the job must wait."""
        row = self.model.row()
        waits = self.model.state == "queued" and self.model.eligible > self.model.changed
        carried = (
            "state",
            "fence",
            "granted",
            "charged",
            "version",
            "attempts",
            "started",
            "ended",
        )
        return {name: row[name] for name in carried} | {
            "worker": self.model.last[0] if self.model.last else "",
            "held": row["holder"] is not None,
            "blocked": self.model.blocked[0] if self.model.blocked else "",
            "eligible": self.model.eligible if waits else 0,
        }


JobMachine.TestCase.settings = settings(
    max_examples=6 * settings().max_examples, stateful_step_count=30
)
TestLifeOfAJob = JobMachine.TestCase
