"""Reads a file's packets with PyAV, in a process of its own, and prints one JSON object.

The only module that imports PyAV: what a hostile file does to it, it does here, under limits.
Of each picture one frame is decoded, else packets are counted.
`{"media": ...}` or `{"error": "..."}` a path, one line each.
"""

import resource
import sys
from array import array
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import msgspec
from av.audio.stream import AudioStream
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from ffrtmp.domain.spec import FrameRate
from ffrtmp.ffmpeg.formats import allowed
from ffrtmp.ffmpeg.media import SQUARE, Kind, MediaInfo, StreamInfo

CPU_SECONDS = 600
MEMORY_BYTES = 4 << 30
FRAMES_TRIED = 48
DECODERS = {
    "libdav1d": "av1",
    "libaom-av1": "av1",
    "libvpx": "vp8",
    "libvpx-vp9": "vp9",
    "libopus": "opus",
    "libvorbis": "vorbis",
    "mp3float": "mp3",
}
NOT_READ = "not one of the formats that are read here, which are single media files"
KINDS = {"video": Kind.VIDEO, "audio": Kind.AUDIO}


class _Packets:
    """What is kept of one stream's packets."""

    def __init__(self, stream: Stream) -> None:
        self._time_base = float(stream.time_base or 0)
        self._starts = array("d")
        self._end: float | None = None
        self._after_cut = False
        self.count = 0
        self.starts_with_key = True

    def add(self, packet: "Packet[Any]") -> None:
        if packet.is_discard:
            self._after_cut = True  # before the edit list's cut: decoded, never shown
            return
        if self.count == 0:
            self.starts_with_key = packet.is_keyframe or self._after_cut
        self.count += 1
        ticks = packet.pts if packet.pts is not None else packet.dts
        if ticks is None:
            return
        start = ticks * self._time_base
        end = start + (packet.duration or 0) * self._time_base
        self._starts.append(start)
        self._end = end if self._end is None else max(self._end, end)

    def summary(self) -> dict[str, Any]:
        """Start, end and the largest gap between two starts, in seconds."""
        if self._end is None:
            return {}
        starts = sorted(self._starts)
        gaps = (later - earlier for earlier, later in pairwise(starts))
        return {
            "start": starts[0],
            "last": starts[-1],
            "end": self._end,
            "largest_gap": max(gaps, default=0.0),
        }


class _Turn:
    """How a picture is turned. Only a decoded frame tells, so the first one is decoded."""

    def __init__(self) -> None:
        self.degrees = 0
        self._tries = FRAMES_TRIED

    def look(self, packet: "Packet[Any]") -> None:
        if self._tries == 0:
            return
        self._tries -= 1
        try:
            frames = packet.decode()
        except (av.FFmpegError, ValueError):
            return  # FFmpeg itself will say what is wrong with it
        for frame in frames:
            self.degrees = round(frame.rotation) % 360
            self._tries = 0


def probe(path: str) -> MediaInfo:
    """Raises av.FFmpegError, OSError."""
    formats = ",".join(allowed(path))
    options = {"protocol_whitelist": "file", "format_whitelist": formats}
    with av.open(f"file:{path}", options=options, metadata_errors="replace") as container:
        packets = {stream.index: _Packets(stream) for stream in container.streams}
        turns = {stream.index: _Turn() for stream in container.streams.video}
        for packet in container.demux():
            if packet.size and packet.stream_index in packets:
                packets[packet.stream_index].add(packet)
                if packet.stream_index in turns:
                    turns[packet.stream_index].look(packet)
        declared = container.duration
        return MediaInfo(
            size=Path(path).stat().st_size,
            format_name=container.format.name,
            declared_duration=declared / av.time_base if declared and declared > 0 else None,
            streams=tuple(
                _stream(stream, packets[stream.index], turns.get(stream.index))
                for stream in container.streams
            ),
        )


def _stream(stream: Stream, packets: _Packets, turn: _Turn | None) -> StreamInfo:
    facts = packets.summary()
    if isinstance(stream, VideoStream):
        facts |= _picture(stream) | {"rotation": turn.degrees if turn else 0}
    elif isinstance(stream, AudioStream):
        context = stream.codec_context
        facts |= {"sample_rate": context.sample_rate or 0, "channels": context.channels or 0}
    return StreamInfo(
        index=stream.index,
        kind=KINDS.get(stream.type, Kind.OTHER),
        codec=_codec_name(stream),
        packets=packets.count,
        starts_with_key=packets.starts_with_key,
        **facts,
    )


def _picture(stream: VideoStream) -> dict[str, Any]:
    context = stream.codec_context
    aspect = stream.sample_aspect_ratio
    rate = stream.average_rate or stream.guessed_rate
    return {
        "width": context.width,
        "height": context.height,
        "pixel_format": context.pix_fmt or "",
        "frame_rate": FrameRate(rate.numerator, rate.denominator) if rate else None,
        "sample_aspect": FrameRate(aspect.numerator, aspect.denominator) if aspect else SQUARE,
        "attached_picture": Disposition.attached_pic in stream.disposition,
    }


def _codec_name(stream: Stream) -> str:
    """Decoders have names of their own; what matters is the codec."""
    context = getattr(stream, "codec_context", None)
    if context is None:
        return ""
    name: str = context.name
    return DECODERS.get(name, name)


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    _limit()
    av.logging.set_level(None)
    for path in sys.argv[1:]:
        try:
            answer: dict[str, object] = {"media": probe(path)}
        except av.ArgumentError:
            answer = {"error": NOT_READ}
        except (av.FFmpegError, OSError, ValueError, MemoryError) as error:
            answer = {"error": getattr(error, "strerror", None) or str(error) or repr(error)}
        sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
