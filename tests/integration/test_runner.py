"""The runner with the real FFmpeg: what is staged and published, what each fault leaves."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random

import imageio_ffmpeg
import psutil
import pytest

from ffrtmp.domain.job import Manifest
from ffrtmp.domain.messages import Progress
from ffrtmp.domain.raw_arguments import RawArgument
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.session import AttemptKey, Phase
from ffrtmp.domain.spec import (
    AudioCodec,
    Input,
    JobSpec,
    MediaPath,
    Output,
    TestSource,
)
from ffrtmp.ffmpeg.capabilities import all_candidates, choose_encoders
from ffrtmp.ffmpeg.presets import expand
from ffrtmp.storage.roots import Roots
from ffrtmp.storage.staging import Hashing
from ffrtmp.worker.hardware import Tools
from ffrtmp.worker.limits import Confines
from ffrtmp.worker.probe import probe
from ffrtmp.worker.runner import AttemptFailed, Runner, early_needs
from tests.disks import disk, shrink

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
JOB = "01KB0Z6V5Q3M8S7T9W2X4Y6Z8A"
KEY = AttemptKey(JOB, 1)
SMALL = Input(
    test_source=TestSource(width=128, height=96, duration=timedelta(seconds=1)),
)
ENDLESS = Input(
    test_source=TestSource(width=640, height=480, duration=timedelta(hours=1)),
)


def tools(ffmpeg: str = FFMPEG) -> Tools:
    return Tools(ffmpeg=ffmpeg, version="9", encoders=choose_encoders(all_candidates()))


def media(path: str) -> MediaPath:
    return MediaPath("media", path)


def job(source: Input | str, *targets: str, **settings: object) -> JobSpec:
    if isinstance(source, str):
        source = Input(path=media(source))
    outputs = tuple(Output(path=media(target)) for target in targets)
    return replace(expand(JobSpec(input=source, outputs=outputs)), **settings)


class Site:
    """A runner with one root, and what it reports."""

    def __init__(self, root: Path, ffmpeg: str = FFMPEG) -> None:
        root.mkdir(exist_ok=True)
        self.root = root
        self.roots = Roots({"media": root})
        self.links = root.with_name("links")
        self.links.mkdir(exist_ok=True)
        self.runner = Runner(roots=self.roots, tools=tools(ffmpeg), links=self.links)
        self.reports: list[Progress] = []
        self.lines: list[str] = []
        self.encoding = asyncio.Event()
        self.on_encoding: Callable[[], None] = lambda: None

    def report(self, progress: Progress) -> None:
        self.reports.append(progress)
        if progress.phase is Phase.ENCODE and not self.encoding.is_set():
            self.on_encoding()
            self.encoding.set()

    async def encode(self, spec: JobSpec, key: AttemptKey = KEY) -> Manifest:
        return await self.runner.encode(key, spec, self.report, self.lines.append)

    async def fails(self, spec: JobSpec, reason: Reason, says: str) -> AttemptFailed:
        """And leaves nothing behind."""
        before = self.names()
        with pytest.raises(AttemptFailed, match=says) as caught:
            await self.encode(spec)
        assert caught.value.failure.reason is reason
        assert self.names() == before
        assert running() == []
        return caught.value

    def names(self) -> list[str]:
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*"))

    def clip(self, name: str, *options: str, seconds: int = 2) -> Path:
        path = self.root / name
        picture = f"testsrc2=size=128x96:rate=25:duration={seconds}"
        tone = f"sine=duration={seconds}"
        argv = [FFMPEG, "-v", "error", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone]
        subprocess.run([*argv, *options, path], check=True)
        return path


def running() -> list[psutil.Process]:
    """FFmpegs below this process; guards are not counted."""
    found = psutil.Process().children(recursive=True)
    return [child for child in found if child.name().startswith("ffmpeg")]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "root")


@asynccontextmanager
async def encoding(site: Site, spec: JobSpec) -> AsyncIterator[asyncio.Task[Manifest]]:
    """While FFmpeg runs; the body must end it."""
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        task = group.create_task(site.encode(spec))
        await site.encoding.wait()
        yield task


async def test_an_ffmpeg_is_held_to_its_limits_and_nothing_else_is(tmp_path: Path) -> None:
    site = Site(tmp_path / "root")
    confined = replace(tools(), confines=Confines(memory=1 << 30, cores=1))
    site.runner = Runner(roots=site.roots, tools=confined)
    async with encoding(site, job(ENDLESS, "a.mkv")) as task:
        [ffmpeg] = running()
        assert ffmpeg.rlimit(psutil.RLIMIT_DATA) == (1 << 30, 1 << 30)
        assert len(ffmpeg.cpu_affinity()) == 1
        guard = ffmpeg.parent()
        assert guard.rlimit(psutil.RLIMIT_DATA)[0] != 1 << 30
        assert len(guard.cpu_affinity()) == len(os.sched_getaffinity(0))
        task.cancel()


async def test_memory_beyond_the_limit_is_not_the_jobs_fault(tmp_path: Path) -> None:
    site = Site(tmp_path / "root")
    confined = replace(tools(), confines=Confines(memory=512 << 20, cores=0))
    site.runner = Runner(roots=site.roots, tools=confined)
    large = TestSource(width=8192, height=8192, duration=timedelta(seconds=5))
    spec = job(Input(test_source=large), "a.mkv")
    await site.fails(spec, Reason.RESOURCE_MEMORY, "(?i)alloc|memory")


async def test_a_job_that_asks_for_more_than_the_disk_has_fails_before_it_is_encoded(
    site: Site,
) -> None:
    long = Input(test_source=TestSource(width=8192, height=8192, duration=timedelta(hours=24)))
    spec = job(long, "a.mkv")
    site.runner.look()
    assert site.runner.admit(KEY, spec) == ""  # it would be no better later
    failed = await site.fails(spec, Reason.RESOURCE, r"no room for media:a\.mkv \(about .* needed")
    assert not site.encoding.is_set()
    assert failed.failure.exit_code is None


async def test_what_one_attempt_may_still_write_is_not_given_to_another(site: Site) -> None:
    spec = job(ENDLESS, "a.mkv")
    need = early_needs(spec, tools().encoders)["media"]
    other = AttemptKey("01KB0Z6V5Q3M8S7T9W2X4Y6Z8B", 1)
    site.runner._space.book(other, {"media": site.runner.look()["media"] - need // 2})
    assert "are promised to other attempts" in site.runner.admit(KEY, spec)
    site.runner.forget(other)
    assert site.runner.admit(KEY, spec) == ""


async def test_a_generated_source_is_encoded_verified_staged_and_published(site: Site) -> None:
    spec = job(SMALL, "new/a.mp4")
    manifest = await site.encode(spec)
    [record] = manifest.files
    assert (record.path, manifest.fence) == ("media:new/a.mp4", 1)
    assert site.names() == ["new", f"new/.a.mp4.{JOB}.1.part.mp4"]
    await site.runner.publish(KEY, spec, manifest)
    assert site.names() == ["new", "new/a.mp4"]
    published = site.root / "new" / "a.mp4"
    umask = os.umask(0)
    os.umask(umask)
    assert published.stat().st_mode & 0o777 == 0o666 & ~umask
    assert published.stat().st_size == record.size
    [found] = await probe([published], ["it"])
    assert found.video is not None
    assert (found.video.codec, found.video.width, found.video.packets) == ("h264", 128, 30)


async def test_a_file_becomes_two_files_and_says_how_far_it_is(site: Site) -> None:
    site.clip("in.mkv")
    spec = job("in.mkv", "a.mp4", "b.webm")
    manifest = await site.encode(spec)
    await site.runner.publish(KEY, spec, manifest)
    assert site.names() == ["a.mp4", "b.webm", "in.mkv"]
    phases = [report.phase for report in site.reports]
    assert phases == sorted(phases, key=list(Phase).index)
    assert phases[0] is Phase.PROBE
    assert phases[-1] is Phase.VERIFY
    last = [report for report in site.reports if report.phase is Phase.ENCODE][-1]
    assert last.total is not None
    assert abs(last.position - last.total) < timedelta(seconds=0.2)
    assert any("libx264" in line for line in site.lines)
    assert last.frames == 50


async def test_an_existing_target_is_told_before_any_encoding(site: Site) -> None:
    site.clip("in.mkv")
    (site.root / "b.mp4").write_text("precious")
    spec = job("in.mkv", "a.mp4", "b.mp4")
    await site.fails(spec, Reason.TARGET_EXISTS, r"media:b\.mp4 exists already; .*overwrite")
    assert not site.encoding.is_set()
    manifest = await site.encode(replace(spec, overwrite=True))
    await site.runner.publish(KEY, replace(spec, overwrite=True), manifest)
    assert (site.root / "b.mp4").stat().st_size == manifest.files[1].size


def write_nothing(site: Site, path: Path) -> None:
    path.write_bytes(b"")


def write_noise(site: Site, path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 1000)


def write_half(site: Site, path: Path) -> None:
    whole = site.clip("whole.mkv", seconds=20)
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])


def make_folder(site: Site, path: Path) -> None:
    path.mkdir()


def make_pipe(site: Site, path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda *_: None, "does not exist"),
        (write_nothing, "cannot be read as media"),
        (write_noise, "cannot be read as media"),
        (write_half, "is not whole"),
        (make_folder, "is a folder; name a regular file"),
        (make_pipe, "is a pipe; name a regular file"),
    ],
)
async def test_a_bad_input_is_terminal_and_said_in_a_sentence(
    site: Site, make: Callable[[Site, Path], None], says: str
) -> None:
    make(site, site.root / "in.mkv")
    await site.fails(job("in.mkv", "new/a.mp4"), Reason.INPUT_BAD, rf"^input media:in\.mkv {says}")


async def test_an_input_damaged_in_the_middle_is_not_encoded(site: Site) -> None:
    clip = site.clip("in.mkv", "-c:v", "mpeg4", "-q:v", "2", seconds=5)
    content = bytearray(clip.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20_000] = Random(1).randbytes(20_000)
    clip.write_bytes(content)
    before = site.names()
    with pytest.raises(AttemptFailed) as caught:
        await site.encode(job("in.mkv", "a.mp4"))
    assert caught.value.failure.reason in {Reason.INPUT_BAD, Reason.VERIFY_FAILED}
    assert site.names() == before


async def test_an_input_that_changes_during_the_encode_is_bad(site: Site) -> None:
    clip = site.clip("in.mkv")

    def grow() -> None:
        with clip.open("ab") as file:
            file.write(b"more")

    site.on_encoding = grow
    await site.fails(job("in.mkv", "a.mp4"), Reason.INPUT_BAD, "was changed while")


async def test_an_input_without_what_is_asked_for_is_bad(site: Site) -> None:
    site.clip("in.wav", "-map", "1", seconds=1)
    spec = job("in.wav", "a.mp4")
    [output] = spec.outputs
    assert output.audio is not None
    silent = replace(output, audio=replace(output.audio, codec=AudioCodec.NONE, bitrate=None))
    await site.fails(replace(spec, outputs=(silent,)), Reason.INPUT_BAD, "no picture")


async def test_an_absent_root_is_no_verdict_on_the_input(site: Site) -> None:
    site.roots.report("w1", "nonce")
    site.root.rename(site.root.with_name("away"))
    site.root.mkdir()
    await site.fails(job("in.mkv", "a.mp4"), Reason.TRANSPORT, "root 'media' is absent")


async def test_an_output_that_is_the_input_by_another_name_is_refused(site: Site) -> None:
    clip = site.clip("in.mkv")
    (site.root / "alias.mkv").symlink_to("in.mkv")
    before = clip.read_bytes()
    spec = job("in.mkv", "alias.mkv", overwrite=True)
    await site.fails(spec, Reason.INVALID_SPEC, "is the input itself")
    assert clip.read_bytes() == before


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("file/a.mp4", "lies below media:file, which is a file; choose another folder"),
        ("folder.mp4", "media:folder.mp4 is a folder; name the file to make"),
        ("out/a.mp4", r"media:\S+ leads out"),
    ],
)
async def test_a_target_that_cannot_be_written_is_told_before_any_encoding(
    site: Site, target: str, says: str
) -> None:
    (site.root / "file").write_text("")
    (site.root / "folder.mp4").mkdir()
    (site.root / "out").symlink_to("/proc")
    await site.fails(job(SMALL, "new/b.mp4", target), Reason.INVALID_SPEC, says)
    assert not site.encoding.is_set()


async def test_a_cancelled_encode_leaves_no_ffmpeg_and_no_file(site: Site) -> None:
    async with encoding(site, job(ENDLESS, "new/a.mkv")) as task:
        assert len(running()) == 1
        task.cancel()
    assert task.cancelled()
    assert running() == []
    assert site.names() == []


def descriptors() -> list[Path]:
    return sorted(Path("/proc/self/fd").iterdir())


async def test_an_attempt_holds_nothing_open_when_it_is_over(site: Site) -> None:
    """Also one that is cancelled while its files are being looked at."""
    site.clip("in.mkv")
    await site.encode(job(SMALL, "first.mkv"))
    before = descriptors()
    await site.encode(job("in.mkv", "a.mkv"))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(site.encode(job("in.mkv", "b.mkv")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
    assert descriptors() == before
    assert not list(site.links.iterdir())


async def test_the_jobs_time_out_ends_it(site: Site) -> None:
    spec = job(ENDLESS, "a.mkv", timeout=timedelta(seconds=1))
    await site.fails(spec, Reason.TIMED_OUT, r"time-out of 0:00:01 is over")


async def test_an_ffmpeg_killed_by_a_stranger_is_a_matter_of_memory(site: Site) -> None:
    def kill() -> None:
        [ffmpeg] = running()
        ffmpeg.send_signal(signal.SIGKILL)

    site.on_encoding = kill
    await site.fails(job(ENDLESS, "a.mkv"), Reason.RESOURCE_MEMORY, "ended by SIGKILL, not by us")


async def test_a_full_disk_is_a_matter_of_resources(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: it needs no rights."""
    script = tmp_path / "ffmpeg-small"
    script.write_text(f'#!/bin/sh\nulimit -f 64\nexec "{FFMPEG}" "$@"\n')
    script.chmod(0o755)
    site = Site(tmp_path / "root", str(script))
    error = await site.fails(job(ENDLESS, "new/a.mkv"), Reason.RESOURCE, "File too large")
    assert error.failure.log_tail


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with disk(tmp_path / "small") as folder:
        yield folder


