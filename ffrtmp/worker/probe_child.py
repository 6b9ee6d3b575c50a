"""Reads a file's packets with PyAV, in a process of its own, and prints one JSON object.

The only module that imports PyAV: what a hostile file does to it, it does here, under limits.
Nothing is decoded. `{"media": ...}` or `{"error": "..."}` a path, one line each.
"""

import resource
import sys
from array import array
from pathlib import Path

import av
import msgspec

from ffrtmp.domain.spec import FrameRate
from ffrtmp.ffmpeg.media import Kind, MediaInfo, StreamInfo

CPU_SECONDS = 600
MEMORY_BYTES = 4 << 30
KINDS = {"video": Kind.VIDEO, "audio": Kind.AUDIO}


class _Packets:
    """What is kept of one stream's packets."""

    def __init__(self, time_base: float) -> None:
        self._time_base = time_base
        self._starts = array("d")
        self._end: float | None = None
        self.count = 0
        self.starts_with_key = True

    def add(self, packet: "av.Packet") -> None:
        if packet.size == 0:
            return
        if self.count == 0:
            self.starts_with_key = packet.is_keyframe
        self.count += 1
        ticks = packet.pts if packet.pts is not None else packet.dts
        if ticks is None:
            return
        start = ticks * self._time_base
        end = start + (packet.duration or 0) * self._time_base
        self._starts.append(start)
        self._end = end if self._end is None else max(self._end, end)

    def summary(self) -> tuple[float | None, float | None, float]:
        """Start, end and the largest gap between two starts, in seconds."""
        starts = sorted(self._starts)
        if not starts or self._end is None:
            return None, None, 0.0
        gaps = (later - earlier for earlier, later in zip(starts, starts[1:], strict=False))
        return starts[0], self._end, max(gaps, default=0.0)


def probe(path: str) -> MediaInfo:
    options = {"protocol_whitelist": "file"}
    with av.open(f"file:{path}", options=options, metadata_errors="replace") as container:
        packets = {
            stream.index: _Packets(float(stream.time_base or 0)) for stream in container.streams
        }
        for packet in container.demux():
            if packet.stream_index in packets:
                packets[packet.stream_index].add(packet)
        streams = tuple(_stream(stream, packets[stream.index]) for stream in container.streams)
        declared = container.duration
        return MediaInfo(
            size=Path(path).stat().st_size,
            format_name=container.format.name,
            declared_duration=declared / av.time_base if declared and declared > 0 else None,
            streams=streams,
        )


def _stream(stream: "av.stream.Stream", packets: _Packets) -> StreamInfo:
    kind = KINDS.get(stream.type, Kind.OTHER)
    start, end, gap = packets.summary()
    facts = _picture(stream) if kind is Kind.VIDEO else {}
    if kind is Kind.AUDIO:
        context = stream.codec_context
        facts = {"sample_rate": context.sample_rate or 0, "channels": context.channels or 0}
    codec = stream.codec_context.name if stream.codec_context else ""
    return StreamInfo(
        index=stream.index,
        kind=kind,
        codec=_codec_name(codec),
        packets=packets.count,
        starts_with_key=packets.starts_with_key,
        start=start,
        end=end,
        largest_gap=gap,
        **facts,
    )


def _picture(stream: "av.VideoStream") -> dict[str, object]:
    context = stream.codec_context
    aspect = stream.sample_aspect_ratio
    rate = stream.average_rate or stream.guessed_rate
    attached = getattr(stream.disposition, "name", "") or ""
    return {
        "width": context.width,
        "height": context.height,
        "pixel_format": context.pix_fmt or "",
        "frame_rate": FrameRate(rate.numerator, rate.denominator) if rate else None,
        "sample_aspect": FrameRate(aspect.numerator, aspect.denominator)
        if aspect
        else FrameRate(1),
        "rotation": _rotation(stream),
        "attached_picture": "attached_pic" in attached,
    }


def _rotation(stream: "av.VideoStream") -> int:
    """Whole degrees, from the display matrix."""
    side_data = getattr(stream, "side_data", None) or {}
    angle = side_data.get("DISPLAYMATRIX", 0) if hasattr(side_data, "get") else 0
    return round(angle) % 360


def _codec_name(name: str) -> str:
    """Decoders have names of their own; what matters is the codec."""
    return {"libdav1d": "av1", "libaom-av1": "av1", "libvpx": "vp8", "libvpx-vp9": "vp9"}.get(
        name, name.removeprefix("lib")
    )


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
        except (av.FFmpegError, OSError, ValueError, MemoryError) as error:
            answer = {"error": getattr(error, "strerror", None) or str(error) or repr(error)}
        sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
