"""The master of a schedule: it offers, hears words one by one, and holds heartbeats against its
jobs."""

from functools import partial
from random import Random

from ffrtmp.domain import job as rules
from ffrtmp.domain.errors import DomainError, NewerGrant
from ffrtmp.domain.session import (
    AttemptKey,
    AttemptReport,
    Phase,
    Reconciliation,
    VerdictKind,
    reconcile,
)
from ffrtmp.sim.schedules.life_board import Board, number_of
from ffrtmp.sim.schedules.life_workers import Attempt, Fleet, Offer, Word, Worker


class Master:
    def __init__(self, board: Board, fleet: Fleet, chance: Random) -> None:
        self._board = board
        self._fleet = fleet
        self._chance = chance

    # -- grants -----------------------------------------------------------------------------

    def grant(self) -> None:
        self.grant_to(self._board.any_job(), self._fleet.any_worker())

    def grant_to(self, number: int, worker: Worker) -> None:
        holder = worker.holder
        if (job := self._board.grant(number, holder)) is not None:
            attempt = Attempt(number, AttemptKey(job.job_id, job.fence), job.manifest)
            self._fleet.offers.append(Offer(worker, holder, attempt))

    # -- words ------------------------------------------------------------------------------

    def hear_all(self) -> None:
        while self._fleet.words:
            self.hear()

    def hear(self) -> None:
        """Any of those on their way, and some of them once more later."""
        words = self._fleet.words
        if not words:
            return
        word = words.pop(self._chance.randrange(len(words)))
        if self._chance.random() < 0.1:  # noqa: PLR2004
            words.append(word)
        if self._fleet.worker(word.holder.worker).holder == word.holder:  # else its epoch is over
            self._answer(word, self._told(word))

    def _told(self, word: Word) -> DomainError | None:
        rule = partial(
            getattr(rules, word.verb),
            holder=word.holder,
            fence=word.fence,
            now=self._board.now,
            **dict(word.more),
        )
        return self._board.apply(word.job, rule, word.holder, word.fence)

    def _answer(self, word: Word, refusal: DomainError | None) -> None:
        worker = self._fleet.worker(word.holder.worker)
        attempt = worker.attempts.get(AttemptKey(self._board.jobs[word.job].job_id, word.fence))
        if attempt is None:
            return
        if word.verb == "accept":
            if refusal is not None:
                self._fleet.drop(worker, attempt)
        elif word != attempt.word or isinstance(refusal, NewerGrant):
            return
        elif refusal is not None or word.verb in {"publish", "fail"}:
            self._fleet.drop(worker, attempt)
        else:
            attempt.leave = True

    # -- heartbeats -------------------------------------------------------------------------

    def hear_beat(self) -> None:
        self.reconcile(self._fleet.any_worker())

    def reconcile(self, worker: Worker) -> None:
        """A heartbeat: behind all that its stream said before."""
        holder, words = worker.holder, self._fleet.words
        for word in [word for word in words if word.holder == holder]:
            words.remove(word)
            self._answer(word, self._told(word))
        self._obey(worker, self._compared(worker))

    def _compared(self, worker: Worker) -> Reconciliation:
        holder = worker.holder
        listed = tuple(
            AttemptReport(key=key, phase=Phase.ENCODE, journalled=attempt.word is not None)
            for key, attempt in worker.attempts.items()
        )
        return reconcile(
            holder=holder,
            listed=listed,
            jobs={job.job_id: job for job in self._board.jobs},
            unseen={offer.attempt.key for offer in self._fleet.offers if offer.to == holder},
        )

    def _obey(self, worker: Worker, found: Reconciliation) -> None:
        board, holder = self._board, worker.holder
        for key in found.accepted:
            board.speak_for(rules.accept, key, holder)
        for key in found.adopted:
            board.speak_for(rules.adopt, key, holder)
        for key in found.lost:
            board.lose(number_of(key), holder, dead=True)
        for key in found.gone:
            board.unblock(number_of(key), holder, key.fence)
        for verdict in found.verdicts:
            attempt = worker.attempts.get(verdict.key)
            over = verdict.kind in {VerdictKind.STOP, VerdictKind.RESULT_KNOWN}
            if attempt is not None and over:
                self._fleet.drop(worker, attempt)

    # -- ends -------------------------------------------------------------------------------

    def restart(self) -> None:
        """What it had in memory is gone; the jobs are as they were."""
        self._fleet.offers.clear()
