"""Who is here: the live workers in memory, what each may run, and what it holds.

A mirror for speed, never the truth: the store decides, and every heartbeat is held against it.
"""

from collections.abc import Collection, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ffrtmp.domain.errors import DomainError, SessionExpired, StaleEpoch
from ffrtmp.domain.job import HELD_STATES, Cause, Holder, Job, JobState
from ffrtmp.domain.labels import lacks
from ffrtmp.domain.messages import Cancel, Progress
from ffrtmp.domain.scheduling import Room
from ffrtmp.domain.session import AttemptKey, AttemptReport
from ffrtmp.domain.standing import Standing
from ffrtmp.domain.waiting import Candidate, hindrance
from ffrtmp.domain.worker import Capabilities, Load, Requirements, misfit
from ffrtmp.master.outbox import Outbox
from ffrtmp.master.roots import RootBook
from ffrtmp.store.records import SessionKey

RETURNS_A_SECOND = 200
MOST_ABILITIES = 1024
"""Remembered of all that workers were able to, with the classes they may run."""
NO_JOBS: frozenset[str] = frozenset()
NOT_SENT = 0
"""Below every command's number: any list of the worker shows that it does not have it."""
NOT_SENT_YET = 1 << 64
"""Above every command's number: no list shows it, for the offer may be about to be sent."""


@dataclass(frozen=True, slots=True)
class SentOffer:
    """An offer that waits for its answer. `at`: seconds of CLOCK_BOOTTIME."""

    number: int
    at: float


@dataclass(slots=True, kw_only=True)
class Presence:
    """One worker. `outbox` is None while its stream is being opened, and once that is `broken` and
    its session still runs.

    `excluded`: jobs that it rejected, and why. `crowded`: jobs it has no room for, and until when
    it is not asked. `blocks`: attempts that were taken away and that it has not said to be over,
    each with the number of its offer (0: offered on an earlier stream, or accepted). `granted`:
    what was granted to it and is about to be offered. `moves` counts what was noted of jobs.
    """

    session: SessionKey
    holder: Holder
    address: str
    capabilities: Capabilities
    outbox: Outbox | None
    heartbeat_at: datetime
    beat: float
    broken: bool = False
    certificate_end: datetime | None = None
    slots: int = 0
    load: Load = field(default_factory=Load)
    standing: Standing = field(default_factory=Standing)
    listed: dict[AttemptKey, AttemptReport] = field(default_factory=dict)
    held: dict[str, Job] = field(default_factory=dict)
    offers: dict[AttemptKey, SentOffer] = field(default_factory=dict)
    granted: set[AttemptKey] = field(default_factory=set)
    blocks: dict[AttemptKey, int] = field(default_factory=dict)
    moves: int = 0
    excluded: dict[str, str] = field(default_factory=dict)
    crowded: dict[str, datetime] = field(default_factory=dict)
    progress: dict[AttemptKey, Progress] = field(default_factory=dict)
    classes: frozenset[str] | None = None
    room: Room | None = None

    @property
    def free(self) -> int:
        """Slots without an attempt that the worker lists or the store says it holds."""
        listed = len(self.listed)
        if not self.held or self.slots <= listed:  # most, at each pass over all workers
            return max(0, self.slots - listed)
        held = (AttemptKey(job.job_id, job.fence) for job in self.held.values())
        unlisted = sum(key not in self.listed for key in held)
        return max(0, self.slots - listed - unlisted)

    def takes_work(self, now: datetime) -> bool:
        connected, standing = self.outbox is not None, self.standing
        return not hindrance(connected=connected, slots=self.slots, standing=standing, now=now)

    def as_candidate(self, job_id: str, lack: str, unfit: str | None) -> Candidate:
        return Candidate(
            worker=self.session.worker,
            connected=self.outbox is not None,
            slots=self.slots,
            free=self.free,
            standing=self.standing,
            lack=lack,
            unfit=unfit,
            rejection=self.excluded.get(job_id),
        )

    def not_for(self, now: datetime) -> frozenset[str]:
        """Jobs it is not asked for."""
        if not self.excluded and not self.crowded:
            return NO_JOBS
        crowded = (job_id for job_id, until in self.crowded.items() if until > now)
        return frozenset(self.excluded).union(crowded)

    def has_not_seen(self, job: Job, seen: int) -> bool:
        """Whether the grant of this job was offered behind command `seen`, or is just being."""
        key = AttemptKey(job.job_id, job.fence)
        if job.state is JobState.LEASED:
            return key not in self.offers or self.offers[key].number > seen
        return self.blocks.get(key, 0) > seen

    def holds(self, key: AttemptKey) -> bool:
        job = self.held.get(key.job_id)
        return job is not None and job.fence == key.fence


