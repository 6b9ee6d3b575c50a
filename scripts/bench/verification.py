#!/usr/bin/env python3
"""What the default levels of verification cost, in processor time.

    scripts/bench/verification.py [--seconds 150] [--clip long|short]

Interleaved pairs: FFmpeg alone, by the very command line of the worker, then the worker's runner
with all that it does by default (probe of the source, guard, V0-V3, V5). The difference, in CPU
seconds of every process concerned, is the cost; beside it what the runner itself accounts for,
which has no noise in it. Encoded at the fastest effort: a slower one makes the share smaller.
"""

import argparse
import asyncio
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import psutil

from ffrtmp.domain.session import AttemptKey
from ffrtmp.domain.spec import Input, JobSpec, MediaPath, Output, Speed, VideoSettings
from ffrtmp.ffmpeg.presets import expand
from ffrtmp.storage.roots import Roots
from ffrtmp.worker.hardware import Tools, probe_tools
from ffrtmp.worker.probe import Prober
from ffrtmp.worker.runner import Runner

MOST_PAIRS = 30
KEPT_SHARE, KEPT_SECONDS = 0.03, 0.3


@dataclass(frozen=True)
class Clip:
    name: str
    size: str
    seconds: int
    share: float
    """Of the time that the bench may take."""


CLIPS = {
    "short": Clip("10 s 360p", "640x360", 10, 0.3),
    "long": Clip("60 s 1080p", "1920x1080", 60, 0.7),
}


@dataclass(frozen=True)
class Pair:
    plain: float
    whole: float
    accounted: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=150, help="how long to measure")
    parser.add_argument("--clip", choices=CLIPS, help="only this one")
    asked = parser.parse_args()
    load = os.getloadavg()[0]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {load:.1f}, {sys.version.split()[0]}"
    )
    clips = [CLIPS[asked.clip]] if asked.clip else list(CLIPS.values())
    shares = sum(clip.share for clip in clips)
    with tempfile.TemporaryDirectory(prefix="ffrtmp-verification-") as folder:
        for clip in clips:
            asyncio.run(measure(clip, Path(folder), asked.seconds * clip.share / shares))


async def measure(clip: Clip, root: Path, seconds: float) -> None:
    async with Prober.running() as prober:
        tools = replace(await probe_tools("", root), probe=prober.probe)
        make(clip, root, tools.ffmpeg)
        runner = Runner(roots=Roots({"m": root}), tools=tools)
        await whole(runner)  # what is only done once is not a job's cost
        until, pairs = time.monotonic() + seconds, list[Pair]()
        while len(pairs) < MOST_PAIRS and (not pairs or time.monotonic() < until):
            pairs.append(await pair(runner, tools, root))
    tell(clip, pairs)


def make(clip: Clip, root: Path, ffmpeg: str) -> None:
    picture = f"testsrc2=size={clip.size}:rate=30:duration={clip.seconds}"
    argv = [ffmpeg, "-v", "error", "-y", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i"]
    argv += [f"sine=duration={clip.seconds}", "-c:v", "libx264", "-preset", "ultrafast"]
    subprocess.run([*argv, "-pix_fmt", "yuv420p", "-c:a", "aac", root / "in.mp4"], check=True)


def job(name: str) -> JobSpec:
    output = Output(path=MediaPath("m", name), video=VideoSettings(speed=Speed.FASTEST))
    spec = JobSpec(input=Input(path=MediaPath("m", "in.mp4")), outputs=(output,), overwrite=True)
    return expand(replace(spec, timeout=timedelta(hours=1)))


async def pair(runner: Runner, tools: Tools, root: Path) -> Pair:
    before = spent()
    encoding, argv = await whole(runner)
    used = spent() - before
    return Pair(alone(argv, tools, root), used, used - encoding)


async def whole(runner: Runner) -> tuple[float, tuple[str, ...]]:
    """All but the rename. FFmpeg's own CPU seconds, and its command line."""
    key = AttemptKey("01KB0Z6V5Q3M8S7T9W2X4Y6Z8A", 1)
    manifest = await runner.encode(key, job("out.mp4"), lambda _: None)
    await runner.publish(key, job("out.mp4"), manifest)
    figures = runner.measured(key)
    assert figures is not None
    return figures.cpu.total_seconds(), figures.argv


def alone(argv: tuple[str, ...], tools: Tools, root: Path) -> float:
    real = [part.replace("file:m:", f"file:{root}/") for part in argv]
    before = spent()
    subprocess.run([tools.ffmpeg, *real[1:]], check=True, capture_output=True)
    return spent() - before


def spent() -> float:
    """By this process, its children that have ended, and those that live on."""
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        used = resource.getrusage(who)
        total += used.ru_utime + used.ru_stime
    for child in psutil.Process().children():
        times = child.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total


def tell(clip: Clip, pairs: list[Pair]) -> None:
    plain = statistics.median(each.plain for each in pairs)
    costs = [each.whole - each.plain for each in pairs]
    accounted = [each.accounted for each in pairs]
    goal = plain * KEPT_SHARE + KEPT_SECONDS
    print(f"{clip.name}: {len(pairs)} pairs, FFmpeg alone {plain:.2f} s CPU")
    print(f"  cost by difference  {spread(costs)}, {100 * statistics.median(costs) / plain:.1f} %")
    print(f"  cost as accounted   {spread(accounted)}, goal {goal:.3f} s (3 % + 300 ms)")


def spread(values: list[float]) -> str:
    return f"median {statistics.median(values):.3f} s, min {min(values):.3f}, max {max(values):.3f}"


if __name__ == "__main__":
    main()
