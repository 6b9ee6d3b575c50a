"""Every refusal of a spec names the field, the value and what would be right."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ffrtmp.domain.errors import InvalidArgument, InvalidSpec
from ffrtmp.domain.spec import (
    CARRIES,
    MAX_CRF,
    AudioCodec,
    AudioSettings,
    Container,
    FrameRate,
    Input,
    JobSpec,
    MediaPath,
    Output,
    TestSource,
    VideoCodec,
    VideoSettings,
    encoded_codecs,
)
from ffrtmp.domain.spec_rules import validate

SOURCE = Input(path=MediaPath("media", "in.mov"))
GENERATED = Input(test_source=TestSource())
TARGET = MediaPath("media", "out.mp4")
GOOD = JobSpec(input=SOURCE, outputs=(Output(path=TARGET),))


def output(path: str) -> Output:
    return Output(path=MediaPath("media", path))


def with_input(path: str, root: str = "media") -> JobSpec:
    return replace(GOOD, input=Input(path=MediaPath(root, path)))


def with_test(**changes: object) -> JobSpec:
    return replace(GOOD, input=Input(test_source=TestSource(**changes)))


def with_video(**settings: object) -> JobSpec:
    return replace(GOOD, outputs=(Output(path=TARGET, video=VideoSettings(**settings)),))


def with_audio(**settings: object) -> JobSpec:
    return replace(GOOD, outputs=(Output(path=TARGET, audio=AudioSettings(**settings)),))


def with_all(container: Container, video: VideoCodec, audio: AudioCodec) -> JobSpec:
    output = Output(
        path=TARGET,
        container=container,
        video=VideoSettings(codec=video),
        audio=AudioSettings(codec=audio),
    )
    return replace(GOOD, outputs=(output,))


MANY = tuple(Output(path=MediaPath("m", f"{n}.mp4")) for n in range(33))

REFUSALS = [
    (replace(GOOD, spec_version=0), "spec_version", "this build knows 1"),
    (replace(GOOD, spec_version=2), "spec_version", "this build knows 1"),
    (
        replace(GOOD, input=GENERATED, accept_truncated=True),
        "accept_truncated",
        "a generated input is whole",
    ),
    (replace(GOOD, input=Input()), "input", "exactly one of path and test_source"),
    (
        replace(GOOD, input=Input(path=TARGET, test_source=TestSource())),
        "input",
        "exactly one of path and test_source",
    ),
    (replace(GOOD, outputs=()), "outputs", "1 to 32 outputs"),
    (replace(GOOD, outputs=MANY), "outputs", "1 to 32 outputs"),
    (with_input("a.mov", root="me/dia"), "input.path", "a root's name has letters"),
    (with_input("a.mov", root="médias"), "input.path", "a root's name has letters"),
    (with_input("a\nb.mov"), "input.path", "printable characters"),
    (with_input("a\x00b.mov"), "input.path", "printable characters"),
    (with_input("/etc/passwd"), "input.path", "no leading /"),
    (with_input("/".join(["a" * 99] * 42)), "input.path", "at most 4096 bytes"),
    (with_input("a/../../b"), "input.path", "no empty, . or .. part"),
    (with_input("a/./b"), "input.path", "no empty, . or .. part"),
    (with_input("a//b"), "input.path", "no empty, . or .. part"),
    (with_input("a/"), "input.path", "no empty, . or .. part"),
    (with_input("a/" + "b" * 256), "input.path", "a name has at most 255 bytes"),
    (with_input("ü" * 128), "input.path", "a name has at most 255 bytes"),
    (with_input("a/" * 101 + "b.mov"), "input.path", "at most 100 folders"),
    (
        replace(GOOD, outputs=(output("o.mp4"), output("o.mp4/o.mp4"))),
        "outputs[1].path",
        "media:o.mp4 is a file of this job, no folder",
    ),
    (
        replace(GOOD, outputs=(output("x/y/o.mp4"), output("x/y"))),
        "outputs[0].path",
        "media:x/y is a file of this job, no folder",
    ),
    (
        replace(with_input("in.mov"), outputs=(output("in.mov/o.mp4"),)),
        "outputs[0].path",
        "media:in.mov is a file of this job, no folder",
    ),
    (with_test(width=14), "input.test_source.width", "16 to 8192"),
    (with_test(width=8194), "input.test_source.width", "16 to 8192"),
    (with_test(height=17), "input.test_source.height", "an even number"),
    (with_test(frame_rate=FrameRate(0)), "input.test_source.frame_rate", "1 to 240"),
    (with_test(frame_rate=FrameRate(241)), "input.test_source.frame_rate", "1 to 240"),
    (with_test(frame_rate=FrameRate(1, 2)), "input.test_source.frame_rate", "1 to 240"),
    (with_test(frame_rate=FrameRate(30, 0)), "input.test_source.frame_rate", "1 to 240"),
    (with_test(duration=timedelta(0)), "input.test_source.duration", "0.1 s to 24 h"),
    (with_test(duration=timedelta(hours=25)), "input.test_source.duration", "0.1 s to 24 h"),
    (with_video(codec=VideoCodec.COPY, width=640), "outputs[0].video.width", "nothing is encoded"),
    (with_video(codec=VideoCodec.COPY, crf=0), "outputs[0].video.crf", "nothing is encoded"),
    (
        with_video(codec=VideoCodec.NONE, upscale=True),
        "outputs[0].video.upscale",
        "with codec none",
    ),
    (with_video(width=15), "outputs[0].video.width", "an even number"),
    (with_video(height=9000), "outputs[0].video.height", "16 to 8192"),
    (with_video(frame_rate=FrameRate(500)), "outputs[0].video.frame_rate", "1 to 240"),
    (with_video(crf=20, bitrate=10**6), "outputs[0].video.bitrate", "crf or bitrate, not both"),
    (with_video(codec=VideoCodec.H264, crf=52), "outputs[0].video.crf", "0 to 51 for h264"),
    (with_video(codec=VideoCodec.AV1, crf=64), "outputs[0].video.crf", "0 to 63 for av1"),
    (with_video(codec=VideoCodec.VP9, crf=-1), "outputs[0].video.crf", "0 to 63 for vp9"),
    (with_video(bitrate=7999), "outputs[0].video.bitrate", "8000 to 500000000"),
    (with_audio(bitrate=10**9), "outputs[0].audio.bitrate", "8000 to 500000000"),
    (
        with_audio(codec=AudioCodec.COPY, bitrate=128_000),
        "outputs[0].audio.bitrate",
        "nothing is encoded with codec copy",
    ),
    (
        with_all(Container.WEBM, VideoCodec.H264, AudioCodec.OPUS),
        "outputs[0].video.codec",
        "webm holds av1, vp8, vp9",
    ),
    (
        with_all(Container.MOV, VideoCodec.H264, AudioCodec.OPUS),
        "outputs[0].audio.codec",
        "mov holds aac",
    ),
    (
        with_all(Container.MP4, VideoCodec.NONE, AudioCodec.NONE),
        "outputs[0].audio.codec",
        "picture or sound",
    ),
    (
        replace(GOOD, outputs=(Output(path=TARGET), Output(path=TARGET))),
        "outputs[1].path",
        "two outputs, one file",
    ),
    (
        replace(GOOD, outputs=(Output(path=MediaPath("media", "in.mov")),)),
        "outputs[0].path",
        "the output is the input",
    ),
    (replace(GOOD, timeout=timedelta(0)), "timeout", "1 second to 30 days"),
    (replace(GOOD, timeout=timedelta(days=31)), "timeout", "1 second to 30 days"),
]


@pytest.mark.parametrize(("spec", "field", "expected"), REFUSALS)
def test_a_wrong_value_is_refused_by_field_with_what_is_right(spec, field, expected):
    with pytest.raises(InvalidSpec) as refused:
        validate(spec)
    assert refused.value.field == field
    assert expected in refused.value.expected
    assert str(refused.value).startswith(f"{field}: ")
    assert "<" not in str(refused.value), "a value is shown as it is written"


EDGES = [
    GOOD,
    with_input("a/b-c_d (1) é.mov"),
    with_input("b" * 255),
    with_test(width=16, height=8192, frame_rate=FrameRate(240), duration=timedelta(hours=24)),
    with_test(frame_rate=FrameRate(1), duration=timedelta(seconds=0.1)),
    with_video(codec=VideoCodec.H264, crf=51),
    with_video(codec=VideoCodec.VP8, crf=0, bitrate=None),
    with_video(crf=60),  # judged when the codec is known
    with_video(bitrate=8_000),
    with_audio(bitrate=500_000_000),
    with_video(codec=VideoCodec.COPY),
    with_all(Container.MP4, VideoCodec.COPY, AudioCodec.NONE),
    with_all(Container.MP4, VideoCodec.NONE, AudioCodec.AAC),
    replace(GOOD, outputs=MANY[:32]),
    replace(GOOD, timeout=timedelta(seconds=1)),
    replace(GOOD, timeout=timedelta(days=30)),
]


@pytest.mark.parametrize("spec", EDGES)
def test_what_lies_on_the_edge_is_accepted(spec):
    validate(spec)


@pytest.mark.parametrize("container", [each for each in Container if each is not Container.FLV])
def test_each_container_takes_what_it_carries_and_refuses_the_rest(container):
    videos, audios = CARRIES[container]
    for video in MAX_CRF:
        for audio in (AudioCodec.AAC, AudioCodec.OPUS):
            spec = with_all(container, video, audio)
            if video in videos and audio in audios:
                validate(spec)
            else:
                with pytest.raises(InvalidSpec, match=f"{container} holds"):
                    validate(spec)


@pytest.mark.parametrize("text", ["", "a.mov", ":a.mov", "media:"])
def test_a_path_without_root_or_name_is_refused_with_an_example(text):
    with pytest.raises(InvalidSpec, match=r"media:shows/a\.mkv") as refused:
        MediaPath.parse(text, name="input.path")
    assert (refused.value.field, refused.value.value) == ("input.path", text)


def test_a_path_keeps_later_colons():
    assert MediaPath.parse("m:a:b.mov", name="x") == MediaPath("m", "a:b.mov")
    assert str(MediaPath("m", "a:b.mov")) == "m:a:b.mov"


def test_an_error_can_be_named_within_its_owner_and_keeps_its_kind():
    error = InvalidSpec("outputs", 0, "a job has 1 to 32 outputs").within("jobs[3]")
    assert type(error) is InvalidSpec
    assert isinstance(error, InvalidArgument)
    assert (error.field, error.value) == ("jobs[3].outputs", 0)


def test_a_job_needs_every_root_it_reads_or_writes():
    spec = replace(
        GOOD, outputs=(Output(path=MediaPath("a", "x")), Output(path=MediaPath("b", "y")))
    )
    assert spec.roots == {"media", "a", "b"}
    assert replace(spec, input=GENERATED).roots == {"a", "b"}
    assert spec.targets == (MediaPath("a", "x"), MediaPath("b", "y"))


def test_only_what_is_encoded_needs_an_encoder():
    def codecs(video: VideoCodec, audio: AudioCodec) -> list[str]:
        return list(encoded_codecs(with_all(Container.MKV, video, audio)))

    assert codecs(VideoCodec.H265, AudioCodec.OPUS) == ["h265", "opus"]
    assert codecs(VideoCodec.COPY, AudioCodec.AAC) == ["aac"]
    assert codecs(VideoCodec.NONE, AudioCodec.COPY) == []
    assert list(encoded_codecs(GOOD)) == []


def test_a_rate_is_shown_as_a_ratio_only_where_it_is_one():
    assert [str(FrameRate(30)), str(FrameRate(30000, 1001))] == ["30", "30000/1001"]
