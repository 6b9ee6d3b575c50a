"""The job spec, to and from the wire. A spec is never half-understood: what this build does not
know, a field or an enum's member, is refused by name."""

from dataclasses import replace
from datetime import timedelta

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from ffrtmp.domain.errors import InvalidArgument, InvalidSpec
from ffrtmp.domain.raw_arguments import RawArgument
from ffrtmp.domain.spec import (
    SPEC_VERSION,
    AudioSettings,
    FrameRate,
    Input,
    JobSpec,
    MediaPath,
    Output,
    Priority,
    Quality,
    Restart,
    TestSource,
    Verification,
    VideoSettings,
)
from ffrtmp.rpc.enums import (
    AUDIO_CODECS,
    CONTAINERS,
    METRICS,
    PRIORITIES,
    QUEUES,
    SPEEDS,
    VERIFICATIONS,
    VIDEO_CODECS,
)
from ffrtmp.rpc.times import from_duration, to_duration
from ffrtmp.v1 import job_pb2 as pb


def spec_from_pb(spec: pb.JobSpec) -> JobSpec:
    """Raises InvalidSpec."""
    if _has_unknown(spec):
        _refuse_unknown(spec, "spec")
    return JobSpec(
        input=_input_from_pb(spec.input),
        outputs=tuple(
            _output_from_pb(output, f"outputs[{number}]")
            for number, output in enumerate(spec.outputs)
        ),
        overwrite=spec.overwrite,
        timeout=_span(spec, "timeout", "timeout"),
        queue=QUEUES.chosen(spec.queue, "queue"),
        priority=PRIORITIES.chosen(spec.priority, "priority") or Priority.NORMAL,
        verification=VERIFICATIONS.chosen(spec.verification, "verification")
        or Verification.PACKETS,
        accept_truncated=spec.accept_truncated,
        spec_version=spec.spec_version or SPEC_VERSION,
        restart=Restart(on_failure=spec.restart.on_failure) if spec.HasField("restart") else None,
        labels=dict(spec.labels),
    )


def _input_from_pb(source: pb.Input) -> Input:
    match source.WhichOneof("source"):
        case "path":
            return Input(path=MediaPath.parse(source.path, name="input.path"))
        case "test_source":
            return Input(test_source=_test_source_from_pb(source.test_source))
        case _:
            return Input()


def _test_source_from_pb(source: pb.TestSource) -> TestSource:
    default = TestSource()
    name = "input.test_source"
    return TestSource(
        width=source.width or default.width,
        height=source.height or default.height,
        frame_rate=_rate(source, f"{name}.frame_rate") or default.frame_rate,
        duration=_span(source, "duration", f"{name}.duration") or default.duration,
    )


def _output_from_pb(output: pb.Output, name: str) -> Output:
    return Output(
        path=MediaPath.parse(output.path, name=f"{name}.path") if output.path else None,
        url=output.url,
        container=CONTAINERS.chosen(output.container, f"{name}.container"),
        preset=output.preset,
        video=_video_from_pb(output.video, f"{name}.video") if output.HasField("video") else None,
        audio=_audio_from_pb(output.audio, f"{name}.audio") if output.HasField("audio") else None,
        quality=_quality_from_pb(output, f"{name}.quality"),
        raw_arguments=tuple(RawArgument(each.name, each.value) for each in output.raw_arguments),
    )


def _quality_from_pb(output: pb.Output, name: str) -> Quality | None:
    if not output.HasField("quality"):
        return None
    asked = output.quality
    found = Quality(
        metric=METRICS.required(asked.metric, f"{name}.metric"),
        least=asked.min if asked.HasField("min") else None,
    )
    sample = _span(asked, "sample", f"{name}.sample")
    return found if sample is None else replace(found, sample=sample)


def _video_from_pb(video: pb.VideoSettings, name: str) -> VideoSettings:
    control = video.WhichOneof("rate_control")
    return VideoSettings(
        codec=VIDEO_CODECS.chosen(video.codec, f"{name}.codec"),
        width=video.width or None,
        height=video.height or None,
        upscale=video.upscale,
        frame_rate=_rate(video, f"{name}.frame_rate"),
        crf=video.crf if control == "crf" else None,
        bitrate=video.bitrate if control == "bitrate" else None,
        speed=SPEEDS.chosen(video.speed, f"{name}.speed"),
    )


def _audio_from_pb(audio: pb.AudioSettings, name: str) -> AudioSettings:
    return AudioSettings(
        codec=AUDIO_CODECS.chosen(audio.codec, f"{name}.codec"), bitrate=audio.bitrate or None
    )


