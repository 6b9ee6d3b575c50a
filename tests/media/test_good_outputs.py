"""Outputs that FFmpeg makes wrong, or not at all, when it is asked the obvious way."""

from pathlib import Path

import pytest

from ffrtmp.domain.spec import FrameRate, MediaPath, Output, Speed, VideoCodec, VideoSettings
from ffrtmp.ffmpeg.media import MediaInfo, StreamInfo
from ffrtmp.worker.probe import probe
from tests.media.conftest import Site, ffmpeg, picture, tone


def output(path: str, **video: object) -> Output:
    settings = VideoSettings(speed=Speed.FASTEST, **video)  # type: ignore[arg-type]
    return Output(path=MediaPath("media", path), video=settings)


async def made(site: Site, *names: str) -> list[StreamInfo]:
    found: list[MediaInfo] = await probe([site.root / name for name in names], names)
    return [media.video for media in found if media.video is not None]


@pytest.mark.parametrize("rate", ["25/2", "24"])
async def test_outputs_of_old_and_new_rates_do_not_wait_for_each_other(
    site: Site, rate: str
) -> None:
    """Over one reader FFmpeg 9 stops for ever."""
    ffmpeg(*picture(2, rate=rate), *tone(2), "-c:v", "libx264", site.root / "in.mp4")
    outputs = [
        output("a.mp4"),
        output("b.ts", frame_rate=FrameRate(30)),
        output("c.mov", codec=VideoCodec.H265),
    ]
    await site.transcode(site.job("in.mp4", *outputs))
    kept, faster, other = await made(site, "a.mp4", "b.ts", "c.mov")
    assert faster.packets == 60
    assert kept.packets == other.packets


@pytest.mark.parametrize(("before", "after"), [("30", 25), ("50", 30), ("25", 60)])
async def test_a_new_rate_has_the_frames_of_the_length(site: Site, before: str, after: int) -> None:
    """`-r` adds two at the end."""
    ffmpeg(*picture(2, rate=before), *tone(2), "-c:v", "libx264", site.root / "in.mp4")
    await site.transcode(site.job("in.mp4", output("out.mp4", frame_rate=FrameRate(after))))
    [found] = await made(site, "out.mp4")
    assert found.packets == 2 * after


async def test_a_picture_that_begins_late_still_does_at_a_new_rate(site: Site) -> None:
    """`-r` shows its first frame from the start of the sound on."""
    clip = site.root / "in.mkv"
    ffmpeg("-itsoffset", "0.6", *picture(2), *tone(3), "-c:v", "libx264", "-c:a", "aac", clip)
    await site.transcode(site.job("in.mkv", output("out.mkv", frame_rate=FrameRate(30))))
    [found] = await made(site, "out.mkv")
    assert found.packets == 60
    assert found.start == pytest.approx(0.6, abs=0.05)


async def test_a_copy_that_an_edit_list_cuts_is_not_made_without_one(
    site: Site, tmp_path: Path
) -> None:
    whole = tmp_path / "whole.mp4"
    ffmpeg(*picture(2), "-c:v", "libx264", "-g", "50", whole)
    ffmpeg("-ss", "0.7", "-i", whole, "-c", "copy", site.root / "in.mp4")
    settings = VideoSettings(codec=VideoCodec.COPY)
    copies = [Output(path=MediaPath("media", name), video=settings) for name in ("a.mp4", "b.mkv")]
    await site.transcode(site.job("in.mp4", copies[0]))
    failure = await site.fails(site.job("in.mp4", copies[1]))
    assert "cut by an edit list, which mkv does not have" in failure.message
