"""How far an attempt is, in a line: what is not known yet is not said."""

import io
from datetime import timedelta

import pytest
from rich.console import Console
from rich.progress import TextColumn

from ffrtmp.cli.follow import _Bar, _Narrow, speed_of
from ffrtmp.domain.job import JobState
from ffrtmp.rpc.enums import JOB_STATES
from ffrtmp.rpc.times import to_duration
from ffrtmp.v1.job_pb2 import AttemptProgress, JobEvent
from ffrtmp.v1.job_service_pb2 import WatchJobResponse


@pytest.mark.parametrize(
    ("rate", "said"),
    [(0.0, "at 0:05  2.00x"), (24.6, "at 0:05  25 fps  2.00x"), (0.34, "at 0:05  0.3 fps  2.00x")],
)
def test_frames_a_second_are_said_once_they_are_known(rate, said):
    progress = AttemptProgress(
        position=to_duration(timedelta(seconds=5)),
        total=to_duration(timedelta(seconds=9)),
        frames=12,
        frames_per_second=rate,
        speed=2.0,
    )
    assert speed_of(progress) == f"{said}  ETA 0:02"
    assert speed_of(progress, brief=True) == "2.00x  ETA 0:02"


def test_a_bar_is_drawn_once_something_is_known_and_leaves_room_for_an_echo():
    screen = io.StringIO()
    console = Console(file=screen, width=40, force_terminal=True)
    progress = _Narrow(TextColumn("{task.description}"), console=console)
    bar = _Bar(progress, brief=True)
    console.print(progress.get_renderable())
    assert screen.getvalue().strip() == ""
    bar.show(WatchJobResponse(event=JobEvent(state=JOB_STATES.to_wire(JobState.RUNNING))))
    progress.update(progress.tasks[0].id, description="=" * 60)
    console.print(progress.get_renderable())
    assert max(map(len, screen.getvalue().splitlines())) == 38
