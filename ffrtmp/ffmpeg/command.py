"""A plan as a command line: a list, never a shell string.

FFmpeg never reads its standard input, stops at the first error, reads local files only, writes
local files or, for a live push, to one server by one protocol, and its progress to standard output.
"""

import re
from collections.abc import Sequence

from ffrtmp.domain.live import scheme_of
from ffrtmp.domain.spec import AudioCodec, Container, Speed
from ffrtmp.ffmpeg.plan import AudioPlan, OutputPlan, Plan, VideoPlan

KEYFRAME_SECONDS = 4
LIVE_KEYFRAME_SECONDS = 2  # a viewer who joins, or a server that cuts segments, waits for one
DEFAULT_RATE = 25

MUXERS = {
    Container.MP4: ("mp4", "-movflags", "+faststart"),
    Container.MOV: ("mov", "-movflags", "+faststart"),
    Container.MKV: ("matroska",),
    Container.WEBM: ("webm",),
    Container.TS: ("mpegts",),
    Container.FLV: ("flv", "-flvflags", "no_duration_filesize"),  # a push cannot go back to fill in
}

PROTOCOLS = {"rtmp": "rtmp,tcp", "rtmps": "rtmps,tls,tcp", "srt": "srt"}
"""All that FFmpeg may open for a push, by the URL's scheme."""

RW_TIMEOUT_SECONDS = 5
"""Without it FFmpeg waits for ever for a server that is silent (measured). SRT connects within 3 s
and misses a peer after 5 s by itself."""

LINGER_SECONDS = 3
"""SRT's close throws away what is still on its way: the last 4 of 90 frames (measured)."""

BUFFERED_SECONDS = 2
LARGEST_BUFFERED_RATE = 4_000_000
LEAST_BUFFER_BYTES = 1 << 16
"""How long a server that stops reading goes unnoticed is how long the kernel's send buffer lasts,
up to 4 MiB: half a minute at 1 Mbit/s. So it is cut to 2 s of media, but not above 4 Mbit/s: there
4 MiB are soon full, and a long line needs them."""

SOURCE_CLOCK_NAMED = (6, 1)
"""The FFmpeg from which on `-enc_time_base` knows `demux`."""

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
# libvpx's "good" knows no more than 5: all above are the same bytes. Its "realtime" goes on, VP9's
# to a tenth of the CPU time. VP8's would choose by the clock how much it tries, but for a negative
# number, so that no two runs are alike.
_VPX_FASTEST = {"libvpx-vp9": "8", "libvpx": "-12"}


def build_argv(
    plan: Plan,
    *,
    ffmpeg: str,
    source: str | None,
    targets: Sequence[str],
    version: str = "",
    ca_file: str = "",
) -> list[str]:
    """`source` (None for a generated one) and `targets` are absolute local paths; of a live output
    the URL. `version` of that `ffmpeg`, as it tells it; empty: a recent one. `ca_file`: whom to
    believe that they are the server; empty: FFmpeg's own choice."""
    argv = always(ffmpeg, strict=not plan.lenient)
    reads = _reads(plan)
    argv += source_argv(plan, source) * (max(reads) + 1)
    generated = source is None
    for output, target, number in zip(plan.outputs, targets, reads, strict=True):
        argv += _output(output, number, generated=generated, clock=_source_clock(version))
        argv += _push(output, target, ca_file) if output.live else [f"file:{target}"]
    return argv


def decode_argv(ffmpeg: str, path: str, reader: str) -> list[str]:
    """V4: every frame of a finished file is decoded, and thrown away."""
    argv = [*always(ffmpeg, strict=True), "-protocol_whitelist", "file", "-f", reader]
    argv += ["-i", f"file:{path}", "-map", "0:v?", "-map", "0:a?"]
    return [*argv, "-fps_mode", "passthrough", "-f", "null", "-"]


def always(ffmpeg: str, *, strict: bool) -> list[str]:
    argv = [ffmpeg, "-nostdin", "-hide_banner", "-y", *(["-xerror"] if strict else [])]
    argv += ["-v", "level+info", "-progress", "pipe:1", "-stats_period", "0.5", "-nostats"]
    return argv


def _reads(plan: Plan) -> list[int]:
    """Which reader of the source each output has: one for all, but for outputs of a new rate.

    FFmpeg 9 stops for ever when a filter that adds frames, and an encoder that wants many frames
    before its first packet, wait for each other over one reader (measured: 3 outputs of a second of
    12.5 frames a second). A reader of its own costs a decode, and cannot be waited for.
    """
    numbers: list[int] = []
    shared: int | None = None
    for output in plan.outputs:
        new_rate = output.video is not None and output.video.settings.frame_rate is not None
        if new_rate or shared is None:
            numbers.append(max(numbers, default=-1) + 1)
            shared = shared if new_rate else numbers[-1]
        else:
            numbers.append(shared)
    return numbers


def source_argv(plan: Plan, path: str | None) -> list[str]:
    pace = ["-re"] if plan.live else []  # at its own rate: a server takes no more
    if path is not None:
        reader = ["-f", plan.reader] if plan.reader else []
        return [*pace, *_times(plan), "-protocol_whitelist", "file", *reader, "-i", f"file:{path}"]
    test = plan.source.test_source
    assert test is not None
    seconds = f"{test.duration.total_seconds():g}"
    picture = f"testsrc2=size={test.width}x{test.height}:rate={test.frame_rate}:duration={seconds}"
    tone = f"sine=frequency=440:sample_rate=48000:duration={seconds}"
    return [*pace, "-f", "lavfi", "-i", picture, *pace, "-f", "lavfi", "-i", tone]


