"""The workers of a schedule: their attempts, what these come to, and the words about it that are on
their way to the master."""

from dataclasses import dataclass, field
from random import Random

from ffrtmp.domain.job import Failure, FileRecord, Holder, Manifest
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.session import AttemptKey
from ffrtmp.sim.schedules.life_board import Board

REASONS = tuple(Reason)


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
    """`zombies`: live pushes of earlier runs, whose guards have not ended them yet."""

    name: str
    run: int = 0
    attempts: dict[AttemptKey, Attempt] = field(default_factory=dict)
    zombies: list[tuple[Holder, int, int]] = field(default_factory=list)

    @property
    def holder(self) -> Holder:
        return Holder(self.name, f"i{self.run}")


@dataclass(frozen=True, slots=True)
class Offer:
    """On its way to a run of a worker."""

    worker: Worker
    to: Holder
    attempt: Attempt


class Fleet:
    """Of two or three workers, the one disk they share, and the wires to and from the master."""

    def __init__(self, board: Board, chance: Random) -> None:
        self._board = board
        self._chance = chance
        self.workers = [Worker(f"w{n}") for n in range(chance.choice((2, 2, 3)))]
        self.offers: list[Offer] = []
        self.words: list[Word] = []
        self._staged: dict[AttemptKey, tuple[FileRecord, ...]] = {}
        self._done: dict[int, tuple[FileRecord, ...]] = {}

    def any_worker(self) -> Worker:
        return self._chance.choice(self.workers)

    def worker(self, name: str) -> Worker:
        return self.workers[int(name[1:])]

    def _any_attempt(self) -> tuple[Worker, Attempt] | None:
        worker = self.any_worker()
        if not worker.attempts:
            return None
        return worker, self._chance.choice([*worker.attempts.values()])

    # -- steps of a schedule ----------------------------------------------------------------

    def take_offer(self, *, reject: bool = True) -> None:
        if not self.offers:
            return
        offer = self.offers.pop(self._chance.randrange(len(self.offers)))
        attempt, holder = offer.attempt, offer.to
        if offer.worker.holder != holder:
            return  # it was sent to a run that is over
        if reject and self._chance.random() < 0.1:  # noqa: PLR2004
            more = (("why", "no room"),)
            self.words.append(Word("reject", attempt.job, holder, attempt.key.fence, more))
            return
        offer.worker.attempts[attempt.key] = attempt
        self.words.append(Word("accept", attempt.job, holder, attempt.key.fence))
        self._board.accounts[attempt.job].begins(holder, attempt.key.fence)

    def finish(self) -> None:
        if (found := self._any_attempt()) and found[1].word is None:
            self._end_attempt(*found, well=self._chance.random() < 0.6)  # noqa: PLR2004

    def publish(self) -> None:
        if (found := self._any_attempt()) and found[1].leave:
            self._rename(*found)

    def say_again(self) -> None:
        if found := self._any_attempt():
            self.say_word(found[1])

    # -- what an attempt comes to -----------------------------------------------------------

    def work(self, worker: Worker) -> None:
        """All goes well, as far as it may."""
        for attempt in [*worker.attempts.values()]:
            if attempt.word is None:
                self._end_attempt(worker, attempt, well=True)
            elif attempt.leave:
                self._rename(worker, attempt)
            self.say_word(attempt)

    def say_word(self, attempt: Attempt) -> None:
        if attempt.word is not None:
            self.words.append(attempt.word)

    def _end_attempt(self, worker: Worker, attempt: Attempt, *, well: bool) -> None:
        """Its FFmpeg ends; what it comes to is written down and said."""
        holder, fence = worker.holder, attempt.key.fence
        self._board.accounts[attempt.job].stops(holder, fence)
        if attempt.publish_only is not None and not self._take_over(attempt, attempt.publish_only):
            attempt.word = failure(attempt, holder, Reason.TRANSPORT)
        elif attempt.publish_only is None and not well:
            attempt.word = failure(attempt, holder, self._chance.choice(REASONS))
        elif self._board.jobs[attempt.job].exclusive:
            attempt.word = Word("publish", attempt.job, holder, fence)
        else:
            attempt.word = self._result(attempt, holder)
        self.say_word(attempt)

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

    def _rename(self, worker: Worker, attempt: Attempt) -> None:
        """Somebody may have taken the staged file over, or published it already."""
        attempt.leave = False
        holder, fence, number = worker.holder, attempt.key.fence, attempt.job
        assert attempt.word is not None
        [(_, manifest)] = attempt.word.more
        assert isinstance(manifest, Manifest)
        if self._staged.pop(attempt.key, None) is not None:
            self._board.accounts[number].publishes(manifest.files)
            self._done[number] = manifest.files
        done = self._done.get(number) == manifest.files
        attempt.word = (
            Word("publish", number, holder, fence)
            if done
            else failure(attempt, holder, Reason.TRANSPORT)
        )
        self.say_word(attempt)

    def drop(self, worker: Worker, attempt: Attempt) -> None:
        """The master wants no more of it."""
        self._board.accounts[attempt.job].stops(worker.holder, attempt.key.fence)
        worker.attempts.pop(attempt.key, None)
        if not attempt.leave:
            self._staged.pop(attempt.key, None)


def failure(attempt: Attempt, holder: Holder, reason: Reason) -> Word:
    broke = Failure(reason=reason, message="it broke")
    more = (("failure", broke), ("chance", 0.5))
    return Word("fail", attempt.job, holder, attempt.key.fence, more)
