"""Facts become numbers, and nobody's name is among their labels."""

import re
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ffrtmp.domain import job as rules
from ffrtmp.domain.facts import (
    AttemptDisowned,
    CertificateRanOut,
    ClaimTook,
    Dispatched,
    EnvelopeUnknown,
    GroupCommitted,
    JobMoved,
    JobsForgotten,
    MassLossBegan,
    MessageStale,
    SessionClosed,
    SessionOpened,
    StatementTook,
    StoreFailed,
    StreamRefused,
    WorkerQuarantined,
)
from ffrtmp.domain.job import Failure, FileRecord, Holder, Job, JobState, Manifest
from ffrtmp.domain.promises import Targets
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.sla import judged
from ffrtmp.domain.spec import Purpose, Queue
from ffrtmp.telemetry.gauges import Fleet, JobCounts, PoolLoad, QueueLoad, Sources, StoreUse
from ffrtmp.telemetry.metrics import Metrics

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
W1 = Holder("worker-with-a-name", "i1")
IDLE = Fleet(connected=0, silent=0, slots=0, slots_free=0, oldest_heartbeat_seconds=0.0)
UNUSED = StoreUse(0, [])
QUIET = Sources(fleet=lambda: IDLE, store=lambda: UNUSED)
POOL = PoolLoad(name="hot", size=5, used=3, waiting=2, refused=1)

NAMES = {
    "ffrtmp_attempt_failures",
    "ffrtmp_certificate_expiry_seconds",
    "ffrtmp_claim_seconds",
    "ffrtmp_disowned_attempts",
    "ffrtmp_event_loop_lag_seconds",
    "ffrtmp_forgotten_jobs",
    "ffrtmp_heartbeat_age_seconds",
    "ffrtmp_hellos",
    "ffrtmp_job_moves",
    "ffrtmp_mass_losses",
    "ffrtmp_jobs",
    "ffrtmp_jobs_counted_seconds",
    "ffrtmp_offers",
    "ffrtmp_queue_depth",
    "ffrtmp_queue_oldest_seconds",
    "ffrtmp_reassignments",
    "ffrtmp_retries",
    "ffrtmp_stale_messages",
    "ffrtmp_start_delay_seconds",
    "ffrtmp_sla_breaches",
    "ffrtmp_sla_jobs",
    "ffrtmp_store_group_size",
    "ffrtmp_store_statement_seconds",
    "ffrtmp_dispatch_seconds",
    "ffrtmp_quarantines",
    "ffrtmp_queue_wait_seconds",
    "ffrtmp_run_seconds",
    "ffrtmp_slots",
    "ffrtmp_store_commits",
    "ffrtmp_store_connections",
    "ffrtmp_store_failures",
    "ffrtmp_store_oldest_snapshot_seconds",
    "ffrtmp_store_operations",
    "ffrtmp_store_refused",
    "ffrtmp_store_waiting",
    "ffrtmp_stream_messages",
    "ffrtmp_stream_parts",
    "ffrtmp_streams",
    "ffrtmp_unknown_messages",
    "ffrtmp_workers",
}
LABELS = {
    "breach",
    "purpose",
    "verdict",
    "cause",
    "direction",
    "le",
    "name",
    "outcome",
    "pool",
    "queue",
    "reason",
    "role",
    "state",
    "what",
    "where",
}


STOPPED = Failure(reason=Reason.STOPPED, message="drained")


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def submitted() -> Job:
    return rules.new_job(job_id="a-job-id", job_class="c", rank=0, now=NOON, actor="client/anne")


def accepted() -> tuple[Job, Job]:
    """Before and after; granted at 2 s, accepted at 3 s."""
    leased = rules.grant(submitted(), holder=W1, now=at(2))
    return leased, rules.accept(leased, holder=W1, fence=1, now=at(3))


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(QUIET)


def samples(metrics: Metrics) -> dict[str, float]:
    """By name and labels as they are written."""
    lines = metrics.text().decode().splitlines()
    return {
        name: float(value)
        for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    }


def test_the_names_and_labels_are_those_that_are_agreed(metrics):
    found = text_string_to_metric_families(metrics.text().decode())
    families = list(found)
    assert {family.name for family in families} == NAMES
    assert all(family.documentation for family in families)
    assert {label for each in families for s in each.samples for label in s.labels} <= LABELS


