"""The jobs of a trial: 31 scenarios, all queues and priorities, drawn from a seed."""

from collections.abc import Iterator
from datetime import timedelta
from random import Random

from ffrtmp.domain.spec import Input, JobSpec, MediaPath, Output, Priority, Queue, TestSource

SCENARIOS = (
    *(f"{box}-{codec}" for box in ("360p", "480p", "720p") for codec in ("h264", "h265", "vp9")),
    *(f"{box}-{codec}" for box in ("1080p", "4K") for codec in ("h264", "h265", "vp9", "av1")),
    *(f"{box}60-{codec}" for box in ("720p", "1080p", "4K") for codec in ("h264", "h265", "av1")),
    *("480p30-vp8", "720p25-vp8", "1080p24-vp8", "1080p50-vp9", "1440p30-h264"),
)
QUEUES = (Queue.DEFAULT, Queue.DEFAULT, Queue.DEFAULT, Queue.BATCH, Queue.LIVE)
PRIORITIES = (Priority.NORMAL, Priority.NORMAL, Priority.NORMAL, Priority.LOW, Priority.HIGH)
SHORTEST_MS, LONGEST_MS = 100, 300


def draw(jobs: int, seed: int, failure_rate: float) -> Iterator[tuple[JobSpec, bool]]:
    """Each spec, and whether its FFmpeg is meant to fail: then its target's name says so."""
    chance = Random(seed)  # noqa: S311
    for number in range(jobs):
        scenario = chance.choice(SCENARIOS)
        fails = chance.random() < failure_rate
        ending = "webm" if "vp" in scenario else "mp4"
        path = f"{scenario}/{number:06}{'.fails' if fails else ''}.{ending}"
        length = timedelta(milliseconds=chance.randint(SHORTEST_MS, LONGEST_MS))
        yield (
            JobSpec(
                input=Input(test_source=TestSource(duration=length)),
                outputs=(Output(path=MediaPath("sim", path), preset=scenario),),
                queue=chance.choice(QUEUES),
                priority=chance.choice(PRIORITIES),
            ),
            fails,
        )
