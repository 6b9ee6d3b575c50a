"""What a probe found in a file: its packets, not its header, are the measure."""

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from ffrtmp.domain.figures import AudioFacts, MediaFacts, VideoFacts
from ffrtmp.domain.spec import FrameRate

SQUARE = FrameRate(1)
UNTOLD = 2
"""The number of a colour tag that says nothing."""

_TEN_BITS = re.compile(r"1[02][lb]e$")
"""At the end of a pixel format's name: `yuv420p10le`; `nv12` and `yuv410p` have eight bits."""


class Kind(StrEnum):
    VIDEO = "video"
    AUDIO = "audio"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Colours:
    """How numbers become colours, by the numbers of ITU-T H.273; a matrix of 0 is RGB's."""

    primaries: int = UNTOLD
    transfer: int = UNTOLD
    matrix: int = UNTOLD


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamInfo:
    """One stream. Times in seconds, from the packets: `last` one's start, and its `end`.

    `hidden` packets are those before an edit list's cut: not in `packets`, and never shown.
    """

    index: int
    kind: Kind
    codec: str
    packets: int
    hidden: int = 0
    starts_with_key: bool = True
    start: float | None = None
    last: float | None = None
    end: float | None = None
    largest_gap: float = 0.0
    width: int = 0
    height: int = 0
    pixel_format: str = ""
    frame_rate: FrameRate | None = None
    colours: Colours = Colours()
    sample_aspect: FrameRate = SQUARE
    rotation: int = 0
    sample_rate: int = 0
    channels: int = 0
    attached_picture: bool = False

    @property
    def duration(self) -> float:
        """In seconds; 0 without packets."""
        return 0.0 if self.start is None or self.end is None else self.end - self.start

    @property
    def span(self) -> float:
        """From the first packet's start to the last one's: how long the last lasts is a guess."""
        return 0.0 if self.start is None or self.last is None else self.last - self.start

    @property
    def shown_size(self) -> tuple[int, int]:
        """Coded width and height as they lie after rotation."""
        turned = self.rotation % 180 != 0
        return (self.height, self.width) if turned else (self.width, self.height)


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaInfo:
    """A file. `declared_duration` is what its header says, in seconds; None if it does not."""

    size: int
    format_name: str
    declared_duration: float | None
    streams: tuple[StreamInfo, ...]

    @property
    def video(self) -> StreamInfo | None:
        """The picture: the largest one that is not cover art."""
        pictures = [
            stream
            for stream in self.streams
            if stream.kind is Kind.VIDEO and not stream.attached_picture and stream.packets
        ]
        return max(pictures, key=lambda stream: stream.width * stream.height, default=None)

    @property
    def audio(self) -> StreamInfo | None:
        """The sound: the first stream of it."""
        sounds = (s for s in self.streams if s.kind is Kind.AUDIO and s.packets)
        return next(sounds, None)

    @property
    def duration(self) -> float:
        """From the first packet of picture and sound to the end of the last, in seconds."""
        kept = [stream for stream in (self.video, self.audio) if stream is not None]
        starts = [stream.start for stream in kept if stream.start is not None]
        ends = [stream.end for stream in kept if stream.end is not None]
        return max(ends) - min(starts) if starts and ends else 0.0


def has_ten_bits(pixel_format: str) -> bool:
    """Ten bits a sample, or twelve."""
    return _TEN_BITS.search(pixel_format) is not None


def facts_of(media: MediaInfo) -> MediaFacts:
    """What of a probe goes into the job's result."""
    video, audio = media.video, media.audio
    return MediaFacts(
        format_name=media.format_name,
        size=media.size,
        duration=timedelta(seconds=media.duration),
        bitrate=round(media.size * 8 / media.duration) if media.duration else 0,
        video=_picture(video) if video is not None else None,
        audio=_sound(audio) if audio is not None else None,
    )


def _picture(video: StreamInfo) -> VideoFacts:
    return VideoFacts(
        codec=video.codec,
        width=video.width,
        height=video.height,
        pixel_format=video.pixel_format,
        frames=video.packets,
        frame_rate=video.frame_rate,
    )


def _sound(audio: StreamInfo) -> AudioFacts:
    return AudioFacts(codec=audio.codec, channels=audio.channels, sample_rate=audio.sample_rate)