def test_two_masters_in_one_process_do_not_share_their_numbers(metrics):
    other = Metrics(QUIET)
    other.count(SessionOpened("w1", 1, "here"))
    assert samples(other)['ffrtmp_streams_total{what="opened"}'] == 1
    assert 'ffrtmp_streams_total{what="opened"}' not in samples(metrics)


def test_what_goes_wrong_with_workers_is_counted(metrics):
    metrics.count(MassLossBegan(4, 9))
    metrics.count(WorkerQuarantined(worker="w1", until=NOON, jobs=("J",)))
    metrics.count(AttemptDisowned("w1", "J", 3, "unknown_job"))
    found = samples(metrics)
    assert found["ffrtmp_mass_losses_total"] == found["ffrtmp_quarantines_total"] == 1
    assert found['ffrtmp_disowned_attempts_total{what="unknown_job"}'] == 1


def test_moves_are_counted_by_cause_and_state(metrics):
    metrics.count(JobMoved(None, submitted()))
    metrics.count(JobMoved(*accepted()))
    found = samples(metrics)
    assert found['ffrtmp_job_moves_total{cause="submitted",state="queued"}'] == 1
    assert found['ffrtmp_job_moves_total{cause="accepted",state="running"}'] == 1


def test_waiting_is_counted_from_when_the_job_could_run(metrics):
    leased, running = accepted()
    metrics.count(JobMoved(leased, running))
    assert samples(metrics)['ffrtmp_queue_wait_seconds_sum{queue="default"}'] == 2
    assert samples(metrics)['ffrtmp_queue_wait_seconds_count{queue="default"}'] == 1
    assert samples(metrics)["ffrtmp_start_delay_seconds_sum"] == 1


def test_running_is_counted_once_the_job_has_ended(metrics):
    _, running = accepted()
    manifest = Manifest((FileRecord("m:o.mp4", 1, "ab" * 32),), 1)
    staged = rules.stage(running, holder=W1, fence=1, manifest=manifest, now=at(40))
    published = rules.publish(staged, holder=W1, fence=1, now=at(43))
    metrics.count(JobMoved(running, staged))
    assert samples(metrics)["ffrtmp_run_seconds_count"] == 0
    metrics.count(JobMoved(staged, published))
    assert samples(metrics)["ffrtmp_run_seconds_sum"] == 40


def test_a_job_cancelled_before_it_ran_has_no_running_time(metrics):
    cancelled = rules.cancel(submitted(), actor="client/anne", now=at(1))
    metrics.count(JobMoved(submitted(), cancelled))
    assert samples(metrics)["ffrtmp_run_seconds_count"] == 0


def test_failures_are_counted_by_reason_retried_or_not(metrics):
    _, running = accepted()
    lost = rules.lose(running, holder=W1, fence=1, why="gone", chance=0.5, now=at(5))
    failure = Failure(reason=Reason.FFMPEG_FAILED, message="no")
    failed = rules.fail(running, holder=W1, fence=1, failure=failure, chance=0.5, now=at(5))
    metrics.count(JobMoved(running, lost))
    metrics.count(JobMoved(running, failed))
    metrics.count(JobMoved(running, failed))
    found = samples(metrics)
    assert found[f'ffrtmp_attempt_failures_total{{reason="{Reason.WORKER_LOST.value}"}}'] == 1
    assert found[f'ffrtmp_attempt_failures_total{{reason="{Reason.FFMPEG_FAILED.value}"}}'] == 2


def test_a_later_move_of_a_job_that_failed_once_is_no_second_failure(metrics):
    _, running = accepted()
    lost = rules.lose(running, holder=W1, fence=1, why="gone", chance=0.5, now=at(5))
    metrics.count(JobMoved(lost, rules.grant(lost, holder=W1, now=at(500))))
    assert not [name for name in samples(metrics) if name.startswith("ffrtmp_attempt_failures_t")]


