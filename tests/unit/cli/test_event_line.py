"""A step of a job's life, for people: who, when, why, and what follows."""

from datetime import UTC, datetime, timedelta

from ffrtmp.cli.follow import event_line
from ffrtmp.domain import job as rules
from ffrtmp.domain.event import event_of
from ffrtmp.domain.job import Failure, Holder
from ffrtmp.domain.retry import Reason
from ffrtmp.rpc.convert_job import event_to_pb

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
W1 = Holder("w1", "i1")


def line_of(job) -> str:
    return event_line(event_to_pb(event_of(job)))


def running(**settings):
    job = rules.new_job(
        job_id="J", job_class="c", rank=0, now=NOON, actor="client/anne", **settings
    )
    assert line_of(job) == "12:00:00 queued (submitted by client/anne)"
    return rules.accept(rules.grant(job, holder=W1, now=NOON), holder=W1, fence=1, now=NOON)


def test_a_retry_says_why_whether_it_counts_and_when_it_goes_on():
    failure = Failure(reason=Reason.TRANSPORT, message="no route to the store")
    job = rules.fail(
        running(),
        holder=W1,
        fence=1,
        failure=failure,
        chance=0.0,
        now=NOON + timedelta(seconds=1.5),
    )
    assert line_of(job) == (
        "12:00:01 queued on w1 (failed by worker/w1, transport, 1 charged, "
        "tried again from 12:00:04): no route to the store"
    )


def test_a_blocked_job_says_whom_it_waits_for():
    job = rules.cancel(running(exclusive=True), actor="client/anne", now=NOON)
    assert line_of(job) == (
        "12:00:00 cancelled on w1 (cancelled by client/anne, waits until w1 has stopped)"
    )
