"""Where ffrtmp does not run it says so in one sentence, before anything is started."""

import re
import sys

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


def test_on_windows_nothing_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert run(["jobs", "list"]) == 2
    assert "use WSL 2" in capsys.readouterr().err
