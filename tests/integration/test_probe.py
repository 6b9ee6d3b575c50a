"""The probe child, seen from the worker: answers, refusals, and children that die or hang."""

import subprocess
import sys
from pathlib import Path

import imageio_ffmpeg
import pytest

from ffrtmp.ffmpeg.media import Kind
from ffrtmp.worker import probe as subject
from ffrtmp.worker.probe import ProbeDied, ProbeRefused, probe


def make_clip(path: Path) -> Path:
    source = ["-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25:duration=1"]
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run([ffmpeg, "-v", "error", *source, "-c:v", "libx264", path], check=True)
    return path


async def test_packets_are_counted_in_a_child(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a name; with $(strange) things.mkv")
    one, two = await probe([clip, clip], ["one", "two"])
    assert one == two
    [video] = one.streams
    assert (video.kind, video.packets, video.width, video.height) == (Kind.VIDEO, 25, 128, 96)
    assert one.size == clip.stat().st_size


def test_the_worker_itself_never_imports_pyav() -> None:
    script = (
        "import sys, ffrtmp.worker.runner, ffrtmp.worker.hardware, ffrtmp.worker.probe;"
        "sys.exit('av' in sys.modules)"
    )
    package = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", script], cwd=package, check=True)


@pytest.mark.parametrize("content", [b"", bytes(range(256)) * 64])
async def test_what_is_no_media_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    bad = tmp_path / "bad.mkv"
    bad.write_bytes(content)
    with pytest.raises(ProbeRefused, match=r"input media:bad\.mkv cannot be read as media: \w"):
        await probe([bad], ["input media:bad.mkv"])


async def test_the_file_that_is_bad_is_the_one_named(tmp_path: Path) -> None:
    clip, bad = make_clip(tmp_path / "a.mkv"), tmp_path / "bad.mkv"
    bad.write_bytes(b"no media")
    with pytest.raises(ProbeRefused, match="two cannot"):
        await probe([clip, bad], ["one", "two"])


@pytest.mark.parametrize(
    ("child", "says"),
    [
        ("import os; os.abort()", "was ended by SIGABRT"),
        ("import time; time.sleep(60)", "did not end in time"),
        ("raise SystemExit('no module')", "failed: no module"),
        ("print('nonsense')", "answered nonsense"),
        ("while True: print('x' * 65536)", "did not end in time"),
    ],
)
async def test_a_child_that_dies_hangs_or_raves_is_no_verdict_on_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, child: str, says: str
) -> None:
    (tmp_path / "strange_child.py").write_text(child)
    monkeypatch.setattr(subject, "CHILD", "strange_child")
    monkeypatch.setattr(subject, "SECONDS", 1.0)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ProbeDied, match=f"the probe of one {says}"):
        await probe([tmp_path / "strange_child.py"], ["one"])
