"""What the benchmarks share: a warm cluster of real processes, its CPU time, percentiles."""

import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import psutil

READY = re.compile(r"ready: master on (\S+),")
START_SECONDS = 30.0
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


@dataclass(frozen=True)
class Warm:
    """`ffrtmp up` in a folder of its own. `execs`: a line for each start of FFmpeg."""

    process: psutil.Process
    folder: Path
    address: str
    environment: dict[str, str]

    @property
    def media(self) -> Path:
        return self.folder / "media"

    @property
    def execs(self) -> Path:
        return self.folder / "execs"

    @property
    def certs(self) -> Path:
        return self.folder / "state" / "up" / "certs" / "admin-me"

    def cpu_seconds(self) -> float:
        """Of the whole cluster so far, children that have ended included."""
        total = 0.0
        for process in [self.process, *self.process.children(recursive=True)]:
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
        return total

    def run(self, *arguments: str) -> float:
        """One command of the CLI; returns its own CPU seconds."""
        before = os.times()
        subprocess.run(
            [sys.executable, "-m", "ffrtmp", *arguments],
            env=self.environment,
            cwd=self.media,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        after = os.times()
        return after.children_user + after.children_system - before[2] - before[3]


@contextmanager
def warm_cluster(*, slots: int = 1) -> Iterator[Warm]:
    """One master, one worker. FFmpeg is started through a shell that notes when, and with what."""
    folder = Path(tempfile.mkdtemp(prefix="ffrtmp-bench-"))
    (folder / "media").mkdir()
    wrapper = folder / "ffmpeg"
    wrapper.write_text(
        f'#!/bin/sh\nprintf "%s %s\\n" "$(date +%s%N)" "$*" >> {folder}/execs\nexec {FFMPEG} "$@"\n'
    )
    wrapper.chmod(0o755)
    kept = {name: text for name, text in os.environ.items() if not name.startswith("FFRTMP_")}
    environment = kept | {"FFRTMP_STATE_DIR": str(folder / "state")}
    log = folder / "up.log"
    arguments = ["up", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--slots", str(slots)]
    arguments += ["--ffmpeg", str(wrapper), "--root", f"media={folder / 'media'}"]
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "ffrtmp", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    try:
        address = _await(process, log, READY)
        _await(process, log, re.compile(r"(connected): stream"))
        yield Warm(psutil.Process(process.pid), folder, address, environment)
    finally:
        process.terminate()
        process.wait(START_SECONDS)
        shutil.rmtree(folder)


def _await(process: "subprocess.Popen[bytes]", log: Path, sign: re.Pattern[str]) -> str:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        if match := sign.search(log.read_text()):
            return match[1]
        time.sleep(0.05)
    raise SystemExit(f"the cluster did not start:\n{log.read_text()}")


def machine() -> str:
    """Two lines about where a figure was measured."""
    memory = psutil.virtual_memory().total >> 30
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    return (
        f"machine: {psutil.cpu_count()} cores, {memory} GiB, {platform.machine()}, "
        f"Linux {platform.release()}, Python {platform.python_version()}\n"
        f"load before: {load}"
    )


def percentiles(values: Sequence[float], unit: str = "ms", scale: float = 1000) -> str:
    """p50, p95, p99 and the largest of values in seconds."""
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    shown = (("p50", cuts[49]), ("p95", cuts[94]), ("p99", cuts[98]), ("max", max(values)))
    return "  ".join(f"{name} {value * scale:.1f} {unit}" for name, value in shown)
