"""The probe child, seen from the worker: answers, refusals, and children that die or hang."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import imageio_ffmpeg
import psutil
import pytest

from ffrtmp.ffmpeg.media import Kind
from ffrtmp.worker import probe as subject
from ffrtmp.worker.probe import SERVER, ProbeDied, Prober, ProbeRefused, probe


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


# -- the process that forks -----------------------------------------------------------------


@pytest.fixture
async def prober() -> AsyncIterator[Prober]:
    async with Prober.running() as running:
        yield running
    assert servers() == []


def servers() -> list[psutil.Process]:
    """Other tests may have left a helper of multiprocessing below this process."""
    return [each for each in psutil.Process().children() if SERVER in each.cmdline()]


def forks() -> list[psutil.Process]:
    [server] = servers()
    return server.children()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.02)


async def test_forks_answer_as_a_child_does_many_at_once(prober: Prober, tmp_path: Path) -> None:
    clip, bad = make_clip(tmp_path / "a.mkv"), tmp_path / "bad.mkv"
    bad.write_bytes(b"no media")
    alone = await probe([clip], ["one"])
    together = await asyncio.gather(*(prober.probe([clip, clip], ["a", "b"]) for _ in range(8)))
    assert together == [alone * 2] * 8
    with pytest.raises(ProbeRefused, match="two cannot be read as media"):
        await prober.probe([clip, bad], ["one", "two"])
    assert len(servers()) == 1


async def test_a_probe_that_is_given_up_is_killed_and_harms_no_other(
    prober: Prober, tmp_path: Path
) -> None:
    clip, hangs = make_clip(tmp_path / "a.mkv"), tmp_path / "pipe.mkv"
    os.mkfifo(hangs)  # to open it is to wait for a writer
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(prober.probe([hangs], ["pipe"]))
        await prober.probe([clip], ["one"])
        await until(lambda: len(forks()) == 1)
        waiting.cancel()
        await until(lambda: not forks())
    await prober.probe([clip], ["one"])


async def test_a_fork_that_dies_is_no_verdict_on_the_file(prober: Prober, tmp_path: Path) -> None:
    hangs = tmp_path / "pipe.mkv"
    os.mkfifo(hangs)
    async with asyncio.TaskGroup() as tasks:
        dying = tasks.create_task(_death_of(prober, hangs))
        await until(lambda: servers() and forks())
        forks()[0].send_signal(signal.SIGSEGV)
    assert "the probe of pipe was ended by SIGSEGV" in dying.result()


async def test_a_server_that_dies_is_started_again_and_takes_its_forks_with_it(
    prober: Prober, tmp_path: Path
) -> None:
    clip, hangs = make_clip(tmp_path / "a.mkv"), tmp_path / "pipe.mkv"
    os.mkfifo(hangs)
    async with asyncio.TaskGroup() as tasks:
        dying = tasks.create_task(_death_of(prober, hangs))
        await until(lambda: servers() and forks())
        [server] = servers()
        [fork] = forks()
        server.kill()
    assert "the probe of pipe ended without an answer" in dying.result()
    await until(lambda: not fork.is_running() or fork.status() == psutil.STATUS_ZOMBIE)
    assert await prober.probe([clip], ["one"])


async def _death_of(prober: Prober, path: Path) -> str:
    with pytest.raises(ProbeDied) as caught:
        await prober.probe([path], ["pipe"])
    return str(caught.value)