@pytest.mark.parametrize(
    ("fact", "sample", "value"),
    [
        (ClaimTook(0.25, 3), "ffrtmp_claim_seconds_sum", 0.25),
        (Dispatched(0.25, 3), "ffrtmp_dispatch_seconds_sum", 0.25),
        (StatementTook("find", 0.5), 'ffrtmp_store_statement_seconds_sum{name="find"}', 0.5),
        (GroupCommitted(7), "ffrtmp_store_group_size_sum", 7),
        (MessageStale("w", "staged"), 'ffrtmp_stale_messages_total{what="staged"}', 1),
        (SessionOpened("w", 1, "a"), 'ffrtmp_streams_total{what="opened"}', 1),
        (SessionClosed("w", 1, "why"), 'ffrtmp_streams_total{what="closed"}', 1),
        (CertificateRanOut("w", NOON), 'ffrtmp_streams_total{what="certificate_ended"}', 1),
        (StreamRefused("w", "a", "why"), 'ffrtmp_streams_total{what="refused"}', 1),
        (JobsForgotten(7), "ffrtmp_forgotten_jobs_total", 7),
        (EnvelopeUnknown("w", 4), "ffrtmp_unknown_messages_total", 4),
        (StoreFailed("sweeper", "y"), 'ffrtmp_store_failures_total{where="sweeper"}', 1),
    ],
)
def test_every_other_fact_is_counted(metrics, fact, sample, value):
    metrics.count(fact)
    assert samples(metrics)[sample] == value


def test_the_fleet_is_asked_when_somebody_looks():
    fleets = [
        Fleet(connected=2, silent=1, slots=8, slots_free=3, oldest_heartbeat_seconds=4.5),
        IDLE,
    ]
    metrics = Metrics(Sources(fleet=lambda: fleets.pop(0), store=lambda: StoreUse(17, [POOL])))
    found = samples(metrics)
    assert found['ffrtmp_workers{state="connected"}'] == 2
    assert found['ffrtmp_workers{state="silent"}'] == 1
    assert [found[f'ffrtmp_slots{{state="{each}"}}'] for each in ("total", "used", "free")] == [
        8,
        5,
        3,
    ]
    assert found["ffrtmp_heartbeat_age_seconds"] == 4.5
    assert found["ffrtmp_store_commits_total"] == 17
    assert found['ffrtmp_store_connections{pool="hot",state="most"}'] == 5
    assert found['ffrtmp_store_connections{pool="hot",state="used"}'] == 3
    assert found['ffrtmp_store_waiting{pool="hot"}'] == 2
    assert found['ffrtmp_store_refused_total{pool="hot"}'] == 1
    assert samples(metrics)['ffrtmp_workers{state="connected"}'] == 0


def test_offers_are_counted_by_what_became_of_them(metrics):
    leased, running = accepted()
    metrics.count(JobMoved(submitted(), leased))
    assert not [name for name in samples(metrics) if name.startswith("ffrtmp_offers_total")]
    rejected = rules.reject(leased, holder=W1, fence=1, why="no", now=at(3))
    for after in (
        running,
        rejected,
        rules.leave_unanswered(leased, fence=1, now=at(9)),
        rules.lose(leased, holder=W1, fence=1, why="gone", chance=0.5, now=at(5)),
        rules.cancel(leased, actor="client/anne", now=at(4)),
    ):
        metrics.count(JobMoved(leased, after))
    found = samples(metrics)
    outcomes = ("accepted", "rejected", "unanswered", "lost", "cancelled")
    assert [found[f'ffrtmp_offers_total{{outcome="{each}"}}'] for each in outcomes] == [1] * 5


def test_retries_are_counted_by_reason_and_a_return_is_no_failure(metrics):
    _, running = accepted()
    returned = rules.fail(running, holder=W1, fence=1, failure=STOPPED, chance=0.5, now=at(5))
    failure = Failure(reason=Reason.INPUT_BAD, message="no")
    failed = rules.fail(running, holder=W1, fence=1, failure=failure, chance=0.5, now=at(5))
    for after in (returned, failed):
        metrics.count(JobMoved(running, after))
    found = samples(metrics)
    assert found['ffrtmp_retries_total{reason="stopped"}'] == 1
    assert 'ffrtmp_retries_total{reason="input_bad"}' not in found
    assert 'ffrtmp_attempt_failures_total{reason="stopped"}' not in found
    assert found['ffrtmp_attempt_failures_total{reason="input_bad"}'] == 1


@pytest.mark.parametrize(("worker", "reassigned"), [("worker-with-a-name", 0), ("another", 1)])
def test_an_attempt_on_another_worker_is_a_reassignment(metrics, worker, reassigned):
    _, running = accepted()
    returned = rules.fail(running, holder=W1, fence=1, failure=STOPPED, chance=0.5, now=at(5))
    other = Holder(worker, "i2")
    leased = rules.grant(returned, holder=other, now=at(6))
    metrics.count(JobMoved(leased, rules.accept(leased, holder=other, fence=2, now=at(7))))
    assert samples(metrics)["ffrtmp_reassignments_total"] == reassigned


