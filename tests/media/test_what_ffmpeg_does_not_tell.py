"""The facts M1 to M10 of what FFmpeg does not tell: none of them ends as a success.

Each was measured first with plain FFmpeg: an exit code of 0, or a file that plays, or both.
"""

import asyncio
import os
import re
import shutil
import signal
import struct
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from ffrtmp.domain.messages import Progress
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.session import AttemptKey, Phase
from ffrtmp.domain.spec import Input, MediaPath, Output, TestSource
from ffrtmp.storage.roots import Roots
from ffrtmp.worker.probe import probe
from ffrtmp.worker.runner import Runner
from tests.disks import disk, shrink
from tests.media.conftest import FFMPEG, KEY, PRECIOUS, Site, ffmpeg, picture, tone

pytestmark = pytest.mark.slow

ENDLESS = Input(test_source=TestSource(width=320, height=240, duration=timedelta(hours=1)))
CONTAINERS = ["mp4", "mkv", "ts"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    encoded = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "12", "-g", "50", "-c:a", "aac"]
    source = [*picture(10, "320x180", "30000/1001"), *tone(10)]
    ffmpeg(*source, *encoded, folder / "in.mkv")
    ffmpeg("-i", folder / "in.mkv", "-c", "copy", "-movflags", "+faststart", folder / "in.mp4")
    ffmpeg("-i", folder / "in.mkv", "-c", "copy", folder / "in.ts")
    return folder


