"""A worker that starts does several things at once; each of them may go wrong."""

import subprocess
import sys
from pathlib import Path

import pytest

from ffrtmp.clock import utc_now
from ffrtmp.pki import authority


def start(tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """With a master that nobody needs: it does not come so far."""
    (tmp_path / "root").mkdir()
    always = ["--master", "127.0.0.1:1", "--root", f"m={tmp_path / 'root'}"]
    always += ["--state-dir", str(tmp_path / "state")]
    argv = [sys.executable, "-m", "ffrtmp", "worker", *always, *options]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def certs(tmp_path: Path) -> Path:
    authority.init(tmp_path / "ca", now=utc_now())
    return authority.issue(tmp_path / "ca", "worker", "w1", now=utc_now())


def test_a_wrong_identity_does_not_wait_for_an_ffmpeg_that_is_silent(tmp_path: Path) -> None:
    silent = tmp_path / "ffmpeg"
    silent.write_text("#!/bin/sh\nsleep 600\n")
    silent.chmod(0o755)
    ran = start(tmp_path, "--certs", str(tmp_path / "nowhere"), "--ffmpeg", str(silent))
    assert ran.returncode == 2
    assert "nowhere" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_a_missing_ffmpeg_ends_the_worker_with_one_sentence(tmp_path: Path, certs: Path) -> None:
    ran = start(tmp_path, "--certs", str(certs), "--ffmpeg", "/nowhere/ffmpeg")
    assert ran.returncode == 2
    assert "'/nowhere/ffmpeg' does not exist" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_before_ffmpeg_is_asked_nothing_of_what_takes_long_is_loaded() -> None:
    code = (
        "import sys, ffrtmp.worker.start;"
        "print([m for m in ('grpc', 'google.protobuf', 'cryptography', 'ffrtmp.worker.worker')"
        " if m in sys.modules])"
    )
    argv = [sys.executable, "-c", code]
    ran = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
