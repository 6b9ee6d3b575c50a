"""Who is here: the live workers in memory, what each may run, and what it holds.

A mirror for speed, never the truth: the store decides, and every heartbeat is held against it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from ffrtmp.domain.errors import DomainError, SessionExpired, StaleEpoch
from ffrtmp.domain.job import HELD_STATES, Cause, Holder, Job, JobState
from ffrtmp.domain.labels import lacks
from ffrtmp.domain.messages import Cancel, Progress
from ffrtmp.domain.scheduling import Room
from ffrtmp.domain.session import AttemptKey, AttemptReport
from ffrtmp.domain.standing import Standing
from ffrtmp.domain.waiting import Candidate, hindrance
from ffrtmp.domain.worker import (
    Capabilities,
    Claim,
    Load,
    Requirements,
    claims_of,
    contested_roots,
    misfit,
    refused_roots,
    useless_roots,
)
from ffrtmp.master.outbox import Outbox
from ffrtmp.store.records import SessionKey, WorkerRecord

RETURNS_A_SECOND = 200
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
    """One worker. `outbox` is None while its stream is broken and its session still runs.

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
        if not self.listed:
            return max(0, self.slots - len(self.held))
        held = {AttemptKey(job.job_id, job.fence) for job in self.held.values()}
        return max(0, self.slots - len(held | self.listed.keys()))

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
        self._refused: dict[str, dict[str, str]] = {}
        self._useless: dict[str, str] = {}
        self._needs: dict[str, Requirements] = {}
        self._matches: dict[object, frozenset[str]] = {}
        self._known_roots: set[str] = set()
        self._contested: dict[str, frozenset[str]] = {}
        self._away: dict[str, tuple[Claim, ...]] = {}
        self._refused_last: dict[str, Mapping[str, str]] = {}
        self._stale = self._unjudged = False

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
        self._away.pop(worker, None)
        self._refused_last.pop(worker, None)
        if older is not None and older.outbox is not None:
            older.outbox.close(StaleEpoch(worker, older.session.epoch, presence.session.epoch))
        self.recheck()

    def detach(self, session: SessionKey) -> None:
        """Its stream broke. The session goes on until it is expired or the worker returns."""
        if (presence := self._current(session)) is not None:
            presence.outbox = None

    def remove(self, session: SessionKey, why: DomainError | None = None) -> None:
        """Its session is over: goodbye, or expired."""
        if (presence := self._current(session)) is not None:
            if self._unjudged:
                self._refresh()
            self._keep_claims(presence, lost=isinstance(why, SessionExpired))
            del self._present[session.worker]
            if presence.outbox is not None and why is not None:
                presence.outbox.close(why)
            self._stale = True

    def _keep_claims(self, presence: Presence, *, lost: bool) -> None:
        """Its folders are not another worker's because it is away."""
        worker = presence.session.worker
        roots, refused = presence.capabilities.roots, self._refused.get(worker, {})
        if claims := claims_of(roots, refused, self._contested, lost=lost):
            self._away[worker] = claims
        if refused:
            self._refused_last[worker] = refused

    @property
    def waited_for(self) -> Mapping[str, tuple[Claim, ...]]:
        """Workers that are away whose folders are not another's all the same, as of now."""
        return dict(self._away)

    def recall(
        self, asked: Mapping[str, tuple[Claim, ...]], records: Iterable[WorkerRecord]
    ) -> bool:
        """What the store knew of workers that are away, when `asked` were those waited for: which
        comes back first is chance, and it gets no work on a root that is another's. Who is not
        there was removed: its names may mean other folders now. Says whether anything changed."""
        absent = {each.name: each for each in records if each.name not in self._present}
        found, away = self._claims_of(absent), dict(self._away)
        for name in asked.keys() | absent.keys():
            if self._away.get(name) is not asked.get(name):
                continue  # it came or went meanwhile: what was read is older
            away.pop(name, None)
            if claims := found.get(name):
                away[name] = claims
        if away == self._away:
            return False
        self._away = away
        self.recheck()
        return True

    def _claims_of(self, absent: Mapping[str, WorkerRecord]) -> dict[str, tuple[Claim, ...]]:
        """As if all were here with what they reported last, wherever that was."""
        if not absent:
            return {}
        reports = {name: each.capabilities.roots for name, each in self._present.items()}
        reports |= {name: each.capabilities.roots for name, each in absent.items()}
        refused = refused_roots(reports)
        contested = contested_roots(reports, refused)
        found = {}
        for name, each in absent.items():
            rivals = contested if each.alive else contested | self._rivals_of(name)
            claims = claims_of(reports[name], refused[name], rivals, lost=each.lost)
            found[name] = tuple(replace(claim, alive=each.alive) for claim in claims)
        return found

    def _rivals_of(self, worker: str) -> dict[str, frozenset[str]]:
        """Of one that said goodbye: those it had then. Whoever came since may have its folder."""
        claims = self._away.get(worker, ())
        return {each.report.name: each.rivals for each in claims if each.rivals is not None}

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

    def _current(self, session: SessionKey) -> Presence | None:
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

    def recheck(self) -> None:
        """What a worker can run has changed, and with its roots what others can. What follows is
        found out when somebody asks: a thousand workers may come at once."""
        self._stale = self._unjudged = True

    def know_roots(self, names: Iterable[str]) -> None:
        """Of workers that are away: a job may wait for them."""
        self._known_roots.update(names)

    def forget_roots(self) -> None:
        """All but those of workers that are here."""
        self._known_roots.clear()
        self._refused_last.clear()
        self.recheck()

    @property
    def known_roots(self) -> Collection[str]:
        """Of every worker that ever connected."""
        self._refresh()
        return self._known_roots

    @property
    def useless_roots(self) -> Mapping[str, str]:
        """Roots that get no work on any worker that has them, and one of the reasons."""
        self._refresh()
        return self._useless

    def refused_roots(self, worker: str) -> Mapping[str, str]:
        self._refresh()
        return self._refused.get(worker, {})

    def _refresh(self) -> None:
        if not self._stale:
            return
        self._stale = self._unjudged = False
        reports = {name: each.capabilities.roots for name, each in self._present.items()}
        self._refused = refused_roots(reports, self._away)
        self._contested = contested_roots(reports, self._refused)
        self._useless = useless_roots(reports, self._refused)
        for presence in self._present.values():
            self._known_roots.update(root.name for root in presence.capabilities.roots)
        self._forget_matches()

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
        room, free, classes = presence.room, presence.free, self._classes_of(presence)
        excluded = presence.not_for(now)
        known = (room.free, room.excluded) if room and room.classes is classes else None
        if room is None or known != (free, excluded):
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
            bad |= self._refused_last.get(worker, {})
            lack = lacks(needs.labels, last.labels)
            unfit = misfit(needs, last, bad)
            return Candidate(worker=worker, connected=False, lack=lack, unfit=unfit)
        unfit = misfit(needs, presence.capabilities, self.refused_roots(worker))
        lack = lacks(needs.labels, presence.capabilities.labels)
        return presence.as_candidate(job_id, lack, unfit)

    def may_run(self, worker: str, job_class: str) -> bool:
        self._refresh()
        presence = self._present.get(worker)
        return presence is not None and job_class in self._classes_of(presence)

    def _classes_of(self, presence: Presence) -> frozenset[str]:
        """The known classes that it may run: found out once for all workers that can the same."""
        if presence.classes is None:
            refused, can = self._refused.get(presence.session.worker, {}), presence.capabilities
            roots = frozenset(root.name for root in can.roots)
            labels = frozenset(can.labels.items())
            ability = can.spec_version, can.codecs, roots, frozenset(refused), labels
            if ability not in self._matches:
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