async def test_a_really_full_disk_is_too(small_disk: Path) -> None:
    site = Site(small_disk)
    site.on_encoding = lambda: shrink(small_disk)
    await site.fails(job(ENDLESS, "new/a.mkv"), Reason.RESOURCE, "No space left on device")
    (small_disk / "ballast").write_bytes(b"x" * 4_100_000)
    await site.fails(job(SMALL, "new/a.mkv"), Reason.RESOURCE, r"no room for media:new/a\.mkv")


async def test_an_ffmpeg_that_is_gone_is_not_the_jobs_fault(tmp_path: Path) -> None:
    site = Site(tmp_path / "root", "/nowhere/ffmpeg")
    await site.fails(job(SMALL, "a.mp4"), Reason.RESOURCE, "cannot be started")


async def test_a_worker_without_the_encoder_says_so(tmp_path: Path) -> None:
    site = Site(tmp_path / "root")
    site.runner = Runner(roots=site.roots, tools=replace(tools(), encoders={}))
    await site.fails(job(SMALL, "a.mp4"), Reason.CAPABILITY_MISMATCH, "no encoder for h264")


async def test_raw_arguments_are_refused_by_a_worker_that_was_not_told_to_take_them(
    site: Site,
) -> None:
    [output] = job(SMALL, "a.mp4").outputs
    spec = replace(
        job(SMALL, "a.mp4"), outputs=(replace(output, raw_arguments=(RawArgument("bf", "1"),)),)
    )
    assert "--allow-raw-arguments" in site.runner.objection(spec)
    willing = Runner(roots=site.roots, tools=tools(), raw_arguments=True)
    assert willing.objection(spec) == ""


