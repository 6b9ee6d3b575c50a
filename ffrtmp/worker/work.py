"""The work on one attempt: make it or publish it, and write down in the journal what came of it.

What is said of it to the master, and when, is the business of `attempts.py`.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from ffrtmp.domain.figures import Figures
from ffrtmp.domain.job import Failure, Manifest
from ffrtmp.domain.log import LogRing
from ffrtmp.domain.messages import LogPart, Progress
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.session import AttemptKey, AttemptReport, Phase
from ffrtmp.domain.spec import JobSpec
from ffrtmp.storage.errors import StagedLost, words
from ffrtmp.worker.failures import AttemptFailed
from ffrtmp.worker.journal import Entry, Journal
from ffrtmp.worker.process import Deadline
from ffrtmp.worker.threads import in_thread, whole

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

    def note(self, progress: Progress) -> None:
        self.phase = progress.phase
        self.progress = progress
        self.unsaid = True

    def take_log(self, most: int) -> LogPart | None:
        """What FFmpeg wrote since the last time, about `most` characters of it; what was pushed out
        of the ring meanwhile is lost."""
        if self.said >= self.log.last:
            return None
        lines = self.log.after(self.said, most)
        self.said = lines.last
        return LogPart(self.key, lines)


class Work:
    """`lease`: on it, live pushes are ended by their guards; `may_push`: whether it is held."""

    def __init__(
        self, runner: Runs, journal: Journal, *, lease: Deadline, may_push: Callable[[], bool]
    ) -> None:
        self._runner = runner
        self._journal = journal
        self._lease = lease
        self._may_push = may_push

    async def make(self, attempt: Attempt, publish_only: Manifest | None) -> None:
        """From accepted offer to journalled result."""
        try:
            await self._begin(attempt)
            manifest = await self._carry_out(attempt, publish_only)
        except AttemptFailed as error:
            failure = error.failure if publish_only is None else await _unless_lost(error)
            figures = self._runner.measured(attempt.key)
            await self.record(attempt, _entry(attempt, failure=failure, figures=figures))
        else:
            attempt.phase = Phase.PUBLISH
            done = _entry(
                attempt,
                manifest=manifest,
                published=attempt.spec.exclusive,
                figures=self._runner.measured(attempt.key),
            )
            await self._record_made(attempt, done)

    async def _begin(self, attempt: Attempt) -> None:
        """Raises AttemptFailed: what is made here could not be journalled."""
        try:
            await in_thread(self._journal.begin, attempt.key, attempt.spec)
        except OSError as error:
            why = f"the journal cannot be written ({words(error)}); free some space for it"
            raise AttemptFailed.because(Reason.RESOURCE, why) from None
        await attempt.begun.wait()

    async def _carry_out(self, attempt: Attempt, publish_only: Manifest | None) -> Manifest | None:
        """What is staged now; of a live push nothing is. Raises AttemptFailed."""
        key, spec = attempt.key, attempt.spec
        report, hear = attempt.note, attempt.log.write
        if spec.exclusive:
            self._require_lease()
            await self._runner.push(key, spec, report, self._lease, hear)
            return None
        if publish_only is not None:
            attempt.phase = Phase.PUBLISH
            return await self._runner.take_over(key, spec, publish_only)
        return await self._runner.encode(key, spec, report, hear)

    def _require_lease(self) -> None:
        """An offer may have been long on its way. Raises AttemptFailed."""
        if not self._may_push():
            why = "the lease had run out before the push began"
            raise AttemptFailed.because(Reason.STOPPED, why)

    async def _record_made(self, attempt: Attempt, entry: Entry) -> None:
        try:
            await self.record(attempt, entry)
        except asyncio.CancelledError:
            if not attempt.wanted:
                await self.throw_away(attempt)
            raise

    async def publish(self, attempt: Attempt) -> None:
        """The manifest is committed: its files get their final names. Whoever cancels it waits for
        all of it: the thread that does it goes on, and what it did must be in the journal."""
        await whole(self._publish(attempt))

    async def _publish(self, attempt: Attempt) -> None:
        assert attempt.entry is not None
        manifest = attempt.entry.manifest
        assert manifest is not None
        try:
            await self._runner.publish(attempt.key, attempt.spec, manifest)
        except AttemptFailed as error:
            done = _entry(attempt, failure=await _unless_lost(error))
        else:
            done = _entry(attempt, manifest=manifest, published=True)
        await self.record(attempt, done)

    async def hand_back(self, attempt: Attempt, why: str) -> None:
        """What it made goes, some of it may be staged already; it is not charged."""
        await self.throw_away(attempt)
        failure = Failure(reason=Reason.STOPPED, message=why)
        await self.record(attempt, _entry(attempt, failure=failure))

    async def record(self, attempt: Attempt, entry: Entry) -> None:
        """A manifest must be on the disk before it is said: it waits for room, and the work is
        kept. Any other word is said all the same: the master then knows it, and if this worker dies
        before, its journal still tells the truth."""
        must_be_kept = entry.manifest is not None and not entry.published
        while not await self._is_kept(entry) and must_be_kept:  # noqa: ASYNC110  # a disk tells nobody
            await asyncio.sleep(JOURNAL_RETRY_SECONDS)
        attempt.entry = entry
        if entry.failure is not None:
            key = attempt.key
            _log.info("attempt %s/%d failed: %s", key.job_id, key.fence, entry.failure.message)

    async def _is_kept(self, entry: Entry) -> bool:
        try:
            await in_thread(self._journal.record, entry)
        except OSError as error:
            _log.warning("the journal cannot be written (%s): free some space for it", words(error))
            return False
        return True

    async def throw_away(self, attempt: Attempt) -> None:
        """What it staged goes."""
        await self._runner.discard(attempt.key, attempt.spec)


def _entry(
    attempt: Attempt,
    *,
    manifest: Manifest | None = None,
    published: bool = False,
    failure: Failure | None = None,
    figures: Figures | None = None,
) -> Entry:
    return Entry(
        key=attempt.key,
        spec=attempt.spec,
        manifest=manifest,
        published=published,
        failure=failure,
        figures=figures,
    )


async def _unless_lost(error: AttemptFailed) -> Failure:
    """Of what is to be published. It may lie under its final name already: only where it was looked
    for and not found may the job forget its manifest and be encoded anew. Whatever else is amiss
    here passes, or is not so elsewhere: the attempt is given back, not at once."""
    if isinstance(error.__cause__, StagedLost) or error.failure.reason not in PASSING:
        return error.failure
    await asyncio.sleep(JOURNAL_RETRY_SECONDS)
    return replace(error.failure, reason=Reason.STOPPED)
