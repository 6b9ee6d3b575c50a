"""What a row of `jobs list` says of a job."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from ffrtmp.cli import waits
from ffrtmp.cli.job_table import COLUMNS, SPARE, row
from ffrtmp.cli.table import Table, _broken
from ffrtmp.domain.job import JobState
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.spec import Priority, Queue
from ffrtmp.rpc.enums import JOB_STATES, PRIORITIES, QUEUES, REASONS
from ffrtmp.rpc.times import to_timestamp
from ffrtmp.v1 import job_pb2

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def noon(monkeypatch):
    monkeypatch.setattr(waits, "utc_now", lambda: NOW)


def job(state: JobState, queue=Queue.DEFAULT, priority=Priority.NORMAL, **facts) -> job_pb2.Job:
    made = job_pb2.Job(
        job_id="01M8A9T89KE1VCWQPQ014HEXB1",
        state=JOB_STATES.to_wire(state),
        submit_time=to_timestamp(NOW),
        priority=PRIORITIES.to_wire(priority),
        **facts,
    )
    made.spec.queue = QUEUES.to_wire(queue)
    made.spec.input.path = "m:in.mov"
    made.spec.outputs.add(path="m:out.mp4")
    return made


def told(made: job_pb2.Job, *, exact: bool = False) -> dict[str, str]:
    return dict(zip(COLUMNS, row(made, NOW, exact=exact), strict=True))


def test_the_usual_place_is_named_for_programs_only():
    usual = job(JobState.QUEUED)
    assert [told(usual)[name] for name in ("queue", "priority", "why")] == ["", "", ""]
    exact = told(usual, exact=True)
    assert [exact[name] for name in ("queue", "priority")] == ["default", "normal"]
    assert exact["submitted"] == "2026-11-26 12:00:00+00:00"
    ahead = told(job(JobState.QUEUED, Queue.LIVE, Priority.HIGH))
    assert (ahead["queue"], ahead["priority"]) == ("live", "high")


INPUT_BAD = job_pb2.Failure(reason=REASONS.to_wire(Reason.INPUT_BAD), message="a long sentence")
WAITS = {
    "failed": (job(JobState.FAILED, failure=INPUT_BAD), "input_bad"),
    "failed, blocked": (job(JobState.FAILED, failure=INPUT_BAD, blocked_by="w1"), "input_bad"),
    "paused": (job(JobState.PAUSED), "until it is resumed"),
    "blocked": (job(JobState.QUEUED, blocked_by="w1"), "w1 stops its last attempt"),
    "no worker": (job(JobState.QUEUED, unschedulable_reason="no av1"), "no av1"),
    "retrying": (
        job(
            JobState.QUEUED,
            attempts=1,
            eligible_time=to_timestamp(NOW + timedelta(days=1)),
            failure=INPUT_BAD,
        ),
        "input_bad, again at 2026-11-27",
    ),
    "running": (job(JobState.RUNNING), ""),
}


@pytest.mark.parametrize("name", WAITS)
def test_why_a_job_waits_or_failed_is_said_in_a_few_words(name):
    made, says = WAITS[name]
    assert told(made)["why"].startswith(says)
    assert bool(told(made)["why"]) == bool(says)


@pytest.mark.parametrize(
    ("cell", "lines"),
    [
        ("files:deliver/2026/a-480p.mp4", ["files:deliver/", "2026/a-480p.mp4"]),
        ("no worker has the label", ["no worker has", "the label"]),
        ("x" * 18, ["x" * 15, "xxx"]),
        (f"a/{'x' * 18}", ["a/", "x" * 15, "xxx"]),
        ("short", ["short"]),
        ("", [""]),
    ],
)
def test_a_cell_is_broken_behind_a_separator(cell, lines):
    assert _broken(cell, 15).split("\n") == lines


def test_a_terminal_is_told_that_there_are_none_and_a_program_gets_an_empty_table(
    monkeypatch, capsys
):
    Table("job", empty="no jobs").print()
    assert capsys.readouterr().out == "job\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    Table("job", empty="no jobs").print()
    assert capsys.readouterr().out == "no jobs\n"


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_rows_fit_every_terminal(width, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    table = Table(*COLUMNS, flexible={"input", "output", "why"}, spare=SPARE)
    for made, _ in WAITS.values():
        table.add(*row(made, NOW, exact=False))
    table.print()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    lines = plain.splitlines()
    assert max(map(len, lines)) <= width
    assert "input_bad" in "".join(lines)