async def test_a_conflict_at_publication_leaves_only_what_was_there(site: Site) -> None:
    spec = job(SMALL, "new/a.mp4", "b.mp4")
    manifest = await site.encode(spec)
    (site.root / "b.mp4").write_text("somebody else's")
    with pytest.raises(AttemptFailed, match="exists already") as caught:
        await site.runner.publish(KEY, spec, manifest)
    assert caught.value.failure.reason is Reason.TARGET_EXISTS
    assert site.names() == ["b.mp4"]
    assert (site.root / "b.mp4").read_text() == "somebody else's"


async def test_a_discarded_attempt_leaves_nothing(site: Site) -> None:
    spec = job(SMALL, "new/deep/a.mp4")
    await site.encode(spec)
    await site.runner.discard(KEY, spec)
    await site.runner.discard(KEY, spec)
    assert site.names() == []


async def test_another_worker_publishes_what_the_first_staged(site: Site) -> None:
    spec = job(SMALL, "a.mp4")
    manifest = await site.encode(spec)
    other, key = Runner(roots=site.roots, tools=tools()), AttemptKey(JOB, 2)
    taken = await other.take_over(key, spec, manifest)
    assert taken == Manifest(manifest.files, 2)
    with pytest.raises(AttemptFailed) as caught:
        await site.runner.publish(KEY, spec, manifest)
    assert caught.value.failure.reason is Reason.TRANSPORT
    await other.publish(key, spec, taken)
    await site.runner.publish(KEY, spec, manifest)  # it finds the right bytes, and is content
    assert site.names() == ["a.mp4"]