def _times(plan: Plan) -> list[str]:
    """AVI has no times of B-frames, and a copy has no decoder to find them."""
    copied = any(output.video and output.video.encoder is None for output in plan.outputs)
    return ["-fflags", "+genpts"] if plan.reader == "avi" and copied else []


def _source_clock(version: str) -> str:
    """How `-enc_time_base` is told to keep the times of the source: FFmpeg 6.1 gave it a name, and
    later ones take nothing else. A version without a number is a build from the repository."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    older = numbers is not None and (int(numbers[1]), int(numbers[2])) < SOURCE_CLOCK_NAMED
    return "-1" if older else "demux"


def _output(output: OutputPlan, number: int, *, generated: bool, clock: str) -> list[str]:
    argv: list[str] = []
    if output.video is not None:
        picture = f"{2 * number}:v:0" if generated else f"{number}:{output.video.source.index}"
        argv += ["-map", picture]
    if output.audio is not None:
        sound = f"{2 * number + 1}:a:0" if generated else f"{number}:{output.audio.source.index}"
        argv += ["-map", sound]
    argv += _video(output.video, live=output.live, clock=clock) if output.video is not None else []
    argv += _audio(output.audio) if output.audio is not None else []
    for argument in output.raw_arguments:
        argv += [f"-{argument.name}", argument.value]
    muxer, *options = MUXERS[output.container]
    return [*argv, *options, "-f", muxer]


def _push(output: OutputPlan, url: str, ca_file: str) -> list[str]:
    scheme = scheme_of(url)
    argv = ["-rw_timeout", str(RW_TIMEOUT_SECONDS * 1_000_000)]
    argv += ["-protocol_whitelist", PROTOCOLS[scheme]]
    if scheme == "srt":
        argv += ["-linger", str(LINGER_SECONDS)]
    elif (size := _send_buffer(output)) is not None:
        argv += ["-send_buffer_size", str(size)]
    if scheme == "rtmps":  # before version 9 FFmpeg believes any server
        argv += ["-tls_verify", "1", *(["-ca_file", ca_file] if ca_file else [])]
    return [*argv, url]


def _send_buffer(output: OutputPlan) -> int | None:
    """In bytes; None: the kernel's choice."""
    rate = output.video.settings.bitrate if output.video is not None else 0
    if rate is None or rate > LARGEST_BUFFERED_RATE:
        return None
    rate += (output.audio.settings.bitrate or 0) if output.audio is not None else 0
    return max(LEAST_BUFFER_BYTES, rate // 8 * BUFFERED_SECONDS)


def _video(video: VideoPlan, *, live: bool, clock: str) -> list[str]:
    if video.encoder is None:
        return ["-c:v", "copy"]
    argv = ["-c:v", video.encoder, *_quality(video), *_effort(video)]
    argv += _live(video) if live else []
    if filters := filters_of(video):
        argv += ["-vf", ",".join(filters)]
    argv += ["-pix_fmt", video.pixel_format, *_timing(video, live=live, clock=clock)]
    if video.encoder == "libx265":
        argv += ["-tag:v", "hvc1"]  # Apple's players open no other
    return argv


def filters_of(video: VideoPlan) -> list[str]:
    """A new rate is made by the filter: `-r` starts at the file's first sound, adds frames at the
    end, and takes others than the nearest in time."""
    filters = []
    if video.settings.frame_rate is not None:
        filters.append(f"fps={video.settings.frame_rate}")
    if video.scaled:
        filters += [f"scale={video.width}:{video.height}:flags=bicubic", "setsar=1"]
    return filters


def _live(video: VideoPlan) -> list[str]:
    """No picture waits for a later one: what is read is sent. No B-frames, which shift the times of
    FLV and which players of low latency do not show. The rate is a ceiling, not only an average."""
    argv = ["-tune", "zerolatency", "-bf", "0"]
    if (rate := video.settings.bitrate) is not None:
        argv += ["-maxrate", str(rate), "-bufsize", str(2 * rate)]
    return argv


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
        case encoder if speed is Speed.FASTEST and encoder in _VPX_FASTEST:
            return ["-deadline", "realtime", "-cpu-used", _VPX_FASTEST[encoder]]
        case _:
            return ["-deadline", "good", "-cpu-used", _CPU_USED[speed]]


def _timing(video: VideoPlan, *, live: bool, clock: str) -> list[str]:
    """A rate that is kept keeps every frame at its own time; one that is set is constant."""
    rate = video.settings.frame_rate or video.source.frame_rate
    per_second = rate.numerator / rate.denominator if rate else DEFAULT_RATE
    seconds = LIVE_KEYFRAME_SECONDS if live else KEYFRAME_SECONDS
    keyframes = ["-g", str(max(1, round(per_second * seconds)))]
    if video.settings.frame_rate is not None:
        return [*keyframes, "-fps_mode", "passthrough"]
    return [*keyframes, "-fps_mode", "passthrough", "-enc_time_base:v", clock]


def _audio(audio: AudioPlan) -> list[str]:
    if audio.encoder is None:
        return ["-c:a", "copy"]
    argv = ["-c:a", audio.encoder]
    if audio.settings.bitrate is not None:
        argv += ["-b:a", str(audio.settings.bitrate)]
    if 0 < audio.channels < audio.source.channels:
        argv += ["-ac", str(audio.channels)]
    if audio.settings.codec is AudioCodec.OPUS:  # it refuses side channels; these it takes
        argv += ["-af", "aformat=channel_layouts=mono|stereo|3.0|quad|5.0|5.1|6.1|7.1"]
    return argv
