"""Facts become lines; every retry decision is one of them, and structured."""

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest

from ffrtmp.domain import job as rules
from ffrtmp.domain.facts import (
    AttemptDisowned,
    CertificateRanOut,
    ClaimTook,
    Dispatched,
    DrainChanged,
    EnvelopeUnknown,
    Fact,
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
    WorkerReleased,
    WorkerRemoved,
)
from ffrtmp.domain.job import Failure, Holder, Job
from ffrtmp.domain.retry import Reason
from ffrtmp.telemetry import lines as as_lines
from ffrtmp.telemetry import logs

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
W1 = Holder("w1", "i1")


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def running() -> Job:
    job = rules.new_job(job_id="J", job_class="c", rank=0, now=NOON, actor="client/c")
    return rules.accept(rules.grant(job, holder=W1, now=NOON), holder=W1, fence=1, now=at(1))


def failed(reason: Reason) -> JobMoved:
    failure = Failure(reason=reason, message="it says why")
    before = running()
    after = rules.fail(before, holder=W1, fence=1, failure=failure, chance=0.0, now=at(9))
    return JobMoved(before, after)


@pytest.fixture
def written(capsys):
    """Sets the log up in a format; returns how to read what was written."""
    ours = logging.getLogger("ffrtmp")
    before = (ours.handlers, ours.level, ours.propagate)

    def lines() -> list[str]:
        return capsys.readouterr().err.splitlines()

    def set_up(log_format: str):
        as_lines.set_up(log_format)
        return lines

    yield set_up
    ours.handlers, ours.level, ours.propagate = before


@pytest.mark.requirement("P5")
def test_a_retry_is_one_line_with_reason_delay_and_charge(written):
    lines = written("json")
    logs.write(failed(Reason.TRANSPORT))
    [line] = map(json.loads, lines())
    assert (
        line.items()
        >= {
            "job_id": "J",
            "fence": 1,
            "actor": "worker/w1",
            "cause": "failed",
            "reason": Reason.TRANSPORT.value,
            "decision": "retry",
            "delay_seconds": 2.5,
            "next_time": at(11.5).isoformat(),
            "charged": 1,
            "charged_now": True,
            "worker": "w1",
            "level": "info",
        }.items()
    )
    assert "retried in 2.5 s" in line["message"]


def test_giving_up_is_one_line_too(written):
    lines = written("json")
    logs.write(failed(Reason.FFMPEG_FAILED))
    [line] = map(json.loads, lines())
    assert (line["decision"], line["delay_seconds"], line["charged_now"]) == (
        "give up",
        None,
        False,
    )


def test_a_lost_a_rejected_and_an_unanswered_attempt_are_decisions(written):
    lines = written("json")
    job = rules.new_job(job_id="J", job_class="c", rank=0, now=NOON, actor="client/c")
    leased = rules.grant(job, holder=W1, now=NOON)
    lost = rules.lose(running(), holder=W1, fence=1, why="silent", chance=0.0, now=at(20))
    logs.write(JobMoved(running(), lost))
    logs.write(JobMoved(leased, rules.reject(leased, holder=W1, fence=1, why="no disk", now=at(1))))
    logs.write(JobMoved(leased, rules.leave_unanswered(leased, fence=1, now=at(5))))
    found = [json.loads(line) for line in lines()]
    assert [line["cause"] for line in found] == ["lost", "rejected", "unanswered"]
    assert [line["delay_seconds"] for line in found] == [0.0, 1.0, 0.0]
    assert "no disk" in found[1]["message"]
    assert [line["reason"] for line in found] == ["worker_lost", None, None]
    assert [line["actor"] for line in found] == ["master", "worker/w1", "master"]


def test_moves_that_decide_nothing_and_claims_are_silent(written):
    lines = written("text")
    job = rules.new_job(job_id="J", job_class="c", rank=0, now=NOON, actor="client/c")
    leased = rules.grant(job, holder=W1, now=NOON)
    logs.write(JobMoved(None, job))
    logs.write(JobMoved(job, leased))
    logs.write(ClaimTook(0.1, 1))
    assert lines() == []


ENDED = datetime(2026, 1, 1, 11, 59, 58, tzinfo=UTC)
LINES = [
    (SessionOpened("w1", 3, "10.0.0.9"), "INFO", "w1"),
    (SessionClosed("w1", 3, "3 heartbeats missed"), "WARNING", "3 heartbeats missed"),
    (StreamRefused("w1", "10.0.0.9", "name taken"), "ERROR", "10.0.0.9"),
    (EnvelopeUnknown("w1", 2), "WARNING", "2 things"),
    (DrainChanged(worker="w1", draining=True, actor="admin/a"), "INFO", "drains, says admin/a"),
    (WorkerRemoved(worker="w1", actor="admin/a"), "INFO", "w1 was removed, says admin/a"),
    (JobsForgotten(7), "INFO", "7 finished jobs"),
    (WorkerQuarantined(worker="w1", until=NOON, jobs=("J",)), "WARNING", "12:00:00: it lost J"),
    (MassLossBegan(4, 9), "ERROR", "4 of 9 workers"),
    (AttemptDisowned("w1", "J", 3, "unknown_job"), "WARNING", "J/3: unknown_job"),
    (StoreFailed("sweeper", "disk full"), "ERROR", "disk full"),
    (CertificateRanOut("w1", ENDED), "ERROR", "ended at 2026-01-01 11:59:58 UTC"),
    (WorkerReleased(worker="w1", actor="admin/a"), "INFO", "w1 is released from quarantine"),
    (AttemptDisowned("w1", "J", 3, "future_fence"), "ERROR", "J/3, which was never granted"),
]
"""Facts that are a line each; its level, and words of it."""


@pytest.mark.parametrize(("fact", "level", "named"), LINES)
def test_the_other_facts_are_a_line_of_their_level(written, fact, level, named):
    lines = written("text")
    logs.write(fact)
    [line] = lines()
    assert f" {level} ffrtmp.master: " in line
    assert named in line


COUNTED_ONLY = [
    ClaimTook(0.001, 1),
    Dispatched(0.001, 1),
    GroupCommitted(3),
    MessageStale("w1", "progress"),
    StatementTook("claim", 0.001),
]


@pytest.mark.parametrize("fact", COUNTED_ONLY, ids=lambda fact: type(fact).__name__)
def test_what_happens_all_the_time_is_counted_and_no_line(written, fact):
    lines = written("text")
    logs.write(fact)
    assert lines() == []


def test_there_is_no_fact_that_nobody_looked_at():
    looked_at = [JobMoved, *(type(fact) for fact, _, _ in LINES), *map(type, COUNTED_ONLY)]
    assert set(looked_at) == {*get_args(Fact)}


def test_json_lines_stay_lines_and_carry_the_exception(written):
    lines = written("json")
    try:
        int("two\nlines")
    except ValueError:
        logging.getLogger("ffrtmp.x").exception("broken: %s", "é\n")
    [line] = map(json.loads, lines())
    assert (line["level"], line["logger"], line["message"]) == ("error", "ffrtmp.x", "broken: é\n")
    assert "ValueError: invalid literal" in line["exception"]
    assert datetime.fromisoformat(line["time"]).tzinfo is not None


def test_setting_up_twice_writes_once(written):
    written("text")
    lines = written("text")
    logging.getLogger("ffrtmp.master").warning("once")
    assert len(lines()) == 1
