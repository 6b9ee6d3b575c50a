"""No field of a job spec is accepted and ignored.

Every field, found by descriptor, is registered here with a spec that sets it, and with where its
effect is seen: in the command line, in what the worker must have, in the job's rank, or in a
refusal. A field that is new and not registered fails. Two fields act on the worker's files and
clock only: for these the test that shows it is named, and must exist.
"""

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.json_format import ParseDict

from ffrtmp.domain.errors import InvalidSpec
from ffrtmp.domain.figures import QualityScore
from ffrtmp.domain.labels import written
from ffrtmp.domain.scheduling import rank
from ffrtmp.domain.worker import requirements
from ffrtmp.ffmpeg import quality
from ffrtmp.ffmpeg.capabilities import CANDIDATES
from ffrtmp.ffmpeg.command import build_argv
from ffrtmp.ffmpeg.media import Kind, MediaInfo, StreamInfo
from ffrtmp.ffmpeg.plan import plan
from ffrtmp.ffmpeg.presets import expand
from ffrtmp.rpc.convert_spec import spec_from_pb
from ffrtmp.v1 import job_pb2 as pb
from ffrtmp.worker.compare import judge

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ENCODERS = {codec: encoders[0] for codec, encoders in CANDIDATES.items()}
PICTURE = StreamInfo(
    index=0, kind=Kind.VIDEO, codec="h264", packets=10, start=0.0, end=1.0, width=640, height=360
)
SOUND = StreamInfo(index=1, kind=Kind.AUDIO, codec="aac", packets=10, start=0.0, end=1.0)
SOURCE = MediaInfo(size=1, format_name="mov", declared_duration=1.0, streams=(PICTURE, SOUND))

Seen = Callable[[pb.JobSpec], str]


def argv(message: pb.JobSpec) -> str:
    spec = expand(spec_from_pb(message))
    path = spec.input.path
    planned = plan(spec, SOURCE if path else None, ENCODERS)
    targets = [output.url or output.path.path for output in spec.outputs]
    source = path.path if path else None
    return shlex.join(build_argv(planned, ffmpeg="ffmpeg", source=source, targets=targets))


def needs(message: pb.JobSpec) -> str:
    found = requirements(expand(spec_from_pb(message)))
    return f"{sorted(found.roots)} {written(found.labels)}"


def comparison(message: pb.JobSpec) -> str:
    """How the output's picture, of 100 frames in 10 s, is compared, and what is said of the bar."""
    spec = expand(spec_from_pb(message))
    planned, [asked] = plan(spec, SOURCE, ENCODERS), spec.outputs
    if asked.quality is None:
        return ""
    picture = replace(PICTURE, packets=100, end=10.0)
    made = replace(SOURCE, streams=(picture, SOUND))
    wanted = quality.comparison(asked.quality, planned.outputs[0].video, made)
    line = quality.compare_argv(planned, wanted, made, ffmpeg="f", source="s", output="o")
    score = QualityScore(metric=asked.quality.metric, score=0, frames=1, least=asked.quality.least)
    return f"{line} {judge(quality.Compared(score), asked)}"


def head_start(message: pb.JobSpec) -> str:
    """In hours."""
    spec = spec_from_pb(message)
    due = rank(submit_at=NOW, queue=spec.waits_in, priority=spec.priority)
    return f"{(NOW.timestamp() * 1_000_000 - due) / 3_600_000_000:+g} h"


def refusal(message: pb.JobSpec) -> str:
    try:
        expand(spec_from_pb(message))
    except InvalidSpec as error:
        return str(error)
    return ""


def job(**changes: object) -> dict[str, object]:
    return {"input": {"path": "m:in.mov"}, "outputs": [{"path": "m:o.mp4"}]} | changes


def output(**changes: object) -> dict[str, object]:
    return job(outputs=[{"path": "m:o.mp4"} | changes])


def video(**settings: object) -> dict[str, object]:
    return output(video=settings)


def audio(**settings: object) -> dict[str, object]:
    return output(audio=settings)


def generated(**settings: object) -> dict[str, object]:
    return job(input={"testSource": settings})


@dataclass(frozen=True)
class Effect:
    """`expected` is seen with `spec`, and not without the field: with `without`."""

    spec: dict[str, object]
    seen: Seen
    expected: str
    without: dict[str, object]


