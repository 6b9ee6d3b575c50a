"""A plan as a command line: a list, never a shell string.

FFmpeg never reads its standard input, stops at the first error, reads and writes local files only,
and writes its progress to standard output.
"""

from collections.abc import Sequence

from ffrtmp.domain.spec import AudioCodec, Container, Speed
from ffrtmp.ffmpeg.plan import AudioPlan, OutputPlan, Plan, VideoPlan

KEYFRAME_SECONDS = 4
DEFAULT_RATE = 25

MUXERS = {
    Container.MP4: ("mp4", "-movflags", "+faststart"),
    Container.MOV: ("mov", "-movflags", "+faststart"),
    Container.MKV: ("matroska",),
    Container.WEBM: ("webm",),
    Container.TS: ("mpegts",),
}

_X26X = {
    Speed.FASTEST: "ultrafast",
    Speed.FAST: "veryfast",
    Speed.MEDIUM: "medium",
    Speed.SLOW: "slow",
    Speed.SLOWEST: "veryslow",
}
_SVT = {
    Speed.FASTEST: "12",
    Speed.FAST: "10",
    Speed.MEDIUM: "8",
    Speed.SLOW: "5",
    Speed.SLOWEST: "3",
}
_CPU_USED = {
    Speed.FASTEST: "8",
    Speed.FAST: "5",
    Speed.MEDIUM: "3",
    Speed.SLOW: "1",
    Speed.SLOWEST: "0",
}


def build_argv(plan: Plan, *, ffmpeg: str, source: str | None, targets: Sequence[str]) -> list[str]:
    """`source` (None for a generated one) and `targets` are absolute local paths."""
    argv = [ffmpeg, "-nostdin", "-hide_banner", "-y", "-xerror", "-v", "level+info"]
    argv += ["-progress", "pipe:1", "-stats_period", "0.5", "-nostats"]
    argv += _source(plan, source)
    generated = source is None
    for output, target in zip(plan.outputs, targets, strict=True):
        argv += _output(output, target, generated=generated)
    return argv


def _source(plan: Plan, path: str | None) -> list[str]:
    if path is not None:
        reader = ["-f", plan.reader] if plan.reader else []
        return ["-protocol_whitelist", "file", *reader, "-i", f"file:{path}"]
    test = plan.source.test_source
    assert test is not None
    seconds = f"{test.duration.total_seconds():g}"
    picture = f"testsrc2=size={test.width}x{test.height}:rate={test.frame_rate}:duration={seconds}"
    tone = f"sine=frequency=440:sample_rate=48000:duration={seconds}"
    return ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone]


def _output(output: OutputPlan, target: str, *, generated: bool) -> list[str]:
    argv: list[str] = []
    if output.video is not None:
        argv += ["-map", "0:v:0" if generated else f"0:{output.video.source.index}"]
    if output.audio is not None:
        argv += ["-map", "1:a:0" if generated else f"0:{output.audio.source.index}"]
    argv += _video(output.video) if output.video is not None else []
    argv += _audio(output.audio) if output.audio is not None else []
    muxer, *options = MUXERS[output.container]
    return [*argv, *options, "-f", muxer, f"file:{target}"]


def _video(video: VideoPlan) -> list[str]:
    if video.encoder is None:
        return ["-c:v", "copy"]
    argv = ["-c:v", video.encoder, *_quality(video), *_effort(video)]
    if filters := _filters(video):
        argv += ["-vf", ",".join(filters)]
    argv += ["-pix_fmt", video.pixel_format, *_timing(video)]
    if video.encoder == "libx265":
        argv += ["-tag:v", "hvc1"]  # Apple's players open no other
    return argv


def _filters(video: VideoPlan) -> list[str]:
    """A new rate is made by the filter: `-r` starts at the file's first sound, adds frames at the
    end, and takes others than the nearest in time."""
    filters = []
    if video.settings.frame_rate is not None:
        filters.append(f"fps={video.settings.frame_rate}")
    if video.scaled:
        filters += [f"scale={video.width}:{video.height}:flags=bicubic", "setsar=1"]
    return filters


def _quality(video: VideoPlan) -> list[str]:
    settings = video.settings
    if settings.bitrate is not None:
        return ["-b:v", str(settings.bitrate)]
    quality = ["-crf", str(settings.crf)]
    if video.encoder == "libvpx-vp9":
        return [*quality, "-b:v", "0"]
    if video.encoder == "libvpx":  # constrained quality: VP8 has no other
        return [*quality, "-b:v", str(max(1_000_000, video.width * video.height * 5))]
    return quality


def _effort(video: VideoPlan) -> list[str]:
    speed = video.settings.speed or Speed.MEDIUM
    match video.encoder:
        case "libx264" | "libx265":
            return ["-preset", _X26X[speed]]
        case "libsvtav1":
            return ["-preset", _SVT[speed]]
        case "libaom-av1":
            return ["-cpu-used", _CPU_USED[speed], "-row-mt", "1"]
        case _:
            return ["-deadline", "good", "-cpu-used", _CPU_USED[speed]]


def _timing(video: VideoPlan) -> list[str]:
    """A rate that is kept keeps every frame at its own time; one that is set is constant."""
    rate = video.settings.frame_rate or video.source.frame_rate
    per_second = rate.numerator / rate.denominator if rate else DEFAULT_RATE
    keyframes = ["-g", str(max(1, round(per_second * KEYFRAME_SECONDS)))]
    if video.settings.frame_rate is not None:
        return [*keyframes, "-fps_mode", "passthrough"]
    return [*keyframes, "-fps_mode", "passthrough", "-enc_time_base:v", "demux"]


def _audio(audio: AudioPlan) -> list[str]:
    if audio.encoder is None:
        return ["-c:a", "copy"]
    argv = ["-c:a", audio.encoder]
    if audio.settings.bitrate is not None:
        argv += ["-b:a", str(audio.settings.bitrate)]
    if audio.settings.codec is AudioCodec.OPUS:  # it refuses side channels; these it takes
        argv += ["-af", "aformat=channel_layouts=mono|stereo|3.0|quad|5.0|5.1|6.1|7.1"]
    return argv