async def test_staged_bytes_that_are_gone_are_reported(site: Site) -> None:
    spec = job(SMALL, "a.mp4", "b.mp4")
    manifest = await site.encode(spec)
    (site.root / f".b.mp4.{JOB}.1.part.mp4").unlink()
    with pytest.raises(AttemptFailed, match=r"media:b\.mp4 is gone") as caught:
        await site.runner.take_over(AttemptKey(JOB, 2), spec, manifest)
    assert caught.value.failure.reason is Reason.TRANSPORT
    assert site.names() == []


async def test_an_input_that_is_swapped_and_swapped_back_is_the_one_that_was_probed(
    site: Site,
) -> None:
    """Nothing that a look at names could tell: before and after the encode all is as it was."""
    site.clip("in.mkv")
    site.clip("other.mkv", seconds=4)
    paths = [site.root / name for name in ("in.mkv", "other.mkv", "aside.mkv")]

    def swap() -> None:
        for before, after in ((0, 2), (1, 0), (2, 1)):
            paths[before].rename(paths[after])

    def report(progress: Progress) -> None:
        before = {each.phase for each in site.reports}
        site.reports.append(progress)
        if progress.phase is not Phase.ENCODE and progress.phase not in before:
            swap()  # as the probe begins, and again before the input is checked

    spec = job("in.mkv", "a.mp4")
    manifest = await site.runner.encode(KEY, spec, report)
    await site.runner.publish(KEY, spec, manifest)
    [found] = await probe([site.root / "a.mp4"], ["it"])
    assert found.video is not None
    assert found.video.packets == 50