@dataclass(frozen=True)
class Elsewhere:
    """The field's value reaches the domain as `attribute`; what it does is shown by `test`."""

    spec: dict[str, object]
    attribute: str
    expected: str
    file: str
    test: str


PLAIN = job()
GENERATED = generated()
LIVE = job(outputs=[{"url": "rtmp://h/app/key"}])

EFFECTS: dict[str, Effect | Elsewhere] = {
    "JobSpec.input": Effect(PLAIN, argv, "-i file:in.mov", GENERATED),
    "JobSpec.outputs": Effect(
        job(outputs=[{"path": "m:o.mp4"}, {"path": "n:p.mkv"}]), needs, "['m', 'n']", PLAIN
    ),
    "JobSpec.overwrite": Elsewhere(
        job(overwrite=True),
        "overwrite",
        "True",
        "tests/integration/test_storage.py",
        "test_overwriting_replaces_what_was_there",
    ),
    "JobSpec.timeout": Elsewhere(
        job(timeout="1.5s"),
        "timeout",
        "0:00:01.500000",
        "tests/integration/test_runner.py",
        "test_the_jobs_time_out_ends_it",
    ),
    "JobSpec.verification": Elsewhere(
        job(verification="VERIFICATION_FULL"),
        "verification",
        "full",
        "tests/media/test_full_decode.py",
        "test_only_a_full_decode_sees_damage_inside_the_frames",
    ),
    "JobSpec.accept_truncated": Elsewhere(
        job(acceptTruncated=True),
        "accept_truncated",
        "True",
        "tests/media/test_full_decode.py",
        "test_a_cut_input_is_encoded_as_far_as_it_goes_when_asked",
    ),
    "JobSpec.queue": Effect(job(queue="QUEUE_BATCH"), head_start, "-6 h", PLAIN),
    "JobSpec.priority": Effect(job(priority="PRIORITY_HIGH"), head_start, "+1 h", PLAIN),
    "JobSpec.spec_version": Effect(
        job(specVersion=2**31), refusal, "spec_version: 2147483648", job(specVersion=1)
    ),
    "JobSpec.labels": Effect(job(labels={"zone": "eu"}), needs, "zone=eu", PLAIN),
    "JobSpec.restart": Elsewhere(
        LIVE | {"restart": {"onFailure": 2}},
        "restarts",
        "2",
        "tests/cluster/test_live.py",
        "test_a_server_that_hangs_up_ends_the_job_unless_restarts_are_allowed",
    ),
    "Restart.on_failure": Effect(
        LIVE | {"restart": {"onFailure": 1001}},
        refusal,
        "restart.on_failure: 1001",
        LIVE | {"restart": {"onFailure": 1000}},
    ),
    "Input.path": Effect(job(input={"path": "n:a.mov"}), needs, "['m', 'n']", PLAIN),
    "Input.test_source": Effect(GENERATED, argv, "-f lavfi -i testsrc2=", PLAIN),
    "TestSource.width": Effect(generated(width=64), argv, "size=64x720", GENERATED),
    "TestSource.height": Effect(generated(height=64), argv, "size=1280x64", GENERATED),
    "TestSource.frame_rate": Effect(
        generated(frameRate={"numerator": 50}), argv, ":rate=50:", GENERATED
    ),
    "TestSource.duration": Effect(generated(duration="2.5s"), argv, "duration=2.5", GENERATED),
    "FrameRate.numerator": Effect(
        video(frameRate={"numerator": 50}), argv, "fps=50 ", video(frameRate={"numerator": 25})
    ),
    "FrameRate.denominator": Effect(
        video(frameRate={"numerator": 24000, "denominator": 1001}),
        argv,
        "fps=24000/1001 ",
        video(frameRate={"numerator": 24}),
    ),
    "Output.path": Effect(output(path="m:q.mp4"), argv, "file:q.mp4", PLAIN),
    "Output.url": Effect(LIVE, argv, "-f flv -rw_timeout", PLAIN),
    "Output.container": Effect(
        output(container="CONTAINER_MKV"), argv, "-f matroska file:o.mp4", PLAIN
    ),
    "Output.preset": Effect(output(preset="360p25-h265"), argv, "-c:v libx265", PLAIN),
    "Output.video": Effect(video(codec="VIDEO_CODEC_NONE"), argv, "-map 0:1 -c:a", PLAIN),
    "Output.audio": Effect(audio(codec="AUDIO_CODEC_COPY"), argv, "-c:a copy", PLAIN),
    "Output.quality": Effect(
        output(quality={"metric": "QUALITY_METRIC_PSNR"}), comparison, "psnr@score", PLAIN
    ),
    "Quality.metric": Effect(
        output(quality={"metric": "QUALITY_METRIC_VMAF"}),
        comparison,
        "libvmaf@score",
        output(quality={"metric": "QUALITY_METRIC_SSIM"}),
    ),
    "Quality.min": Effect(
        output(quality={"metric": "QUALITY_METRIC_SSIM", "min": 0.9}),
        comparison,
        "at least 0.9",
        output(quality={"metric": "QUALITY_METRIC_SSIM"}),
    ),
    "Quality.sample": Effect(
        output(quality={"metric": "QUALITY_METRIC_SSIM", "sample": "2s"}),
        comparison,
        "select='between(n,40,59)'",
        output(quality={"metric": "QUALITY_METRIC_SSIM"}),
    ),
    "Output.raw_arguments": Effect(
        output(rawArguments=[{"name": "bf", "value": "0"}]), argv, "-bf 0 ", PLAIN
    ),
    "RawArgument.name": Effect(
        output(rawArguments=[{"name": "vf", "value": "0"}]), refusal, "allowed are tune, ", PLAIN
    ),
    "RawArgument.value": Effect(
        output(rawArguments=[{"name": "bf", "value": "17"}]),
        refusal,
        "-bf takes 0 to 16",
        output(rawArguments=[{"name": "bf", "value": "16"}]),
    ),
    "VideoSettings.codec": Effect(video(codec="VIDEO_CODEC_AV1"), argv, "libsvtav1", PLAIN),
    "VideoSettings.width": Effect(video(width=320), argv, "scale=320:180", PLAIN),
    "VideoSettings.height": Effect(video(height=90), argv, "scale=160:90", PLAIN),
    "VideoSettings.upscale": Effect(
        video(width=1280, upscale=True), argv, "scale=1280:720", video(width=1280)
    ),
    "VideoSettings.frame_rate": Effect(
        video(frameRate={"numerator": 12}), argv, "-vf fps=12 ", PLAIN
    ),
    "VideoSettings.crf": Effect(video(crf=0), argv, "-crf 0 ", PLAIN),
    "VideoSettings.bitrate": Effect(video(bitrate=10**6), argv, "-b:v 1000000", PLAIN),
    "VideoSettings.speed": Effect(video(speed="SPEED_SLOW"), argv, "-preset slow ", PLAIN),
    "AudioSettings.codec": Effect(audio(codec="AUDIO_CODEC_OPUS"), argv, "libopus", PLAIN),
    "AudioSettings.bitrate": Effect(audio(bitrate=96000), argv, "-b:a 96000", PLAIN),
}


