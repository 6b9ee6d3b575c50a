"""What a worker says of its attempts: committed as one change, then acknowledged."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from ffrtmp.domain import job as rules
from ffrtmp.domain.errors import (
    DomainError,
    JobNotFound,
    NewerGrant,
    StaleEpoch,
    StaleFence,
    Unavailable,
)
from ffrtmp.domain.facts import AttemptDisowned, MessageStale
from ffrtmp.domain.messages import (
    AttemptEvent,
    Cancel,
    Failed,
    OfferAck,
    OfferReply,
    Published,
    Result,
    ResultAck,
    ResultOutcome,
    ResultStep,
    Staged,
)
from ffrtmp.master.outbox import Outbox
from ffrtmp.master.parts import Parts
from ffrtmp.master.roster import Presence
from ffrtmp.store.records import Change, Moved, Outcome

CROWDED_FOR = timedelta(seconds=30)
"""A worker without room for a job is asked again for it then, if nothing ends there before."""
DONE = frozenset({ResultOutcome.COMMITTED, ResultOutcome.ALREADY})


class Results:
    def __init__(self, parts: Parts, presence: Presence, outbox: Outbox) -> None:
        self._parts = parts
        self._presence = presence
        self._outbox = outbox
        self._owed: list[OfferReply] = []

    @property
    def owes(self) -> bool:
        """Whether a reply waits for the store: the next message asks again."""
        return bool(self._owed)

    async def commit(self, events: Sequence[AttemptEvent]) -> None:
        """Raises StaleEpoch once a newer stream of the worker took over."""
        events = [*self._owed, *events]
        self._owed = []
        now = self._parts.now()
        try:
            changes = [self._change_of(event, now) for event in events]
            outcomes = await self._parts.jobs.change(changes)
        except Unavailable:
            self._ask_again(events)
            return
        for event, outcome in zip(events, outcomes, strict=True):
            self._note_stale(event, outcome)
            if isinstance(outcome, StaleEpoch):
                raise outcome
            self._report_lie(event, outcome)
            if isinstance(event, OfferReply):
                self._note_reply(event, outcome)
            else:
                self._acknowledge(event, outcome)

    def _ask_again(self, events: Sequence[AttemptEvent]) -> None:
        """A result is sent again; a reply is not, and must be applied before the result that
        follows it, which would be stale without."""
        for event in events:
            if isinstance(event, OfferReply):
                self._owed.append(event)
            else:
                self._outbox.put(ResultAck(event.key, step_of(event), ResultOutcome.RETRY_LATER))

    def _change_of(self, event: AttemptEvent, now: datetime) -> Change:
        holder, fence = self._presence.holder, event.key.fence
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
        figures = None if isinstance(event, OfferReply) else event.figures
        return Change(event.key.job_id, rule, self._presence.session, figures=figures)

    def _note_reply(self, reply: OfferReply, outcome: Outcome) -> None:
        self._presence.offers.pop(reply.key, None)
        if reply.rejection:
            if not reply.passing:
                self._presence.excluded[reply.key.job_id] = reply.rejection
            elif reply.crowded:
                self._presence.crowded[reply.key.job_id] = self._parts.now() + CROWDED_FOR
            self._parts.wake()
        elif isinstance(outcome, DomainError):
            self._outbox.put(Cancel(reply.key))  # too late: it is not this worker's any more
        else:
            self._outbox.put(OfferAck(reply.key))

    def _acknowledge(self, result: Result, outcome: Outcome) -> None:
        answer = outcome_of(outcome)
        self._outbox.put(ResultAck(result.key, step_of(result), answer))
        if answer in DONE and not isinstance(result, Staged):
            # The worker reads the acknowledgement before any later offer: its slot is free by then.
            self._presence.listed.pop(result.key, None)
            self._presence.crowded.clear()
        self._parts.wake()

    def _note_stale(self, event: AttemptEvent, outcome: Outcome) -> None:
        if not isinstance(outcome, DomainError) or isinstance(outcome, NewerGrant):
            return
        what = "stream" if isinstance(outcome, StaleEpoch) else what_of(event)
        self._parts.observe(MessageStale(self._presence.holder.worker, what))

    def _report_lie(self, event: AttemptEvent, outcome: Outcome) -> None:
        if isinstance(outcome, JobNotFound):
            what = "unknown_job"
        elif isinstance(outcome, StaleFence) and outcome.is_from_the_future:
            what = "future_fence"
            self._parts.fences.note(event.key.job_id, said=event.key.fence, stored=outcome.newest)
        else:
            return
        worker, key = self._presence.holder.worker, event.key
        self._parts.observe(AttemptDisowned(worker, key.job_id, key.fence, what))


def outcome_of(outcome: Outcome) -> ResultOutcome:
    match outcome:
        case Moved(before, after):
            return ResultOutcome.ALREADY if before is after else ResultOutcome.COMMITTED
        case NewerGrant():
            return ResultOutcome.RETRY_LATER
        case _:
            return ResultOutcome.STALE


def what_of(event: AttemptEvent) -> str:
    """In a word."""
    if isinstance(event, OfferReply):
        return "reject" if event.rejection else "accept"
    return step_of(event).value


def step_of(result: Result) -> ResultStep:
    match result:
        case Staged():
            return ResultStep.STAGED
        case Published():
            return ResultStep.PUBLISHED
        case Failed():
            return ResultStep.FAILED
