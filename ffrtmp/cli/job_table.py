"""Jobs as rows for people: what `ffrtmp jobs list` shows of each."""

import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from ffrtmp.cli.follow import print_json, shown_state, targets_of
from ffrtmp.cli.shown import show_time
from ffrtmp.cli.table import Table
from ffrtmp.clock import utc_now
from ffrtmp.config import show_duration
from ffrtmp.domain.job import JobState
from ffrtmp.domain.spec import Priority, Queue
from ffrtmp.rpc.enums import PRIORITIES, QUEUES, REASONS
from ffrtmp.rpc.times import from_duration
from ffrtmp.v1 import job_pb2

COLUMNS = (
    "job",
    "state",
    "worker",
    "queue",
    "priority",
    "charged",
    "submitted",
    "input",
    "output",
    "why",
)
SPARE = ("charged", "input", "priority", "queue", "worker")


async def show_jobs(found: AsyncIterator[job_pb2.Job], *, as_json: bool) -> None:
    flexible = {"input", "output", "why"}
    table = Table(*COLUMNS, flexible=flexible, spare=SPARE, empty="no jobs")
    async for job in found:
        if as_json:
            print_json(job)
        else:
            table.add(*row(job, utc_now(), exact=not sys.stdout.isatty()))
    if not as_json:
        table.print()


def row(job: job_pb2.Job, now: datetime, *, exact: bool) -> tuple[str, ...]:
    """`exact`: for a program, which may read it another day; else what is usual is left out."""
    moment = job.submit_time.ToDatetime(tzinfo=UTC)
    queue, priority = place_of(job)
    return (
        job.job_id,
        shown_state(job),
        job.worker,
        QUEUES.shown(job.spec.queue) if exact else queue,
        PRIORITIES.shown(job.priority) if exact else priority,
        str(job.charged),
        moment.isoformat(sep=" ", timespec="seconds") if exact else show_time(moment, now),
        source_of(job),
        targets_of(job),
        reason_of(job, now),
    )


def place_of(job: job_pb2.Job) -> tuple[str, str]:
    """Its queue and its priority; empty where they are the usual."""
    queue, priority = QUEUES.shown(job.spec.queue), PRIORITIES.shown(job.priority)
    return queue if queue != Queue.DEFAULT else "", priority if priority != Priority.NORMAL else ""


def reason_of(job: job_pb2.Job, now: datetime) -> str:
    """In a few words: why it failed, or what it waits for where that is not its turn."""
    if job.state == job_pb2.JOB_STATE_FAILED:
        return REASONS.shown(job.failure.reason)
    if job.blocked_by:
        return f"{job.blocked_by} stops its last attempt"
    if job.unschedulable_reason:
        return job.unschedulable_reason
    match shown_state(job):
        case JobState.PAUSED:
            return "until it is resumed"
        case "retrying":
            why = f"{REASONS.shown(job.failure.reason)}, " if job.HasField("failure") else ""
            return f"{why}again at {show_time(job.eligible_time.ToDatetime(tzinfo=UTC), now)}"
        case _:
            return ""


def source_of(job: job_pb2.Job) -> str:
    """As it is written on a command line."""
    if not job.spec.input.HasField("test_source"):
        return job.spec.input.path
    picture = job.spec.input.test_source
    rate = f"{picture.frame_rate.numerator}/{picture.frame_rate.denominator}".removesuffix("/1")
    time = show_duration(from_duration(picture.duration, "duration"))
    return f"test:{picture.width}x{picture.height}@{rate}:{time}"
