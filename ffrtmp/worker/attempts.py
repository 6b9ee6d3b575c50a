"""The attempts of this worker: from accepted offer to the master's last word.

A result is journalled, then said, and said again on every new stream until it is acknowledged. An
attempt is listed until its last acknowledgement, and, when stopped, until its FFmpeg is gone. A
live push has no second step: when all is sent it is PUBLISHED.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from ffrtmp.domain.figures import Figures
from ffrtmp.domain.job import Failure, Manifest
from ffrtmp.domain.log import LogRing
from ffrtmp.domain.messages import (
    MOST_LOG,
    Event,
    LogPart,
    LogReport,
    Offer,
    OfferReply,
    Progress,
    ProgressReport,
    ResultAck,
    ResultOutcome,
    ResultStep,
)
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.session import AttemptKey, AttemptReport, Phase, Verdict, VerdictKind
from ffrtmp.domain.spec import JobSpec
from ffrtmp.storage.errors import StagedLost, words
from ffrtmp.worker.failures import AttemptFailed
from ffrtmp.worker.journal import Entry, Journal
from ffrtmp.worker.process import Deadline
from ffrtmp.worker.threads import in_thread

_log = logging.getLogger("ffrtmp.worker")

JOURNAL_RETRY_SECONDS = 1.0
PASSING = frozenset({Reason.RESOURCE, Reason.RESOURCE_MEMORY, Reason.TRANSPORT})


class Runs(Protocol):
    """What does the work; `runner.Runner` is one."""

    def objection(self, spec: JobSpec) -> str: ...
    def measured(self, key: AttemptKey) -> Figures | None: ...
    def admit(self, key: AttemptKey, spec: JobSpec) -> str: ...
    def forget(self, key: AttemptKey) -> None: ...
    async def encode(
        self,
        key: AttemptKey,
        spec: JobSpec,
        report: Callable[[Progress], None],
        hear: Callable[[str], None],
    ) -> Manifest: ...
    async def take_over(self, key: AttemptKey, spec: JobSpec, manifest: Manifest) -> Manifest: ...
    async def publish(self, key: AttemptKey, spec: JobSpec, manifest: Manifest) -> None: ...
    async def push(
        self,
        key: AttemptKey,
        spec: JobSpec,
        report: Callable[[Progress], None],
        lease: Deadline,
        hear: Callable[[str], None],
    ) -> None: ...
    async def discard(self, key: AttemptKey, spec: JobSpec) -> None: ...


@dataclass(slots=True, eq=False)
class Attempt:
    """`entry` is set once a result is journalled; `ask_again`: the master could not take it yet.

    `wanted` turns False when the master does not want the attempt any more. `begun`: the master has
    committed that it was accepted, so that a file which kills this worker is charged for it.
    `said`: up to which line its log was told on this stream.
    """

    key: AttemptKey
    spec: JobSpec
    phase: Phase = Phase.PROBE
    progress: Progress | None = None
    log: LogRing = field(default_factory=LogRing)
    said: int = 0
    entry: Entry | None = None
    task: asyncio.Task[None] | None = None
    wanted: bool = True
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    ask_again: bool = False
    unsaid: bool = False

    @property
    def report(self) -> AttemptReport:
        return AttemptReport(key=self.key, phase=self.phase, journalled=self.entry is not None)


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
        self.say: Callable[[Event], None] = _nowhere
        self.may_publish: Callable[[], bool] = lambda: False
        self.hurry: Callable[[], None] = lambda: None
        self.lease = Deadline()  # on it, live pushes are ended by their guards

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
        """What FFmpeg wrote since the last time. Too much at once waits for the next; what is
        pushed out of an attempt's ring meanwhile is lost."""
        parts, left = [], MOST_LOG
        for attempt in self._held.values():
            if left > 0 and attempt.said < attempt.log.last:
                lines = attempt.log.after(attempt.said, left)
                attempt.said = lines.last
                left -= lines.size
                parts.append(LogPart(attempt.key, lines))
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
        rest = attempt.log.after(attempt.said, MOST_LOG)
        if rest.texts:
            self.say(LogReport((LogPart(attempt.key, rest),)))
            attempt.said = rest.last
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
        if self.slots == 0:
            self.say(OfferReply(offer.key, "the worker drains", passing=True))
            return
        if len(self._held) >= self._slots:
            why = f"all {self._slots} slots are taken"
            self.say(OfferReply(offer.key, why, passing=True))
            return
        if why := self._runner.objection(offer.spec):
            self.say(OfferReply(offer.key, why))
            return
        if offer.publish_only is None and (why := self._runner.admit(offer.key, offer.spec)):
            self.say(OfferReply(offer.key, why, passing=True, crowded=True))
            return
        self.say(OfferReply(offer.key))
        attempt = Attempt(offer.key, offer.spec)
        self._hold(attempt)
        if not self.waits_for_word:
            attempt.begun.set()
        self._start(attempt, self._make(attempt, offer.publish_only))

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
            self._start(attempt, self._throw_away(attempt))

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
                self._start(attempt, self._publish(attempt))
            else:  # the lease may have run out: ask once more
                attempt.ask_again = True
        elif step is not ResultStep.STAGED:
            self._finish(attempt.key)

    # -- the work ---------------------------------------------------------------------------

    async def _make(self, attempt: Attempt, publish_only: Manifest | None) -> None:
        key, spec = attempt.key, attempt.spec
        report, hear = partial(_note, attempt), attempt.log.write
        try:
            await self._begin(key, spec)
            await attempt.begun.wait()
            if spec.exclusive:
                self._require_lease()
                await self._runner.push(key, spec, report, self.lease, hear)
                manifest = None
            elif publish_only is not None:
                attempt.phase = Phase.PUBLISH
                manifest = await self._runner.take_over(key, spec, publish_only)
            else:
                manifest = await self._runner.encode(key, spec, report, hear)
        except AttemptFailed as error:
            failure = error.failure if publish_only is None else await _unless_lost(error)
            failed = Entry(key=key, spec=spec, failure=failure, figures=self._runner.measured(key))
            await self._record(attempt, failed)
        else:
            attempt.phase = Phase.PUBLISH
            done = Entry(
                key=key,
                spec=spec,
                manifest=manifest,
                published=spec.exclusive,
                figures=self._runner.measured(key),
            )
            await self._record_made(attempt, done)

    async def _begin(self, key: AttemptKey, spec: JobSpec) -> None:
        """Raises AttemptFailed: what is made here could not be journalled."""
        try:
            await in_thread(self._journal.begin, key, spec)
        except OSError as error:
            why = f"the journal cannot be written ({words(error)}); free some space for it"
            raise AttemptFailed.because(Reason.RESOURCE, why) from None

    async def _record_made(self, attempt: Attempt, entry: Entry) -> None:
        try:
            await self._record(attempt, entry)
        except asyncio.CancelledError:
            if not attempt.wanted:
                await self._throw_away(attempt)
            raise

    def _require_lease(self) -> None:
        """An offer may have been long on its way. Raises AttemptFailed."""
        if not self.may_publish():
            why = "the lease had run out before the push began"
            raise AttemptFailed.because(Reason.STOPPED, why)

    async def _publish(self, attempt: Attempt) -> None:
        entry = attempt.entry
        assert entry is not None
        assert entry.manifest is not None
        try:
            await self._runner.publish(attempt.key, attempt.spec, entry.manifest)
        except AttemptFailed as error:
            failure = await _unless_lost(error)
            done = Entry(key=attempt.key, spec=attempt.spec, failure=failure)
        else:
            done = Entry(
                key=attempt.key, spec=attempt.spec, manifest=entry.manifest, published=True
            )
        await self._record(attempt, done)

    async def _record(self, attempt: Attempt, entry: Entry) -> None:
        """A manifest must be on the disk before it is said: it waits for room, and the work is
        kept. Any other word is said all the same: the master then knows it, and if this worker dies
        before, its journal still tells the truth."""
        must_be_kept = entry.manifest is not None and not entry.published
        while not await self._is_kept(entry) and must_be_kept:  # noqa: ASYNC110  # a disk tells nobody
            await asyncio.sleep(JOURNAL_RETRY_SECONDS)
        attempt.entry = entry
        if entry.failure is not None:
            _log.info("attempt %s failed: %s", _named(attempt), entry.failure.message)

    async def _is_kept(self, entry: Entry) -> bool:
        try:
            await in_thread(self._journal.record, entry)
        except OSError as error:
            _log.warning("the journal cannot be written (%s): free some space for it", words(error))
            return False
        return True

    async def _throw_away(self, attempt: Attempt) -> None:
        await self._runner.discard(attempt.key, attempt.spec)

    # -- bookkeeping ------------------------------------------------------------------------

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
        failure = Failure(reason=Reason.STOPPED, message=why)
        for attempt in encoding:
            if attempt.key in self._held and attempt.entry is None:
                await self._throw_away(attempt)  # staged already, maybe
                done = Entry(key=attempt.key, spec=attempt.spec, failure=failure)
                await self._record(attempt, done)
                self._say_result(attempt)

    def _stop_everything(self) -> None:
        for attempt in self._held.values():
            if attempt.task is not None:
                attempt.task.cancel()


def _note(attempt: Attempt, progress: Progress) -> None:
    attempt.phase = progress.phase
    attempt.progress = progress
    attempt.unsaid = True


async def _unless_lost(error: AttemptFailed) -> Failure:
    """Of what is to be published. It may lie under its final name already: only where it was looked
    for and not found may the job forget its manifest and be encoded anew. Whatever else is amiss
    here passes, or is not so elsewhere: the attempt is given back, not at once."""
    if isinstance(error.__cause__, StagedLost) or error.failure.reason not in PASSING:
        return error.failure
    await asyncio.sleep(JOURNAL_RETRY_SECONDS)
    return replace(error.failure, reason=Reason.STOPPED)


def _named(attempt: Attempt) -> str:
    return f"{attempt.key.job_id}/{attempt.key.fence}"


def _nowhere(_event: Event) -> None:
    """Until there is a stream: results are said again when there is one."""