def halve(content: bytearray) -> None:
    del content[len(content) // 2 :]


def damage(content: bytearray) -> None:
    middle = len(content) // 2
    content[middle : middle + (64 << 10)] = os.urandom(64 << 10)


def hole(content: bytearray) -> None:
    """As a download that was resumed at the wrong place."""
    middle = len(content) // 2
    content[middle : middle + (64 << 10)] = bytes(64 << 10)


@pytest.fixture(params=["absent", "overwritten"])
def old(request: pytest.FixtureRequest, site: Site) -> dict[str, bool]:
    """What lies at the target, and the job's settings for it."""
    if request.param == "absent":
        return {"overwrite": False}
    (site.root / "out.mp4").write_bytes(PRECIOUS)
    return {"overwrite": True}


def ruin(clips: Path, site: Site, container: str, harm: Callable[[bytearray], None]) -> str:
    name = f"in.{container}"
    content = bytearray((clips / name).read_bytes())
    harm(content)
    (site.root / name).write_bytes(content)
    return name


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("harm", [halve, damage, hole])
async def test_m1_to_m5_a_source_cut_or_damaged(
    site: Site,
    clips: Path,
    old: dict[str, bool],
    container: str,
    harm: Callable[[bytearray], None],
) -> None:
    name = ruin(clips, site, container, harm)
    shown = ffmpeg("-i", site.root / name, "-f", "null", "-", check=False)
    assert shown.returncode == 0, "plain FFmpeg calls it a success"
    failure = await site.fails(site.job(name, "out.mp4", **old))
    assert failure.reason is Reason.INPUT_BAD, failure.message
    assert re.search(r"source length: expected|the input cannot be decoded", failure.message)


@pytest.mark.parametrize("encoder", ["libx265 -preset ultrafast", "libvpx-vp9 -deadline realtime"])
async def test_m4_damage_that_the_reader_skips(site: Site, encoder: str) -> None:
    """FFmpeg reads on behind it, exits with 0 in spite of `-xerror`, and what lay between is gone.
    Of sound that goes on the length is whole."""
    clip = site.root / "in.mkv"
    options = ["-c:v", *encoder.split(), "-b:v", "1M", "-g", "25", "-cluster_time_limit", "200"]
    ffmpeg(*picture(10, "320x180"), *tone(10), *options, "-c:a", "libopus", clip)
    content = bytearray(clip.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20_000] = os.urandom(20_000)
    clip.write_bytes(content)
    shown = ffmpeg("-xerror", "-i", clip, "-c", "copy", "-f", "null", "-", check=False)
    assert shown.returncode == 0
    failure = await site.fails(site.job("in.mkv", "out.mp4"))
    assert failure.reason is Reason.INPUT_BAD


def on_encoding(site: Site, act: Callable[[], None]) -> None:
    """Acts once, when FFmpeg says how far it is."""
    done = []

    def report(progress: Progress) -> None:
        if progress.phase is Phase.ENCODE and progress.frames and not done:
            done.append(progress)
            act()

    site.report = report


def send(number: signal.Signals) -> None:
    children = psutil.Process().children(recursive=True)
    [child] = [child for child in children if child.name().startswith("ffmpeg")]
    child.send_signal(number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("container", CONTAINERS)
async def test_m6_and_m7_a_signal_of_a_stranger(
    site: Site, container: str, number: signal.Signals
) -> None:
    """FFmpeg prints `progress=end` and leaves a valid short file, but for SIGKILL."""
    target = f"out.{container}"
    (site.root / target).write_bytes(PRECIOUS)
    on_encoding(site, lambda: send(number))
    failure = await site.fails(site.job(ENDLESS, target, overwrite=True))
    assert failure.reason is Reason.RESOURCE_MEMORY
    assert f"ended by {number.name}, not by us" in failure.message


@pytest.mark.parametrize("container", CONTAINERS)
async def test_m6_an_ffmpeg_that_ends_early_and_says_all_is_well(
    site: Site, clips: Path, container: str
) -> None:
    """As `q` on its standard input does, which it never has from us."""
    shutil.copy(clips / "in.mkv", site.root)
    stops = wrapper(site, f'exec "{FFMPEG}" -t 2 "$@"')
    failure = await Site(site.root, stops).fails(site.job("in.mkv", f"out.{container}"))
    assert failure.reason is Reason.VERIFY_FAILED
    assert "V3 frames: expected 300 +- 0, found 60" in failure.message


LONG, SHORT = 43 * 60, 3 * 60
"""A film, and what became of one elsewhere: in seconds, of a frame each."""
LIARS = ["mkv", "mp4", "flv"]


def declare(clip: Path, seconds: int) -> None:
    """Makes the header say another length, wherever a container keeps it."""
    content = bytearray(clip.read_bytes())
    if clip.suffix == ".mkv":
        at = content.index(b"\x44\x89\x88") + 3
        content[at : at + 8] = struct.pack(">d", seconds * 1000.0)
    elif clip.suffix == ".flv":
        at = content.index(b"\x00\x08duration\x00") + 11
        content[at : at + 8] = struct.pack(">d", float(seconds))
    else:
        for box, scale_at, length_at in ((b"mvhd", 12, 16), (b"mdhd", 12, 16), (b"tkhd", None, 20)):
            at = content.index(box) + 4
            scale = struct.unpack_from(">I", content, at + scale_at)[0] if scale_at else 1000
            struct.pack_into(">I", content, at + length_at, seconds * scale)
    clip.write_bytes(content)


def film(clip: Path, seconds: int, says: int) -> None:
    encoded = ["-c:v", "libx264", "-preset", "ultrafast"]
    if clip.suffix == ".mp4":
        encoded += ["-use_editlist", "0", "-movflags", "+faststart"]
    ffmpeg(*picture(seconds, "64x48", "1"), *encoded, clip)
    declare(clip, says)


@pytest.mark.parametrize("container", LIARS)
async def test_m7_a_header_that_promises_a_film_and_packets_for_three_minutes(
    site: Site, old: dict[str, bool], container: str
) -> None:
    """Of an MP4 the table of its packets is the header's word too: so its packets are missing."""
    clip = site.root / f"in.{container}"
    film(clip, LONG if container == "mp4" else SHORT, says=LONG)
    if container == "mp4":
        os.truncate(clip, clip.read_bytes().index(b"mdat") + 86_000)
    assert ffmpeg("-i", clip, "-f", "null", "-", check=False).returncode == 0
    failure = await site.fails(site.job(clip.name, "out.mp4", **old))
    assert failure.reason is Reason.INPUT_BAD
    says = r"source length: expected 25\d\d\.\d\d s, found packets for 1\d\d\."
    assert re.search(says, failure.message)


@pytest.mark.parametrize("container", LIARS)
async def test_m7_a_header_that_says_three_minutes_of_a_film(site: Site, container: str) -> None:
    """Every packet becomes a frame, whatever the header says; and of an FFmpeg that stops where the
    header ends, nothing is published."""
    clip = site.root / f"in.{container}"
    film(clip, LONG, says=SHORT)
    [source] = await probe([clip], ["input"])
    assert source.declared_duration == pytest.approx(SHORT, abs=2)
    await site.transcode(site.job(clip.name, "out.mkv"))
    [found] = await probe([site.root / "out.mkv"], ["it"])
    assert found.video is not None
    assert found.video.packets == LONG
    stops = wrapper(site, f'"{FFMPEG}" -t {SHORT} "$@"')
    failure = await Site(site.root, stops).fails(site.job(clip.name, "out.mp4"))
    assert failure.reason is Reason.VERIFY_FAILED
    assert f"V3 frames: expected {LONG} +- 0, found {SHORT}" in failure.message


async def test_m7_an_output_whose_header_lies_is_measured_by_its_packets(site: Site) -> None:
    film(site.root / "in.mkv", LONG, says=LONG)
    film(site.root / "short.mkv", SHORT, says=LONG)
    writes = f'for it; do :; done; "{FFMPEG}" "$@" && cp "{site.root}/short.mkv" "${{it#file:}}"'
    failure = await Site(site.root, wrapper(site, writes)).fails(site.job("in.mkv", "out.mkv"))
    assert failure.reason is Reason.VERIFY_FAILED
    assert f"V3 frames: expected {LONG} +- 0, found {SHORT}" in failure.message


def wrapper(site: Site, script: str) -> str:
    """An FFmpeg that does something else."""
    path = site.root.parent / "ffmpeg-other"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


async def test_m6_ffmpeg_has_nobody_to_press_a_key(site: Site) -> None:
    seen = []

    def look() -> None:
        children = psutil.Process().children(recursive=True)
        [child] = [each for each in children if each.cmdline()[:1] == [str(FFMPEG)]]
        seen.append((child.cmdline()[1], Path(f"/proc/{child.pid}/fd/0").readlink()))
        child.kill()

    on_encoding(site, look)
    await site.fails(site.job(ENDLESS, "out.mkv"))
    assert seen == [("-nostdin", Path("/dev/null"))]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with disk(tmp_path / "small") as folder:
        yield folder


@pytest.mark.parametrize("container", CONTAINERS)
async def test_m8_a_full_disk(small_disk: Path, container: str) -> None:
    site = Site(small_disk)
    (site.root / f"out.{container}").write_bytes(PRECIOUS)
    on_encoding(site, lambda: shrink(small_disk))
    failure = await site.fails(site.job(ENDLESS, f"out.{container}", overwrite=True))
    assert failure.reason is Reason.RESOURCE
    assert "No space left on device" in failure.message


@pytest.mark.parametrize("order", [("media", "small"), ("small", "media")])
async def test_m9_two_outputs_and_one_full_disk(
    site: Site, small_disk: Path, order: tuple[str, str]
) -> None:
    """FFmpeg leaves a valid short file on the disk that is well."""
    site.runner = Runner(
        roots=Roots({"media": site.root, "small": small_disk}), tools=site.runner._tools
    )
    outputs = tuple(Output(path=MediaPath(root, "out.mkv")) for root in order)
    (site.root / "out.mkv").write_bytes(PRECIOUS)
    spec = site.job(ENDLESS, *outputs, overwrite=True)
    on_encoding(site, lambda: shrink(small_disk))
    failure = await site.fails(spec)
    assert failure.reason is Reason.RESOURCE
    assert "No space left on device" in failure.message
    assert Site(small_disk).names() == []


async def test_m10_two_attempts_at_one_target_never_write_to_one_file(
    site: Site, clips: Path
) -> None:
    shutil.copy(clips / "in.mkv", site.root)
    spec = site.job("in.mkv", "out.mp4", overwrite=True)
    keys = [KEY, AttemptKey(KEY.job_id, 2)]
    async with asyncio.TaskGroup() as tasks:
        made = [tasks.create_task(site.runner.encode(key, spec, site.report)) for key in keys]
    for key, manifest in zip(keys, made, strict=True):
        await site.runner.publish(key, spec, manifest.result())
    [found] = await probe([site.root / "out.mp4"], ["it"])
    assert found.video is not None
    assert found.video.packets == 300
    assert ffmpeg("-xerror", "-i", site.root / "out.mp4", "-f", "null", "-").stderr == ""
