"""Scenario names have their full effect, and every default is made explicit."""

from dataclasses import replace

import pytest

from ffrtmp.domain.errors import InvalidSpec
from ffrtmp.domain.spec import (
    AudioCodec,
    AudioSettings,
    Container,
    FrameRate,
    Input,
    JobSpec,
    MediaPath,
    Output,
    Speed,
    TestSource,
    VideoCodec,
    VideoSettings,
)
from ffrtmp.ffmpeg.presets import expand, scenario_names

SIZES = {
    "2160p": (3840, 2160),
    "4K": (3840, 2160),
    "1440p": (2560, 1440),
    "1080p": (1920, 1080),
    "720p": (1280, 720),
    "480p": (854, 480),
    "360p": (640, 360),
}
RATES = ("", "24", "25", "30", "50", "60")
CRFS = {"h264": 20, "h265": 23, "av1": 28, "vp9": 31, "vp8": 10}
NAMES = [f"{size}{rate}-{codec}" for size in SIZES for rate in RATES for codec in CRFS]


def expanded(output: Output) -> Output:
    [found] = expand(JobSpec(input=Input(test_source=TestSource()), outputs=(output,))).outputs
    return found


def mkv(**changes: object) -> Output:
    return Output(path=MediaPath("m", "o.mkv"), **changes)


def test_the_scenarios_are_those_of_the_documentation():
    assert sorted(scenario_names()) == sorted(NAMES)
    assert len(NAMES) == 7 * 6 * 5


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_sets_size_rate_codec_quality_and_effort_and_leaves_no_name(name):
    head, codec = name.split("-")
    size = next(size for size in SIZES if head.startswith(size))
    rate = head.removeprefix(size)
    found = expanded(mkv(preset=name))
    assert found.preset == ""
    assert found.container is Container.MKV
    assert found.video == VideoSettings(
        codec=VideoCodec(codec),
        width=SIZES[size][0],
        height=SIZES[size][1],
        frame_rate=FrameRate(int(rate)) if rate else None,
        crf=CRFS[codec],
        speed=Speed.MEDIUM,
    )
    assert found.audio == AudioSettings(codec=AudioCodec.AAC, bitrate=160_000)


@pytest.mark.parametrize(
    ("preset", "nearest"),
    [
        ("1080p30-x264", "1080p30-h264"),
        ("1080p-hevc", "1080p-vp"),
        ("4k-av1", "4K-av1"),
        ("720p31-h264", "720p30-h264"),
        ("1080i-h264", "1080p-h264"),
    ],
)
def test_an_unknown_scenario_names_the_nearest(preset, nearest):
    with pytest.raises(InvalidSpec, match=f"did you mean {nearest}") as refused:
        expanded(mkv(preset=preset))
    assert (refused.value.field, refused.value.value) == ("outputs[0].preset", preset)


def test_a_scenario_that_resembles_none_says_how_one_is_written():
    with pytest.raises(
        InvalidSpec, match=r"SIZE\[RATE\]-CODEC, for example 1080p30-h264"
    ) as refused:
        expanded(mkv(preset="##"))
    assert "did you mean" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "container"),
    [
        ("a.mp4", "mp4"),
        ("a.M4V", "mp4"),
        ("a.mov", "mov"),
        ("a.mkv", "mkv"),
        ("a.webm", "webm"),
        ("a.ts", "ts"),
        ("a.m2ts", "ts"),
        ("a.MTS", "ts"),
        ("dir.mp4/a.mkv", "mkv"),
    ],
)
def test_the_ending_says_the_container(name, container):
    assert str(expanded(Output(path=MediaPath("m", name))).container) == container


@pytest.mark.parametrize("name", ["a", "a.avi", "mp4", "a.mp4.bak"])
def test_an_ending_that_says_nothing_is_refused_with_those_that_do(name):
    with pytest.raises(InvalidSpec, match=r"end it in \.mp4, .*or set the container"):
        expanded(Output(path=MediaPath("m", name)))
    found = expanded(Output(path=MediaPath("m", name), container=Container.MKV))
    assert found.container is Container.MKV


def test_webm_defaults_to_vp9_and_opus_and_everything_else_to_h264_and_aac():
    webm, mov = (expanded(Output(path=MediaPath("m", f"a.{end}"))) for end in ("webm", "mov"))
    assert (webm.video.codec, webm.audio.codec, webm.audio.bitrate) == ("vp9", "opus", 128_000)
    assert (mov.video.codec, mov.audio.codec, mov.audio.bitrate) == ("h264", "aac", 160_000)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"codec": VideoCodec.H265}, {"codec": "h265", "crf": 23, "width": 1280}),
        ({"width": 640}, {"width": 640, "height": None}),
        ({"height": 360}, {"width": None, "height": 360}),
        ({"frame_rate": FrameRate(25)}, {"frame_rate": FrameRate(25), "width": 1280}),
        ({"crf": 30}, {"crf": 30, "bitrate": None}),
        ({"bitrate": 10**6}, {"crf": None, "bitrate": 10**6}),
        ({"speed": Speed.SLOW}, {"speed": "slow"}),
        ({"upscale": True}, {"upscale": True, "width": 1280, "height": 720}),
        ({"codec": VideoCodec.COPY}, {"codec": "copy", "width": None, "crf": None, "speed": None}),
        ({"codec": VideoCodec.NONE}, {"codec": "none", "width": None, "crf": None}),
    ],
)
def test_what_is_asked_goes_before_the_scenario(asked, expected):
    found = expanded(mkv(preset="720p30-h264", video=VideoSettings(**asked))).video
    assert {name: getattr(found, name) for name in expected} == expected


def test_copied_and_absent_sound_gets_no_bitrate():
    for codec in (AudioCodec.COPY, AudioCodec.NONE):
        found = expanded(mkv(audio=AudioSettings(codec=codec)))
        assert found.audio == AudioSettings(codec=codec)


def test_what_only_shows_when_expanded_is_refused_too():
    with pytest.raises(InvalidSpec, match="0 to 51 for h264"):
        expanded(mkv(video=VideoSettings(crf=60)))
    with pytest.raises(InvalidSpec, match="webm holds"):
        expanded(Output(path=MediaPath("m", "a.webm"), preset="720p-h264"))


def test_what_is_expanded_expands_to_itself():
    spec = JobSpec(
        input=Input(test_source=TestSource()),
        outputs=(mkv(preset="4K60-av1"), Output(path=MediaPath("m", "b.webm"))),
    )
    once = expand(spec)
    assert expand(once) == once
    assert replace(once, outputs=spec.outputs, queue=None) == spec
