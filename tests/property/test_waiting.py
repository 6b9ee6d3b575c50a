"""What is said of a waiting job is what the dispatcher does with it."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from ffrtmp.domain.job import Holder, Job, JobState
from ffrtmp.domain.scheduling import Room, assign
from ffrtmp.domain.standing import Standing
from ffrtmp.domain.waiting import (
    Candidate,
    Explanation,
    Obstacle,
    Place,
    Verdict,
    WaitReason,
    explain,
    hindrance,
    judge,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SOON = NOW + timedelta(minutes=1)
WORKERS = ("w1", "w2", "w3", "w4")


def queued(**fields) -> Job:
    return Job(
        **{
            "job_id": "j1",
            "state": JobState.QUEUED,
            "job_class": "a",
            "rank": 1,
            "submit_at": NOW,
            "eligible_at": NOW,
            "changed_at": NOW,
            **fields,
        }
    )


@st.composite
def fleets(draw) -> list[Candidate]:
    return [
        Candidate(
            worker=worker,
            connected=draw(st.booleans()),
            slots=(slots := draw(st.integers(0, 2))),
            free=draw(st.integers(0, slots)),
            standing=Standing(
                draining=draw(st.sampled_from([False, False, True])),
                quarantined_until=draw(st.sampled_from([None, None, SOON])),
            ),
            lack=draw(st.sampled_from(["", "", "zone=eu is required"])),
            unfit=draw(st.sampled_from([None, None, "has no root 'm'"])),
            rejection=draw(st.sampled_from([None, None, "the disk is full"])),
        )
        for worker in draw(st.lists(st.sampled_from(WORKERS), unique=True))
    ]


def room_of(candidate: Candidate) -> Room | None:
    """As the roster makes it."""
    takes_work = not hindrance(
        connected=candidate.connected,
        slots=candidate.slots,
        standing=candidate.standing,
        now=NOW,
    )
    if not takes_work:
        return None
    return Room(
        holder=Holder(candidate.worker, "i"),
        free=candidate.free,
        classes=frozenset() if candidate.lack or candidate.unfit else frozenset({"a"}),
        excluded=frozenset() if candidate.rejection is None else frozenset({"j1"}),
    )


def explained(job: Job, fleet: list[Candidate]) -> Explanation:
    return explain(job, judge(job, fleet, NOW), Place(0, 0), NOW)


@given(fleet=fleets(), avoid=st.sampled_from(["", *WORKERS]))
@settings(max_examples=400)
def test_a_job_is_given_to_a_worker_without_an_obstacle_and_to_no_other(fleet, avoid):
    job = queued(avoid=avoid)
    rooms = [room for each in fleet if (room := room_of(each)) is not None]
    chosen = [each.holder.worker for each in assign([job], rooms)]
    verdicts = {each.worker: each.obstacle for each in judge(job, fleet, NOW)}
    free = {worker for worker, obstacle in verdicts.items() if obstacle is Obstacle.NONE}
    assert set(chosen) <= free
    assert bool(chosen) == bool(free)
    assert (explained(job, fleet).reason is WaitReason.TURN) == bool(chosen)


def candidate(name: str, **fields) -> Candidate:
    return Candidate(**{"worker": name, "connected": True, "slots": 2, "free": 1, **fields})


def test_the_first_obstacle_of_each_worker_is_named():
    fleet = [
        candidate("away", connected=False),
        candidate("drains", standing=Standing(draining=True), unfit="no"),
        candidate("leaves", slots=0, free=0),
        candidate("sick", standing=Standing(quarantined_until=SOON)),
        candidate("lacks", lack="zone=eu is required", unfit="has no root 'm'"),
        candidate("unfit", unfit="has no root 'm'", free=0),
        candidate("full", rejection="the disk is full"),
        candidate("failed"),
        candidate("busy", free=0),
    ]
    said = [
        (each.worker, each.obstacle.value, each.detail)
        for each in judge(queued(avoid="failed"), fleet, NOW)
    ]
    assert said == [
        ("away", "away", "it could run it"),
        ("drains", "draining", ""),
        ("leaves", "leaving", ""),
        ("sick", "quarantined", "until 12:01:00 UTC"),
        ("lacks", "label", "zone=eu is required"),
        ("unfit", "unfit", "has no root 'm'"),
        ("full", "rejected", "the disk is full"),
        ("failed", "avoided", "the last attempt failed there, and others can run it"),
        ("busy", "busy", "all 2 slots are taken"),
    ]
    assert explained(queued(), fleet[:7]).reason is WaitReason.NO_FIT_WORKER
    assert explained(queued(avoid="failed"), fleet).reason is WaitReason.NO_FREE_SLOT
    assert explained(queued(), fleet[:1]).reason is WaitReason.NO_WORKER


def test_of_workers_that_are_away_those_that_fit_are_told():
    """Not one that says so of itself in the same words."""
    unfit = candidate("here", unfit="it could run it")
    away = [candidate(name, connected=False) for name in ("a", "b")]
    lame = candidate("lame", connected=False, unfit="has no root 'm'")
    assert explained(queued(), [unfit, lame]).detail == "no worker that is here may run it"
    assert explained(queued(), [unfit, lame, away[0]]).detail.endswith("; a could, and is away")
    assert explained(queued(), [unfit, lame, *away]).detail.endswith("; 2 that are away could")


def test_labels_are_the_reason_when_every_worker_that_is_here_lacks_one():
    lacks = [candidate(name, lack="zone=eu is required") for name in ("a", "b")]
    away = candidate("away", connected=False, lack="zone=eu is required")
    said = explained(queued(), [*lacks, away])
    assert said.reason is WaitReason.NO_FIT_WORKER
    assert said.detail == "no worker that is here has its labels"
    assert said.verdicts[-1] == Verdict("away", Obstacle.AWAY, away.lack, fits=False)
    could = candidate("far", connected=False)
    assert explained(queued(), [*lacks, could]).detail.endswith(
        "its labels; far could, and is away"
    )
    unfit = candidate("unfit", unfit="has no root 'm'")
    assert explained(queued(), [*lacks, unfit]).detail == "no worker that is here may run it"
    assert explained(queued(), [*lacks, candidate("c")]).reason is WaitReason.TURN


def test_what_stands_in_the_jobs_own_way_comes_first():
    free = [candidate("w1")]
    later = queued(eligible_at=SOON, detail="worker w1 was lost")
    blocked = queued(blocked_by=Holder("w9", "i"))
    held = queued(state=JobState.RUNNING, holder=Holder("w1", "i"))
    ended = queued(state=JobState.SUCCEEDED)
    said = [explained(job, free) for job in (later, blocked, held, ended)]
    assert [(each.reason, each.detail) for each in said] == [
        (WaitReason.BACK_OFF, "until 12:01:00 UTC: worker w1 was lost"),
        (WaitReason.BLOCKED, "until worker w9 has stopped its FFmpeg"),
        (WaitReason.NOT_WAITING, "it is running on worker w1"),
        (WaitReason.NOT_WAITING, "it has succeeded"),
    ]
