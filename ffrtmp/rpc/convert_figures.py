"""What was measured of an attempt, to and from the wire."""

from ffrtmp.domain.errors import ProtocolViolation
from ffrtmp.domain.figures import (
    AudioFacts,
    Figures,
    MediaFacts,
    OutputFigures,
    QualityScore,
    VideoFacts,
)
from ffrtmp.domain.spec import FrameRate
from ffrtmp.domain.spec_rules import MAX_OUTPUTS
from ffrtmp.rpc.enums import METRICS
from ffrtmp.rpc.times import from_duration, to_duration
from ffrtmp.v1 import job_pb2 as pb

MOST_ARGUMENTS = 4096
"""Of an encode of 32 outputs there are fewer than 1,500."""


def figures_to_pb(figures: Figures, *, fence: int = 0, worker: str = "") -> pb.AttemptResult:
    return pb.AttemptResult(
        fence=fence,
        worker=worker,
        ffmpeg_version=figures.ffmpeg_version,
        argv=figures.argv,
        source=_media_to_pb(figures.source) if figures.source else None,
        outputs=[_output_to_pb(output) for output in figures.outputs],
        probe_duration=to_duration(figures.probing),
        encode_duration=to_duration(figures.encoding),
        verify_duration=to_duration(figures.verifying),
        quality_duration=to_duration(figures.comparing or None),
        cpu_duration=to_duration(figures.cpu),
        peak_memory=figures.peak_memory,
        speed=figures.speed,
    )


def figures_from_pb(result: pb.AttemptResult) -> Figures:
    """Raises ProtocolViolation for more than an attempt can have."""
    if len(result.argv) > MOST_ARGUMENTS or len(result.outputs) > MAX_OUTPUTS:
        raise ProtocolViolation("a result with more arguments or outputs than a job has")
    return Figures(
        ffmpeg_version=result.ffmpeg_version,
        argv=tuple(result.argv),
        source=_media_from_pb(result.source) if result.HasField("source") else None,
        outputs=tuple(_output_from_pb(output) for output in result.outputs),
        probing=from_duration(result.probe_duration, "probe_duration"),
        encoding=from_duration(result.encode_duration, "encode_duration"),
        verifying=from_duration(result.verify_duration, "verify_duration"),
        comparing=from_duration(result.quality_duration, "quality_duration"),
        cpu=from_duration(result.cpu_duration, "cpu_duration"),
        peak_memory=result.peak_memory,
        speed=result.speed,
    )


def _output_to_pb(output: OutputFigures) -> pb.OutputResult:
    return pb.OutputResult(
        path=output.path,
        media=_media_to_pb(output.media),
        sha256=output.sha256,
        video_encoder=output.video_encoder,
        audio_encoder=output.audio_encoder,
        ratio=output.ratio,
        quality=_score_to_pb(output.quality) if output.quality else None,
    )


def _output_from_pb(output: pb.OutputResult) -> OutputFigures:
    return OutputFigures(
        path=output.path,
        media=_media_from_pb(output.media),
        sha256=output.sha256,
        video_encoder=output.video_encoder,
        audio_encoder=output.audio_encoder,
        ratio=output.ratio,
        quality=_score_from_pb(output.quality) if output.HasField("quality") else None,
    )


def _score_to_pb(score: QualityScore) -> pb.QualityScore:
    return pb.QualityScore(
        metric=METRICS.to_wire(score.metric),  # type: ignore[arg-type]
        score=score.score,
        frames=score.frames,
        min=score.least,
    )


def _score_from_pb(score: pb.QualityScore) -> QualityScore | None:
    """None for a metric that this build does not know."""
    metric = METRICS.from_wire(score.metric)
    if metric is None:
        return None
    least = score.min if score.HasField("min") else None
    return QualityScore(metric=metric, score=score.score, frames=score.frames, least=least)


def _media_to_pb(media: MediaFacts) -> pb.MediaFacts:
    return pb.MediaFacts(
        format=media.format_name,
        size=media.size,
        duration=to_duration(media.duration),
        bitrate=media.bitrate,
        video=_video_to_pb(media.video) if media.video else None,
        audio=_audio_to_pb(media.audio) if media.audio else None,
    )


def _media_from_pb(media: pb.MediaFacts) -> MediaFacts:
    return MediaFacts(
        format_name=media.format,
        size=media.size,
        duration=from_duration(media.duration, "duration"),
        bitrate=media.bitrate,
        video=_video_from_pb(media.video) if media.HasField("video") else None,
        audio=_audio_from_pb(media.audio) if media.HasField("audio") else None,
    )


def _video_to_pb(video: VideoFacts) -> pb.VideoFacts:
    rate = video.frame_rate
    return pb.VideoFacts(
        codec=video.codec,
        width=video.width,
        height=video.height,
        pixel_format=video.pixel_format,
        frames=video.frames,
        frame_rate=pb.FrameRate(numerator=rate.numerator, denominator=rate.denominator)
        if rate
        else None,
    )


def _video_from_pb(video: pb.VideoFacts) -> VideoFacts:
    rate = video.frame_rate
    return VideoFacts(
        codec=video.codec,
        width=video.width,
        height=video.height,
        pixel_format=video.pixel_format,
        frames=video.frames,
        frame_rate=FrameRate(rate.numerator, rate.denominator)
        if video.HasField("frame_rate")
        else None,
    )


def _audio_to_pb(audio: AudioFacts) -> pb.AudioFacts:
    return pb.AudioFacts(codec=audio.codec, channels=audio.channels, sample_rate=audio.sample_rate)


def _audio_from_pb(audio: pb.AudioFacts) -> AudioFacts:
    return AudioFacts(codec=audio.codec, channels=audio.channels, sample_rate=audio.sample_rate)
