"""What came of an attempt in figures: what a user asks once the job is done, or has failed.

Facts about files are the probe's, not FFmpeg's word.
"""

from dataclasses import dataclass
from datetime import timedelta

from ffrtmp.domain.spec import FrameRate, Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFacts:
    """The picture of a file. `frame_rate` None where the file does not tell."""

    codec: str
    width: int
    height: int
    pixel_format: str
    frames: int
    frame_rate: FrameRate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFacts:
    """The sound of a file. `sample_rate` in Hz."""

    codec: str
    channels: int
    sample_rate: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaFacts:
    """A file. `size` in bytes, `bitrate` in bits a second of everything in it."""

    format_name: str
    size: int
    duration: timedelta
    bitrate: int
    video: VideoFacts | None = None
    audio: AudioFacts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityScore:
    """How near the output's picture is to the source's, on so many `frames`. `least`: the bar."""

    metric: Metric
    score: float
    frames: int
    least: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFigures:
    """One output. Encoders as FFmpeg names them; `copy`; empty where there is no such stream.

    `ratio`: bytes of the output for each of the source; 0 for a generated source.
    """

    path: str
    media: MediaFacts
    sha256: str = ""
    video_encoder: str = ""
    audio_encoder: str = ""
    ratio: float = 0.0
    quality: QualityScore | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One attempt. Wall time by phase; `cpu` and `peak_memory` (bytes) of its FFmpegs.

    `argv`: the encode's, media as ROOT:PATH, without secrets. `source` None for a generated one.
    `speed`: seconds of media a second of encoding.
    """

    ffmpeg_version: str
    argv: tuple[str, ...] = ()
    source: MediaFacts | None = None
    outputs: tuple[OutputFigures, ...] = ()
    probing: timedelta = timedelta(0)
    encoding: timedelta = timedelta(0)
    verifying: timedelta = timedelta(0)
    comparing: timedelta = timedelta(0)
    cpu: timedelta = timedelta(0)
    peak_memory: int = 0
    speed: float = 0.0
