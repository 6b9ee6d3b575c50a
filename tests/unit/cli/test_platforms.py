"""Where ffrtmp does not run it says so in one sentence, before anything is started."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ffrtmp.cli import platforms
from ffrtmp.cli.app import run
from ffrtmp.cli.platforms import Platform, here, why_no_cluster

DEBIAN_10 = Platform("Linux", "x86_64", "glibc", "2.28")


@pytest.mark.parametrize(
    "at", [DEBIAN_10, Platform("Linux", "aarch64", "glibc", "2.36"), here()], ids=lambda at: at.name
)
def test_a_cluster_runs_on_linux_with_a_glibc_that_is_new_enough(at: Platform) -> None:
    assert why_no_cluster(at) == ""


@pytest.mark.parametrize(
    ("at", "sentence"),
    [
        (Platform("Darwin", "arm64"), "run on Linux, this is Darwin: .*--master and --certs"),
        (Platform("Linux", "riscv64", "glibc", "2.36"), "x86-64 and arm64, this is riscv64"),
        (Platform("Linux", "x86_64", "glibc", "2.17"), "2.28 or newer, this is glibc 2.17"),
        (Platform("Linux", "x86_64", "glibc", "2"), "2.28 or newer, this is glibc 2:"),
        (Platform("Linux", "x86_64"), r"another C library \(Alpine has musl\)"),
    ],
    ids=lambda each: each.name if isinstance(each, Platform) else "",
)
@pytest.mark.parametrize(
    "command",
    [
        ["up"],
        ["master", "--certs", "nowhere"],
        ["worker", "--certs", "nowhere", "--master", "localhost:1", "--root", "a=/"],
        ["transcode", "test:64x64@25:1s", "out.mp4"],
        ["plan", "test:64x64@25:1s", "out.mp4"],
    ],
    ids=lambda command: command[0],
)
def test_elsewhere_it_is_refused(
    command: list[str],
    at: Platform,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(platforms, "here", lambda: at)
    assert run(command) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert re.search(sentence, told)


MAC = """
import os, sys, time
for name in ("O_PATH", "pipe2", "sched_getaffinity", "posix_fadvise", "pidfd_open", "eventfd"):
    if hasattr(os, name):
        delattr(os, name)
del time.CLOCK_BOOTTIME
from ffrtmp.cli import platforms
from ffrtmp.cli.app import run
platforms.here = lambda: platforms.Platform("Darwin", "arm64")
sys.exit(run(sys.argv[1:]))
"""
"""What Linux alone has is gone before anything of ours is imported."""


def on_a_mac(state: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", MAC, *command],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"FFRTMP_STATE_DIR": str(state)},
    )


@pytest.mark.parametrize(
    "command",
    [
        ["worker", "--certs", "nowhere", "--master", "localhost:1", "--root", "a=/"],
        ["plan", "test:64x64@25:1s", "out.mp4"],
    ],
    ids=lambda command: command[0],
)
def test_it_is_refused_also_where_python_has_nothing_of_linux(command: list[str], tmp_path: Path):
    ran = on_a_mac(tmp_path, *command)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1), ran.stderr
    assert "run on Linux, this is Darwin" in ran.stderr


def test_doctor_says_what_is_wrong_with_such_a_machine_and_blames_nothing_else(tmp_path: Path):
    ran = on_a_mac(tmp_path, "doctor", "--root", f"a={tmp_path}")
    assert (ran.returncode, ran.stderr) == (1, "")
    bad = [line for line in ran.stdout.splitlines() if line.startswith("bad")]
    assert len(bad) == 1, ran.stdout
    assert bad[0].startswith("bad   platform: ")


def test_on_windows_nothing_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert run(["jobs", "list"]) == 2
    assert "use WSL 2" in capsys.readouterr().err
