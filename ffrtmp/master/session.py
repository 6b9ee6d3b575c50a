"""One stream of one worker: from its hello to its end.

A message is renewed for as it is read, which waits for nothing. Then its events are taken in order,
with what attempts said while the store was busy: what the worker says of its attempts is committed,
as one change; its list is held against the store and answered; what it said after it made the list
is committed.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime
from functools import partial

from ffrtmp.domain.errors import (
    HelloLate,
    HelloOvertaken,
    NameTaken,
    Overtaken,
    ProtocolViolation,
    StaleEpoch,
    Unavailable,
    WorkerFloods,
)
from ffrtmp.domain.facts import MessageStale, SessionClosed, SessionOpened, StreamRefused
from ffrtmp.domain.job import Holder, JobState
from ffrtmp.domain.log import AttemptLog
from ffrtmp.domain.messages import (
    AttemptEvent,
    CapabilitiesChanged,
    Event,
    Failed,
    Goodbye,
    Heartbeat,
    HeartbeatAck,
    Hello,
    LogReport,
    OfferReply,
    ProgressReport,
    Published,
    Staged,
    Welcome,
)
from ffrtmp.domain.pace import Pace
from ffrtmp.domain.session import AttemptKey, Verdict
from ffrtmp.groups import holds
from ffrtmp.master.inbox import Inbox
from ffrtmp.master.outbox import Outbox, Send
from ffrtmp.master.parts import Parts
from ffrtmp.master.reconciler import Reconciler
from ffrtmp.master.renewer import Renewer
from ffrtmp.master.results import Results
from ffrtmp.master.roster import Presence
from ffrtmp.store.records import SessionKey, WorkerRecord

Events = AsyncIterator[Sequence[Event]]

SHORTEST_HELLO = 1.0
ANSWERS = 256
"""Heartbeats taken and not yet acknowledged; then the next waits."""
MESSAGES_A_SECOND = 1000.0
MESSAGES_AT_ONCE = 5000.0

_Answer = tuple[int, float, tuple[Verdict, ...]]
"""To which heartbeat, when it was read, and what to do."""


class Session:
    def __init__(
        self, parts: Parts, *, worker: str, address: str, certificate_end: datetime | None = None
    ) -> None:
        self._parts = parts
        self._worker = worker
        self._address = address
        self._certificate_end = certificate_end
        self._outbox = Outbox(worker)
        self._inbox = Inbox()
        self._answers = asyncio.Queue[_Answer](ANSWERS)
        self._said_goodbye = False

    async def run(self, events: Events, send: Send) -> None:
        """Serves the stream until the worker hangs up, is superseded or breaks the rules.

        A worker that was superseded does not dial again: so it is told the difference when all
        that overtook it is a hello of its own, sent on a stream that it left since.
        """
        hello, rest = await self._first(events)
        try:
            await self._serve(hello, rest, events, send)
        except (StaleEpoch, BaseExceptionGroup) as error:
            if holds(error, StaleEpoch) and await self._is_newest_run(hello.incarnation):
                raise Overtaken(self._worker) from None
            raise

    async def _is_newest_run(self, incarnation: str) -> bool:
        try:
            record = await self._parts.store.worker(self._worker)
        except Unavailable:
            return True  # another run would be told to stop when it dials
        return record.incarnation == incarnation

    async def _serve(self, hello: Hello, rest: Sequence[Event], events: Events, send: Send) -> None:
        with ExitStack() as leaving:
            async with self._parts.hellos.turn():
                await self._open(hello, leaving)
            async with asyncio.TaskGroup() as tasks:
                helpers = [
                    tasks.create_task(self._outbox.write_to(send)),
                    tasks.create_task(self._outbox.until_closed()),
                    tasks.create_task(self._renewer.run()),
                    tasks.create_task(self._acknowledge_all()),
                    tasks.create_task(self._read(rest, events)),
                ]
                await self._take_all()
                for helper in helpers:
                    helper.cancel()
            await self._outbox.flush(send)

    async def _first(self, events: Events) -> tuple[Hello, Sequence[Event]]:
        limit = max(SHORTEST_HELLO, self._parts.timers.connect_deadline.total_seconds())
        batch: Sequence[Event] = ()
        try:
            async with asyncio.timeout(limit):
                batch = await anext(events)
        except TimeoutError:
            raise HelloLate(self._worker, limit) from None
        except StopAsyncIteration:
            pass
        if not batch or not isinstance(batch[0], Hello):
            raise ProtocolViolation("the first event of a stream is hello")
        return batch[0], batch[1:]

    # -- hello ------------------------------------------------------------------------------

    async def _open(self, hello: Hello, leaving: ExitStack) -> None:
        record = WorkerRecord(
            name=self._worker,
            incarnation=hello.incarnation,
            epoch=0,
            address=self._address,
            alive=True,
            capabilities=hello.capabilities,
            dial=hello.dial,
            previous=hello.previous,
        )
        opened_at = self._parts.boot()
        epoch = await self._open_session(hello, record)
        presence = self._attach(hello, epoch, opened_at)
        leaving.callback(self._parts.roster.detach, presence)
        verdicts = await self._reconciler.resume(hello.attempts)
        await self._parts.warden.judge(self._worker)
        self._outbox.put(
            Welcome(
                epoch=epoch,
                timers=self._parts.timers,
                reconnect_spread=self._parts.roster.reconnect_spread,
                verdicts=verdicts,
                draining=presence.standing.draining,
            )
        )
        presence.outbox = self._outbox
        self._parts.observe(SessionOpened(self._worker, epoch, self._address))
        self._parts.wake()

    async def _open_session(self, hello: Hello, record: WorkerRecord) -> int:
        admit = partial(self._parts.names.admit, self._worker, hello)
        try:
            return await self._parts.store.open_session(record, admit)
        except HelloOvertaken:
            self._parts.observe(MessageStale(self._worker, "hello"))
            raise
        except NameTaken as error:
            self._parts.observe(StreamRefused(self._worker, self._address, str(error)))
            raise

    def _attach(self, hello: Hello, epoch: int, opened_at: float) -> Presence:
        parts, former = self._parts, self._parts.roster.get(self._worker)
        self._session = SessionKey(self._worker, epoch)
        unchanged = former is not None and former.capabilities == hello.capabilities
        self._presence = presence = Presence(
            session=self._session,
            holder=Holder(self._worker, hello.incarnation),
            address=self._address,
            certificate_end=self._certificate_end,
            capabilities=hello.capabilities,
            outbox=None,
            heartbeat_at=parts.now(),
            beat=parts.boot(),
            slots=hello.slots,
            load=hello.load,
            listed={report.key: report for report in hello.attempts},
            excluded=dict(former.excluded) if former and unchanged else {},
        )
        parts.roster.attach(presence)
        parts.blocks.forget(presence.holder)
        self._reconciler = Reconciler(parts, presence)
        self._results = Results(parts, presence, self._outbox)
        self._renewer = Renewer(
            parts.store,
            self._session,
            timers=parts.timers,
            boot=parts.boot,
            opened_at=opened_at,
        )
        return presence

    # -- events -----------------------------------------------------------------------------

    async def _read(self, rest: Sequence[Event], events: Events) -> None:
        """Reads as fast as the worker writes, so that no heartbeat waits behind a slow commit."""
        pace = Pace(a_second=MESSAGES_A_SECOND, at_once=MESSAGES_AT_ONCE)
        self._receive(rest)
        async for batch in events:
            if not pace.allows(self._parts.boot()) or self._inbox.is_full:
                raise WorkerFloods(self._worker)
            self._receive(batch)
        self._inbox.end()

    def _receive(self, batch: Sequence[Event]) -> None:
        arrived = self._parts.boot()
        if any(isinstance(event, Heartbeat) for event in batch):
            arrived = self._renewer.beat()
            self._presence.beat = arrived
            self._presence.heartbeat_at = self._parts.now()
        self._inbox.put(batch, arrived)

    async def _take_all(self) -> None:
        while not self._said_goodbye:
            if (message := await self._inbox.take()) is None:
                return
            await self._take(*message)

    async def _take(self, batch: Sequence[Event], arrived: float) -> None:
        """What the worker said behind a list is not in that list."""
        lists = [(at, event) for at, event in enumerate(batch) if isinstance(event, Heartbeat)]
        if not lists:
            await self._take_words(batch)
            return
        at, beat = lists[-1]
        await self._take_words(batch[: at + 1])
        self._note_beat(beat)
        await self._answer(beat, arrived)
        if behind := batch[at + 1 :]:
            await self._take_words(behind)

    async def _take_words(self, words: Sequence[Event]) -> None:
        """How far attempts are, then what came of them: the rest of an attempt's progress and log
        comes before its result."""
        for event in words:
            if isinstance(event, ProgressReport):
                self._note_progress(event)
        self._note_logs(words)
        said = [event for event in words if isinstance(event, AttemptEvent)]
        if said or self._results.owes:
            await self._results.commit(said)
        for event in words:
            await self._note(event)

    async def _note(self, event: Event) -> None:
        match event:
            case Hello():
                raise ProtocolViolation("hello comes once a stream, first")
            case CapabilitiesChanged(capabilities):
                await self._parts.store.report(self._session, capabilities)
                self._parts.roster.report(self._presence, capabilities)
                self._parts.wake()
            case Goodbye():
                await self._leave()
            case Heartbeat() | ProgressReport() | LogReport():
                pass  # taken before
            case OfferReply() | Staged() | Published() | Failed():
                pass  # taken as one

    def _note_progress(self, report: ProgressReport) -> None:
        for progress in report.attempts:
            if self._presence.holds(progress.key):
                self._presence.progress[progress.key] = progress
                self._parts.watchers.note_progress(progress)
            else:
                self._parts.observe(MessageStale(self._worker, "progress"))

    def _note_logs(self, batch: Sequence[Event]) -> None:
        """Before results: a log is stored with the move that ends its attempt."""
        reports = (event for event in batch if isinstance(event, LogReport))
        for part in (part for report in reports for part in report.parts):
            if self._presence.holds(part.key):
                self._parts.logs.note(AttemptLog(part.key, self._worker, part.lines))
                self._parts.watchers.note_log(part.key.job_id)

    async def _leave(self) -> None:
        self._said_goodbye = True
        await self._parts.store.close_session(self._session)
        self._parts.roster.remove(self._session)
        await self._reconciler.leave()
        self._parts.observe(SessionClosed(self._worker, self._session.epoch, "goodbye"))

    # -- heartbeat --------------------------------------------------------------------------

    def _note_beat(self, beat: Heartbeat) -> None:
        presence = self._presence
        had_room = presence.free
        presence.slots = beat.slots
        presence.load = beat.load
        presence.listed = {report.key: report for report in beat.attempts}
        if presence.free > had_room:
            self._parts.wake()

    async def _answer(self, beat: Heartbeat, arrived: float) -> None:
        verdicts: tuple[Verdict, ...] = ()
        with suppress(Unavailable):  # the next heartbeat is held against the store again
            if not self._agrees(beat) or await self._reconciler.others_moved():
                verdicts = await self._reconciler.reconcile(beat.attempts, seen=beat.seen)
        await self._answers.put((beat.number, arrived, verdicts))

    async def _acknowledge_all(self) -> None:
        """Beside the events: a renewal that is slow holds up no result behind it."""
        while True:
            number, arrived, verdicts = await self._answers.get()
            self._outbox.put(
                HeartbeatAck(
                    number=number,
                    remaining=await self._renewer.remaining(arrived),
                    verdicts=verdicts,
                    draining=self._presence.standing.draining,
                )
            )

    def _agrees(self, beat: Heartbeat) -> bool:
        """Whether the mirror and the list name the same attempts: then the store is not asked."""
        presence = self._presence
        held = {AttemptKey(job.job_id, job.fence): job for job in presence.held.values()}
        listed = {report.key for report in beat.attempts}
        waits = any(held[key].state is JobState.LEASED for key in listed & held.keys())
        unseen = {key for key, job in held.items() if presence.has_not_seen(job, beat.seen)}
        return not waits and not presence.blocks and listed == held.keys() - unseen
