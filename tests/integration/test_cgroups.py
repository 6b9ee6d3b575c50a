"""Limits by cgroups of version 2, of the real kernel: wherever root may make one.

A process of its own goes into a fresh cgroup, as systemd puts a worker that has `Delegate=yes`
there, and does what a worker does. Whether memory and processors can be limited depends on which
controllers the machine leaves to version 2: many give them to version 1, or to nobody.
"""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import pytest

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
ENDLESS = ["-f", "lavfi", "-i", "testsrc2=size=1920x1080:rate=25", "-c:v", "libx264"]
INSIDE = """
import asyncio, json, os, sys
from pathlib import Path
from ffrtmp.worker import limits
from ffrtmp.worker.process import run_guarded

mount, own, controllers, memory, cores, *argv = sys.argv[1:]
(Path(own) / "cgroup.procs").write_text(str(os.getpid()))
limits.CONTROLLERS = tuple(controllers.split(","))
found = limits.find_delegation(Path(mount))
confines = limits.Confines(memory=int(memory), cores=float(cores), delegation=found)
home = Path("/proc/self/cgroup").read_text().rpartition("0::")[2].strip()
told = {"home": home, "controllers": sorted(found.controllers)}

def look(group):
    pids = (group / "cgroup.procs").read_text().split()
    told["programs"] = [os.readlink(f"/proc/{pid}/exe") for pid in pids]

async def main():
    with confines.one() as words:
        if words:
            group = Path(words[0].partition("=")[2])
        else:  # nothing that can be limited here: still FFmpeg can be put into one
            group = found.path / "ffrtmp-attempt-1"
            group.mkdir()
            words = (f"limit:cgroup={group}",)
        for name in ("memory.max", "cpu.max"):
            if (group / name).exists():
                told[name] = (group / name).read_text().strip()
        end = await run_guarded(argv, feed=lambda _: look(group), limits=words)
        told["code"] = end.code
        told["stat"] = (group / "cpu.stat").read_text()
    if group.exists():
        group.rmdir()

asyncio.run(main())
print(json.dumps(told))
"""


def mounted() -> Path | None:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    return None


@pytest.fixture
def delegated() -> Iterator[Path]:
    """A fresh cgroup at the top, with every controller that the kernel lets it have; afterwards
    all is as it was."""
    mount = mounted()
    if mount is None:
        pytest.skip("no cgroup2 is mounted here")
    own = mount / f"ffrtmp-test-{secrets.token_hex(4)}"
    try:
        own.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made below {mount}: {error.strerror}")
    passed_on = [each for each in controllers_of(mount) if pass_on(mount, f"+{each}")]
    try:
        yield own
    finally:
        for group in sorted(own.glob("*/"), reverse=True):
            remove(group)
        remove(own)
        for each in passed_on:
            pass_on(mount, f"-{each}")


def controllers_of(group: Path, file: str = "cgroup.controllers") -> set[str]:
    return set((group / file).read_text().split())


def pass_on(group: Path, change: str) -> bool:
    """Whether that changed what groups below it may have."""
    before = controllers_of(group, "cgroup.subtree_control")
    try:
        (group / "cgroup.subtree_control").write_text(change)
    except OSError:
        return False
    return controllers_of(group, "cgroup.subtree_control") != before


def remove(group: Path) -> None:
    """Its last process may just be ending."""
    give_up_at = time.monotonic() + 10
    while group.exists():
        try:
            group.rmdir()
        except OSError:
            assert time.monotonic() < give_up_at
            time.sleep(0.05)


def inside(own: Path, controllers: set[str], memory: int, cores: float, *ffmpeg: str) -> dict:
    limits = (",".join(sorted(controllers)), str(memory), str(cores))
    argv = [FFMPEG, "-nostdin", "-v", "error", "-progress", "pipe:1", *ffmpeg]
    done = subprocess.run(
        [sys.executable, "-c", INSIDE, str(own.parent), str(own), *limits, *argv],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told: dict = json.loads(done.stdout)
    return told


def test_a_worker_moves_down_and_its_ffmpeg_runs_in_a_cgroup_of_its_own(delegated):
    """With any controller at all: that the kernel lets a worker pass it on is what is tested."""
    there = controllers_of(delegated)
    if not there:
        pytest.skip("the kernel leaves no controller to cgroup2 here")
    told = inside(delegated, there, 0, 0, *ENDLESS, "-frames:v", "20", "-f", "null", "-")
    assert told["home"] == f"/{delegated.name}/ffrtmp-worker"
    assert told["controllers"] == sorted(there)
    assert (told["programs"], told["code"]) == ([os.path.realpath(FFMPEG)], 0)
    assert [each.name for each in delegated.iterdir() if each.is_dir()] == ["ffrtmp-worker"]


@pytest.fixture
def limiting(delegated: Path) -> Path:
    missing = {"cpu", "memory"} - controllers_of(delegated)
    if missing:
        names = " and ".join(sorted(missing))
        pytest.skip(f"cgroup2 has no controller for {names} here: version 1 has, or nobody")
    return delegated


def test_an_ffmpeg_that_wants_more_memory_than_its_cgroup_has_is_killed(limiting):
    big = ["-f", "lavfi", "-i", "testsrc2=size=7680x4320:rate=25", "-c:v", "libx264"]
    told = inside(limiting, {"cpu", "memory"}, 96 << 20, 0, *big, "-f", "null", "-")
    assert told["memory.max"] == str(96 << 20)
    assert told["code"] == -9


def test_an_ffmpeg_that_wants_more_processors_than_its_cgroup_has_is_held_back(limiting):
    busy = [*ENDLESS, "-frames:v", "60", "-f", "null", "-"]
    told = inside(limiting, {"cpu", "memory"}, 0, 0.25, *busy)
    assert (told["cpu.max"], told["code"]) == ("25000 100000", 0)
    stat = dict(line.split() for line in told["stat"].splitlines())
    assert int(stat["nr_throttled"]) > 0
