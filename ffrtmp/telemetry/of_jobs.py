"""What moves of jobs say: how long they wait and run, what became of offers, what is retried."""

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Histogram

from ffrtmp.domain.job import ENDINGS, TERMINAL_STATES, WAITING_STATES, Cause, Job, JobState
from ffrtmp.domain.judgement import Judgement

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 30)
LONG_SECONDS = (0.005, 0.02, 0.1, 1, 5, 15, 60, 300, 900, 3600, 14400)


class JobMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._count_moves(registry)
        self._measure_times(registry)
        self._keep_accounts(registry)

    def _count_moves(self, registry: CollectorRegistry) -> None:
        self._moves = Counter(
            "ffrtmp_job_moves",
            "Moves of jobs, by what caused them and the state they led to.",
            ["cause", "state"],
            registry=registry,
        )
        self._failures = Counter(
            "ffrtmp_attempt_failures",
            "Attempts that failed, by reason, retried or not.",
            ["reason"],
            registry=registry,
        )
        self._retries = Counter(
            "ffrtmp_retries",
            "Jobs that wait for another attempt because one ended, by reason.",
            ["reason"],
            registry=registry,
        )
        self._reassignments = Counter(
            "ffrtmp_reassignments",
            "Attempts that began on another worker than the one before.",
            registry=registry,
        )
        self._offers = Counter(
            "ffrtmp_offers",
            "Offers to workers, by what became of them.",
            ["outcome"],
            registry=registry,
        )

    def _measure_times(self, registry: CollectorRegistry) -> None:
        self._queue_wait = Histogram(
            "ffrtmp_queue_wait_seconds",
            "How long jobs waited: from eligible to granted to the worker that took it.",
            ["queue"],
            registry=registry,
            buckets=LONG_SECONDS,
        )
        self._start_delay = Histogram(
            "ffrtmp_start_delay_seconds",
            "How long workers took to begin: from granted to accepted.",
            registry=registry,
            buckets=SECONDS,
        )
        self._run_time = Histogram(
            "ffrtmp_run_seconds",
            "How long jobs ran: from accepted to the end of the job.",
            registry=registry,
            buckets=LONG_SECONDS,
        )

    def _keep_accounts(self, registry: CollectorRegistry) -> None:
        self._judged = Counter(
            "ffrtmp_sla_jobs",
            "Jobs that ended, by whether the platform kept its promise, apart from their success.",
            ["queue", "purpose", "verdict"],
            registry=registry,
        )
        self._breaches = Counter(
            "ffrtmp_sla_breaches",
            "What the platform missed its promises in; a job may be in several.",
            ["queue", "purpose", "breach"],
            registry=registry,
        )

    @cache  # noqa: B019 - as many as there are causes and states; metrics live as long as all
    def _move_of(self, cause: Cause, state: JobState) -> Counter:
        return self._moves.labels(cause.value, state.value)

    def count(self, before: Job | None, after: Job) -> None:
        """`before` is None for a job that was just submitted."""
        self._move_of(after.cause, after.state).inc()
        if after.cause in ENDINGS:
            self._count_ending(after)
        if before is not None and before.state is JobState.LEASED is not after.state:
            self._offers.labels(after.cause.value).inc()
        if before is not None and after.cause is Cause.ACCEPTED:
            self._count_beginning(before, after)
        if after.state in TERMINAL_STATES and after.start_at and after.end_at:
            self._run_time.observe((after.end_at - after.start_at).total_seconds())
        if before is not None and before.sla is None and after.sla is not None:
            self._count_judgement(after, after.sla)

    def _count_judgement(self, job: Job, sla: Judgement) -> None:
        names = (job.queue.value, job.purpose.value)
        self._judged.labels(*names, sla.verdict.value).inc()
        for breach in sla.breaches:
            self._breaches.labels(*names, breach.value).inc()

    def _count_ending(self, after: Job) -> None:
        if after.failure is None:
            return
        reason = after.failure.reason.value
        if after.cause is not Cause.RETURNED:
            self._failures.labels(reason).inc()
        if after.state in WAITING_STATES:
            self._retries.labels(reason).inc()

    def _count_beginning(self, before: Job, after: Job) -> None:
        waited = (before.changed_at - before.eligible_at).total_seconds()
        self._queue_wait.labels(after.queue.value).observe(max(0.0, waited))
        delay = (after.changed_at - before.changed_at).total_seconds()
        self._start_delay.observe(max(0.0, delay))
        last, now = before.accepted, after.holder
        if last is not None and now is not None and last.holder.worker != now.worker:
            self._reassignments.inc()
