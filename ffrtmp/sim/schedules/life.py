"""Schedules of the domain alone: jobs, workers and their words, in an order drawn from a seed.

Grants, replies, results late and twice, losses, cancels, pauses, new incarnations, takeovers, a
master that restarts. Every word that moved a job is said once more at once: it must not move it
again. In the end everybody behaves, and every job must end.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random

from ffrtmp.domain import job as rules
from ffrtmp.domain import orders
from ffrtmp.domain.errors import DomainError, NewerGrant
from ffrtmp.domain.event import event_of
from ffrtmp.domain.job import Failure, FileRecord, Holder, Job, Manifest
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.session import AttemptKey, AttemptReport, Phase, VerdictKind, reconcile
from ffrtmp.sim.schedules.life_rules import Account, Broken, require
from ffrtmp.sim.schedules.many import Verdict

START = datetime(2026, 1, 1, tzinfo=UTC)
STEPS = 40
ROUNDS = 60
REASONS = tuple(Reason)
PASSING = (Reason.TRANSPORT, Reason.RESOURCE, Reason.STALLED, Reason.STOPPED)
TIMES = tuple(timedelta(seconds=s) for s in (0.001, 1, 5, 10, 300))


@dataclass(slots=True)
class Attempt:
    """As its worker has it. `word`: the result that is journalled; `leave`: it may publish."""

    job: int
    key: AttemptKey
    publish_only: Manifest | None
    word: "Word | None" = None
    leave: bool = False


@dataclass(frozen=True, slots=True)
class Word:
    """On its way to the master: a rule of this name, about this attempt."""

    verb: str
    job: int
    holder: Holder
    fence: int
    more: tuple[tuple[str, object], ...] = ()


@dataclass(slots=True)
class Worker:
    name: str
    run: int = 0
    attempts: dict[AttemptKey, Attempt] = field(default_factory=dict)
    zombies: list[tuple[Holder, int, int]] = field(default_factory=list)

    @property
    def holder(self) -> Holder:
        return Holder(self.name, f"i{self.run}")


def simulate(seed: int) -> Verdict:
    """The same seed makes the same verdict."""
    life = Life(Random(seed))  # noqa: S311
    try:
        life.run()
    except Broken as error:
        return Verdict(seed, (str(error),), counts=life.counts)
    return Verdict(seed, (), counts=life.counts)


class Life:
    """Of one or two jobs among two or three workers."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._now = START
        self.counts: Counter[str] = Counter()
        self._workers = [Worker(f"w{n}") for n in range(chance.choice((2, 2, 3)))]
        self._jobs: list[Job] = []
        self._accounts: list[Account] = []
        for number in range(chance.choice((1, 1, 2))):
            self._submit(number)
        self._offers: list[tuple[Worker, Holder, Attempt]] = []
        self._words: list[Word] = []
        self._staged: dict[AttemptKey, tuple[FileRecord, ...]] = {}
        self._done: dict[int, tuple[FileRecord, ...]] = {}
        self._steps: list[Callable[[], None]] = [
            *[self._grant] * 4,
            *[self._take_offer] * 5,
            *[self._finish] * 5,
            *[self._hear] * 9,
            *[self._publish] * 3,
            *[self._beat] * 3,
            *[self._say_again] * 2,
            self._expire,
            self._expire,
            self._restart_worker,
            self._end_lease,
            self._leave_unanswered,
            self._leave_unanswered,
            self._cancel,
            self._pause,
            self._restart_master,
            self._lie,
            *[self._wait] * 3,
        ]

    def _submit(self, number: int) -> None:
        exclusive = self._chance.random() < 0.3  # noqa: PLR2004
        restarts = self._chance.choice((0, 0, 2)) if exclusive else 0
        self._jobs.append(
            rules.new_job(
                job_id=f"j{number}",
                job_class="c",
                rank=number,
                now=self._now,
                actor="client/a",
                exclusive=exclusive,
                restarts=restarts,
            )
        )
        self._accounts.append(Account(exclusive=exclusive, restarts=restarts))

    def run(self) -> None:
        """Raises Broken."""
        pick = self._chance.choice
        for _ in range(STEPS):
            pick(self._steps)()
        for _ in range(ROUNDS):
            if all(self._has_ended(number) for number in range(len(self._jobs))):
                return
            self._behave()
        left = [f"{job.state}, blocked by {job.blocked_by}" for job in self._jobs]
        raise Broken(f"I5 not ended although everybody behaves: {left}")

    def _has_ended(self, number: int) -> bool:
        job = self._jobs[number]
        return str(job.state) in {"succeeded", "failed", "cancelled"} and job.blocked_by is None

    def _behave(self) -> None:
        """What a healthy cluster does in some minutes."""
        self._now += timedelta(minutes=6)
        self._resume_all()
        self._hear_all()
        for worker in self._workers:
            self._end_leases(worker)
            self._reconcile(worker)
        for number in range(len(self._jobs)):
            self._take_back(number)
            self._grant_to(number, self._chance.choice(self._workers))
        while self._offers:
            self._take_offer(reject=False)
        self._hear_all()
        for worker in self._workers:
            self._work(worker)

    def _work(self, worker: Worker) -> None:
        for attempt in [*worker.attempts.values()]:
            if attempt.word is None:
                self._end_attempt(worker, attempt, well=True)
            elif attempt.leave:
                self._rename(worker, attempt)
            self._say_word(attempt)
        self._hear_all()

    def _hear_all(self) -> None:
        while self._words:
            self._hear()

    # -- moves ------------------------------------------------------------------------------

    def _apply(
        self, number: int, rule: Callable[[Job], Job], speaker: Holder | None = None, fence: int = 0
    ) -> DomainError | None:
        """None: it moved the job, or had moved it before."""
        before = self._jobs[number]
        try:
            after = rule(before)
        except DomainError as error:
            return error
        if after is before:
            return None
        self._jobs[number] = after
        self.counts[str(after.cause)] += 1
        self._accounts[number].moved(before, after, event_of(after), speaker, fence)
        self._require_once(after, rule)
        return None

    def _require_once(self, after: Job, rule: Callable[[Job], Job]) -> None:
        try:
            again = rule(after)
        except DomainError:
            return
        require(again is after, f"I12 {after.cause} moves it twice")

    def _any_job(self) -> int:
        return self._chance.randrange(len(self._jobs))

    def _grant(self) -> None:
        self._grant_to(self._any_job(), self._chance.choice(self._workers))

    def _grant_to(self, number: int, worker: Worker) -> None:
        before = self._jobs[number].fence
        holder = worker.holder
        self._apply(number, partial(rules.grant, holder=holder, now=self._now))
        job = self._jobs[number]
        if job.fence != before and str(job.state) == "leased":
            key = AttemptKey(job.job_id, job.fence)
            self._offers.append((worker, holder, Attempt(number, key, job.manifest)))

    def _leave_unanswered(self) -> None:
        self._take_back(self._any_job())

    def _take_back(self, number: int) -> None:
        rule = partial(rules.leave_unanswered, fence=self._jobs[number].fence, now=self._now)
        self._apply(number, rule)

    def _cancel(self) -> None:
        if self._chance.random() < 0.3:  # noqa: PLR2004
            self._apply(self._any_job(), partial(rules.cancel, actor="client/a", now=self._now))

    def _pause(self) -> None:
        rule = self._chance.choice((orders.pause, orders.resume))
        self._apply(self._any_job(), partial(rule, actor="client/a", now=self._now))

    def _resume_all(self) -> None:
        for number in range(len(self._jobs)):
            self._apply(number, partial(orders.resume, actor="client/a", now=self._now))

    def _wait(self) -> None:
        self._now += self._chance.choice(TIMES)

    # -- workers ----------------------------------------------------------------------------

    def _take_offer(self, *, reject: bool = True) -> None:
        if not self._offers:
            return
        worker, holder, attempt = self._offers.pop(self._chance.randrange(len(self._offers)))
        if worker.holder != holder:
            return  # it was sent to a run that is over
        if reject and self._chance.random() < 0.1:  # noqa: PLR2004
            more = (("why", "no room"),)
            self._words.append(Word("reject", attempt.job, holder, attempt.key.fence, more))
            return
        worker.attempts[attempt.key] = attempt
        self._words.append(Word("accept", attempt.job, holder, attempt.key.fence))
        self._accounts[attempt.job].begins(holder, attempt.key.fence)

    def _pick_attempt(self) -> tuple[Worker, Attempt] | None:
        worker = self._chance.choice(self._workers)
        if not worker.attempts:
            return None
        return worker, self._chance.choice([*worker.attempts.values()])

    def _finish(self) -> None:
        if (found := self._pick_attempt()) and found[1].word is None:
            self._end_attempt(*found, well=self._chance.random() < 0.6)  # noqa: PLR2004

    def _end_attempt(self, worker: Worker, attempt: Attempt, *, well: bool) -> None:
        """Its FFmpeg ends; what it comes to is written down and said."""
        holder, fence = worker.holder, attempt.key.fence
        self._accounts[attempt.job].stops(holder, fence)
        if attempt.publish_only is not None and not self._take_over(attempt, attempt.publish_only):
            attempt.word = self._failure(attempt, holder, Reason.TRANSPORT)
        elif attempt.publish_only is None and not well:
            attempt.word = self._failure(attempt, holder, self._chance.choice(REASONS))
        elif self._jobs[attempt.job].exclusive:
            attempt.word = Word("publish", attempt.job, holder, fence)
        else:
            attempt.word = self._result(attempt, holder)
        self._say_word(attempt)

    def _take_over(self, attempt: Attempt, manifest: Manifest) -> bool:
        before = AttemptKey(attempt.key.job_id, manifest.fence)
        if (files := self._staged.pop(before, None)) is not None:
            self._staged[attempt.key] = files
        return files is not None or self._done.get(attempt.job) == manifest.files

    def _result(self, attempt: Attempt, holder: Holder) -> Word:
        key = attempt.key
        files: tuple[FileRecord, ...] = (FileRecord(f"m:{key.job_id}", 1, f"{key.fence}"),)
        if attempt.publish_only is not None:
            files = attempt.publish_only.files
        else:
            self._staged[key] = files
        more = (("manifest", Manifest(files, key.fence)),)
        return Word("stage", attempt.job, holder, key.fence, more)

    def _failure(self, attempt: Attempt, holder: Holder, reason: Reason) -> Word:
        failure = Failure(reason=reason, message="it broke")
        more = (("failure", failure), ("chance", 0.5))
        return Word("fail", attempt.job, holder, attempt.key.fence, more)

    def _say_word(self, attempt: Attempt) -> None:
        if attempt.word is not None:
            self._words.append(attempt.word)

    def _say_again(self) -> None:
        if found := self._pick_attempt():
            self._say_word(found[1])

    def _publish(self) -> None:
        if (found := self._pick_attempt()) and found[1].leave:
            self._rename(*found)

    def _rename(self, worker: Worker, attempt: Attempt) -> None:
        """Somebody may have taken the staged file over, or published it already."""
        attempt.leave = False
        holder, fence, number = worker.holder, attempt.key.fence, attempt.job
        assert attempt.word is not None
        [(_, manifest)] = attempt.word.more
        assert isinstance(manifest, Manifest)
        if self._staged.pop(attempt.key, None) is not None:
            self._accounts[number].publishes(manifest.files)
            self._done[number] = manifest.files
        done = self._done.get(number) == manifest.files
        attempt.word = (
            Word("publish", number, holder, fence)
            if done
            else self._failure(attempt, holder, Reason.TRANSPORT)
        )
        self._say_word(attempt)

    # -- what the master hears --------------------------------------------------------------

    def _hear(self) -> None:
        if not self._words:
            return
        word = self._words.pop(self._chance.randrange(len(self._words)))
        if self._chance.random() < 0.1:  # noqa: PLR2004
            self._words.append(word)
        if self._worker(word).holder == word.holder:  # else its epoch is over
            self._answer(word, self._tell(word))

    def _worker(self, word: Word) -> Worker:
        return self._workers[int(word.holder.worker[1:])]

    def _tell(self, word: Word) -> DomainError | None:
        rule = partial(
            getattr(rules, word.verb),
            holder=word.holder,
            fence=word.fence,
            now=self._now,
            **dict(word.more),
        )
        return self._apply(word.job, rule, word.holder, word.fence)

    def _answer(self, word: Word, refusal: DomainError | None) -> None:
        worker = self._worker(word)
        attempt = worker.attempts.get(AttemptKey(self._jobs[word.job].job_id, word.fence))
        if attempt is None:
            return
        if word.verb == "accept":
            if refusal is not None:
                self._drop(worker, attempt)
        elif word != attempt.word or isinstance(refusal, NewerGrant):
            return
        elif refusal is not None or word.verb in {"publish", "fail"}:
            self._drop(worker, attempt)
        else:
            attempt.leave = True

    def _drop(self, worker: Worker, attempt: Attempt) -> None:
        self._accounts[attempt.job].stops(worker.holder, attempt.key.fence)
        worker.attempts.pop(attempt.key, None)
        if not attempt.leave:
            self._staged.pop(attempt.key, None)

    def _beat(self) -> None:
        self._reconcile(self._chance.choice(self._workers))

    def _reconcile(self, worker: Worker) -> None:
        """A heartbeat: behind all that its stream said before."""
        holder = worker.holder
        for word in [word for word in self._words if word.holder == holder]:
            self._words.remove(word)
            self._answer(word, self._tell(word))
        listed = tuple(
            AttemptReport(key=key, phase=Phase.ENCODE, journalled=attempt.word is not None)
            for key, attempt in worker.attempts.items()
        )
        found = reconcile(
            holder=holder,
            listed=listed,
            jobs={job.job_id: job for job in self._jobs},
            unseen={attempt.key for _, to, attempt in self._offers if to == holder},
        )
        for key in found.accepted:
            self._speak_for(rules.accept, key, holder)
        for key in found.adopted:
            self._speak_for(rules.adopt, key, holder)
        for key in found.lost:
            self._lose(int(key.job_id[1:]), holder, dead=True)
        for key in found.gone:
            self._unblock(int(key.job_id[1:]), holder, key.fence)
        for verdict in found.verdicts:
            attempt = worker.attempts.get(verdict.key)
            over = verdict.kind in {VerdictKind.STOP, VerdictKind.RESULT_KNOWN}
            if attempt is not None and over:
                self._drop(worker, attempt)

    def _speak_for(self, rule: Callable[..., Job], key: AttemptKey, holder: Holder) -> None:
        bound = partial(rule, holder=holder, fence=key.fence, now=self._now)
        self._apply(int(key.job_id[1:]), bound, holder, key.fence)

    def _lose(self, number: int, holder: Holder, *, dead: bool, charged: bool = True) -> None:
        rule = partial(
            rules.lose,
            holder=holder,
            fence=self._jobs[number].fence,
            why="it was lost",
            chance=0.5,
            now=self._now,
            dead=dead,
            charged=charged,
        )
        self._apply(number, rule)

    def _unblock(self, number: int, holder: Holder, fence: int) -> None:
        rule = partial(rules.unblock, holder=holder, fence=fence, why="it is over", now=self._now)
        self._apply(number, rule)

    # -- deaths -----------------------------------------------------------------------------

    def _expire(self) -> None:
        """A session's lease is seen to run out: by then its live pushes were ended, and what was
        offered on its streams begins nothing any more."""
        worker = self._chance.choice(self._workers)
        self._offers = [offer for offer in self._offers if offer[0] is not worker]
        charged = self._chance.random() < 0.8  # noqa: PLR2004
        self._end_leases(worker)
        holder = worker.holder
        for attempt in [*worker.attempts.values()]:
            if self._jobs[attempt.job].exclusive and attempt.word is None:
                self._accounts[attempt.job].stops(holder, attempt.key.fence)
                attempt.word = self._failure(attempt, holder, Reason.STOPPED)
        for number, job in enumerate(self._jobs):
            if job.holder == holder:
                self._lose(number, holder, dead=True, charged=charged)

    def _restart_worker(self) -> None:
        """kill -9 and a new run: what is journalled passes to it; pushes outlive it a little."""
        worker = self._chance.choice(self._workers)
        old = worker.holder
        for attempt in [*worker.attempts.values()]:
            if attempt.word is None:
                worker.zombies.append((old, attempt.job, attempt.key.fence))
                del worker.attempts[attempt.key]
        worker.run += 1
        for attempt in worker.attempts.values():
            self._take_up(worker, attempt)
        for number, job in enumerate(self._jobs):
            if job.holder == old:
                self._lose(number, old, dead=False)

    def _take_up(self, worker: Worker, attempt: Attempt) -> None:
        key, heir = attempt.key, worker.holder
        assert attempt.word is not None
        word = attempt.word
        attempt.word = Word(word.verb, word.job, heir, word.fence, word.more)
        attempt.leave = False
        rule = partial(rules.inherit, heir=heir, fence=key.fence, now=self._now)
        self._apply(attempt.job, rule, heir, key.fence)
        self._say_word(attempt)

    def _end_lease(self) -> None:
        self._end_leases(self._chance.choice(self._workers))

    def _end_leases(self, worker: Worker) -> None:
        """Of the runs before: what they left behind is dead by now, and blocks nothing."""
        zombies, worker.zombies = worker.zombies, []
        for holder, number, fence in zombies:
            self._accounts[number].stops(holder, fence)
        for number, job in enumerate(self._jobs):
            blocker = job.blocked_by
            if blocker and blocker.worker == worker.name and blocker != worker.holder:
                self._unblock(number, blocker, job.fence)

    def _restart_master(self) -> None:
        """What it had in memory is gone; the jobs are as they were."""
        self._offers.clear()

    def _lie(self) -> None:
        """A worker speaks of an attempt it never had: nothing may move."""
        number, verb = self._any_job(), self._chance.choice(("accept", "publish", "stage", "adopt"))
        job, liar = self._jobs[number], Holder("stranger", "i0")
        more = {"manifest": Manifest((), job.fence)} if verb == "stage" else {}
        rule = getattr(rules, verb)
        for fence in (job.fence - 1, job.fence, job.fence + 1):
            bound = partial(rule, holder=liar, fence=fence, now=self._now, **more)
            self._apply(number, bound, liar, fence)