def test_a_job_is_counted_by_what_became_of_the_promise_when_it_ends(metrics):
    _, running = accepted()
    lost = rules.lose(running, holder=W1, fence=1, why="gone", chance=0.5, now=at(5))
    cancel = judged(partial(rules.cancel, actor="client/anne", now=at(2000)), Targets())
    cancelled = cancel(lost)
    for move in (
        JobMoved(running, lost),
        JobMoved(lost, cancelled),
        JobMoved(cancelled, cancelled),
    ):
        metrics.count(move)
    found = samples(metrics)
    kind = 'queue="default"'
    assert found[f'ffrtmp_sla_jobs_total{{purpose="production",{kind},verdict="missed"}}'] == 1
    names = [name for name in found if name.startswith("ffrtmp_sla_breaches_total")]
    assert sorted(re.findall(r'breach="(\w+)"', " ".join(names))) == [
        "platform_failure",
        "queue_wait",
    ]


def test_every_state_and_queue_is_shown_once_jobs_were_counted():
    """Also those without a job: a gap in a graph would say that nothing is known."""
    counts = JobCounts(
        states={JobState.RUNNING: 3}, queues={Queue.LIVE: QueueLoad(2, 7.5)}, age_seconds=1.5
    )
    told: list[JobCounts | None] = [None, counts]
    metrics = Metrics(Sources(fleet=lambda: IDLE, store=lambda: UNUSED, jobs=lambda: told.pop(0)))
    assert not [name for name in samples(metrics) if name.startswith("ffrtmp_jobs")]
    found = samples(metrics)
    assert found['ffrtmp_jobs{state="running"}'] == 3
    assert sum(name.startswith("ffrtmp_jobs{") for name in found) == len(JobState)
    assert found['ffrtmp_queue_depth{queue="live"}'] == 2
    assert found['ffrtmp_queue_oldest_seconds{queue="live"}'] == 7.5
    assert found['ffrtmp_queue_depth{queue="batch"}'] == 0
    assert found["ffrtmp_jobs_counted_seconds"] == 1.5


def test_no_name_of_a_job_worker_or_client_is_a_label(metrics):
    leased, running = accepted()
    for fact in (
        JobMoved(None, submitted()),
        JobMoved(leased, running),
        SessionOpened("worker-with-a-name", 1, "10.0.0.9:7"),
        SessionClosed("worker-with-a-name", 1, "goodbye"),
        StreamRefused("worker-with-a-name", "10.0.0.9:7", "taken"),
        EnvelopeUnknown("worker-with-a-name", 1),
    ):
        metrics.count(fact)
    text = metrics.text().decode()
    hidden = ("a-job-id", "worker-with-a-name", "anne", "10.0.0.9")
    assert [name for name in hidden if name in text] == []


def test_ten_thousand_jobs_add_no_series():
    """As many as there are causes, states and reasons: not one more for a job or a worker."""
    metrics = Metrics(QUIET)

    def live(number: int) -> None:
        holder = Holder(f"w{number % 100}", "i")
        before = rules.new_job(
            job_id=f"j{number}",
            job_class=f"c{number % 50}",
            rank=number,
            now=NOON,
            actor="c",
            queue=list(Queue)[number % 3],
            purpose=list(Purpose)[number % 4],
        )
        metrics.count(JobMoved(None, before))
        for rule, more in (
            (rules.grant, {}),
            (rules.accept, {"fence": 1}),
            (rules.stage, {"fence": 1, "manifest": Manifest((), 1)}),
            (rules.publish, {"fence": 1}),
        ):
            made = judged(partial(rule, holder=holder, now=at(number), **more), Targets())
            after = made(before)
            metrics.count(JobMoved(before, after))
            before = after

    for number in range(20_000, 21_000):  # late enough to be missed by every queue but batch
        live(number)
    for number in range(12):
        live(number)
    series = [line for line in metrics.text().decode().splitlines() if not line.startswith("#")]
    for number in range(12, 10_000):
        live(number)
    after = [line for line in metrics.text().decode().splitlines() if not line.startswith("#")]
    assert [line.rsplit(" ", 1)[0] for line in after] == [line.rsplit(" ", 1)[0] for line in series]
