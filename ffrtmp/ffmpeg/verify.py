"""Is the output what was planned? Checked against the source's packets, not its header.

V0: FFmpeg's own account. V2: streams, codecs, sizes. V3: packets, lengths, gaps, offsets.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ffrtmp.domain.spec import AudioCodec, FrameRate, VideoCodec
from ffrtmp.ffmpeg.failure import error_lines, fatal_lines, lost_lines
from ffrtmp.ffmpeg.media import UNTOLD, Kind, MediaInfo, StreamInfo
from ffrtmp.ffmpeg.plan import AudioPlan, OutputPlan, VideoPlan

CODEC_NAMES = {
    VideoCodec.H264: "h264",
    VideoCodec.H265: "hevc",
    VideoCodec.AV1: "av1",
    VideoCodec.VP9: "vp9",
    VideoCodec.VP8: "vp8",
    AudioCodec.AAC: "aac",
    AudioCodec.OPUS: "opus",
}
"""As a probe names them."""

LENGTH_SHARE = 0.001
FRAME_SHARE = 0.002
SOUND_SECONDS = 0.1
OFFSET_SECONDS = 0.04
ASPECT_SHARE = 0.02
PLAIN_CHANNELS = frozenset({1, 2, 6, 8})
"""Numbers that every encoder keeps."""
RESERVED = 0
SOUND_FRAME = 1024
GAP_SECONDS = 1.0
TRUNCATED_SHARE = 0.98
TRUNCATED_SECONDS = 1.0
DEFAULT_FRAME = 1 / 25


@dataclass(frozen=True, slots=True)
class Problem:
    """One failed check: by which rule, what was expected, what was found."""

    rule: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.rule}: expected {self.expected}, found {self.found}"


def judge_run(log: Sequence[str], *, said_end: bool) -> list[Problem]:
    """V0, for a run that ended with exit code 0 and was not signalled by us."""
    problems = []
    if not said_end:
        problems.append(Problem("V0 end of progress", "progress=end", "none"))
    problems += [Problem("V0 log", "no fatal line", line) for line in fatal_lines(log)[:1]]
    return problems


def judge_decoding(log: Sequence[str], *, name: str, code: int) -> Problem | None:
    """V4, of a file that we made: it gives no reason for the slightest complaint."""
    complaints = error_lines(log)
    if code == 0 and not complaints:
        return None
    return Problem(f"V4 full decode of {name}", "no error", next(iter(complaints), f"exit {code}"))


def judge_reading(log: Sequence[str]) -> Problem | None:
    """V0, for an input of which a part was skipped: FFmpeg calls that a success."""
    lost = lost_lines(log)
    return Problem("V0 reading", "no part skipped", lost[0]) if lost else None


def judge_source(source: MediaInfo) -> Problem | None:
    """A source whose packets end well before its header says is cut off, however readable."""
    declared = source.declared_duration
    kept = [stream for stream in (source.video, source.audio) if stream is not None]
    if not kept:
        return Problem("source streams", "picture or sound with packets", "none")
    if declared is None:
        return None
    ends = max((stream.end for stream in kept if stream.end is not None), default=0.0)
    starts = min((stream.start for stream in kept if stream.start is not None), default=0.0)
    reached = max(ends, ends - starts)
    if reached < declared * TRUNCATED_SHARE and declared - reached > TRUNCATED_SECONDS:
        return Problem("source length", f"{declared:.2f} s", f"packets for {reached:.2f} s only")
    return None


def verify(plan: OutputPlan, found: MediaInfo, *, lenient: bool = False) -> list[Problem]:
    """V2 and V3. Empty: the file may be published. `lenient`: the source is cut off or damaged, so
    that not every packet of it may have become a frame."""
    if found.size == 0:
        return [Problem("V1 size", "a file with bytes", "0 bytes")]
    problems = _streams(plan, found)
    if problems:
        return problems
    if plan.video is not None and found.video is not None:
        problems += _picture(plan.video, found.video)
        problems += [] if lenient else _frames(plan.video, found.video)
    if plan.audio is not None and found.audio is not None:
        problems += _sound(plan.audio, found.audio, lenient=lenient)
    return problems if lenient else problems + _offset(plan, found)


def _streams(plan: OutputPlan, found: MediaInfo) -> list[Problem]:
    problems = []
    for kind, wanted in ((Kind.VIDEO, plan.video), (Kind.AUDIO, plan.audio)):
        count = sum(stream.kind is kind and stream.packets > 0 for stream in found.streams)
        expected = 0 if wanted is None else 1
        if count != expected:
            problems.append(Problem(f"V2 {kind} streams", f"{expected}", f"{count}"))
    return problems


def _codec(plan: VideoPlan | AudioPlan, found: StreamInfo) -> list[Problem]:
    codec = plan.source.codec if plan.encoder is None else _name(plan.settings.codec)
    if found.codec == codec:
        return []
    return [Problem(f"V2 {found.kind} codec", codec, found.codec)]


def _picture(plan: VideoPlan, found: StreamInfo) -> list[Problem]:
    problems = _codec(plan, found)
    if (found.width, found.height) != (plan.width, plan.height):
        problems.append(
            Problem("V2 size", f"{plan.width}x{plan.height}", f"{found.width}x{found.height}")
        )
    if plan.encoder is not None and _without_range(found.pixel_format) != plan.pixel_format:
        problems.append(Problem("V2 pixel format", plan.pixel_format, found.pixel_format))
    problems += _colours(plan, found)
    turned = plan.source.rotation if plan.encoder is None else 0
    if found.rotation != turned:
        problems.append(Problem("V2 rotation", f"{turned} degrees", f"{found.rotation}"))
    aspect = _pixel_aspect(plan)
    if abs(_ratio(found.sample_aspect) / aspect - 1) > ASPECT_SHARE:
        problems.append(Problem("V2 pixel aspect", f"{aspect:.3f}", str(found.sample_aspect)))
    if not found.starts_with_key:
        problems.append(Problem("V2 first picture", "a keyframe", "none"))
    return problems


def _colours(plan: VideoPlan, found: StreamInfo) -> list[Problem]:
    """What the source says of its colours is said of the output's; but for RGB's own matrix, since
    what is encoded is none."""
    problems = []
    for name in ("primaries", "transfer", "matrix"):
        wanted, got = (getattr(stream.colours, name) for stream in (plan.source, found))
        if wanted not in {UNTOLD, RESERVED} and got != wanted:
            problems.append(Problem(f"V2 colour {name}", f"{wanted}", f"{got}"))
    return problems


def _pixel_aspect(plan: VideoPlan) -> float:
    """Square where the picture was scaled; else the source's, as it is shown."""
    if plan.scaled:
        return 1.0
    aspect = _ratio(plan.source.sample_aspect)
    turned = plan.encoder is not None and plan.source.rotation % 180 != 0
    return 1 / aspect if turned else aspect


