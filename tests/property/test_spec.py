"""Specs through protobuf: what is said arrives, and what is broken is refused, never half-read."""

from contextlib import suppress
from datetime import timedelta

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

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
    Priority,
    Queue,
    Speed,
    TestSource,
    VideoCodec,
    VideoSettings,
)
from ffrtmp.domain.spec_rules import validate
from ffrtmp.domain.worker import requirements
from ffrtmp.ffmpeg.capabilities import CANDIDATES
from ffrtmp.ffmpeg.command import build_argv
from ffrtmp.ffmpeg.plan import plan
from ffrtmp.ffmpeg.presets import expand, scenario_names
from ffrtmp.rpc.convert_spec import spec_from_pb, spec_to_pb
from ffrtmp.v1 import job_pb2 as pb

ENCODERS = {codec: encoders[0] for codec, encoders in CANDIDATES.items()}

positive = st.integers(1, 2**31)
words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
paths = st.builds(MediaPath, words.filter(lambda text: ":" not in text), words)
rates = st.builds(FrameRate, positive, positive)
spans = st.timedeltas(timedelta(microseconds=1), timedelta(days=365))
sides = st.none() | positive


@st.composite
def videos(draw) -> VideoSettings:
    quality = draw(st.sampled_from(["crf", "bitrate", None]))
    return VideoSettings(
        codec=draw(st.none() | st.sampled_from(VideoCodec)),
        width=draw(sides),
        height=draw(sides),
        upscale=draw(st.booleans()),
        frame_rate=draw(st.none() | rates),
        crf=draw(st.integers(0, 99)) if quality == "crf" else None,
        bitrate=draw(st.integers(0, 2**63)) if quality == "bitrate" else None,
        speed=draw(st.none() | st.sampled_from(Speed)),
    )


audios = st.builds(
    AudioSettings,
    codec=st.none() | st.sampled_from(AudioCodec),
    bitrate=st.none() | st.integers(1, 2**63),
)
sources = st.builds(TestSource, width=positive, height=positive, frame_rate=rates, duration=spans)
inputs = st.builds(Input, path=paths) | st.builds(Input, test_source=sources)
outputs = st.builds(
    Output,
    path=paths,
    container=st.none() | st.sampled_from(Container),
    preset=st.just("") | st.sampled_from(scenario_names()) | words,
    video=st.none() | videos(),
    audio=st.none() | audios,
)
specs = st.builds(
    JobSpec,
    input=inputs,
    outputs=st.lists(outputs, max_size=3).map(tuple),
    overwrite=st.booleans(),
    timeout=st.none() | spans,
    queue=st.sampled_from(Queue),
    priority=st.sampled_from(Priority),
    spec_version=positive,
    labels=st.dictionaries(words, words, max_size=3),
)


@given(spec=specs)
def test_what_is_said_arrives(spec):
    sent = spec_to_pb(spec).SerializeToString()
    assert spec_from_pb(pb.JobSpec.FromString(sent)) == spec


def test_an_empty_spec_is_read_as_its_defaults_and_then_refused():
    spec = spec_from_pb(pb.JobSpec())
    assert spec == JobSpec(input=Input(), outputs=())
    assert spec_from_pb(spec_to_pb(spec)) == spec
    with pytest.raises(InvalidSpec, match="exactly one of path and test_source"):
        validate(spec)


GOOD = JobSpec(
    input=Input(test_source=TestSource(duration=timedelta(seconds=1.5))),
    outputs=(
        Output(path=MediaPath("m", "a.mp4"), preset="1080p30-h264"),
        Output(
            path=MediaPath("m", "b.mkv"),
            container=Container.MKV,
            video=VideoSettings(
                codec=VideoCodec.AV1,
                width=640,
                height=360,
                upscale=True,
                frame_rate=FrameRate(24000, 1001),
                crf=30,
                speed=Speed.FAST,
            ),
            audio=AudioSettings(codec=AudioCodec.OPUS, bitrate=96_000),
        ),
    ),
    overwrite=True,
    timeout=timedelta(minutes=5),
    queue=Queue.BATCH,
    priority=Priority.HIGH,
    labels={"zone": "eu", "gpu": "none"},
)
SAMPLES = [
    spec_to_pb(GOOD).SerializeToString(),
    spec_to_pb(expand(GOOD)).SerializeToString(),
    spec_to_pb(
        JobSpec(
            input=Input(path=MediaPath("m", "in.mov")),
            outputs=(Output(path=MediaPath("m", "o.webm")),),
        )
    ).SerializeToString(),
]
changes = st.lists(st.tuples(st.integers(0, 10**4), st.integers(0, 255)), min_size=1, max_size=4)


@given(sample=st.sampled_from(SAMPLES), places=changes)
@settings(max_examples=800)
def test_a_broken_spec_is_refused_by_name_or_carried_out_but_never_makes_us_fail(sample, places):
    data = bytearray(sample)
    for place, byte in places:
        data[place % len(data)] = byte
    try:
        message = pb.JobSpec.FromString(bytes(data))
    except DecodeError:
        return
    with suppress(InvalidSpec):
        spec = expand(spec_from_pb(message))
        assert requirements(spec).roots
        if spec.input.test_source is not None:
            targets = [target.path for target in spec.targets]
            build_argv(plan(spec, None, ENCODERS), ffmpeg="f", source=None, targets=targets)


@given(spec=specs)
@settings(max_examples=200)
def test_any_spec_is_refused_by_name_or_expanded_to_what_expands_to_itself(spec):
    with suppress(InvalidSpec):
        expanded = expand(spec)
        assert expand(expanded) == expanded
        for output in expanded.outputs:
            assert output.container is not None
            assert output.video.codec is not None
            assert output.audio.codec is not None
            assert output.preset == ""


UNKNOWN = b"\xfa\x06\x02hi"  # field number 111


@pytest.mark.parametrize(
    ("place", "named"),
    [
        (lambda spec: spec, "spec, field number 111"),
        (lambda spec: spec.input.test_source, "spec.input.test_source, field number 111"),
        (lambda spec: spec.outputs[1].video.frame_rate, "video.frame_rate, field number 111"),
    ],
)
def test_a_field_that_this_build_does_not_know_is_refused_at_any_depth(place, named):
    message = spec_to_pb(GOOD)
    place(message).MergeFromString(UNKNOWN)
    with pytest.raises(InvalidSpec, match=named) as refused:
        spec_from_pb(message)
    assert "spec version" in str(refused.value)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"queue": 99}, "queue"),
        ({"priority": 99}, "priority"),
        ({"outputs": [pb.Output(path="m:a", container=99)]}, "outputs[0].container"),
        (
            {"outputs": [pb.Output(path="m:a", video=pb.VideoSettings(codec=99))]},
            "outputs[0].video.codec",
        ),
        (
            {"outputs": [pb.Output(path="m:a", video=pb.VideoSettings(speed=99))]},
            "outputs[0].video.speed",
        ),
        (
            {"outputs": [pb.Output(path="m:a", audio=pb.AudioSettings(codec=99))]},
            "outputs[0].audio.codec",
        ),
        (
            {"outputs": [pb.Output(path="m:a", video=pb.VideoSettings(frame_rate=pb.FrameRate()))]},
            "outputs[0].video.frame_rate",
        ),
        ({"input": pb.Input(path="nowhere")}, "input.path"),
        ({"timeout": {"seconds": 2**60}}, "timeout"),
    ],
)
def test_what_cannot_be_understood_is_refused_by_field(change, field):
    with pytest.raises(InvalidSpec) as refused:
        spec_from_pb(pb.JobSpec(**change))
    assert refused.value.field == field
