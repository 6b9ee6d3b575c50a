"""A live push has one writer: when it is blocked, what lifts that, and what it may not do."""

from datetime import UTC, datetime, timedelta

import pytest

from ffrtmp.domain import job as rules
from ffrtmp.domain.errors import IllegalTransition, NotHolder, StaleFence
from ffrtmp.domain.event import event_of
from ffrtmp.domain.job import Cause, Failure, FileRecord, Holder, Job, JobState, Manifest
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.session import (
    AttemptKey,
    AttemptReport,
    BlockObserver,
    Phase,
    VerdictKind,
    reconcile,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
W1, W2 = Holder("w1", "i1"), Holder("w2", "i2")
KEY = AttemptKey("J", 1)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def leased(restarts: int = 0) -> Job:
    job = rules.new_job(
        job_id="J",
        job_class="c",
        rank=0,
        now=NOON,
        actor="client/c",
        exclusive=True,
        restarts=restarts,
    )
    return rules.grant(job, holder=W1, now=NOON)


def running(restarts: int = 0) -> Job:
    return rules.accept(leased(restarts), holder=W1, fence=1, now=at(1))


def lost(job: Job, *, dead: bool = False) -> Job:
    return rules.lose(job, holder=W1, fence=1, why="it went", chance=0.0, now=at(2), dead=dead)


def unblocked(job: Job) -> Job:
    return rules.unblock(job, holder=W1, fence=1, why="it said so", now=at(9))


TAKEN_AWAY = [
    lost(running()),
    lost(leased()),
    rules.leave_unanswered(leased(), fence=1, now=at(2)),
]


@pytest.mark.parametrize("job", TAKEN_AWAY)
def test_a_job_taken_away_is_not_granted_before_its_old_holder_is_done(job):
    assert (job.state, job.blocked_by) == (JobState.QUEUED, W1)
    with pytest.raises(IllegalTransition, match="blocked by worker w1"):
        rules.grant(job, holder=W2, now=at(99))
    free = unblocked(job)
    assert (free.state, free.blocked_by, free.cause) == (JobState.QUEUED, None, Cause.UNBLOCKED)
    assert (free.version, event_of(free).blocked_by) == (job.version + 1, "")
    assert rules.grant(free, holder=W2, now=at(99)).fence == 2


def test_a_holder_known_to_be_dead_blocks_nothing():
    assert lost(running(), dead=True).blocked_by is None


def test_a_staged_job_is_never_blocked():
    job = rules.new_job(job_id="J", job_class="c", rank=0, now=NOON, actor="client/c")
    job = rules.accept(rules.grant(job, holder=W1, now=NOON), holder=W1, fence=1, now=NOON)
    assert lost(job).blocked_by is None
    assert rules.cancel(job, actor="client/c", now=NOON).blocked_by is None


def test_a_cancelled_push_keeps_its_targets_until_it_is_gone():
    job = rules.cancel(running(), actor="client/c", now=at(2))
    assert (job.state, job.blocked_by, job.frees_targets) == (JobState.CANCELLED, W1, False)
    free = unblocked(job)
    assert (free.state, free.end_at, free.frees_targets) == (JobState.CANCELLED, at(2), True)
    assert rules.cancel(lost(running()), actor="client/c", now=at(3)).blocked_by == W1


def test_only_its_own_blocker_and_fence_lift_a_block_and_only_once():
    job = lost(running())
    with pytest.raises(NotHolder):
        rules.unblock(job, holder=W2, fence=1, why="", now=NOON)
    with pytest.raises(StaleFence):
        rules.unblock(job, holder=W1, fence=2, why="", now=NOON)
    free = unblocked(job)
    assert unblocked(free) is free


@pytest.mark.parametrize("job", [running(), lost(running())])
def test_the_word_of_the_worker_itself_ends_its_attempt(job):
    done = rules.publish(job, holder=W1, fence=1, now=at(3))
    assert (done.state, done.blocked_by, done.charged) == (JobState.SUCCEEDED, None, 0)
    failure = Failure(reason=Reason.STOPPED, message="the lease ended")
    back = rules.fail(job, holder=W1, fence=1, failure=failure, chance=0.0, now=at(3))
    assert (back.state, back.blocked_by, back.charged) == (JobState.QUEUED, None, 0)


def test_an_exclusive_job_has_nothing_to_stage():
    manifest = Manifest((FileRecord("m:x", 1, "ab" * 32),), 1)
    with pytest.raises(IllegalTransition, match="stage"):
        rules.stage(running(), holder=W1, fence=1, manifest=manifest, now=NOON)


def test_adopting_lifts_the_block_but_an_offer_taken_back_is_not_adopted():
    adopted = rules.adopt(lost(running()), holder=W1, fence=1, now=at(3))
    assert (adopted.state, adopted.holder, adopted.blocked_by) == (JobState.RUNNING, W1, None)
    assert (adopted.charged, adopted.charged_on) == (0, ())
    with pytest.raises(IllegalTransition, match="taken back"):
        rules.adopt(TAKEN_AWAY[2], holder=W1, fence=1, now=at(3))


def test_what_a_worker_does_not_list_any_more_is_gone_unless_it_has_not_seen_the_offer():
    job = TAKEN_AWAY[2]

    def gone(listed=(), unseen=()):
        return reconcile(holder=W1, listed=listed, jobs={"J": job}, unseen=unseen).gone

    report = AttemptReport(key=KEY, phase=Phase.ENCODE)
    assert gone() == (KEY,)
    assert gone(unseen=[KEY]) == ()
    assert gone(listed=[report]) == ()
    [verdict] = reconcile(holder=W1, listed=[report], jobs={"J": job}).verdicts
    assert verdict.kind is VerdictKind.STOP


def test_a_block_is_observed_for_a_full_lease():
    observer = BlockObserver(timedelta(seconds=10))
    assert observer.observe({W1}, 100.0) == set()
    assert observer.observe({W1}, 109.9) == set()
    assert observer.observe({W1}, 110.0) == {W1}
    observer.forget(W1)
    assert observer.observe({W1}, 111.0) == set()
    assert observer.observe(set(), 115.0) == set()
    assert observer.observe({W1}, 125.0) == set()


def failed(job: Job, reason: Reason, seconds: float) -> Job:
    failure = Failure(reason=reason, message="it failed")
    return rules.fail(job, holder=W1, fence=job.fence, failure=failure, chance=0.0, now=at(seconds))


def again(job: Job, seconds: float) -> Job:
    job = rules.grant(job, holder=W1, now=at(seconds))
    return rules.accept(job, holder=W1, fence=job.fence, now=at(seconds))


def test_ffmpeg_is_started_again_as_often_as_the_budget_says():
    assert failed(running(), Reason.FFMPEG_FAILED, 2).state is JobState.FAILED
    job = failed(running(restarts=2), Reason.FFMPEG_FAILED, 2)
    assert (job.state, job.charged, job.eligible_at) == (JobState.QUEUED, 1, at(4.5))
    job = failed(again(job, 10), Reason.STALLED, 11)
    assert (job.state, job.charged) == (JobState.QUEUED, 2)
    job = failed(again(job, 60), Reason.FFMPEG_FAILED, 61)
    assert (job.state, job.charged) == (JobState.FAILED, 3)


def test_ten_healthy_minutes_forget_the_charges_of_a_live_job():
    job = failed(running(restarts=1), Reason.FFMPEG_FAILED, 2)
    job = failed(again(job, 10), Reason.FFMPEG_FAILED, 10 + 600)
    assert (job.state, job.charged, job.charged_on) == (JobState.QUEUED, 1, ("w1",))
