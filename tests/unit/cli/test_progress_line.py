"""How far an attempt is, in a line: what is not known yet is not said."""

from datetime import timedelta

import pytest

from ffrtmp.cli.follow import speed_of
from ffrtmp.rpc.times import to_duration
from ffrtmp.v1.job_pb2 import AttemptProgress


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
