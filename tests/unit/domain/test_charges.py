"""What is remembered of attempts that went wrong: who was charged, who would not take the job."""

from datetime import UTC, datetime, timedelta

from ffrtmp.domain import job as rules
from ffrtmp.domain.job import REJECTS, Failure, Holder, Job, JobState
from ffrtmp.domain.retry import Reason

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def queued() -> Job:
    return rules.new_job(job_id="J", job_class="c", rank=0, now=NOON, actor="client/c")


def run_on(worker: str, job: Job, seconds: float) -> tuple[Job, Holder]:
    holder = Holder(worker, f"{worker}-1")
    job = rules.grant(job, holder=holder, now=at(seconds))
    return rules.accept(job, holder=holder, fence=job.fence, now=at(seconds)), holder


def lost_on(worker: str, job: Job, seconds: float, *, charged: bool = True) -> Job:
    job, holder = run_on(worker, job, seconds)
    return rules.lose(
        job,
        holder=holder,
        fence=job.fence,
        why=f"worker {worker} was lost",
        chance=0.0,
        now=at(seconds + 1),
        charged=charged,
    )


def test_w12_a_job_that_kills_three_workers_fails_and_names_them():
    job = queued()
    for number, worker in enumerate(("w1", "w2", "w3")):
        assert job.state is JobState.QUEUED
        job = lost_on(worker, job, 100 * number)
    assert (job.state, job.charged, job.charged_on) == (JobState.FAILED, 3, ("w1", "w2", "w3"))
    assert job.failure.reason is Reason.WORKER_LOST
    assert job.failure.message == (
        "worker w3 was lost; given up after 3 charged attempts, on w1, w2, w3"
    )
    assert job.detail == job.failure.message


def test_a_worker_that_was_charged_twice_is_named_once():
    job = queued()
    for number, worker in enumerate(("w1", "w2", "w1")):
        job = lost_on(worker, job, 100 * number)
    assert job.failure.message.endswith("after 3 charged attempts, on w1 (twice), w2")


def test_a_failure_sent_again_after_it_was_the_last_straw_is_applied_once():
    job = lost_on("w2", lost_on("w1", queued(), 0), 100)
    job, holder = run_on("w3", job, 200)
    failure = Failure(reason=Reason.TRANSPORT, message="no route")
    told = {"holder": holder, "fence": job.fence, "failure": failure, "chance": 0.0}
    failed = rules.fail(job, **told, now=at(201))
    assert (failed.state, failed.charged) == (JobState.FAILED, 3)
    assert rules.fail(failed, **told, now=at(202)) is failed


def test_an_attempt_that_is_adopted_is_taken_off_the_list():
    job = lost_on("w2", lost_on("w1", queued(), 0), 100)
    adopted = rules.adopt(job, holder=Holder("w2", "w2-1"), fence=2, now=at(102))
    assert (adopted.charged, adopted.charged_on) == (1, ("w1",))


def test_a_loss_in_a_mass_is_not_charged():
    job = lost_on("w1", queued(), 0, charged=False)
    assert (job.state, job.charged) == (JobState.QUEUED, 0)
    assert job.failure.reason is Reason.WORKER_LOST
    assert job.detail == "worker w1 was lost"


def reject(job: Job, seconds: float) -> Job:
    holder = Holder("w1", "i1")
    job = rules.grant(job, holder=holder, now=at(seconds))
    return rules.reject(job, holder=holder, fence=job.fence, why="no disk", now=at(seconds))


def test_twenty_rejects_in_ten_minutes_make_a_job_unschedulable_until_it_is_accepted():
    job, second = queued(), 0.0
    for _ in range(REJECTS - 1):
        job = reject(job, second)
        assert job.eligible_at == at(second + 1)
        second += 25
    assert not job.is_unschedulable
    job = reject(job, second)
    assert job.is_unschedulable
    assert (job.detail, job.charged, job.eligible_at) == ("no disk", 0, at(second + 60))
    job = reject(job, 9_000)
    assert (job.is_unschedulable, job.eligible_at) == (True, at(9_060))
    job, _ = run_on("w2", job, 9_100)
    assert (job.rejects, job.is_unschedulable) == (0, False)


def test_rejects_that_lie_ten_minutes_apart_are_counted_anew():
    job, second = queued(), 0.0
    for _ in range(REJECTS * 2):
        job = reject(job, second)
        second += 35
    assert not job.is_unschedulable
