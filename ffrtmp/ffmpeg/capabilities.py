"""What an FFmpeg can do: which encoders to try, how to try one, and what the tries prove."""

import re
from collections.abc import Collection

from ffrtmp.domain.spec import Metric

CANDIDATES: dict[str, tuple[str, ...]] = {
    "h264": ("libx264",),
    "h265": ("libx265",),
    "av1": ("libsvtav1", "libaom-av1"),
    "vp9": ("libvpx-vp9",),
    "vp8": ("libvpx",),
    "aac": ("aac",),
    "opus": ("libopus",),
}
"""Encoders by codec, the best first."""

FILTERS = {Metric.VMAF: "libvmaf", Metric.SSIM: "ssim", Metric.PSNR: "psnr", Metric.XPSNR: "xpsnr"}
"""What compares pictures."""

SOUND = frozenset({"aac", "libopus"})


def all_candidates() -> list[str]:
    return [encoder for encoders in CANDIDATES.values() for encoder in encoders]


def parse_version(text: str) -> str:
    """From the first line of `ffmpeg -version`; empty when it is not FFmpeg's."""
    match = re.match(r"ffmpeg version n?(\S+)", text)
    return match[1] if match else ""


def parse_protocols(text: str) -> frozenset[str]:
    """What FFmpeg can write to, from `ffmpeg -protocols`."""
    return frozenset(text.partition("Output:")[2].split())


def parse_filters(text: str) -> frozenset[str]:
    """From `ffmpeg -filters`: flags, name, what goes in and out."""
    return frozenset(re.findall(r"(?m)^ [T.][S.]?[C.]? +(\S+) +\S+->", text))


def test_encode_argv(ffmpeg: str, encoder: str) -> list[str]:
    """Encodes a few frames to nowhere: what is listed may still not work on this machine."""
    if encoder in SOUND:
        source, kind = "sine=duration=0.1", "a"
    else:
        source, kind = "testsrc2=size=128x128:rate=25:duration=0.2,format=yuv420p", "v"
    argv = [ffmpeg, "-nostdin", "-hide_banner", "-v", "error", "-f", "lavfi", "-i", source]
    return [*argv, f"-c:{kind}", encoder, "-f", "null", "-"]


def choose_encoders(proved: Collection[str]) -> dict[str, str]:
    """The best proved encoder of each codec."""
    chosen = {}
    for codec, encoders in CANDIDATES.items():
        working = [encoder for encoder in encoders if encoder in proved]
        if working:
            chosen[codec] = working[0]
    return chosen
