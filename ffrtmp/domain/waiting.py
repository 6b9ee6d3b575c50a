"""Why a job waits: what is in its own way, and for each worker the first thing that is.

The dispatcher asks the same questions, of many at once: which workers take work at all
(`hindrance`), which classes each can run (`worker.misfit`), and which jobs it may have
(`scheduling.is_avoided`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from ffrtmp.domain.job import HELD_STATES, TERMINAL_STATES, Job, JobState, is_eligible
from ffrtmp.domain.scheduling import is_avoided
from ffrtmp.domain.standing import Standing

NO_WORKER = "no worker is connected"


class Obstacle(StrEnum):
    """Why a worker does not get a job, first things first. NONE: it may have it now."""

    AWAY = "away"
    LEAVING = "leaving"
    DRAINING = "draining"
    QUARANTINED = "quarantined"
    LABEL = "label"
    UNFIT = "unfit"
    REJECTED = "rejected"
    AVOIDED = "avoided"
    BUSY = "busy"
    NONE = "none"


class WaitReason(StrEnum):
    """What a job waits for, first things first. TURN: it is about to be offered."""

    NOT_WAITING = "not_waiting"
    PAUSED = "paused"
    BACK_OFF = "back_off"
    BLOCKED = "blocked"
    NO_WORKER = "no_worker"
    NO_FIT_WORKER = "no_fit_worker"
    NO_FREE_SLOT = "no_free_slot"
    TURN = "turn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A worker as one waiting job sees it. `lack`: what `labels.lacks` says, and `unfit`: what
    `misfit` says, of one that is away as it was last; `rejection`: what the worker said when the
    job was offered to it."""

    worker: str
    connected: bool
    slots: int = 0
    free: int = 0
    standing: Standing = field(default_factory=Standing)
    lack: str = ""
    unfit: str | None = None
    rejection: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The first obstacle between a job and a worker, and a sentence about it. `fits`: the worker
    has what the job needs, whatever else is in the way."""

    worker: str
    obstacle: Obstacle
    detail: str = ""
    fits: bool = True


@dataclass(frozen=True, slots=True)
class Place:
    """How many queued jobs have a better rank: of all, and of those of the same class."""

    ahead: int
    ahead_in_class: int


@dataclass(frozen=True, slots=True)
class Explanation:
    reason: WaitReason
    detail: str
    place: Place | None
    verdicts: tuple[Verdict, ...]


def hindrance(*, connected: bool, slots: int, standing: Standing, now: datetime) -> Obstacle | None:
    """Why a worker takes no work at all; None: it does."""
    if not connected:
        return Obstacle.AWAY
    if standing.draining:
        return Obstacle.DRAINING
    if slots == 0:
        return Obstacle.LEAVING
    return Obstacle.QUARANTINED if standing.is_quarantined(now) else None


def judge(job: Job, candidates: Sequence[Candidate], now: datetime) -> list[Verdict]:
    """One verdict a candidate, in their order."""
    able = [each.worker for each in candidates if _obstacle(job, each, (), now)[0] in _PASSING]
    return [
        Verdict(each.worker, *_obstacle(job, each, able, now), fits=not (each.lack or each.unfit))
        for each in candidates
    ]


_PASSING = frozenset({Obstacle.BUSY, Obstacle.NONE})


def _obstacle(
    job: Job, candidate: Candidate, able: Sequence[str], now: datetime
) -> tuple[Obstacle, str]:
    """`able`: the workers that could run it, busy ones too."""
    standing = candidate.standing
    found = hindrance(
        connected=candidate.connected, slots=candidate.slots, standing=standing, now=now
    )
    if found is not None:
        if found is Obstacle.AWAY:
            return found, candidate.lack or candidate.unfit or "it could run it"
        until = standing.quarantined_until if found is Obstacle.QUARANTINED else None
        return found, f"until {until:%H:%M:%S} UTC" if until else ""
    if candidate.lack:
        return Obstacle.LABEL, candidate.lack
    if candidate.unfit:
        return Obstacle.UNFIT, candidate.unfit
    if candidate.rejection is not None:
        return Obstacle.REJECTED, candidate.rejection
    if is_avoided(job, candidate.worker, able):
        return Obstacle.AVOIDED, "the last attempt failed there, and others can run it"
    if candidate.free == 0:
        slots = "its slot is" if candidate.slots == 1 else f"all {candidate.slots} slots are"
        return Obstacle.BUSY, f"{slots} taken"
    return Obstacle.NONE, ""


def explain(
    job: Job, verdicts: Sequence[Verdict], place: Place | None, now: datetime
) -> Explanation:
    """What stands in the job's own way comes before what stands between it and the workers."""
    reason, detail = _own_reason(job, now) or _reason_of(verdicts)
    return Explanation(reason, detail, place, tuple(verdicts))


def _own_reason(job: Job, now: datetime) -> tuple[WaitReason, str] | None:
    if job.state in TERMINAL_STATES:
        verb = "was" if job.state is JobState.CANCELLED else "has"
        return WaitReason.NOT_WAITING, f"it {verb} {job.state}"
    if job.state in HELD_STATES and job.holder is not None:
        return WaitReason.NOT_WAITING, f"it is {job.state} on worker {job.holder.worker}"
    if job.state is not JobState.QUEUED:
        return WaitReason.PAUSED, "until somebody resumes it"
    if job.blocked_by is not None:
        return WaitReason.BLOCKED, f"until worker {job.blocked_by.worker} has stopped its FFmpeg"
    if not is_eligible(job, now):
        return WaitReason.BACK_OFF, _back_off(job)
    return None


def _back_off(job: Job) -> str:
    why = f": {job.detail}" if job.detail else ""
    often = "no worker takes it, tried once a minute, " if job.is_unschedulable else ""
    return f"{often}until {job.eligible_at:%H:%M:%S} UTC{why}"


def _reason_of(verdicts: Sequence[Verdict]) -> tuple[WaitReason, str]:
    met = {each.obstacle for each in verdicts}
    if Obstacle.NONE in met:
        return WaitReason.TURN, "a worker is free for it"
    if Obstacle.BUSY in met:
        busy = sum(each.obstacle is Obstacle.BUSY for each in verdicts)
        many = f"{busy} workers could run it, and are busy"
        one = "1 worker could run it, and is busy"
        return WaitReason.NO_FREE_SLOT, one if busy == 1 else many
    if met <= {Obstacle.AWAY}:
        return WaitReason.NO_WORKER, NO_WORKER
    away = [each.worker for each in verdicts if each.obstacle is Obstacle.AWAY and each.fits]
    could = f"; {away[0]} could, and is away" if len(away) == 1 else ""
    could = f"; {len(away)} that are away could" if len(away) > 1 else could
    none = "has its labels" if met <= {Obstacle.AWAY, Obstacle.LABEL} else "may run it"
    return WaitReason.NO_FIT_WORKER, f"no worker that is here {none}{could}"