def fields_below(message: Descriptor) -> Iterator[str]:
    """What a map is made of is no field of its own."""
    for field in message.fields:
        yield f"{message.name}.{field.name}"
        part = field.message_type
        is_ours = part is not None and part.file.package == message.file.package
        if is_ours and not part.GetOptions().map_entry:
            yield from fields_below(part)


def parsed(spec: dict[str, object]) -> pb.JobSpec:
    return ParseDict(spec, pb.JobSpec())


def test_every_field_of_the_spec_has_a_test_of_its_effect():
    assert set(fields_below(pb.JobSpec.DESCRIPTOR)) == EFFECTS.keys()


SHOWN = {name: each for name, each in EFFECTS.items() if isinstance(each, Effect)}
ELSEWHERE = {name: each for name, each in EFFECTS.items() if isinstance(each, Elsewhere)}


@pytest.mark.parametrize("effect", SHOWN.values(), ids=SHOWN.keys())
def test_a_field_has_its_effect_and_nothing_else_has_it(effect):
    assert effect.expected in effect.seen(parsed(effect.spec))
    assert effect.expected not in effect.seen(parsed(effect.without))


@pytest.mark.parametrize("effect", ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_a_field_that_acts_on_the_worker_reaches_it_and_is_tested_there(effect):
    shown, plain = (
        str(getattr(expand(spec_from_pb(parsed(spec))), effect.attribute))
        for spec in (effect.spec, PLAIN)
    )
    assert shown == effect.expected != plain
    assert f"def {effect.test}(" in (ROOT / effect.file).read_text()
