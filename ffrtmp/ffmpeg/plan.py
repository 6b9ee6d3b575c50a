"""What exactly will be made of a source: sizes, rates, streams, encoders. A value to print, to turn
into a command line and to hold the finished file against.

Of each source the largest picture (not cover art) and the first sound are kept.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from ffrtmp.domain.raw_arguments import RawArgument
from ffrtmp.domain.spec import (
    MAX_CRF,
    AudioCodec,
    AudioSettings,
    Container,
    FrameRate,
    Input,
    JobSpec,
    Output,
    TestSource,
    VideoCodec,
    VideoSettings,
)
from ffrtmp.ffmpeg.formats import reader
from ffrtmp.ffmpeg.media import Kind, MediaInfo, StreamInfo, has_ten_bits


class NothingToEncode(Exception):
    """The source has no stream that an output asks for, or none that it may copy. One sentence."""


TS_CHANNELS = 6
"""AAC's framing in a transport stream names no layout of more."""

FLV_COPIES = {Kind.VIDEO: "h264", Kind.AUDIO: "aac"}
"""What may be copied to RTMP, as a probe names it: FFmpeg would send others in an extension of FLV
that few servers know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoPlan:
    """`encoder` is None for a copy. `frame_rate` None keeps the source's times.

    `scaled`: the picture changes its size, and its pixels become square.
    """

    source: StreamInfo
    settings: VideoSettings
    encoder: str | None
    width: int
    height: int
    scaled: bool
    pixel_format: str
    frames: int
    duration: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioPlan:
    """`encoder` is None for a copy. `duration` in seconds. `channels`: 0 where it is not known."""

    source: StreamInfo
    settings: AudioSettings
    encoder: str | None
    duration: float
    channels: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPlan:
    """`live`: pushed to a server at the source's own rate."""

    container: Container
    video: VideoPlan | None
    audio: AudioPlan | None
    live: bool = False
    raw_arguments: tuple[RawArgument, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`duration`: of the source, in seconds; what progress counts towards. `reader`: of its format,
    as FFmpeg names it; empty lets FFmpeg guess. `lenient`: the source may be cut off or damaged.
    """

    source: Input
    outputs: tuple[OutputPlan, ...]
    duration: float
    reader: str = ""
    lenient: bool = False

    @property
    def live(self) -> bool:
        return any(output.live for output in self.outputs)


def plan(spec: JobSpec, source: MediaInfo | None, encoders: Mapping[str, str]) -> Plan:
    """Plans an expanded spec. `source` is None for a generated one; `encoders`: codec to encoder.

    Raises NothingToEncode.
    """
    if source is None:
        assert spec.input.test_source is not None
        source = generated(spec.input.test_source)
    return Plan(
        source=spec.input,
        outputs=tuple(_plan_output(output, source, encoders) for output in spec.outputs),
        duration=source.duration,
        reader=reader(source.format_name),
        lenient=spec.accept_truncated,
    )


def generated(source: TestSource) -> MediaInfo:
    """The probe of a generated source: exactly what the filters make."""
    rate = Fraction(source.frame_rate.numerator, source.frame_rate.denominator)
    seconds = source.duration.total_seconds()
    frames = math.ceil(Fraction(seconds).limit_denominator(1_000_000) * rate)
    picture = StreamInfo(
        index=0,
        kind=Kind.VIDEO,
        codec="rawvideo",
        packets=frames,
        start=0.0,
        last=float((frames - 1) / rate),
        end=float(frames / rate),
        width=source.width,
        height=source.height,
        frame_rate=source.frame_rate,
    )
    tone = StreamInfo(
        index=1, kind=Kind.AUDIO, codec="pcm", packets=1, start=0.0, end=seconds, channels=1
    )
    return MediaInfo(
        size=0, format_name="lavfi", declared_duration=seconds, streams=(picture, tone)
    )


def _plan_output(output: Output, source: MediaInfo, encoders: Mapping[str, str]) -> OutputPlan:
    assert output.container is not None
    assert output.video is not None
    assert output.audio is not None
    wants_video = output.video.codec is not VideoCodec.NONE
    wants_audio = output.audio.codec is not AudioCodec.NONE
    video = _plan_video(output.video, source.video, encoders) if wants_video else None
    audio = _plan_audio(output, source.audio, encoders) if wants_audio else None
    if video is None and audio is None:
        wanted = " or ".join(
            name for name, want in (("picture", wants_video), ("sound", wants_audio)) if want
        )
        raise NothingToEncode(f"the input has no {wanted} for {output.name}")
    if output.container is Container.FLV:
        _check_copies(output, video, audio)
    if video is not None and video.encoder is None:
        _check_cut(output, video.source)
    return OutputPlan(
        container=output.container,
        video=video,
        audio=audio,
        live=bool(output.url),
        raw_arguments=output.raw_arguments,
    )


def _check_copies(output: Output, *kept: VideoPlan | AudioPlan | None) -> None:
    for stream in (each.source for each in kept if each is not None and each.encoder is None):
        if stream.codec != FLV_COPIES[stream.kind]:
            raise NothingToEncode(
                f"the {stream.kind} of the input is {stream.codec}: {output.name} takes only "
                f"{FLV_COPIES[stream.kind]}; encode it, do not copy"
            )


def _check_cut(output: Output, source: StreamInfo) -> None:
    """A copy has the packets before the cut too; without an edit list they would be shown."""
    if source.hidden and output.container not in {Container.MP4, Container.MOV}:
        raise NothingToEncode(
            f"the input is cut by an edit list, which {output.container} does not have: "
            f"for {output.name} encode the picture, do not copy it"
        )


def _plan_video(
    settings: VideoSettings, source: StreamInfo | None, encoders: Mapping[str, str]
) -> VideoPlan | None:
    if source is None or settings.codec is None:
        return None
    encoded = settings.codec in MAX_CRF
    width, height = _fit(settings, source) if encoded else (source.width, source.height)
    return VideoPlan(
        source=source,
        settings=settings,
        encoder=encoders[settings.codec] if encoded else None,
        width=width,
        height=height,
        scaled=encoded and (width, height) != source.shown_size,
        pixel_format=_pixel_format(settings.codec, source) if encoded else source.pixel_format,
        frames=_frames(settings.frame_rate, source),
        duration=source.duration,
    )


def _plan_audio(
    output: Output, source: StreamInfo | None, encoders: Mapping[str, str]
) -> AudioPlan | None:
    settings = output.audio
    if source is None or settings is None or settings.codec is None:
        return None
    copied = settings.codec is AudioCodec.COPY
    mixed = output.container is Container.TS and not copied
    return AudioPlan(
        source=source,
        settings=settings,
        encoder=None if copied else encoders[settings.codec],
        duration=source.duration,
        channels=min(source.channels, TS_CHANNELS) if mixed else source.channels,
    )


def _frames(rate: FrameRate | None, source: StreamInfo) -> int:
    if rate is None:
        return source.packets
    return round(source.duration * rate.numerator / rate.denominator)


def _fit(settings: VideoSettings, source: StreamInfo) -> tuple[int, int]:
    """The coded size of the output: in the box, aspect kept, even, not enlarged unless asked.

    A picture that is left as large as it is keeps its pixels' shape; a scaled one gets square
    pixels. A box of two sides is turned with the picture: 1080p of an upright source is 1080x1920.
    """
    width, height = source.shown_size
    aspect = Fraction(source.sample_aspect.numerator, source.sample_aspect.denominator)
    if source.rotation % 180:
        aspect = 1 / aspect
    shown = width * aspect
    box_width, box_height = settings.width, settings.height
    if box_width and box_height and (shown > height) != (box_width > box_height):
        box_width, box_height = box_height, box_width
    factors = []
    if box_width:
        factors.append(box_width / shown)
    if box_height:
        factors.append(Fraction(box_height, height))
    factor = min(factors, default=Fraction(1))
    if factor > 1 and not settings.upscale:
        factor = Fraction(1)
    if factor == 1 and width % 2 == 0 and height % 2 == 0:
        return width, height
    return _even(shown * factor), _even(height * factor)


def _even(side: Fraction) -> int:
    return max(2, 2 * round(side / 2))


def _pixel_format(codec: VideoCodec, source: StreamInfo) -> str:
    """4:2:0, which every player shows; ten bits are kept where players expect them."""
    keeps_ten = codec in {VideoCodec.H265, VideoCodec.AV1}
    return "yuv420p10le" if keeps_ten and has_ten_bits(source.pixel_format) else "yuv420p"