def _rate(owner: pb.TestSource | pb.VideoSettings, field: str) -> FrameRate | None:
    if not owner.HasField("frame_rate"):
        return None
    rate = owner.frame_rate
    if rate.numerator == 0:
        raise InvalidSpec(field, 0, "numerator and denominator, for example 30000 and 1001")
    return FrameRate(rate.numerator, rate.denominator or 1)


def _span(
    owner: pb.JobSpec | pb.TestSource | pb.Quality, name: str, field: str
) -> timedelta | None:
    if not owner.HasField(name):  # type: ignore[arg-type]
        return None
    try:
        return from_duration(getattr(owner, name), field)
    except InvalidArgument as error:
        raise InvalidSpec(error.field, error.value, error.expected) from None


def _has_unknown(spec: pb.JobSpec) -> bool:
    """Told by its size, at any depth at once: nearly every spec has none."""
    known = pb.JobSpec()
    known.CopyFrom(spec)
    known.DiscardUnknownFields()
    return known.ByteSize() != spec.ByteSize()


def _refuse_unknown(message: Message, path: str) -> None:
    """Raises InvalidSpec for a field, at any depth, that this build does not know."""
    unknown = UnknownFieldSet(message)
    if len(unknown):
        raise InvalidSpec(
            f"{path}, field number {unknown[0].field_number}",
            "",
            f"this build knows spec version {SPEC_VERSION}; use a newer one",
        )
    for descriptor, value in message.ListFields():
        kind = descriptor.message_type
        if kind is None or kind.GetOptions().map_entry:
            continue
        parts = value if descriptor.is_repeated else [value]
        for part in parts:
            _refuse_unknown(part, f"{path}.{descriptor.name}")


def spec_to_pb(spec: JobSpec) -> pb.JobSpec:
    """With its secrets: what answers a client is made of `spec.shown`."""
    return pb.JobSpec(
        input=_input_to_pb(spec.input),
        outputs=[_output_to_pb(output) for output in spec.outputs],
        overwrite=spec.overwrite,
        timeout=to_duration(spec.timeout),
        queue=QUEUES.to_wire(spec.queue) if spec.queue else 0,  # type: ignore[arg-type]
        priority=PRIORITIES.to_wire(spec.priority),  # type: ignore[arg-type]
        verification=VERIFICATIONS.to_wire(spec.verification),  # type: ignore[arg-type]
        accept_truncated=spec.accept_truncated,
        spec_version=spec.spec_version,
        restart=pb.Restart(on_failure=spec.restart.on_failure) if spec.restart else None,
        labels=spec.labels,
    )


def _input_to_pb(source: Input) -> pb.Input:
    if source.path is not None:
        return pb.Input(path=str(source.path))
    if source.test_source is None:
        return pb.Input()
    test = source.test_source
    return pb.Input(
        test_source=pb.TestSource(
            width=test.width,
            height=test.height,
            frame_rate=_rate_to_pb(test.frame_rate),
            duration=to_duration(test.duration),
        )
    )


def _output_to_pb(output: Output) -> pb.Output:
    return pb.Output(
        path=str(output.path) if output.path is not None else "",
        url=output.url,
        container=CONTAINERS.to_wire(output.container) if output.container else None,  # type: ignore[arg-type]
        preset=output.preset,
        video=_video_to_pb(output.video) if output.video else None,
        audio=_audio_to_pb(output.audio) if output.audio else None,
        quality=_quality_to_pb(output.quality) if output.quality else None,
        raw_arguments=[pb.RawArgument(name=a.name, value=a.value) for a in output.raw_arguments],
    )


def _quality_to_pb(quality: Quality) -> pb.Quality:
    return pb.Quality(
        metric=METRICS.to_wire(quality.metric),  # type: ignore[arg-type]
        min=quality.least,
        sample=to_duration(quality.sample),
    )


def _video_to_pb(video: VideoSettings) -> pb.VideoSettings:
    message = pb.VideoSettings(
        codec=VIDEO_CODECS.to_wire(video.codec) if video.codec else None,  # type: ignore[arg-type]
        width=video.width or 0,
        height=video.height or 0,
        upscale=video.upscale,
        frame_rate=_rate_to_pb(video.frame_rate) if video.frame_rate else None,
        speed=SPEEDS.to_wire(video.speed) if video.speed else None,  # type: ignore[arg-type]
    )
    if video.crf is not None:
        message.crf = video.crf
    elif video.bitrate is not None:
        message.bitrate = video.bitrate
    return message


def _audio_to_pb(audio: AudioSettings) -> pb.AudioSettings:
    return pb.AudioSettings(
        codec=AUDIO_CODECS.to_wire(audio.codec) if audio.codec else None,  # type: ignore[arg-type]
        bitrate=audio.bitrate or 0,
    )


def _rate_to_pb(rate: FrameRate) -> pb.FrameRate:
    return pb.FrameRate(numerator=rate.numerator, denominator=rate.denominator)
