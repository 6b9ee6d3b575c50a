"""A worker's presence: when its session may be expired, and what its reports mean for its jobs.

Level-triggered: each hello and heartbeat lists every attempt of the worker, and the difference to
what the store says is put right. Any lost message is repaired within one heartbeat.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from math import inf
from types import MappingProxyType

from ffrtmp.domain.job import HELD_STATES, WAITING_STATES, Holder, Job, JobState
from ffrtmp.domain.timers import Timers


class Phase(StrEnum):
    """What a worker does with an attempt."""

    PROBE = "probe"
    ENCODE = "encode"
    VERIFY = "verify"
    PUBLISH = "publish"
    QUALITY = "quality"


@dataclass(frozen=True, slots=True, order=True)
class AttemptKey:
    """Names an attempt on the wire."""

    job_id: str
    fence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptReport:
    """One attempt as its worker lists it. `journalled`: its result waits for an acknowledgement."""

    key: AttemptKey
    phase: Phase
    journalled: bool = False


class VerdictKind(StrEnum):
    """The master's answer about an attempt the worker lists; no verdict means: go on."""

    KEEP = "keep"
    ADOPT = "adopt"
    STOP = "stop"
    RESULT_KNOWN = "result_known"


@dataclass(frozen=True, slots=True)
class Verdict:
    key: AttemptKey
    kind: VerdictKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """`verdicts` for the worker, the rest for the store. `gone`: the blocked attempts of the worker
    whose FFmpeg has ended."""

    verdicts: tuple[Verdict, ...]
    accepted: tuple[AttemptKey, ...]
    adopted: tuple[AttemptKey, ...]
    lost: tuple[AttemptKey, ...]
    gone: tuple[AttemptKey, ...]


def reconcile(
    *,
    holder: Holder,
    listed: Collection[AttemptReport],
    jobs: Mapping[str, Job],
    unseen: Collection[AttemptKey] = (),
) -> Reconciliation:
    """Compares what a worker lists with what the store knows.

    `jobs` holds every job that the worker holds or blocks in the store, and every listed one that
    exists. `unseen` are grants offered after the last command the worker says it has received:
    their absence means nothing yet. Absence of any other held or blocked attempt means that the
    worker does not have it. A listed attempt was accepted, even where the word of it was lost.
    """
    verdicts = [Verdict(report.key, _judge(holder, report, jobs)) for report in listed]
    present = {report.key for report in listed}
    absent = {
        key: job
        for job in jobs.values()
        if (key := AttemptKey(job.job_id, job.fence)) not in present and key not in unseen
    }
    return Reconciliation(
        verdicts=tuple(verdicts),
        accepted=tuple(
            v.key
            for v in verdicts
            if v.kind is VerdictKind.KEEP and _is_offered(jobs[v.key.job_id], v.key)
        ),
        adopted=tuple(v.key for v in verdicts if v.kind is VerdictKind.ADOPT),
        lost=tuple(
            sorted(
                key
                for key, job in absent.items()
                if job.state in HELD_STATES and job.holder == holder
            )
        ),
        gone=tuple(sorted(key for key, job in absent.items() if job.blocked_by == holder)),
    )


def _is_offered(job: Job, key: AttemptKey) -> bool:
    return job.state is JobState.LEASED and job.fence == key.fence


def _judge(holder: Holder, report: AttemptReport, jobs: Mapping[str, Job]) -> VerdictKind:
    job = jobs.get(report.key.job_id)
    if job is None or job.fence != report.key.fence or job.last_holder != holder:
        return _superseded(holder, report, job)
    if job.state in HELD_STATES:
        return VerdictKind.KEEP
    if job.state in WAITING_STATES:
        return _judge_late(report, job)
    if job.state is JobState.SUCCEEDED:
        return VerdictKind.RESULT_KNOWN
    return VerdictKind.STOP


def _judge_late(report: AttemptReport, job: Job) -> VerdictKind:
    """A result may still come. What runs on an offer that was taken back is being stopped."""
    if report.journalled:
        return VerdictKind.KEEP
    return VerdictKind.STOP if job.took_offer_back(report.key.fence) else VerdictKind.ADOPT


def _superseded(holder: Holder, report: AttemptReport, job: Job | None) -> VerdictKind:
    """Of the attempt accepted last: a newer grant that is not accepted yet may come back, and a
    journalled result waits for that; when it has come back, the attempt goes on."""
    if job is None or job.accepted is None:
        return VerdictKind.STOP
    if (job.accepted.holder, job.accepted.fence) != (holder, report.key.fence):
        return VerdictKind.STOP
    if job.state is JobState.LEASED and report.journalled:
        return VerdictKind.KEEP
    if job.state in WAITING_STATES and job.blocked_by is None:
        return _judge_late(report, job)
    return VerdictKind.STOP


LATE = timedelta(seconds=1)
"""A reading that comes so much after the next one was due shows that the reader was stopped."""
NOBODYS: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class _Observation:
    renewal: int
    since: float
    patience: float
    renewed_after: float