async def test_an_input_that_is_swapped_for_good_is_bad(site: Site) -> None:
    site.clip("in.mkv")
    site.clip("other.mkv", seconds=4)

    def swap() -> None:
        (site.root / "other.mkv").replace(site.root / "in.mkv")

    site.on_encoding = swap
    with pytest.raises(AttemptFailed, match="was changed while") as caught:
        await site.encode(job("in.mkv", "a.mp4"))
    assert caught.value.failure.reason is Reason.INPUT_BAD
    assert site.names() == ["in.mkv"]


async def test_staged_bytes_that_are_others_by_now_are_not_published(site: Site) -> None:
    """Of the same size, at the same place, and found by the process that staged them or another."""
    spec = job(SMALL, "a.mp4")
    manifest = await site.encode(spec)
    staged = site.root / f".a.mp4.{JOB}.1.part.mp4"
    staged.write_bytes(bytes(staged.stat().st_size))
    for runner in (site.runner, Runner(roots=site.roots, tools=tools())):
        with pytest.raises(AttemptFailed, match=r"media:a\.mp4 is gone"):
            await runner.publish(KEY, spec, manifest)
    assert not (site.root / "a.mp4").exists()


async def test_what_is_written_after_the_hash_is_not_published(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first output is changed, its size kept, while the second is being hashed."""
    spec = job(SMALL, "a.mkv", "b.mkv")

    class Late(Hashing):
        def __init__(self, path: Path, media: object) -> None:
            super().__init__(path, media)
            if str(media).endswith("b.mkv"):
                [staged] = site.root.glob(".a.*")
                with staged.open("r+b") as file:
                    file.write(b"evil")

    monkeypatch.setattr("ffrtmp.worker.encode.Hashing", Late)
    manifest = await site.encode(spec)
    with pytest.raises(AttemptFailed):
        await site.runner.publish(KEY, spec, manifest)
    assert not (site.root / "a.mkv").exists()
