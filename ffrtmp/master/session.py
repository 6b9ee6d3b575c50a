"""One stream of one worker: from its hello to its end.

Events of a message are taken in three steps: renew the lease, which waits for nothing; commit what
the worker says of its attempts, as one change; then hold its list against the store and answer.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from functools import partial

from ffrtmp.domain import job as rules
from ffrtmp.domain.errors import DomainError, NameTaken, ProtocolViolation, StaleEpoch, Unavailable
from ffrtmp.domain.facts import SessionClosed, SessionOpened, StreamRefused
from ffrtmp.domain.job import HELD_STATES, Holder, Job, JobState
from ffrtmp.domain.messages import (
    Cancel,
    CapabilitiesChanged,
    Event,
    Failed,
    Goodbye,
    Heartbeat,
    HeartbeatAck,
    Hello,
    OfferReply,
    ProgressReport,
    Published,
    Result,
    ResultAck,
    ResultOutcome,
    Staged,
    Welcome,
)
from ffrtmp.domain.session import AttemptKey, AttemptReport, Verdict, reconcile
from ffrtmp.master.answers import outcome_of, step_of
from ffrtmp.master.outbox import Outbox, Send
from ffrtmp.master.parts import Parts
from ffrtmp.master.roster import Presence
from ffrtmp.store.base import Change, Outcome, SessionKey, WorkerRecord

Events = AsyncIterator[Sequence[Event]]

MIRROR_TRIES = 3


class Session:
    def __init__(self, parts: Parts, *, worker: str, address: str) -> None:
        self._parts = parts
        self._worker = worker
        self._address = address
        self._outbox = Outbox(worker)
        self._said_goodbye = False

    async def run(self, events: Events, send: Send) -> None:
        """Serves the stream until the worker hangs up, is superseded or breaks the rules."""
        hello, rest = await self._first(events)
        async with self._parts.hellos:
            self._presence = await self._open(hello)
        try:
            async with asyncio.TaskGroup() as tasks:
                writer = tasks.create_task(self._outbox.write_to(send))
                await self._take(rest)
                async for batch in events:
                    await self._take(batch)
                    if self._said_goodbye:
                        break
                writer.cancel()
            await self._outbox.flush(send)
        finally:
            self._parts.roster.detach(self._session)

    async def _first(self, events: Events) -> tuple[Hello, Sequence[Event]]:
        try:
            async with asyncio.timeout(self._parts.timers.heartbeat_interval.total_seconds()):
                batch = await anext(events)
        except (TimeoutError, StopAsyncIteration):
            batch = ()
        if not batch or not isinstance(batch[0], Hello):
            raise ProtocolViolation("the first event of a stream is hello")
        return batch[0], batch[1:]

    # -- hello ------------------------------------------------------------------------------

    async def _open(self, hello: Hello) -> Presence:
        self._refuse_a_twin(hello)
        record = WorkerRecord(
            name=self._worker,
            incarnation=hello.incarnation,
            epoch=0,
            address=self._address,
            alive=True,
            capabilities=hello.capabilities,
        )
        epoch = await self._parts.store.open_session(record)
        presence = self._attach(hello, epoch)
        verdicts = await self._resume(presence, hello.attempts)
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
        return presence

    def _refuse_a_twin(self, hello: Hello) -> None:
        """The same incarnation always wins; another one only when the incumbent is not alive."""
        incumbent = self._parts.roster.get(self._worker)
        if incumbent is None or incumbent.holder.incarnation == hello.incarnation:
            return
        silence = self._parts.boot() - incumbent.beat
        two_intervals = 2 * self._parts.timers.heartbeat_interval.total_seconds()
        if incumbent.outbox is not None and silence < two_intervals:
            error = NameTaken(self._worker, incumbent.address)
            self._parts.observe(StreamRefused(self._worker, self._address, str(error)))
            raise error

    def _attach(self, hello: Hello, epoch: int) -> Presence:
        former = self._parts.roster.get(self._worker)
        self._session = SessionKey(self._worker, epoch)
        presence = Presence(
            session=self._session,
            holder=Holder(self._worker, hello.incarnation),
            address=self._address,
            capabilities=hello.capabilities,
            outbox=None,
            heartbeat_at=self._parts.now(),
            beat=self._parts.boot(),
            slots=hello.slots,
            load=hello.load,
            listed={report.key: report for report in hello.attempts},
            excluded=set(former.excluded) if former else set(),
        )
        self._parts.roster.attach(presence)
        self._parts.blocks.forget(presence.holder)
        return presence

    async def _resume(
        self, presence: Presence, listed: Collection[AttemptReport]
    ) -> tuple[Verdict, ...]:
        """Passes journalled attempts to a new incarnation; what else the old one held is lost."""
        now = self._parts.now()
        inherited = [
            self._change(
                report.key,
                partial(rules.inherit, heir=presence.holder, fence=report.key.fence, now=now),
            )
            for report in listed
            if report.journalled
        ]
        await self._parts.jobs.change(inherited)
        held = await self._parts.store.held_by(self._worker)
        old = [job for job in held if job.holder != presence.holder]
        await self._lose(old, "its worker came back as a new incarnation")
        return await self._reconcile(presence, listed, seen=None)

    # -- events -----------------------------------------------------------------------------

    async def _take(self, batch: Sequence[Event]) -> None:
        beats = [event for event in batch if isinstance(event, Heartbeat)]
        if beats:
            await self._renew(beats[-1])
        await self._commit([e for e in batch if isinstance(e, OfferReply | Result)])
        for event in batch:
            await self._note(event)
        if beats:
            await self._answer(beats[-1])

    async def _note(self, event: Event) -> None:
        match event:
            case Hello():
                raise ProtocolViolation("hello comes once a stream, first")
            case ProgressReport():
                self._note_progress(event)
            case CapabilitiesChanged(capabilities):
                await self._parts.store.report(self._session, capabilities)
                self._presence.capabilities = capabilities
                self._presence.excluded.clear()
                self._parts.roster.recheck()
                self._parts.wake()
            case Goodbye():
                await self._leave()
            case Heartbeat() | OfferReply() | Staged() | Published() | Failed():
                pass  # taken before, as one

    def _note_progress(self, report: ProgressReport) -> None:
        for progress in report.attempts:
            if self._presence.holds(progress.key):
                self._presence.progress[progress.key] = progress
                self._parts.watchers.note_progress(progress)

    async def _leave(self) -> None:
        self._said_goodbye = True
        await self._parts.store.close_session(self._session)
        self._parts.roster.remove(self._session)
        holder, why = self._presence.holder, "its worker said goodbye"
        held = await self._parts.store.held_by(self._worker)
        await self._lose([job for job in held if job.holder == holder], why, dead=True)
        await self._lose([job for job in held if job.holder != holder], why)
        blocked = await self._parts.store.blocked_by(self._worker)
        await self._unblock([job for job in blocked if job.blocked_by == holder], why)
        self._parts.observe(SessionClosed(self._worker, self._session.epoch, "goodbye"))

    # -- heartbeat --------------------------------------------------------------------------

    async def _renew(self, beat: Heartbeat) -> None:
        await self._parts.store.renew([self._session])
        presence = self._presence
        presence.heartbeat_at = self._parts.now()
        presence.beat = self._parts.boot()
        had_room = presence.free
        presence.slots = beat.slots
        presence.load = beat.load
        presence.listed = {report.key: report for report in beat.attempts}
        if presence.free > had_room:
            self._parts.wake()

    async def _answer(self, beat: Heartbeat) -> None:
        verdicts: tuple[Verdict, ...] = ()
        if not self._agrees(beat):
            verdicts = await self._reconcile(self._presence, beat.attempts, seen=beat.seen)
        self._outbox.put(
            HeartbeatAck(
                number=beat.number,
                remaining=self._parts.timers.lease_ttl,
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

    async def _reconcile(
        self,
        presence: Presence,
        listed: Collection[AttemptReport],
        *,
        seen: int | None,
    ) -> tuple[Verdict, ...]:
        """Puts right what differs, on state read after the list arrived. `seen` is None in hello:
        what was offered on an earlier stream was received by now or never will be."""
        store = self._parts.store
        jobs = await store.get_many({report.key.job_id for report in listed})
        jobs |= {job.job_id: job for job in await store.held_by(self._worker)}
        jobs |= {job.job_id: job for job in await store.blocked_by(self._worker)}
        unseen = {
            AttemptKey(job.job_id, job.fence)
            for job in jobs.values()
            if seen is not None and presence.has_not_seen(job, seen)
        }
        result = reconcile(holder=presence.holder, listed=listed, jobs=jobs, unseen=unseen)
        now = self._parts.now()
        taken = [(key, rules.accept) for key in result.accepted]
        taken += [(key, rules.adopt) for key in result.adopted]
        await self._parts.jobs.change(
            [
                self._change(key, partial(rule, holder=presence.holder, fence=key.fence, now=now))
                for key, rule in taken
            ]
        )
        why = "its worker does not have it"
        await self._lose([jobs[key.job_id] for key in result.lost], why, dead=True)
        await self._unblock([jobs[key.job_id] for key in result.gone], why)
        await self._mirror(presence)
        return result.verdicts

    async def _mirror(self, presence: Presence) -> None:
        """Reads anew what the worker holds. A job that moves meanwhile makes the reading old."""
        store, holder = self._parts.store, presence.holder
        for _ in range(MIRROR_TRIES):
            moves = presence.moves
            held = await store.held_by(self._worker)
            blocked = await store.blocked_by(self._worker)
            if presence.moves == moves:
                break
        else:
            return  # what was noted of each move is newer than any reading
        presence.held = {
            job.job_id: job for job in held if job.state in HELD_STATES and job.holder == holder
        }
        keys = [AttemptKey(job.job_id, job.fence) for job in blocked if job.blocked_by == holder]
        presence.blocks = {key: presence.blocks.get(key, 0) for key in keys}

    async def _unblock(self, jobs: Iterable[Job], why: str) -> None:
        await self._parts.jobs.change(
            [
                Change(
                    job.job_id,
                    partial(
                        rules.unblock,
                        holder=job.blocked_by,
                        fence=job.fence,
                        why=f"worker {self._worker}: {why}",
                        now=self._parts.now(),
                    ),
                )
                for job in jobs
                if job.blocked_by is not None
            ]
        )

    async def _lose(self, jobs: Iterable[Job], why: str, *, dead: bool = False) -> None:
        await self._parts.jobs.change(
            [
                Change(
                    job.job_id,
                    partial(
                        rules.lose,
                        holder=job.holder,
                        fence=job.fence,
                        why=f"worker {self._worker}: {why}",
                        chance=self._parts.chance(),
                        now=self._parts.now(),
                        dead=dead,
                    ),
                )
                for job in jobs
                if job.holder is not None
            ]
        )

    # -- offers and results -----------------------------------------------------------------

    async def _commit(self, events: Sequence[OfferReply | Result]) -> None:
        """Commits what a message says of attempts as one change, and acknowledges results."""
        try:
            outcomes = await self._parts.jobs.change([self._rule_for(event) for event in events])
        except Unavailable:
            self._ask_again(events)
            return
        for event, outcome in zip(events, outcomes, strict=True):
            if isinstance(outcome, StaleEpoch):
                raise outcome
            self._settle(event, outcome)

    def _ask_again(self, events: Sequence[OfferReply | Result]) -> None:
        for event in events:
            if isinstance(event, Result):
                self._outbox.put(ResultAck(event.key, step_of(event), ResultOutcome.RETRY_LATER))

    def _rule_for(self, event: OfferReply | Result) -> Change:
        now, holder, fence = self._parts.now(), self._presence.holder, event.key.fence
        rule: rules.Rule
        match event:
            case OfferReply(_, rejection) if rejection:
                rule = partial(rules.reject, holder=holder, fence=fence, why=rejection, now=now)
            case OfferReply():
                rule = partial(rules.accept, holder=holder, fence=fence, now=now)
            case Staged(_, manifest):
                rule = partial(rules.stage, holder=holder, fence=fence, manifest=manifest, now=now)
            case Published():
                rule = partial(rules.publish, holder=holder, fence=fence, now=now)
            case Failed(_, failure):
                rule = partial(
                    rules.fail,
                    holder=holder,
                    fence=fence,
                    failure=failure,
                    chance=self._parts.chance(),
                    now=now,
                )
        return self._change(event.key, rule)

    def _settle(self, event: OfferReply | Result, outcome: Outcome) -> None:
        key = event.key
        if not isinstance(event, OfferReply):
            self._outbox.put(ResultAck(key, step_of(event), outcome_of(outcome)))
            self._parts.wake()
            return
        self._presence.offers.pop(key, None)
        if event.rejection:
            self._presence.excluded.add(key.job_id)
            self._parts.wake()
        elif isinstance(outcome, DomainError):
            self._outbox.put(Cancel(key))  # too late: it is not this worker's any more

    def _change(self, key: AttemptKey, rule: rules.Rule) -> Change:
        return Change(key.job_id, rule, self._session)
