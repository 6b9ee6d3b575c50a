"""How large an output may become."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ffrtmp.domain.spec import (
    AudioCodec,
    AudioSettings,
    Input,
    JobSpec,
    MediaPath,
    Output,
    TestSource,
    VideoCodec,
    VideoSettings,
)
from ffrtmp.ffmpeg.capabilities import CANDIDATES
from ffrtmp.ffmpeg.estimate import output_bytes
from ffrtmp.ffmpeg.media import Kind, MediaInfo, StreamInfo
from ffrtmp.ffmpeg.plan import plan
from ffrtmp.ffmpeg.presets import expand

ENCODERS = {codec: encoders[0] for codec, encoders in CANDIDATES.items()}
MINUTE = timedelta(minutes=1)
PICTURE = StreamInfo(
    index=0,
    kind=Kind.VIDEO,
    codec="h264",
    packets=1500,
    start=0.0,
    end=60.0,
    width=1280,
    height=720,
    pixel_format="yuv420p",
)
SOUND = StreamInfo(index=1, kind=Kind.AUDIO, codec="aac", packets=100, start=0.0, end=60.0)
SOURCE = MediaInfo(
    size=100_000_000, format_name="mov", declared_duration=60.0, streams=(PICTURE, SOUND)
)


def estimate(source: MediaInfo | None = SOURCE, name: str = "o.mkv", **settings: object) -> int:
    output = Output(path=MediaPath("m", name), **settings)
    read = Input(path=MediaPath("m", "i"))
    generated = Input(test_source=TestSource(duration=MINUTE))
    spec = expand(JobSpec(input=read if source else generated, outputs=(output,)))
    return output_bytes(plan(spec, source, ENCODERS).outputs[0], source)


def test_a_bitrate_is_arithmetic_with_something_to_spare():
    size = estimate(video=VideoSettings(bitrate=8_000_000))
    assert 60_000_000 < size < 100_000_000


def test_a_copy_is_no_larger_than_its_file():
    copied = estimate(
        video=VideoSettings(codec=VideoCodec.COPY), audio=AudioSettings(codec=AudioCodec.COPY)
    )
    assert SOURCE.size < copied < SOURCE.size * 1.2


def test_sound_alone_is_small():
    assert estimate(video=VideoSettings(codec=VideoCodec.NONE)) < 3_000_000


@pytest.mark.parametrize("codec", [each for each in ENCODERS if each not in {"aac", "opus"}])
def test_a_lower_crf_asks_for_more_and_a_smaller_box_for_less(codec):
    video = VideoSettings(codec=VideoCodec(codec), crf=30)
    assert estimate(None, video=replace(video, crf=12)) > 2 * estimate(None, video=video)
    assert estimate(None, video=replace(video, width=320)) < estimate(None, video=video) / 2


def test_nothing_is_larger_than_uncompressed():
    raw = 1280 * 720 * 1800 * 12 / 8
    lossless = estimate(None, video=VideoSettings(crf=0), name="o.mp4")
    assert lossless < raw * 1.1


def test_what_was_hard_to_compress_before_is_so_again():
    noisy = replace(SOURCE, size=1_000_000_000)
    assert estimate(noisy) > 900_000_000
    edited = replace(noisy, streams=(replace(PICTURE, codec="prores"), SOUND))
    assert estimate(edited) < 100_000_000  # so much is spent on any picture there


def test_a_source_that_spends_little_cannot_become_large():
    thrifty = replace(SOURCE, size=1_000_000)
    assert estimate(thrifty) < 9_000_000 < estimate()
