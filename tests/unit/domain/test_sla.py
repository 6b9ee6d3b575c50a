"""What counts against the platform, and what does not; the accounts that come of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from ffrtmp.domain import job as rules
from ffrtmp.domain import orders
from ffrtmp.domain.evidence import UNSEEN
from ffrtmp.domain.job import Failure, FileRecord, Holder, Job, JobState, Manifest
from ffrtmp.domain.judgement import Breach, Judgement, Verdict
from ffrtmp.domain.promises import Targets
from ffrtmp.domain.retry import RULES, Reason
from ffrtmp.domain.sla import account, compliance, judged
from ffrtmp.domain.spec import Priority, Queue

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
W1, W2 = Holder("w1", "i"), Holder("w2", "i")
TARGETS = Targets(
    live_wait=timedelta(seconds=2),
    default_wait=timedelta(seconds=10),
    batch_wait=timedelta(seconds=100),
    start_delay=timedelta(seconds=3),
)
MET = Judgement(Verdict.MET)
WITHDRAWN = Judgement(Verdict.WITHDRAWN)
FILES = (FileRecord("m:o.mp4", 1, "ab" * 32),)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def missed(*breaches: Breach) -> Judgement:
    return Judgement(Verdict.MISSED, breaches)


def submitted(queue: Queue = Queue.DEFAULT) -> Job:
    return rules.new_job(job_id="J", job_class="c", rank=0, now=NOON, actor="client/c", queue=queue)


def running(job: Job, granted: float = 1, accepted: float = 2, holder: Holder = W1) -> Job:
    leased = rules.grant(job, holder=holder, now=at(granted))
    return rules.accept(leased, holder=holder, fence=leased.fence, now=at(accepted))


def ended(job: Job, rule: rules.Rule) -> Judgement | None:
    return judged(rule, TARGETS)(job).sla


def succeeded(job: Job, seconds: float = 500) -> Judgement | None:
    holder, fence = job.holder or W1, job.fence
    staged = rules.stage(
        job, holder=holder, fence=fence, manifest=Manifest(FILES, fence), now=at(seconds)
    )
    return ended(staged, partial(rules.publish, holder=holder, fence=fence, now=at(seconds)))


def failure(job: Job, reason: Reason) -> rules.Rule:
    return partial(
        rules.fail,
        holder=job.holder,
        fence=job.fence,
        failure=Failure(reason=reason, message="no"),
        chance=0.0,
        now=at(20),
    )


@pytest.mark.parametrize(
    ("queue", "granted", "kept"),
    [
        (Queue.LIVE, 2, True),
        (Queue.LIVE, 2.1, False),
        (Queue.DEFAULT, 10, True),
        (Queue.DEFAULT, 10.1, False),
        (Queue.BATCH, 100, True),
        (Queue.BATCH, 100.1, False),
    ],
)
def test_each_queue_has_a_longest_wait(queue, granted, kept):
    job = running(submitted(queue), granted, granted + 1)
    assert succeeded(job) == (MET if kept else missed(Breach.QUEUE_WAIT))


@pytest.mark.parametrize(("accepted", "kept"), [(4, True), (4.1, False)])
def test_a_slow_start_counts(accepted, kept):
    assert succeeded(running(submitted(), 1, accepted)) == (
        MET if kept else missed(Breach.START_DELAY)
    )


def test_offers_that_nobody_took_are_one_slow_start():
    job = submitted()
    for second in (1, 4):
        leased = rules.grant(job, holder=W1, now=at(second))
        job = rules.leave_unanswered(leased, fence=leased.fence, now=at(second + 2))
    assert succeeded(running(job, 7, 7)) == missed(Breach.START_DELAY)


@pytest.mark.parametrize(
    "reason", [Reason.INPUT_BAD, Reason.FFMPEG_FAILED, Reason.TIMED_OUT, Reason.TARGET_EXISTS]
)
def test_a_bad_job_fails_and_the_promise_is_kept(reason):
    job = running(submitted())
    assert failure(job, reason)(job).state is JobState.FAILED
    assert ended(job, failure(job, reason)) == MET


def test_a_job_that_succeeds_after_its_worker_was_lost_was_failed_once():
    job = running(submitted())
    lost = rules.lose(job, holder=W1, fence=1, why="gone", chance=0.0, now=at(5))
    assert succeeded(running(lost, 6, 7, W2)) == missed(Breach.PLATFORM_FAILURE)


def test_a_worker_that_was_only_thought_lost_failed_nobody():
    """Nor did the job wait: it ran."""
    job = running(submitted())
    lost = rules.lose(job, holder=W1, fence=1, why="gone", chance=0.0, now=at(5))
    assert lost.evidence.failures == 1
    adopted = rules.adopt(lost, holder=W1, fence=1, now=at(50))
    assert adopted.evidence.failures == 0
    assert succeeded(adopted) == MET


def test_a_result_that_a_new_incarnation_brings_did_not_wait_in_the_queue():
    """The job was done when the worker was thought lost."""
    job = running(submitted())
    lost = rules.lose(job, holder=W1, fence=1, why="gone", chance=0.0, now=at(5))
    heir = Holder("w1", "j")
    inherited = rules.inherit(lost, heir=heir, fence=1, now=at(400))
    staged = rules.stage(inherited, holder=heir, fence=1, manifest=Manifest(FILES, 1), now=at(401))
    assert ended(staged, partial(rules.publish, holder=heir, fence=1, now=at(402))) == MET


def test_a_job_that_an_older_master_submitted_or_moved_is_not_judged():
    """It may have waited or been lost there: nobody knows, and MET would be a guess."""
    cancel = partial(rules.cancel, actor="client/c", now=at(300))
    assert ended(replace(submitted(), evidence=UNSEEN), cancel) is None
    job = running(submitted())
    lost = rules.lose(job, holder=W1, fence=1, why="gone", chance=0.0, now=at(5))
    unaware = replace(lost, evidence=job.evidence)
    assert ended(unaware, cancel) is None
    assert succeeded(running(unaware, 6, 7, W2)) is None


def test_a_late_failure_takes_the_place_of_the_loss():
    job = running(submitted())
    lost = rules.lose(job, holder=W1, fence=1, why="gone", chance=0.0, now=at(5))
    bad = partial(failure(job, Reason.INPUT_BAD))
    assert ended(lost, bad) == MET


def test_what_the_user_does_does_not_count():
    job = submitted()
    paused = orders.pause(job, actor="client/c", now=at(5))
    resumed = orders.resume(paused, actor="client/c", now=at(1000))
    again = orders.reprioritise(
        resumed, queue=Queue.DEFAULT, priority=Priority.HIGH, actor="client/c", now=at(1002)
    )
    assert succeeded(running(again, 1005, 1006), 2000) == MET  # 5 s, 2 s and 3 s
    assert succeeded(running(again, 1005.1, 1006), 2000) == missed(Breach.QUEUE_WAIT)


@pytest.mark.parametrize(
    ("seconds", "judgement"), [(9, WITHDRAWN), (11, missed(Breach.QUEUE_WAIT))]
)
def test_a_cancel_before_the_start_says_nothing_unless_it_was_waited_for(seconds, judgement):
    cancel = partial(rules.cancel, actor="client/c", now=at(seconds))
    assert ended(submitted(), cancel) == judgement


def test_a_cancel_in_mid_run_leaves_the_promise_kept():
    cancel = partial(rules.cancel, actor="client/c", now=at(300))
    assert ended(running(submitted()), cancel) == MET


def test_a_job_that_goes_on_is_not_judged_and_one_that_ended_is_not_judged_again():
    job = running(submitted())
    assert ended(job, failure(job, Reason.TRANSPORT)) is None
    cancel = partial(rules.cancel, actor="client/c", now=at(300))
    done = judged(cancel, TARGETS)(job)
    assert judged(cancel, Targets())(done) is done


def test_the_reasons_that_count_are_those_that_people_were_told():
    blamed = {reason for reason in Reason if RULES[reason].blames_platform}
    assert blamed == {
        Reason.STOPPED,
        Reason.STALLED,
        Reason.RESOURCE,
        Reason.RESOURCE_MEMORY,
        Reason.TRANSPORT,
        Reason.WORKER_LOST,
    }


def test_accounts_keep_success_and_promise_apart():
    both = missed(Breach.QUEUE_WAIT, Breach.PLATFORM_FAILURE)
    found = account(
        [
            (JobState.SUCCEEDED, MET, 90),
            (JobState.FAILED, MET, 5),
            (JobState.SUCCEEDED, both, 3),
            (JobState.FAILED, missed(Breach.PLATFORM_FAILURE), 2),
            (JobState.CANCELLED, WITHDRAWN, 40),
        ]
    )
    assert found.ended == {JobState.SUCCEEDED: 93, JobState.FAILED: 7, JobState.CANCELLED: 40}
    assert found.verdicts == {Verdict.MET: 95, Verdict.MISSED: 5, Verdict.WITHDRAWN: 40}
    assert found.breaches == {Breach.QUEUE_WAIT: 3, Breach.PLATFORM_FAILURE: 5}
    assert compliance(95, 5) == 0.95
    assert compliance(0, 0) is None


@pytest.mark.parametrize("name", ["live_wait", "default_wait", "batch_wait", "start_delay"])
def test_a_target_that_no_job_can_meet_is_refused(name):
    with pytest.raises(ValueError, match="above 0"):
        Targets(**{name: timedelta(0)})
