"""Ways to make FFmpeg fail, each with the class that it truly is of: known because we made it so.

`scripts/record_failures` runs them and writes what FFmpeg said beside this file; the rules of
`ffrtmp/ffmpeg/failure.py` are written against the first set, and judged by the second, which was
recorded when they were finished.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

BAD, FFMPEG = "input_bad", "ffmpeg_failed"
RESOURCE, MEMORY, TRANSPORT = "resource", "resource_memory", "transport"
X264 = "-c:v libx264 -preset ultrafast"
OUT_MP4 = f"{X264} -c:a aac -f mp4 {{out}}"
OUT_MKV = f"{X264} -c:a aac -f matroska {{out}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`argv`: FFmpeg's, after the options that we always give; `{in}` and `{out}` are files.

    `clip`: what to make `in` with; `harm`: what is done to it then; `limits`: of the shell; `full`:
    the output's disk is; `signal`: sent by a stranger.
    """

    truth: str
    argv: str
    clip: str = ""
    harm: Callable[[bytearray], None] | None = None
    limits: str = ""
    full: bool = False
    signal: int = 0


def halve(content: bytearray) -> None:
    del content[len(content) // 2 :]


def noise(content: bytearray) -> None:
    middle, length = len(content) // 2, min(64 << 10, len(content) // 4)
    content[middle : middle + length] = os.urandom(length)


def hole(content: bytearray) -> None:
    middle, length = len(content) // 2, min(64 << 10, len(content) // 4)
    content[middle : middle + length] = bytes(length)


def empty(content: bytearray) -> None:
    content.clear()


def random(content: bytearray) -> None:
    content[:] = os.urandom(100_000)


def text(content: bytearray) -> None:
    content[:] = b"<html><body>404 Not Found</body></html>\n" * 20


def no_head(content: bytearray) -> None:
    content[: len(content) // 3] = os.urandom(len(content) // 3)


def head_only(content: bytearray) -> None:
    del content[2048:]


def bad(clip: str, harm: Callable[[bytearray], None], reader: str, out: str = OUT_MP4) -> Case:
    return Case(truth=BAD, argv=f"-f {reader} -i {{in}} {out}", clip=clip, harm=harm)


PICTURE = "-f lavfi -i testsrc2=size=320x180:rate=25:duration=4"
TONE = "-f lavfi -i sine=duration=4"
AV = f"{PICTURE} {TONE}"
H264_MP4 = f"{AV} {X264} -crf 12 -c:a aac -movflags +faststart {{in}}.mp4"
H264_MKV = f"{AV} {X264} -crf 12 -c:a aac {{in}}.mkv"
H264_TS = f"{AV} {X264} -crf 12 -c:a aac {{in}}.ts"
LATE_MOOV = f"{AV} {X264} -crf 12 -c:a aac {{in}}.mp4"
ENDLESS = "-f lavfi -i testsrc2=size=640x360:rate=25 -f lavfi -i sine"
SHORT = "-f lavfi -i testsrc2=size=320x180:duration=1"
HUGE = "-f lavfi -i color=size=7680x4320:duration=2"

RULES: dict[str, Case] = {
    # -- inputs
    "empty mp4": bad(H264_MP4, empty, "mov"),
    "empty mkv": bad(H264_MKV, empty, "matroska"),
    "random bytes as mp4": bad(H264_MP4, random, "mov"),
    "random bytes as ts": bad(H264_TS, random, "mpegts"),
    "html as mkv": bad(H264_MKV, text, "matroska"),
    "mp4 without its end": bad(LATE_MOOV, halve, "mov"),
    "half faststart mp4": bad(H264_MP4, halve, "mov"),
    "half ts": bad(H264_TS, halve, "mpegts"),
    "noise in mp4": bad(H264_MP4, noise, "mov"),
    "noise in mkv": bad(H264_MKV, noise, "matroska"),
    "noise in ts": bad(H264_TS, noise, "mpegts"),
    "hole in mp4": bad(H264_MP4, hole, "mov"),
    "hole in mkv": bad(H264_MKV, hole, "matroska"),
    "no head of mkv": bad(H264_MKV, no_head, "matroska"),
    "head of mp4 only": bad(H264_MP4, head_only, "mov"),
    "noise in h265": bad(
        f"{AV} -c:v libx265 -crf 12 -preset ultrafast -c:a aac {{in}}.mkv", noise, "matroska"
    ),
    "noise in vp9": bad(
        f"{PICTURE} -c:v libvpx-vp9 -b:v 4M -deadline realtime {{in}}.webm", noise, "matroska"
    ),
    "noise in mpeg2": bad(f"{AV} -c:v mpeg2video -q:v 2 -c:a mp2 {{in}}.ts", noise, "mpegts"),
    "noise in mpeg4": bad(f"{AV} -c:v mpeg4 -q:v 2 -c:a libmp3lame {{in}}.avi", noise, "avi"),
    "noise in aac": bad(f"{TONE} -c:a aac {{in}}.m4a", noise, "mov", "-c:a aac -f mp4 {out}"),
    "noise in flac": bad(f"{TONE} -c:a flac {{in}}.flac", noise, "flac", "-c:a aac -f mp4 {out}"),
    "missing input": Case(truth=BAD, argv=f"-f mov -i file:/nowhere/in.mp4 {OUT_MP4}"),
    "folder as input": Case(truth=BAD, argv=f"-f mov -i file:/etc {OUT_MP4}"),
    # -- the platform
    "full disk mp4": Case(truth=RESOURCE, argv=f"{ENDLESS} {OUT_MP4}", full=True),
    "full disk mkv": Case(truth=RESOURCE, argv=f"{ENDLESS} {OUT_MKV}", full=True),
    "full disk ts": Case(
        truth=RESOURCE, argv=f"{ENDLESS} {X264} -c:a aac -f mpegts {{out}}", full=True
    ),
    "full disk at the index": Case(
        truth=RESOURCE,
        argv=f"{ENDLESS} {X264} -t 30 -movflags +faststart -f mp4 {{out}}",
        full=True,
    ),
    "file size limit mp4": Case(truth=RESOURCE, argv=f"{ENDLESS} {OUT_MP4}", limits="ulimit -f 64"),
    "file size limit mkv": Case(truth=RESOURCE, argv=f"{ENDLESS} {OUT_MKV}", limits="ulimit -f 64"),
    "no memory x264": Case(
        truth=MEMORY,
        argv=f"{HUGE} -c:v libx264 -preset slow -f mp4 {{out}}",
        limits="ulimit -v 700000",
    ),
    "no memory vp9": Case(
        truth=MEMORY, argv=f"{HUGE} -c:v libvpx-vp9 -f webm {{out}}", limits="ulimit -v 700000"
    ),
    "no memory scale": Case(
        truth=MEMORY,
        argv=f"{SHORT} -vf scale=16000:16000 {X264} -f mp4 {{out}}",
        limits="ulimit -v 600000",
    ),
    "no file descriptors": Case(
        truth=RESOURCE, argv=f"-f mov -i {{in}} {OUT_MP4}", clip=H264_MP4, limits="ulimit -n 3"
    ),
    "SIGTERM of a stranger": Case(truth=MEMORY, argv=f"{ENDLESS} {OUT_MP4}", signal=15),
    "SIGINT of a stranger": Case(truth=MEMORY, argv=f"{ENDLESS} {OUT_MKV}", signal=2),
    "SIGKILL of a stranger": Case(truth=MEMORY, argv=f"{ENDLESS} {OUT_MKV}", signal=9),
    "no nvenc": Case(truth=RESOURCE, argv=f"{SHORT} -c:v h264_nvenc -f mp4 {{out}}"),
    "no vaapi": Case(
        truth=RESOURCE,
        argv=f"-vaapi_device /dev/dri/renderD128 {SHORT} -vf format=nv12,hwupload"
        " -c:v h264_vaapi -f mp4 {out}",
    ),
    # -- our command line
    "unknown option": Case(truth=FFMPEG, argv=f"{SHORT} -crff 20 {OUT_MP4}"),
    "unknown encoder": Case(truth=FFMPEG, argv=f"{SHORT} -c:v libx266 -f mp4 {{out}}"),
    "unknown muxer": Case(truth=FFMPEG, argv=f"{SHORT} {X264} -f mp44 {{out}}"),
    "unknown reader": Case(truth=FFMPEG, argv=f"-f mp44 -i {{in}} {OUT_MP4}", clip=H264_MP4),
    "unknown filter": Case(truth=FFMPEG, argv=f"{SHORT} -vf scales=3:4 {OUT_MP4}"),
    "wrong filter option": Case(truth=FFMPEG, argv=f"{SHORT} -vf scale=w=1:q=4 {OUT_MP4}"),
    "crf out of range": Case(truth=FFMPEG, argv=f"{SHORT} -c:v libvpx-vp9 -crf 99 -f webm {{out}}"),
    "odd width": Case(
        truth=FFMPEG, argv=f"{SHORT} -vf scale=161:121 {X264} -pix_fmt yuv420p -f mp4 {{out}}"
    ),
    "unknown profile": Case(truth=FFMPEG, argv=f"{SHORT} {X264} -profile:v best -f mp4 {{out}}"),
    "vp8 in mp4": Case(truth=FFMPEG, argv=f"{SHORT} -c:v libvpx -f mp4 {{out}}"),
    "h264 in webm": Case(truth=FFMPEG, argv=f"{SHORT} {X264} -f webm {{out}}"),
    "7.1 sound in ts": Case(
        truth=FFMPEG,
        argv="-f lavfi -i aevalsrc=0:channel_layout=7.1:duration=1 -c:a aac -f mpegts {out}",
    ),
    "stream that is not there": Case(
        truth=FFMPEG, argv=f"-f mov -i {{in}} -map 0:7 {OUT_MP4}", clip=H264_MP4
    ),
    "sample rate that aac has not": Case(
        truth=FFMPEG, argv="-f lavfi -i sine=duration=1 -ar 12345 -c:a libopus -f webm {out}"
    ),
    "no times to copy": Case(
        truth=FFMPEG,
        argv="-f avi -i {in} -c copy -f matroska {out}",
        clip=f"{PICTURE} -c:v mpeg4 -bf 2 {{in}}.avi",
    ),
    "copy of what mp4 cannot hold": Case(
        truth=FFMPEG,
        argv="-f matroska -i {in} -c copy -f mp4 {out}",
        clip=f"{PICTURE} -c:v ffv1 {{in}}.mkv",
    ),
    "folder as output": Case(truth=FFMPEG, argv=f"{SHORT} {X264} -f mp4 file:/etc"),
}
CHECK: dict[str, Case] = {
    "prores cut in half": bad(
        f"{PICTURE} -c:v prores_ks -movflags +faststart {{in}}.mov", halve, "mov"
    ),
    "avi cut in half": bad(f"{AV} -c:v mpeg4 -q:v 2 -c:a libmp3lame {{in}}.avi", halve, "avi"),
    "noise in prores": bad(f"{PICTURE} -c:v prores_ks {{in}}.mov", noise, "mov"),
    "noise in mjpeg": bad(f"{PICTURE} -c:v mjpeg -q:v 2 {{in}}.avi", noise, "avi"),
    "noise in ffv1": bad(f"{PICTURE} -c:v ffv1 -slicecrc 1 {{in}}.mkv", noise, "matroska"),
    "noise in av1": bad(f"{PICTURE} -c:v libsvtav1 -preset 12 {{in}}.mp4", noise, "mov"),
    "noise in flv": bad(f"{AV} {X264} -crf 12 -c:a aac {{in}}.flv", noise, "flv"),
    "noise in ac3": bad(f"{AV} {X264} -crf 30 -c:a ac3 -b:a 640k {{in}}.ts", noise, "mpegts"),
    "noise in opus": bad(
        f"{TONE} -c:a libopus -b:a 256k {{in}}.ogg", noise, "ogg", "-c:a aac -f mp4 {out}"
    ),
    "hole in ts": bad(H264_TS, hole, "mpegts"),
    "hole in h265 mp4": bad(
        f"{AV} -c:v libx265 -crf 12 -preset ultrafast -c:a aac {{in}}.mp4", hole, "mov"
    ),
    "hole in vp9 mp4": bad(
        f"{PICTURE} -c:v libvpx-vp9 -b:v 4M -deadline realtime {{in}}.mp4", hole, "mov"
    ),
    "empty ts": bad(H264_TS, empty, "mpegts"),
    "html as mp4": bad(H264_MP4, text, "mov"),
    "random bytes as flv": bad(H264_MP4, random, "flv"),
    "random bytes as avi": bad(H264_MP4, random, "avi"),
    "text as wav": bad(H264_MP4, text, "wav", "-c:a aac -f mp4 {out}"),
    "mp4 read as matroska": bad(H264_MP4, lambda _: None, "matroska"),
    "png cut short": bad(
        f"{PICTURE} -frames:v 1 {{in}}.png", halve, "png_pipe", f"{X264} -f mp4 {{out}}"
    ),
    "full disk webm": Case(
        truth=RESOURCE, argv=f"{ENDLESS} -c:v libvpx -deadline realtime -f webm {{out}}", full=True
    ),
    "full disk mov": Case(truth=RESOURCE, argv=f"{ENDLESS} {X264} -f mov {{out}}", full=True),
    "file size limit ts": Case(
        truth=RESOURCE, argv=f"{ENDLESS} {X264} -f mpegts {{out}}", limits="ulimit -f 64"
    ),
    "no memory x265": Case(
        truth=MEMORY,
        argv=f"{HUGE} -c:v libx265 -preset slow -f mp4 {{out}}",
        limits="ulimit -v 900000",
    ),
    "no memory av1": Case(
        truth=MEMORY, argv=f"{HUGE} -c:v libsvtav1 -f mp4 {{out}}", limits="ulimit -v 900000"
    ),
    "SIGTERM while writing ts": Case(
        truth=MEMORY, argv=f"{ENDLESS} {X264} -f mpegts {{out}}", signal=15
    ),
    "no qsv": Case(truth=RESOURCE, argv=f"{SHORT} -c:v h264_qsv -f mp4 {{out}}"),
    "no hevc nvenc": Case(truth=RESOURCE, argv=f"{SHORT} -c:v hevc_nvenc -f mp4 {{out}}"),
    "unknown preset": Case(truth=FFMPEG, argv=f"{SHORT} -c:v libx264 -preset best -f mp4 {{out}}"),
    "unknown pixel format": Case(
        truth=FFMPEG, argv=f"{SHORT} {X264} -pix_fmt yuv42 -f mp4 {{out}}"
    ),
    "bitrate that is no number": Case(
        truth=FFMPEG, argv=f"{SHORT} {X264} -b:v lots -f mp4 {{out}}"
    ),
    "flac in webm": Case(truth=FFMPEG, argv="-f lavfi -i sine=duration=1 -c:a flac -f webm {out}"),
    "filter that needs two inputs": Case(truth=FFMPEG, argv=f"{SHORT} -vf overlay {OUT_MP4}"),
    "speed beyond its range": Case(
        truth=FFMPEG, argv=f"{SHORT} -c:v libsvtav1 -preset 99 -f mp4 {{out}}"
    ),
}
SETS = {"rules": RULES, "check": CHECK}
FOLDER = Path(__file__).parent / "failures"
