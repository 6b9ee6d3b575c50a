"""Moves of a job that once went wrong, one sentence each; the whole is in test_job_machine.py."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ffrtmp.domain import job as jobs
from ffrtmp.domain.errors import IllegalTransition, NewerGrant, StaleFence
from ffrtmp.domain.event import event_of
from ffrtmp.domain.job import (
    TERMINAL_STATES,
    Cause,
    Failure,
    FileRecord,
    Holder,
    Job,
    JobState,
    Manifest,
)
from ffrtmp.domain.job.moves import move
from ffrtmp.domain.retry import BACKOFF_LONGEST, Reason

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FIRST, SECOND = Holder("w1", "a"), Holder("w2", "a")


def queued() -> Job:
    return jobs.new_job(job_id="01J", job_class="c", rank=1, now=NOW, actor="client/a")


def running(job: Job, holder: Holder) -> Job:
    job = jobs.grant(job, holder=holder, now=NOW)
    return jobs.accept(job, holder=holder, fence=job.fence, now=NOW)


def lost(job: Job) -> Job:
    return jobs.lose(job, holder=job.holder, fence=job.fence, why="gone", chance=0.0, now=NOW)


def test_an_offer_lost_with_its_worker_is_told_with_its_own_reason_not_an_earlier_one():
    failure = Failure(reason=Reason.STOPPED, message="drained")
    job = jobs.fail(
        running(queued(), FIRST), holder=FIRST, fence=1, failure=failure, chance=0.0, now=NOW
    )
    event = event_of(lost(jobs.grant(job, holder=SECOND, now=NOW)))
    assert (event.reason, event.detail, event.charged) == (Reason.WORKER_LOST, "gone", 0)


def test_word_of_a_finished_publish_waits_while_the_job_is_on_offer_to_another():
    staged = Manifest((FileRecord("m:out.mp4", 3, "ab" * 32),), 1)
    job = jobs.stage(running(queued(), FIRST), holder=FIRST, fence=1, manifest=staged, now=NOW)
    offered = jobs.grant(lost(job), holder=SECOND, now=NOW)
    with pytest.raises(NewerGrant):
        jobs.publish(offered, holder=FIRST, fence=1, now=NOW)


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED])
def test_no_rule_could_move_an_ended_job_even_by_mistake(state):
    """The table is asked at every move, whatever the rule checked before."""
    ended = replace(queued(), state=state)
    for following in JobState:
        with pytest.raises(IllegalTransition):
            move(ended, following, Cause.GRANTED, actor="master", now=NOW)


def test_terminal_states_are_those_that_nothing_follows():
    assert {"succeeded", "failed", "cancelled"} == TERMINAL_STATES


@pytest.mark.parametrize(
    ("waits", "is_eligible"),
    [
        (timedelta(0), True),
        (timedelta(microseconds=1), False),
        (BACKOFF_LONGEST, False),
        (BACKOFF_LONGEST + timedelta(microseconds=1), True),
    ],
)
def test_a_wait_that_no_back_off_explains_is_over(waits, is_eligible):
    """The clock was put back: nobody waits for hours because of that."""
    job = replace(queued(), eligible_at=NOW + waits)
    assert jobs.is_eligible(job, NOW) is is_eligible
    if is_eligible:
        assert jobs.grant(job, holder=FIRST, now=NOW).fence == 1
    else:
        with pytest.raises(IllegalTransition):
            jobs.grant(job, holder=FIRST, now=NOW)


def lost_while_publishing() -> Job:
    """Its files may lie under their final names: the worker was lost before it could say so."""
    staged = Manifest((FileRecord("m:out.mp4", 3, "ab" * 32),), 1)
    job = jobs.stage(running(queued(), FIRST), holder=FIRST, fence=1, manifest=staged, now=NOW)
    return lost(job)


def test_what_may_be_published_already_is_not_cancelled_in_any_state():
    waiting = lost_while_publishing()
    for job in (waiting, jobs.grant(waiting, holder=SECOND, now=NOW), running(waiting, SECOND)):
        with pytest.raises(IllegalTransition, match="maybe published"):
            jobs.cancel(job, actor="client/a", now=NOW)


def test_force_cancels_what_waits_for_a_worker_that_never_returns_and_says_what_may_be_there():
    waiting = lost_while_publishing()
    cancelled = jobs.cancel(waiting, actor="admin/a", now=NOW, force=True)
    assert (cancelled.state, cancelled.frees_targets) == (JobState.CANCELLED, True)
    assert event_of(cancelled).detail == "by force: its outputs may be published already"
    with pytest.raises(IllegalTransition):
        jobs.publish(cancelled, holder=FIRST, fence=1, now=NOW)


def test_what_may_be_published_already_does_not_fail_by_losses():
    job = lost_while_publishing()
    for _ in range(5):
        job = lost(running(job, SECOND))
    assert (job.state, job.charged) == (JobState.QUEUED, 0)
    assert job.manifest is not None


def test_an_attempt_fails_once_whatever_it_says_of_it_later():
    said = Failure(reason=Reason.INPUT_BAD, message="it broke again")
    job = jobs.fail(
        running(queued(), FIRST), holder=FIRST, fence=1, failure=said, chance=0.0, now=NOW
    )
    other = Failure(reason=Reason.INPUT_BAD, message="it broke")
    assert jobs.fail(job, holder=FIRST, fence=1, failure=other, chance=0.0, now=NOW) is job


def test_a_finished_encode_waits_for_newer_grants_and_counts_when_they_come_to_nothing():
    staged = Manifest((FileRecord("m:out.mp4", 3, "ab" * 32),), 1)
    job = lost(running(queued(), FIRST))
    for fence in (2, 3):
        job = jobs.grant(job, holder=SECOND, now=NOW)
        with pytest.raises(NewerGrant):
            jobs.stage(job, holder=FIRST, fence=1, manifest=staged, now=NOW)
        job = jobs.leave_unanswered(job, fence=fence, now=NOW)
    job = jobs.stage(job, holder=FIRST, fence=1, manifest=staged, now=NOW)
    assert (job.state, job.fence, job.holder, job.charged) == (JobState.PUBLISHING, 1, FIRST, 0)
    job = jobs.grant(lost(job), holder=SECOND, now=NOW)
    assert job.fence == 4, "a fence is never granted twice"
    with pytest.raises(StaleFence) as stale:
        jobs.accept(job, holder=SECOND, fence=3, now=NOW)
    assert not stale.value.is_from_the_future


def test_a_clock_put_back_by_little_does_not_turn_a_history_around():
    job = jobs.grant(queued(), holder=FIRST, now=NOW)
    accepted = jobs.accept(job, holder=FIRST, fence=1, now=NOW - timedelta(seconds=2))
    assert (accepted.changed_at, accepted.start_at) == (NOW, NOW)
    by_far = NOW - timedelta(hours=1)
    assert jobs.accept(job, holder=FIRST, fence=1, now=by_far).changed_at == by_far
