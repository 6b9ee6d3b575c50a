"""The jobs of a schedule, as a store has them, each with its judge; and what moves them."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random

from ffrtmp.domain import job as rules
from ffrtmp.domain import orders
from ffrtmp.domain.errors import DomainError
from ffrtmp.domain.event import event_of
from ffrtmp.domain.job import Holder, Job
from ffrtmp.domain.session import AttemptKey
from ffrtmp.sim.schedules.life_rules import Account, require

START = datetime(2026, 1, 1, tzinfo=UTC)
CLIENT = "client/a"
TIMES = tuple(timedelta(seconds=s) for s in (0.001, 1, 5, 10, 300))


class Board:
    """A job is named by its number. `counts`: how often each cause moved one."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self.now = START
        self.counts: Counter[str] = Counter()
        self.jobs: list[Job] = []
        self.accounts: list[Account] = []

    def submit(self) -> None:
        number = len(self.jobs)
        exclusive = self._chance.random() < 0.3  # noqa: PLR2004
        restarts = self._chance.choice((0, 0, 2)) if exclusive else 0
        self.jobs.append(
            rules.new_job(
                job_id=f"j{number}",
                job_class="c",
                rank=number,
                now=self.now,
                actor=CLIENT,
                exclusive=exclusive,
                restarts=restarts,
            )
        )
        self.accounts.append(Account(exclusive=exclusive, restarts=restarts))

    def all_have_ended(self) -> bool:
        ends = {"succeeded", "failed", "cancelled"}
        return all(str(job.state) in ends and job.blocked_by is None for job in self.jobs)

    def any_job(self) -> int:
        return self._chance.randrange(len(self.jobs))

    # -- a move -----------------------------------------------------------------------------

    def apply(
        self, number: int, rule: Callable[[Job], Job], speaker: Holder | None = None, fence: int = 0
    ) -> DomainError | None:
        """None: it moved the job, or had moved it before. Raises Broken."""
        before = self.jobs[number]
        try:
            after = rule(before)
        except DomainError as error:
            return error
        if after is before:
            return None
        self.jobs[number] = after
        self.counts[str(after.cause)] += 1
        self.accounts[number].moved(before, after, event_of(after), speaker, fence)
        _require_once(after, rule)
        return None

    def grant(self, number: int, holder: Holder) -> Job | None:
        """The job, when it was granted by this."""
        before = self.jobs[number].fence
        self.apply(number, partial(rules.grant, holder=holder, now=self.now))
        job = self.jobs[number]
        return job if job.fence != before and str(job.state) == "leased" else None

    def take_back(self, number: int) -> None:
        rule = partial(rules.leave_unanswered, fence=self.jobs[number].fence, now=self.now)
        self.apply(number, rule)

    def speak_for(self, rule: Callable[..., Job], key: AttemptKey, holder: Holder) -> None:
        bound = partial(rule, holder=holder, fence=key.fence, now=self.now)
        self.apply(number_of(key), bound, holder, key.fence)

    def lose_all(self, holder: Holder, *, dead: bool, charged: bool = True) -> None:
        for number, job in enumerate(self.jobs):
            if job.holder == holder:
                self.lose(number, holder, dead=dead, charged=charged)

    def lose(self, number: int, holder: Holder, *, dead: bool, charged: bool = True) -> None:
        rule = partial(
            rules.lose,
            holder=holder,
            fence=self.jobs[number].fence,
            why="it was lost",
            chance=0.5,
            now=self.now,
            dead=dead,
            charged=charged,
        )
        self.apply(number, rule)

    def unblock(self, number: int, holder: Holder, fence: int) -> None:
        rule = partial(rules.unblock, holder=holder, fence=fence, why="it is over", now=self.now)
        self.apply(number, rule)

    # -- steps of a schedule ----------------------------------------------------------------

    def leave_unanswered(self) -> None:
        self.take_back(self.any_job())

    def cancel(self) -> None:
        if self._chance.random() < 0.3:  # noqa: PLR2004
            self.apply(self.any_job(), partial(rules.cancel, actor=CLIENT, now=self.now))

    def pause(self) -> None:
        rule = self._chance.choice((orders.pause, orders.resume))
        self.apply(self.any_job(), partial(rule, actor=CLIENT, now=self.now))

    def resume_all(self) -> None:
        for number in range(len(self.jobs)):
            self.apply(number, partial(orders.resume, actor=CLIENT, now=self.now))

    def wait(self) -> None:
        self.now += self._chance.choice(TIMES)

    def lie(self) -> None:
        """A worker speaks of an attempt it never had: nothing may move."""
        number, verb = self.any_job(), self._chance.choice(("accept", "publish", "stage", "adopt"))
        job, liar = self.jobs[number], Holder("stranger", "i0")
        more = {"manifest": rules.Manifest((), job.fence)} if verb == "stage" else {}
        rule = getattr(rules, verb)
        for fence in (job.fence - 1, job.fence, job.fence + 1):
            bound = partial(rule, holder=liar, fence=fence, now=self.now, **more)
            self.apply(number, bound, liar, fence)


def number_of(key: AttemptKey) -> int:
    return int(key.job_id[1:])


def _require_once(after: Job, rule: Callable[[Job], Job]) -> None:
    try:
        again = rule(after)
    except DomainError:
        return
    require(again is after, f"I12 {after.cause} moves it twice")