class Roster:
    def __init__(self) -> None:
        self._present: dict[str, Presence] = {}
        self._needs: dict[str, Requirements] = {}
        self._matches: dict[object, frozenset[str]] = {}
        self.roots = RootBook()

    def get(self, worker: str) -> Presence | None:
        return self._present.get(worker)

    def __iter__(self) -> Iterator[Presence]:
        return iter(list(self._present.values()))

    @property
    def is_empty(self) -> bool:
        return not self._present

    def attach(self, presence: Presence) -> None:
        """Puts a worker's newest stream in the place of its older one, which is closed."""
        worker = presence.session.worker
        older = self._present.get(worker)
        if older is not None and older.session.epoch > presence.session.epoch:
            raise StaleEpoch(worker, presence.session.epoch, older.session.epoch)
        self._present[worker] = presence
        self.roots.put(worker, presence.capabilities.roots)
        if older is not None and older.outbox is not None:
            older.outbox.close(StaleEpoch(worker, older.session.epoch, presence.session.epoch))

    def detach(self, presence: Presence) -> None:
        """Its stream broke. The session goes on until it is expired or the worker returns."""
        presence.outbox, presence.broken = None, True

    def remove(self, session: SessionKey, why: DomainError | None = None) -> None:
        """Its session is over: goodbye, or expired."""
        if (presence := self.find(session)) is not None:
            self.roots.leave(session.worker, lost=isinstance(why, SessionExpired))
            del self._present[session.worker]
            if presence.outbox is not None and why is not None:
                presence.outbox.close(why)

    def drop_ended(self, sessions: Collection[SessionKey], read_at: float) -> None:
        """Of all live sessions, of which the reading began then: a worker whose newer stream is
        with another master has left, and so has one whose session another master closed. One that
        said hello since is not among them."""
        for key in sessions:
            presence = self._present.get(key.worker)
            if presence is not None and presence.session.epoch < key.epoch:
                why = StaleEpoch(key.worker, presence.session.epoch, key.epoch)
                self.remove(presence.session, why)
        for presence in self:
            is_over = presence.outbox is None and presence.session not in sessions
            if is_over and presence.beat < read_at:
                self.remove(presence.session, SessionExpired(presence.session.worker))

    def find(self, session: SessionKey) -> Presence | None:
        """None where it is over, or a newer stream took over."""
        presence = self._present.get(session.worker)
        return presence if presence is not None and presence.session == session else None

    @property
    def reconnect_spread(self) -> timedelta:
        """Over how long workers spread their return: 200 a second, and at least a second."""
        return timedelta(seconds=max(1.0, len(self._present) / RETURNS_A_SECOND))

    def learn(self, needs: Mapping[str, Requirements]) -> None:
        """Makes classes of jobs known, so that workers can be matched with them."""
        if not needs.keys() <= self._needs.keys():
            self._needs.update(needs)
            self._forget_matches()

    @property
    def classes(self) -> AbstractSet[str]:
        """Those that are known."""
        return self._needs.keys()

    def keep_classes(self, names: Collection[str]) -> None:
        """Forgets all others: no job of them has not ended."""
        kept = {name: needs for name, needs in self._needs.items() if name in names}
        if len(kept) < len(self._needs):
            self._needs = kept
            self._forget_matches()

    def report(self, presence: Presence, capabilities: Capabilities) -> None:
        """What a worker can run has changed, and with its roots what others can."""
        presence.capabilities = capabilities
        presence.excluded.clear()
        if self.find(presence.session) is presence:
            self.roots.put(presence.session.worker, capabilities.roots)

    def _refresh(self) -> None:
        for worker in self.roots.settle():
            if (presence := self._present.get(worker)) is not None:
                presence.classes = None

    def _forget_matches(self) -> None:
        self._matches.clear()
        for presence in self._present.values():
            presence.classes = None

    def rooms(self, now: datetime) -> list[Room]:
        """Every connected worker that takes work, busy ones too, as the scheduling rule wants to
        see it."""
        self._refresh()
        return [self._room_of(each, now) for each in self._present.values() if each.takes_work(now)]

    def _room_of(self, presence: Presence, now: datetime) -> Room:
        """The one of the last time, as long as it is still right: most are, at each pass."""
        room, free, excluded = presence.room, presence.free, presence.not_for(now)
        classes = presence.classes or self._classes_of(presence)
        if (
            room is None
            or room.free != free
            or room.classes is not classes
            or (room.excluded is not excluded and room.excluded != excluded)
        ):
            room = presence.room = Room(
                holder=presence.holder, free=free, classes=classes, excluded=excluded
            )
        return room

    def candidate(
        self, worker: str, job_id: str, needs: Requirements, last: Capabilities
    ) -> Candidate:
        """The worker as that waiting job sees it. `last`: what it could when it was here."""
        presence = self._present.get(worker)
        if presence is None:
            bad = {root.name: root.problem for root in last.roots if root.problem}
            bad |= self.roots.refused_last(worker)
            lack = lacks(needs.labels, last.labels)
            unfit = misfit(needs, last, bad)
            return Candidate(worker=worker, connected=False, lack=lack, unfit=unfit)
        unfit = misfit(needs, presence.capabilities, self.roots.refused(worker))
        lack = lacks(needs.labels, presence.capabilities.labels)
        return presence.as_candidate(job_id, lack, unfit)

    def may_run(self, worker: str, job_class: str) -> bool:
        self._refresh()
        presence = self._present.get(worker)
        return presence is not None and job_class in self._classes_of(presence)

    def _classes_of(self, presence: Presence) -> frozenset[str]:
        """The known classes that it may run: found out once for all workers that can the same."""
        if presence.classes is None:
            refused, can = self.roots.refused(presence.session.worker), presence.capabilities
            roots = frozenset(root.name for root in can.roots)
            labels = frozenset(can.labels.items())
            ability = can.spec_version, can.codecs, roots, frozenset(refused), labels
            if ability not in self._matches:
                if len(self._matches) >= MOST_ABILITIES:
                    self._matches.clear()
                self._matches[ability] = frozenset(
                    name for name, needs in self._needs.items() if not misfit(needs, can, refused)
                )
            presence.classes = self._matches[ability]
        return presence.classes

    def note(self, before: Job | None, after: Job) -> None:
        """A job moved: keeps the mirror of who holds what, and tells a worker of a cancel."""
        former = before.holder if before is not None else None
        if before is not None and before.blocked_by != after.blocked_by:
            self._note_block(before, after)
        if former is not None and former != after.holder:
            self._let_go(former, after)
        if after.holder is not None and after.state in HELD_STATES:
            presence = self._present.get(after.holder.worker)
            if presence is not None and presence.holder == after.holder:
                presence.moves += 1
                presence.held[after.job_id] = after
                if after.cause is Cause.GRANTED:
                    presence.granted.add(AttemptKey(after.job_id, after.fence))

    def _note_block(self, before: Job, after: Job) -> None:
        blocker = after.blocked_by or before.blocked_by
        presence = self._present.get(blocker.worker) if blocker else None
        if presence is None or presence.holder != blocker:
            return
        presence.moves += 1
        key = AttemptKey(after.job_id, after.fence)
        if after.blocked_by is None:
            presence.blocks.pop(key, None)
        elif key in presence.granted:
            presence.blocks[key] = NOT_SENT_YET
        else:
            offer = presence.offers.get(key)
            presence.blocks[key] = offer.number if offer else NOT_SENT

    def _let_go(self, former: Holder, job: Job) -> None:
        presence = self._present.get(former.worker)
        if presence is None:
            return
        presence.moves += 1
        key = AttemptKey(job.job_id, job.fence)
        presence.held.pop(job.job_id, None)
        presence.granted.discard(key)
        presence.offers.pop(key, None)
        presence.progress.pop(key, None)
        if job.state is JobState.CANCELLED and presence.outbox is not None:
            presence.outbox.put(Cancel(key))
