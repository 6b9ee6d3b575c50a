"""The attempts of this worker: from accepted offer to the master's last word.

A result is journalled, then said, and said again on every new stream until it is acknowledged. An
attempt is listed until its last acknowledgement, and, when stopped, until its FFmpeg is gone. A
live push has no second step: when all is sent it is PUBLISHED.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

from ffrtmp.domain.job import Manifest
from ffrtmp.domain.messages import (
    MOST_LOG,
    Event,
    LogReport,
    Offer,
    OfferReply,
    ProgressReport,
    ResultAck,
    ResultOutcome,
    ResultStep,
)
from ffrtmp.domain.session import AttemptKey, AttemptReport, Phase, Verdict, VerdictKind
from ffrtmp.worker.journal import Entry, Journal
from ffrtmp.worker.process import Deadline
from ffrtmp.worker.threads import in_thread
from ffrtmp.worker.work import Attempt, Runs, Work


class Attempts:
    """Put together with `Attempts.running`; its methods are called on the event loop only."""

    def __init__(
        self, runner: Runs, journal: Journal, *, slots: int, tasks: asyncio.TaskGroup
    ) -> None:
        self._runner = runner
        self._journal = journal
        self._slots = slots
        self._tasks = tasks
        self._held: dict[AttemptKey, Attempt] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self.draining = False
        self.told_to_drain = False
        self.waits_for_word = True
        self.say: Callable[[Event], None] = nowhere
        self.may_publish: Callable[[], bool] = lambda: False
        self.hurry: Callable[[], None] = lambda: None
        self.lease = Deadline()  # on it, live pushes are ended by their guards
        self._work = Work(runner, journal, lease=self.lease, may_push=self._may_push)

    @classmethod
    @asynccontextmanager
    async def running(
        cls, runner: Runs, journal: Journal, *, slots: int
    ) -> "AsyncIterator[Attempts]":
        """Holds what the journal held; every attempt's work ends before the block does."""
        async with asyncio.TaskGroup() as tasks:
            attempts = cls(runner, journal, slots=slots, tasks=tasks)
            for entry in await in_thread(journal.entries):
                await attempts._take_up(entry)
            try:
                yield attempts
            finally:
                attempts._stop_everything()

    async def _take_up(self, entry: Entry) -> None:
        """Of an earlier run of this worker: a result is still to be said, a rest to be removed."""
        if entry.has_result:
            self._hold(Attempt(entry.key, entry.spec, phase=Phase.PUBLISH, entry=entry))
        else:
            await self._runner.discard(entry.key, entry.spec)
            await in_thread(self._journal.forget, entry.key)

    # -- what is told to the master ---------------------------------------------------------

    @property
    def slots(self) -> int:
        return 0 if self.draining or self.told_to_drain else self._slots

    @property
    def reports(self) -> tuple[AttemptReport, ...]:
        return tuple(attempt.report for attempt in self._held.values())

    @property
    def keys(self) -> frozenset[AttemptKey]:
        """Of everything held."""
        return frozenset(self._held)

    @property
    def pushes(self) -> bool:
        """Whether a live push runs, which ends with the lease."""
        return any(a.spec.exclusive and a.entry is None for a in self._held.values())

    def take_progress(self) -> ProgressReport | None:
        """The newest of every attempt that has news."""
        fresh = [a for a in self._held.values() if a.unsaid and a.progress is not None]
        for attempt in fresh:
            attempt.unsaid = False
        return ProgressReport(tuple(a.progress for a in fresh if a.progress)) if fresh else None

    def take_log(self) -> LogReport | None:
        """Of every attempt that has news. Too much at once waits for the next time."""
        parts, left = [], MOST_LOG
        for attempt in self._held.values():
            if left > 0 and (part := attempt.take_log(left)) is not None:
                left -= part.lines.size
                parts.append(part)
        return LogReport(tuple(parts)) if parts else None

    def say_all_results(self) -> None:
        """On a new stream: whatever was said on an older one may not have arrived."""
        for attempt in self._held.values():
            attempt.said = 0
            if attempt.entry is not None and attempt.task is None:
                self._say_result(attempt)

    def _say_result(self, attempt: Attempt) -> None:
        """The rest of its log before it: once the master knows the result, it hears no more."""
        assert attempt.entry is not None
        if (rest := attempt.take_log(MOST_LOG)) is not None:
            self.say(LogReport((rest,)))
        self.say(attempt.entry.result)

    def say_refused_results(self) -> None:
        """At a heartbeat: what the master could not take last time."""
        for attempt in self._held.values():
            if attempt.ask_again and attempt.entry is not None:
                attempt.ask_again = False
                self._say_result(attempt)

    # -- what the master says ---------------------------------------------------------------

    def offer(self, offer: Offer) -> None:
        """Accepts before the input is touched, or rejects with a reason."""
        if offer.key in self._held:
            self.say(OfferReply(offer.key))
            return
        reply = self._reply(offer)
        self.say(reply)
        if not reply.rejection:
            self._accept(Attempt(offer.key, offer.spec), offer.publish_only)

    def _reply(self, offer: Offer) -> OfferReply:
        if self.slots == 0:
            return OfferReply(offer.key, "the worker drains", passing=True)
        if len(self._held) >= self._slots:
            return OfferReply(offer.key, f"all {self._slots} slots are taken", passing=True)
        if why := self._runner.objection(offer.spec):
            return OfferReply(offer.key, why)
        if offer.publish_only is None and (why := self._runner.admit(offer.key, offer.spec)):
            return OfferReply(offer.key, why, passing=True, crowded=True)
        return OfferReply(offer.key)

    def _accept(self, attempt: Attempt, publish_only: Manifest | None) -> None:
        self._hold(attempt)
        if not self.waits_for_word:
            attempt.begun.set()
        self._start(attempt, self._work.make(attempt, publish_only))

    def begin(self, key: AttemptKey) -> None:
        """The acceptance is committed: the input may be touched."""
        if (attempt := self._held.get(key)) is not None:
            attempt.begun.set()

    def stop(self, key: AttemptKey) -> None:
        """The master does not want it: what it made goes."""
        attempt = self._held.get(key)
        if attempt is None or not attempt.wanted:
            return
        attempt.wanted = False
        if attempt.task is not None:
            attempt.task.cancel()
        else:
            self._start(attempt, self._work.throw_away(attempt))

    def judge(self, verdict: Verdict) -> None:
        match verdict.kind:
            case VerdictKind.STOP:
                self.stop(verdict.key)
            case VerdictKind.RESULT_KNOWN:
                self._finish(verdict.key)
            case VerdictKind.KEEP | VerdictKind.ADOPT:
                self.begin(verdict.key)

    def acknowledge(self, ack: ResultAck) -> None:
        attempt = self._held.get(ack.key)
        if attempt is None or attempt.entry is None or attempt.task is not None:
            return
        match ack.outcome:
            case ResultOutcome.RETRY_LATER:
                attempt.ask_again = True
            case ResultOutcome.STALE:
                self.stop(ack.key)
            case ResultOutcome.COMMITTED | ResultOutcome.ALREADY:
                self._go_on(attempt, ack.step)

    def _go_on(self, attempt: Attempt, step: ResultStep) -> None:
        assert attempt.entry is not None
        staged = attempt.entry.manifest is not None and not attempt.entry.published
        if step is ResultStep.STAGED and staged:
            if self.may_publish():
                self._start(attempt, self._work.publish(attempt))
            else:  # the lease may have run out: ask once more
                attempt.ask_again = True
        elif step is not ResultStep.STAGED:
            self._finish(attempt.key)

    # -- bookkeeping ------------------------------------------------------------------------

    def _may_push(self) -> bool:
        """The session that holds the lease comes after its attempts: asked when it matters."""
        return self.may_publish()

    def _hold(self, attempt: Attempt) -> None:
        self._held[attempt.key] = attempt
        self._idle.clear()

    def _start(self, attempt: Attempt, work: Coroutine[object, object, None]) -> None:
        attempt.task = self._tasks.create_task(work)
        attempt.task.add_done_callback(lambda _: self._ended(attempt))

    def _ended(self, attempt: Attempt) -> None:
        attempt.task = None
        if not attempt.wanted:
            self._finish(attempt.key)
            self.hurry()  # somebody may wait for the target of a live push
        elif attempt.entry is not None:
            self._say_result(attempt)

    def _finish(self, key: AttemptKey) -> None:
        """The last word was said. A leftover file is one more message, so it may go in passing."""
        self._runner.forget(key)
        if self._held.pop(key, None) is not None:
            self._journal.forget(key)
        if not self._held:
            self._idle.set()

    # -- the end ----------------------------------------------------------------------------

    async def until_idle(self) -> None:
        """Returns when nothing is held any more."""
        await self._idle.wait()

    async def hand_back(self, why: str) -> None:
        """Stops what still encodes and says that it is given back, not charged."""
        encoding = [attempt for attempt in self._held.values() if attempt.entry is None]
        for attempt in encoding:
            if attempt.task is not None:
                attempt.task.cancel()
        tasks = [attempt.task for attempt in encoding if attempt.task is not None]
        if tasks:
            await asyncio.wait(tasks)
        for attempt in encoding:
            if attempt.key in self._held and attempt.entry is None:
                await self._work.hand_back(attempt, why)
                self._say_result(attempt)

    def _stop_everything(self) -> None:
        for attempt in self._held.values():
            if attempt.task is not None:
                attempt.task.cancel()


def nowhere(_event: Event) -> None:
    """While there is no stream: what matters is said again on the next."""