def _ratio(value: FrameRate) -> float:
    return value.numerator / value.denominator


def _without_range(pixel_format: str) -> str:
    """`yuvj420p` is yuv420p of full range, which is kept where the source has it."""
    return pixel_format.replace("yuvj", "yuv")


def _frames(plan: VideoPlan, found: StreamInfo) -> list[Problem]:
    problems = []
    kept = plan.settings.frame_rate is None
    allowed = 0 if kept else max(2, round(plan.frames * FRAME_SHARE))
    if abs(found.packets - plan.frames) > allowed:
        problems.append(Problem("V3 frames", f"{plan.frames} +- {allowed}", f"{found.packets}"))
    expected = plan.source.span
    slack = max(2 * _frame_seconds(plan), expected * LENGTH_SHARE)
    if abs(found.span - expected) > slack:
        problems.append(_length("video", expected, slack, found.span))
    return problems + _gap(plan, found, slack)


def _sound(plan: AudioPlan, found: StreamInfo, *, lenient: bool) -> list[Problem]:
    problems = _codec(plan, found)
    if plan.channels in PLAIN_CHANNELS and found.channels != plan.channels:
        problems.append(Problem("V2 channels", f"{plan.channels}", f"{found.channels}"))
    return problems if lenient else problems + _sound_length(plan, found)


def _sound_length(plan: AudioPlan, found: StreamInfo) -> list[Problem]:
    problems = []
    slack = max(SOUND_SECONDS, 2 * _sound_frame(found), plan.duration * LENGTH_SHARE)
    if abs(found.duration - plan.duration) > slack:
        problems.append(_length("audio", plan.duration, slack, found.duration))
    return problems + _gap(plan, found, slack)


def _gap(plan: VideoPlan | AudioPlan, found: StreamInfo, slack: float) -> list[Problem]:
    """None larger than the source's own."""
    most = max(GAP_SECONDS, plan.source.largest_gap + slack)
    if found.largest_gap <= most:
        return []
    return [Problem(f"V3 {found.kind} gap", f"at most {most:.3g} s", f"{found.largest_gap:.2f} s")]


def _offset(plan: OutputPlan, found: MediaInfo) -> list[Problem]:
    """Sound against picture, at the start: as in the source, but for what a decoder needs to begin
    with, or an encoder leads in with."""
    if plan.video is None or plan.audio is None or not found.video or not found.audio:
        return []
    before = (plan.audio.source.start or 0.0) - (plan.video.source.start or 0.0)
    after = (found.audio.start or 0.0) - (found.video.start or 0.0)
    slack = OFFSET_SECONDS + _frame_seconds(plan.video) + _sound_frame(found.audio)
    if abs(after - before) > slack:
        return [Problem("V3 sound offset", f"{before:+.3f} s +- {slack:.3f} s", f"{after:+.3f} s")]
    return []


def _sound_frame(found: StreamInfo) -> float:
    """Of the longest frame that is usual, AAC's."""
    return SOUND_FRAME / found.sample_rate if found.sample_rate else 0.0


def _frame_seconds(plan: VideoPlan) -> float:
    """Of the slower of source and output: a new rate moves the ends by up to a frame of either."""
    rates = [rate for rate in (plan.settings.frame_rate, plan.source.frame_rate) if rate]
    return max((rate.denominator / rate.numerator for rate in rates), default=DEFAULT_FRAME)


def _length(kind: str, expected: float, slack: float, found: float) -> Problem:
    return Problem(f"V3 {kind} length", f"{expected:.3f} s +- {slack:.3f} s", f"{found:.3f} s")


def _name(codec: VideoCodec | AudioCodec | None) -> str:
    return CODEC_NAMES[codec] if codec is not None else ""
