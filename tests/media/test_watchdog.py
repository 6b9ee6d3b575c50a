"""FFmpeg that stands still is found and ended; FFmpeg that is only busy is left alone."""

import signal
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from ffrtmp.domain.retry import Reason
from ffrtmp.domain.spec import Input, TestSource
from ffrtmp.ffmpeg.plan import Plan
from ffrtmp.worker.failures import AttemptFailed
from ffrtmp.worker.runner import Runner
from ffrtmp.worker.steps import Meter
from ffrtmp.worker.watchdog import Patience, run_watched
from tests.media.conftest import KEY, Site
from tests.media.test_what_ffmpeg_does_not_tell import on_encoding, send

pytestmark = pytest.mark.slow

ENDLESS = Input(test_source=TestSource(width=320, height=240, duration=timedelta(hours=1)))
SHORT = Patience(silent=1.0, busy=3.0)


def impatient(site: Site) -> Site:
    site.runner = Runner(roots=site.runner._roots, tools=site.runner._tools, patience=SHORT)
    return site


def meter() -> Meter:
    return Meter(KEY, Plan(source=ENDLESS, outputs=(), duration=1.0), lambda _: None)


async def test_a_stopped_ffmpeg_is_found_and_ended(site: Site) -> None:
    on_encoding(site, lambda: send(signal.SIGSTOP))
    failure = await impatient(site).fails(site.job(ENDLESS, "out.mp4"))
    assert failure.reason is Reason.STALLED
    assert "no sign of life" in failure.message
    children = psutil.Process().children(recursive=True)
    assert not [child for child in children if child.name().startswith("ffmpeg")]


async def test_an_endless_loop_is_ended_when_the_longer_patience_is_over() -> None:
    with pytest.raises(AttemptFailed, match="busy, but no media moved") as caught:
        await run_watched(
            ["/bin/sh", "-c", "while :; do :; done"], meter(), timeout=None, patience=SHORT
        )
    assert caught.value.failure.reason is Reason.STALLED


async def test_a_long_rewrite_that_reports_nothing_is_left_alone(tmp_path: Path) -> None:
    """As for `+faststart`: bytes are read and written, and no position moves, for longer than
    either patience."""
    script = (
        "import os, sys, time\n"
        "end = time.monotonic() + 5\n"
        "while time.monotonic() < end:\n"
        "    with open(sys.argv[1], 'wb') as file: file.write(bytes(1 << 18))\n"
        "    time.sleep(0.05)\n"
    )
    argv = ["/usr/bin/env", "python3", "-c", script, str(tmp_path / "file")]
    end = await run_watched(argv, meter(), timeout=None, patience=SHORT)
    assert end.code == 0


async def test_reports_of_standing_still_are_no_sign_of_life() -> None:
    """A deadlocked FFmpeg goes on to say how far it is not."""
    script = (
        "import time\n"
        "while True:\n"
        "    print('frame=1\\nout_time_us=40000\\nprogress=continue', flush=True)\n"
        "    time.sleep(0.2)\n"
    )
    argv = ["/usr/bin/env", "python3", "-c", script]
    with pytest.raises(AttemptFailed, match="no sign of life") as caught:
        await run_watched(argv, meter(), timeout=None, patience=SHORT)
    assert "at 0.0 s of the media, 1 frames" in caught.value.failure.message


HASTY = Patience(silent=1.0, settled=0.5, factor=0.001, slack=0.5)
"""A thousandth of what the speed after half a second promises."""


async def test_an_encode_that_takes_far_longer_than_its_speed_promised_is_ended(site: Site) -> None:
    site.runner = Runner(roots=site.runner._roots, tools=site.runner._tools, patience=HASTY)
    failure = await site.fails(site.job(ENDLESS, "out.mp4"))
    assert failure.reason is Reason.TIMED_OUT
    assert "took far too long and was ended" in failure.message


async def test_a_time_out_of_the_jobs_own_takes_the_place_of_that(site: Site) -> None:
    site.runner = Runner(roots=site.runner._roots, tools=site.runner._tools, patience=HASTY)
    spec = site.job(ENDLESS, "out.mp4", timeout=timedelta(seconds=3))
    failure = await site.fails(spec)
    assert failure.reason is Reason.TIMED_OUT
    assert "the job's time-out of 0:00:03 is over" in failure.message
