"""How quantities, progress and rows are shown to people."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from rich.cells import cell_len
from rich.console import Console

from ffrtmp.cli.doctor import Finding, Verdict, _clocks, _say
from ffrtmp.cli.follow import percent_of, speed_of
from ffrtmp.cli.shown import show_size, show_span, show_time
from ffrtmp.cli.table import Table
from ffrtmp.cli.top_view import View, draw
from ffrtmp.v1 import admin_service_pb2 as admin_pb
from ffrtmp.v1 import job_pb2

NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (5 << 20, "5.0 MiB"),
        (203 << 30, "203.0 GiB"),
        (3 << 40, "3.0 TiB"),
    ],
)
def test_sizes_are_in_their_largest_unit(count, text):
    assert show_size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (0.4, "0 s"),
        (8, "8 s"),
        (60, "1 m"),
        (125, "2 m 5 s"),
        (12_000, "3 h 20 m"),
        (3_605, "1 h"),
        (86_400 * 12 + 4 * 3_600 + 59, "12 d 4 h"),
    ],
)
def test_spans_have_at_most_two_units(seconds, text):
    assert show_span(timedelta(seconds=seconds)) == text


def test_a_time_of_another_day_has_its_date():
    assert len(show_time(NOW, NOW)) == len("12:00:00")
    assert len(show_time(NOW - timedelta(days=2), NOW)) == len("2026-11-23 12:00:00")


def progress(**facts) -> job_pb2.AttemptProgress:
    return job_pb2.AttemptProgress(
        position=Duration(seconds=30), total=Duration(seconds=120), speed=2.0, **facts
    )


def test_sound_has_no_frames_a_second():
    assert speed_of(progress(frames=90, frames_per_second=60)) == "at 0:30  60 fps  2.00x  ETA 0:45"
    assert speed_of(progress()) == "at 0:30  2.00x  ETA 0:45"
    assert percent_of(progress()) == 25


def test_what_takes_hours_is_told_in_hours():
    assert speed_of(progress(), brief=True) == "2.00x  ETA 0:45"
    slow = job_pb2.AttemptProgress(total=Duration(seconds=3723), speed=1.0)
    assert speed_of(slow, brief=True) == "1.00x  ETA 1:02:03"


@pytest.mark.parametrize(
    ("seconds", "verdict", "says"),
    [
        (0.02, Verdict.GOOD, "20 ms ahead of"),
        (-3, Verdict.GOOD, "3000 ms behind"),
        (7, Verdict.WARN, "7 s ahead of"),
        (-3600, Verdict.BAD, "1 h behind"),
    ],
)
def test_clocks_that_are_apart_are_found(seconds, verdict, says):
    finding = _clocks(timedelta(seconds=seconds))
    assert (finding.verdict, says in finding.found) == (verdict, True)
    assert bool(finding.todo) == (verdict is not Verdict.GOOD)


@pytest.fixture
def printed(monkeypatch, capsys):
    """What a table prints on a terminal of some width."""

    def show(table: Table, width: int) -> list[str]:
        monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("TERM", "xterm")
        table.print()
        plain = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
        return [line.rstrip() for line in plain.splitlines() if line.strip()]

    return show


def table() -> Table:
    made = Table("job", "state", "spare", "path", flexible={"path"}, spare=("spare",))
    made.add("01M8A9T89KE1VCWQPQ014HEXB1", "cancelled", "of little use", "media:" + "x" * 30)
    made.add("01M8A9T7MZ7FRCJ67MDSKZ1J0Z", "queued", "", "media:[red]ä.mp4")
    return made


def test_a_wide_terminal_shows_every_column(printed):
    lines = printed(table(), 120)
    assert lines[0].split() == ["job", "state", "spare", "path"]
    assert lines[3].split() == ["01M8A9T7MZ7FRCJ67MDSKZ1J0Z", "queued", "media:[red]ä.mp4"]


def test_a_narrow_one_leaves_out_what_can_be_spared_and_breaks_what_may_be(printed):
    lines = printed(table(), 60)
    assert lines[0].split() == ["job", "state", "path"]
    assert "".join(line[37:].strip() for line in lines[2:5]).startswith("media:" + "x" * 30)
    assert max(map(cell_len, lines)) <= 60


def test_a_very_narrow_one_shows_a_few_lines_a_row(printed):
    assert printed(table(), 40) == [
        "01M8A9T89KE1VCWQPQ014HEXB1",
        "  state cancelled  spare of little use",
        f"  path media:{'x' * 30}"[:40],
        f"  path media:{'x' * 30}"[40:],
        "01M8A9T7MZ7FRCJ67MDSKZ1J0Z",
        "  state queued  path media:[red]ä.mp4",
    ]


def test_rows_of_one_name_are_told_apart_by_their_second_cell(printed):
    made = Table("section", "option", "value")
    made.add("master", "listen", "127.0.0.1:7443" + "0" * 20)
    made.add("master", "http", "")
    assert printed(made, 40)[0] == "master listen"
    assert printed(made, 40)[-1] == "master http"


def test_a_column_in_which_nothing_is_said_is_left_out(printed):
    made = Table("worker", "problems", "load")
    made.add("w1", "", "0.1")
    assert [line.split() for line in printed(made, 80)[::2]] == [["worker", "load"], ["w1", "0.1"]]


def test_elsewhere_rows_are_tabs(capsys):
    table().print()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "job\tstate\tspare\tpath"
    assert [line.count("\t") for line in lines] == [3, 3, 3]


def crowd(count: int) -> View:
    jobs = [
        job_pb2.Job(
            job_id=f"01M8A9T89KE1VCWQPQ014HEX{number:02}",
            state=job_pb2.JOB_STATE_RUNNING,
            worker="a-worker-with-a-very-long-name-indeed",
            spec=job_pb2.JobSpec(outputs=[job_pb2.Output(path="m:映画.mp4")]),
        )
        for number in range(count)
    ]
    worker = admin_pb.Worker(name="映画" * 20, state=admin_pb.WORKER_STATE_GONE, slots=2)
    return View(workers=[worker] * count, held=jobs, waiting=jobs, ended=jobs)


@pytest.mark.parametrize("width", [20, 40, 72, 80, 200])
@pytest.mark.parametrize("height", [5, 24, 500])
def test_the_overview_fits_any_terminal(width, height):
    lines = draw(crowd(30), "127.0.0.1:7443", NOW, width=width, height=height)
    assert len(lines) <= height
    assert max(cell_len(line.plain) for line in lines) <= width
    if len(lines) == height:
        assert "lines more" in lines[-1].plain
    Console(width=width).print(*lines)


def test_the_overview_of_nothing_says_so():
    empty = View(workers=None, held=())
    lines = [line.plain for line in draw(empty, "h:1", NOW, width=80, height=24)]
    assert lines[0].startswith("ffrtmp h:1  0 running, 0 waiting")
    assert "admin" in lines[2]


def test_the_live_view_says_what_its_figures_are_and_when_a_job_ends_as_a_watch_does():
    job = job_pb2.Job(job_id="J", worker="w1", state=job_pb2.JOB_STATE_RUNNING)
    view = View(workers=None, held=[job], progress={"J": progress()})
    lines = [line.plain for line in draw(view, "h:1", NOW, width=80, height=None)]
    [heading] = [line for line in lines if "phase" in line]
    [row] = [line for line in lines if line.startswith("J ")]
    assert heading.split() == ["job", "worker", "phase", "done", "speed", "ETA"]
    assert row.endswith(" 25 %    2.0x  0:45")
    assert row.index("2.0x") + 4 == heading.index("speed") + 5
    assert row.index("0:45") == heading.index("ETA")


def test_what_a_doctor_found_is_neither_padded_nor_broken_within_a_path(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    path = f"/usr/lib/{'long/' * 10}ffmpeg"
    _say(Finding("FFmpeg", Verdict.GOOD, f"version nine, of the package at {path}"), as_json=False)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert plain == ["good  FFmpeg: version nine, of the", "      package at", f"      {path}"]