@dataclass(frozen=True, slots=True)
class Silence:
    """For how many seconds the last reading, and those before it, showed this same number; the last
    one that showed a lower one was at `renewed_after`, in seconds of CLOCK_BOOTTIME."""

    seconds: float
    renewal: int | None
    renewed_after: float


NEVER_SEEN = Silence(0.0, None, -inf)


class Observer:
    """Decides by observation alone when a session may be expired: no wall clock is asked.

    A session may go when its renewal number was read unchanged for `lease_ttl` on the reader's own
    CLOCK_BOOTTIME, at every sweep in between, none of them late. A session that was there before
    the reader started, and has not renewed since, is given `grace` instead; a reading that fails
    or comes late in that time does not shorten it.

    Of a session whose stream ends here the reader knows more: a number that was first read just now
    stands since the last heartbeat, not since the reading.
    """

    def __init__(self, *, lease_ttl: timedelta, grace: timedelta, late_after: timedelta) -> None:
        self._lease_ttl = lease_ttl.total_seconds()
        self._grace = grace.total_seconds()
        self._late_after = late_after.total_seconds()
        self._seen: dict[str, _Observation] = {}
        self._last: float | None = None
        self._began = -inf
        self._anew = True
        self._grace_end = 0.0

    @classmethod
    def by(cls, timers: Timers) -> "Observer":
        return cls(
            lease_ttl=timers.lease_ttl,
            grace=timers.recovery_grace,
            late_after=timers.sweep_interval + LATE,
        )

    def observe(
        self, renewals: Mapping[str, int], at: float, beats: Mapping[str, float] = NOBODYS
    ) -> list[str]:
        """Takes one reading of every session's renewal number; returns those that may be expired.

        `at` is in seconds of the reader's CLOCK_BOOTTIME, and so are `beats`: when the last
        heartbeat arrived, for the sessions that only this reader's process renews.
        """
        if self._last is None:
            self._grace_end = at + self._grace
        elif self._is_blind(at):
            self.begin_anew()
            self._began = at
        patience = max(self._lease_ttl, self._grace_end - at) if self._anew else self._lease_ttl
        known = NOBODYS if self._anew else beats
        seen, before = self._seen, -inf if self._last is None else self._last
        self._last, self._anew, self._seen = at, False, {}
        for name, renewal in renewals.items():
            last = seen.get(name)
            if last is None:
                last = _Observation(renewal, known.get(name, at), patience, -inf)
            elif last.renewal != renewal:
                after = before if last.renewal < renewal else -inf
                last = _Observation(renewal, known.get(name, at), self._lease_ttl, after)
            self._seen[name] = last
        return [name for name, now in self._seen.items() if at - now.since >= now.patience]

    def next_due(self, at: float) -> float:
        """When the next session may be expired, if it stays silent; infinity when there is none."""
        dues = (seen.since + seen.patience for seen in self._seen.values())
        return min((due for due in dues if due > at), default=inf)

    def silent(self, at: float, longer_than: float) -> int:
        """How many sessions have not renewed for that long, as of the last reading."""
        return sum(at - seen.since > longer_than for seen in self._seen.values())

    def began(self, at: float) -> float:
        """Since when nothing was missed: the start of all (-infinity), the reading after one that
        failed or came late, or `at`, where that one is still to come."""
        return at if self._is_blind(at) else self._began

    def silence(self, name: str, at: float) -> Silence:
        """Of one session. Who was stopped, and has not read since, knows nothing of anybody."""
        seen = self._seen.get(name)
        if seen is None or self._last is None or self._is_blind(at):
            return NEVER_SEEN
        return Silence(self._last - seen.since, seen.renewal, seen.renewed_after)

    def _is_blind(self, at: float) -> bool:
        return self._last is not None and (self._anew or at - self._last > self._late_after)

    def begin_anew(self) -> None:
        """A reading failed or came late: nothing seen before counts."""
        self._seen = {}
        self._anew = True


class BlockObserver:
    """Decides when the lease of a holder without a live session has surely run out.

    Nobody renews a session that is not alive; so a full `lease_ttl` on the reader's own
    CLOCK_BOOTTIME is enough, however often it was read in between.
    """

    def __init__(self, lease_ttl: timedelta) -> None:
        self._lease_ttl = lease_ttl.total_seconds()
        self._since: dict[Holder, float] = {}

    def observe(self, holders: Collection[Holder], at: float) -> set[Holder]:
        """Takes one reading of the holders that block a job and have no live session; returns those
        whose FFmpeg has been killed by now. `at` as in `Observer.observe`."""
        self._since = {holder: self._since.get(holder, at) for holder in holders}
        return {holder for holder, since in self._since.items() if at - since >= self._lease_ttl}

    def forget(self, holder: Holder) -> None:
        """It came back: it has a new lease."""
        self._since.pop(holder, None)
