#!/usr/bin/env python3
"""What the cluster costs beside bare FFmpeg: `scripts/bench/spine.py [overhead|latency|footprint]`.

overhead    `ffrtmp transcode` on a warm cluster against the FFmpeg command it runs, on a 60 s 720p
            clip, in interleaved pairs: wall and CPU time
latency     from the client's submit to the exec of FFmpeg, jobs one after the other
footprint   `ffrtmp --help`; resident memory of an idle master and worker

Needs `scripts/check` to have installed the environment: run it with `.venv/bin/python`.
"""

import argparse
import asyncio
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

from cluster import FFMPEG, Warm, machine, percentiles, warm_cluster

from ffrtmp.client import Client
from ffrtmp.domain.spec import Input, JobSpec, MediaPath, Output, Speed, TestSource, VideoSettings

CLIP_SECONDS = 60


def overhead(pairs: int) -> None:
    print(
        f"method: {pairs} interleaved pairs, {CLIP_SECONDS} s 1280x720 H.264/AAC, --speed fastest"
    )
    with warm_cluster(slots=1) as cluster:
        clip = cluster.media / "clip.mp4"
        make_clip(clip)
        cluster.run("transcode", "clip.mp4", "warm.mp4", "--speed", "fastest")
        bare = bare_command(cluster, "warm.mp4")
        rows = []
        for number in range(pairs):
            ours = timed(partial(through_cluster, cluster, f"{number}.mp4"))
            theirs = timed(partial(bare_ffmpeg, bare, cluster.media / "bare.mp4"))
            rows.append((*ours, *theirs))
            (cluster.media / f"{number}.mp4").unlink()
    report_pairs("wall", [row[0] for row in rows], [row[2] for row in rows])
    report_pairs("CPU", [row[1] for row in rows], [row[3] for row in rows])


def make_clip(path: Path) -> None:
    source = f"testsrc2=size=1280x720:rate=30:duration={CLIP_SECONDS}"
    tone = f"sine=frequency=440:duration={CLIP_SECONDS}"
    argv = [FFMPEG, "-v", "error", "-f", "lavfi", "-i", source, "-f", "lavfi", "-i", tone]
    subprocess.run([*argv, "-preset", "veryfast", "-c:a", "aac", str(path)], check=True)


def bare_command(cluster: Warm, output: str) -> list[str]:
    """The argv that the worker used for `output`, its staged name left out."""
    [line] = [each for each in cluster.execs.read_text().splitlines() if f".{output}." in each]
    return [FFMPEG, *shlex.split(line)[1:-1]]


def through_cluster(cluster: Warm, output: str) -> float:
    before = cluster.cpu_seconds()
    own = cluster.run("transcode", "clip.mp4", output, "--speed", "fastest")
    return own + cluster.cpu_seconds() - before


def bare_ffmpeg(argv: list[str], output: Path) -> float:
    output.unlink(missing_ok=True)
    before = os.times()
    subprocess.run(
        [*argv, str(output)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    after = os.times()
    return after.children_user + after.children_system - before[2] - before[3]


def timed(work: Callable[[], float]) -> tuple[float, float]:
    """Wall seconds, and the CPU seconds that `work` returns."""
    began = time.perf_counter()
    cpu = work()
    return time.perf_counter() - began, cpu


def report_pairs(name: str, ours: list[float], bare: list[float]) -> None:
    added = [a - b for a, b in zip(ours, bare, strict=True)]
    ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
    low, middle, high = min(added), statistics.median(added), max(added)
    print(
        f"{name}: ffrtmp median {statistics.median(ours):.2f} s, bare {statistics.median(bare):.2f}"
        f" s, added median {middle * 1000:.0f} ms ({low * 1000:.0f} to {high * 1000:.0f}),"
        f" ratio {ratio:.3f}"
    )


def latency(jobs: int) -> None:
    print(f"method: {jobs} jobs one after the other, submit called to FFmpeg executed")
    with warm_cluster(slots=1) as cluster:
        clip = cluster.media / "clip.mp4"
        argv = [
            FFMPEG,
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=64x48:rate=25:duration=1",
        ]
        subprocess.run([*argv, str(clip)], check=True)
        generated = Input(
            test_source=TestSource(width=64, height=48, duration=timedelta(seconds=0.2))
        )
        for name, source in (
            ("generated", generated),
            ("probed", Input(path=MediaPath("media", "clip.mp4"))),
        ):
            took = asyncio.run(submit_one_by_one(cluster, source, name, jobs))
            print(f"submit to exec, {name}: {percentiles(took)}")


async def submit_one_by_one(cluster: Warm, source: Input, name: str, jobs: int) -> list[float]:
    began: dict[str, float] = {}
    async with Client(cluster.address, cluster.certs) as client:
        for number in range(jobs + 1):
            output = Output(
                path=MediaPath("media", f"{name}{number}.mp4"),
                video=VideoSettings(speed=Speed.FASTEST),
            )
            at = time.time()
            job = await client.submit(JobSpec(input=source, outputs=(output,)))
            if number:  # the first one warms up
                began[job.job_id] = at
            async for _ in client.watch(job.job_id):
                pass
    executed: dict[str, float] = {}
    for line in cluster.execs.read_text().splitlines():
        nanoseconds, _, rest = line.partition(" ")
        for job_id in began.keys() - executed.keys():
            if job_id in rest:
                executed[job_id] = int(nanoseconds) / 1e9
    return [executed[job_id] - at for job_id, at in began.items()]


def footprint(runs: int) -> None:
    print(f"method: {runs} runs of --help; memory of a cluster 10 s after it is ready")
    took = []
    for _ in range(runs):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "ffrtmp", "--help"], stdout=subprocess.DEVNULL, check=True
        )
        took.append(time.perf_counter() - began)
    print(f"ffrtmp --help: {percentiles(took)}")
    with warm_cluster() as cluster:
        time.sleep(10)
        for process in cluster.process.children():
            role = process.cmdline()[3]
            print(f"idle {role}: {process.memory_info().rss / 2**20:.1f} MiB resident")


MODES = {"overhead": (overhead, 20), "latency": (latency, 200), "footprint": (footprint, 20)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modes", nargs="*", help=", ".join(MODES))
    parser.add_argument("--runs", type=int, help="of each, instead of its own number")
    options = parser.parse_args()
    for mode in options.modes or MODES:
        if mode not in MODES:
            parser.error(f"there is no {mode!r}: choose from {', '.join(MODES)}")
        measure, runs = MODES[mode]
        print(f"== {mode}\n{machine()}")
        measure(options.runs or runs)


if __name__ == "__main__":
    main()
