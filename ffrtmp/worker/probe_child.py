"""Reads a file's packets with PyAV, in a process of its own, and prints one JSON object.

The only module that imports PyAV: what a hostile file does to it, it does here, under limits.
Of each picture one frame is decoded, else packets are counted.
`{"media": ...}` or `{"error": "..."}` a path, one line each.
"""

import math
import resource
import sys
from array import array
from collections.abc import Iterable, Iterator
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
from ffrtmp.ffmpeg.media import SQUARE, Colours, Kind, MediaInfo, StreamInfo

CPU_SECONDS = 600
MEMORY_BYTES = 4 << 30
FRAMES_TRIED = 48
NOT_READ = "not one of the formats that are read here, which are single media files"
KINDS = {"video": Kind.VIDEO, "audio": Kind.AUDIO}


class _Packets:
    """What is kept of one stream's packets. Times in seconds; NaN for a packet without any."""

    def __init__(self, stream: Stream) -> None:
        self._time_base = float(stream.time_base or 0)
        self._starts = array("d")
        self._lengths = array("d")
        self._after_cut = False
        self.hidden = 0
        self.starts_with_key = True

    @property
    def count(self) -> int:
        return len(self._starts)

    def add(self, packet: "Packet[Any]") -> None:
        if packet.is_discard:  # before the edit list's cut: decoded, never shown
            self._after_cut = True
            self.hidden += 1
            return
        if self.count == 0:
            self.starts_with_key = packet.is_keyframe or self._after_cut
        ticks = packet.pts if packet.pts is not None else packet.dts
        self._starts.append(math.nan if ticks is None else ticks * self._time_base)
        self._lengths.append((packet.duration or 0) * self._time_base)

    def summary(self, usual_length: float) -> dict[str, Any]:
        """Start, end and the largest gap between two starts, in seconds."""
        if not self.count:
            return {}
        starts = _filled(self._starts, self._lengths, usual_length)
        ends = map(sum, zip(starts, self._lengths, strict=True))
        end = max(ends)
        starts = sorted(starts)
        gaps = (later - earlier for earlier, later in pairwise(starts))
        return {
            "start": starts[0],
            "last": starts[-1],
            "end": end,
            "largest_gap": max(gaps, default=0.0),
            "hidden": self.hidden,
        }


def _filled(starts: "array[float]", lengths: "array[float]", usual: float) -> list[float]:
    """Some containers, and every raw stream, leave out times: then one packet follows the other."""
    filled = list(starts)
    known = next((i for i, start in enumerate(filled) if not math.isnan(start)), None)
    if known is None:
        known, filled[0] = 0, 0.0
    for i in range(known - 1, -1, -1):
        filled[i] = filled[i + 1] - (lengths[i] or usual)
    for i in range(known + 1, len(filled)):
        if math.isnan(filled[i]):
            filled[i] = filled[i - 1] + (lengths[i - 1] or usual)
    return filled


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
            if not packet.size or packet.stream_index not in packets:
                continue
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
    rate = stream.average_rate or stream.guessed_rate if isinstance(stream, VideoStream) else None
    facts = packets.summary(float(1 / rate) if rate else 0.0)
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
        "colours": Colours(
            primaries=int(context.color_primaries),
            transfer=int(context.color_trc),
            matrix=int(context.colorspace),
        ),
        "frame_rate": FrameRate(rate.numerator, rate.denominator) if rate else None,
        "sample_aspect": FrameRate(aspect.numerator, aspect.denominator) if aspect else SQUARE,
        "attached_picture": Disposition.attached_pic in stream.disposition,
    }


def _codec_name(stream: Stream) -> str:
    """Decoders have names of their own; what matters is the codec."""
    context = getattr(stream, "codec_context", None)
    if context is None:
        return ""
    name: str = context.codec.canonical_name
    return name


def limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def answers(paths: Iterable[str]) -> Iterator[bytes]:
    """A line for each, as it is read."""
    av.logging.set_level(None)
    for path in paths:
        try:
            answer: dict[str, object] = {"media": probe(path)}
        except av.ArgumentError:
            answer = {"error": NOT_READ}
        except (av.FFmpegError, OSError, ValueError, MemoryError) as error:
            answer = {"error": getattr(error, "strerror", None) or str(error) or repr(error)}
        yield msgspec.json.encode(answer) + b"\n"


def main() -> None:
    limit()
    for line in answers(sys.argv[1:]):
        sys.stdout.buffer.write(line)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
