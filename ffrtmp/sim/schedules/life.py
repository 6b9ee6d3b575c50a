"""Schedules of the domain alone: jobs, workers and their words, in an order drawn from a seed.

Grants, replies, results late and twice, losses, cancels, pauses, new incarnations, takeovers, a
master that restarts. Every word that moved a job is said once more at once: it must not move it
again. In the end everybody behaves, and every job must end.
"""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from random import Random

from ffrtmp.domain import job as rules
from ffrtmp.domain.retry import Reason
from ffrtmp.sim.schedules.life_board import Board
from ffrtmp.sim.schedules.life_master import Master
from ffrtmp.sim.schedules.life_rules import Broken
from ffrtmp.sim.schedules.life_workers import Attempt, Fleet, Word, Worker, failure
from ffrtmp.sim.schedules.many import Verdict

STEPS = 40
ROUNDS = 60


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
        self._board = Board(chance)
        self._fleet = Fleet(self._board, chance)
        self._master = Master(self._board, self._fleet, chance)
        for _ in range(chance.choice((1, 1, 2))):
            self._board.submit()

    @property
    def counts(self) -> Counter[str]:
        return self._board.counts

    def run(self) -> None:
        """Raises Broken."""
        steps = self._steps()
        for _ in range(STEPS):
            self._chance.choice(steps)()
        for _ in range(ROUNDS):
            if self._board.all_have_ended():
                return
            self._behave()
        left = [f"{job.state}, blocked by {job.blocked_by}" for job in self._board.jobs]
        raise Broken(f"I5 not ended although everybody behaves: {left}")

    def _steps(self) -> list[Callable[[], None]]:
        """As often as they are to be drawn. Their order is part of what a seed means."""
        board, fleet, master = self._board, self._fleet, self._master
        return [
            *[master.grant] * 4,
            *[fleet.take_offer] * 5,
            *[fleet.finish] * 5,
            *[master.hear] * 9,
            *[fleet.publish] * 3,
            *[master.hear_beat] * 3,
            *[fleet.say_again] * 2,
            *[self._expire] * 2,
            self._restart_worker,
            self._end_lease,
            *[board.leave_unanswered] * 2,
            board.cancel,
            board.pause,
            master.restart,
            board.lie,
            *[board.wait] * 3,
        ]

    def _behave(self) -> None:
        """What a healthy cluster does in some minutes."""
        board, fleet, master = self._board, self._fleet, self._master
        board.now += timedelta(minutes=6)
        board.resume_all()
        master.hear_all()
        for worker in fleet.workers:
            self._end_leases(worker)
            master.reconcile(worker)
        for number in range(len(board.jobs)):
            board.take_back(number)
            master.grant_to(number, fleet.any_worker())
        while fleet.offers:
            fleet.take_offer(reject=False)
        master.hear_all()
        for worker in fleet.workers:
            fleet.work(worker)
            master.hear_all()

    # -- deaths -----------------------------------------------------------------------------

    def _expire(self) -> None:
        """A session's lease is seen to run out: by then its live pushes were ended, and what was
        offered on its streams begins nothing any more."""
        board, fleet = self._board, self._fleet
        worker = fleet.any_worker()
        fleet.offers = [offer for offer in fleet.offers if offer.worker is not worker]
        charged = self._chance.random() < 0.8  # noqa: PLR2004
        self._end_leases(worker)
        holder = worker.holder
        for attempt in [*worker.attempts.values()]:
            if board.jobs[attempt.job].exclusive and attempt.word is None:
                board.accounts[attempt.job].stops(holder, attempt.key.fence)
                attempt.word = failure(attempt, holder, Reason.STOPPED)
        board.lose_all(holder, dead=True, charged=charged)

    def _restart_worker(self) -> None:
        """kill -9 and a new run: what is journalled passes to it; pushes outlive it a little."""
        worker = self._fleet.any_worker()
        old = worker.holder
        for attempt in [*worker.attempts.values()]:
            if attempt.word is None:
                worker.zombies.append((old, attempt.job, attempt.key.fence))
                del worker.attempts[attempt.key]
        worker.run += 1
        for attempt in worker.attempts.values():
            self._take_up(worker, attempt)
        self._board.lose_all(old, dead=False)

    def _take_up(self, worker: Worker, attempt: Attempt) -> None:
        key, heir = attempt.key, worker.holder
        assert attempt.word is not None
        word = attempt.word
        attempt.word = Word(word.verb, word.job, heir, word.fence, word.more)
        attempt.leave = False
        rule = partial(rules.inherit, heir=heir, fence=key.fence, now=self._board.now)
        self._board.apply(attempt.job, rule, heir, key.fence)
        self._fleet.say_word(attempt)

    def _end_lease(self) -> None:
        self._end_leases(self._fleet.any_worker())

    def _end_leases(self, worker: Worker) -> None:
        """Of the runs before: what they left behind is dead by now, and blocks nothing."""
        zombies, worker.zombies = worker.zombies, []
        for holder, number, fence in zombies:
            self._board.accounts[number].stops(holder, fence)
        for number, job in enumerate(self._board.jobs):
            blocker = job.blocked_by
            if blocker and blocker.worker == worker.name and blocker != worker.holder:
                self._board.unblock(number, blocker, job.fence)
