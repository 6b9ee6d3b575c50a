"""Good inputs of every kind that people bring, made small by FFmpeg: a recipe a file.

A recipe is a list of command lines for FFmpeg; `{name}` is an earlier file of the same folder.
"""

import fcntl
import hashlib
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import imageio_ffmpeg

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
SECONDS = 2
X264 = "-c:v libx264 -preset ultrafast -crf 10 -g 25"
AAC = "-c:a aac -b:a 96k"


def picture(size: str = "160x120", rate: str = "25", seconds: float = SECONDS) -> str:
    return f"-f lavfi -i testsrc2=size={size}:rate={rate}:duration={seconds}"


def tone(seconds: float = SECONDS, rate: int = 48000) -> str:
    return f"-f lavfi -i sine=sample_rate={rate}:duration={seconds}"


def channels(layout: str, seconds: float = SECONDS) -> str:
    return f"-f lavfi -i aevalsrc=0.1*sin(880*t):channel_layout={layout}:duration={seconds}"


BOTH = f"{picture()} {tone()}"
RATES = {
    "1": "1",
    "12.5": "25/2",
    "23.976": "24000/1001",
    "24": "24",
    "29.97": "30000/1001",
    "30": "30",
    "50": "50",
    "59.94": "60000/1001",
    "120": "120",
}
FORMATS = {
    "10bit-h264.mkv": "-c:v libx264 -pix_fmt yuv420p10le",
    "10bit-h265.mp4": "-c:v libx265 -x265-params log-level=none -pix_fmt yuv420p10le -tag:v hvc1",
    "10bit-vp9.webm": "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -pix_fmt yuv420p10le",
    "10bit-av1.mp4": "-c:v libsvtav1 -preset 12 -pix_fmt yuv420p10le",
    "12bit-ffv1.mkv": "-c:v ffv1 -pix_fmt yuv422p12le",
    "422-10bit-prores.mov": "-c:v prores_ks -profile:v 3 -pix_fmt yuv422p10le",
    "4444-alpha-prores.mov": "-c:v prores_ks -profile:v 4444 -pix_fmt yuva444p10le",
    "alpha-vp8.webm": "-c:v libvpx -auto-alt-ref 0 -deadline realtime -pix_fmt yuva420p",
    "444-h264.mp4": "-c:v libx264 -pix_fmt yuv444p",
    "rgb-h264.mkv": "-c:v libx264rgb -crf 5",
    "rgb-png.mov": "-c:v png -pix_fmt rgb24",
    "grey-ffv1.mkv": "-c:v ffv1 -pix_fmt gray",
    "full-range-mjpeg.avi": "-c:v mjpeg -q:v 2 -pix_fmt yuvj420p",
    "bt709.mp4": f"{X264} -color_primaries bt709 -color_trc bt709 -colorspace bt709",
    "hdr-tags.mp4": (
        "-c:v libx265 -x265-params log-level=none -pix_fmt yuv420p10le"
        " -color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc"
    ),
    "lossless.mkv": "-c:v libx264 -qp 0 -preset ultrafast",
}
RECIPES: dict[str, Sequence[str]] = {
    **{
        f"rate-{name}.mp4": [f"{picture(rate=r)} {tone()} {X264} {AAC}"]
        for name, r in RATES.items()
    },
    "rate-59.94.ts": [f"{picture(rate='60000/1001')} {tone()} {X264} {AAC}"],
    "rate-23.976.mkv": [f"{picture(rate='24000/1001')} {tone()} {X264} {AAC}"],
    **{name: [f"{picture()} {how}"] for name, how in FORMATS.items()},
    # -- times
    "vfr.mkv": [f"{BOTH} -vf select='mod(n,5)' -fps_mode passthrough {X264} {AAC}"],
    "vfr-jitter.mp4": [
        (
            f"{BOTH} -vf setpts=PTS+random(0)*0.02/TB -fps_mode passthrough -enc_time_base 1/90000"
            f" -video_track_timescale 90000 {X264} {AAC}"
        )
    ],
    "vfr-pause.mp4": [
        (
            f"{picture(seconds=5)} {tone(5)} -vf select='lt(t,1)+gt(t,3.5)' -fps_mode passthrough"
            f" {X264} {AAC}"
        )
    ],
    "vfr-slides.mkv": [f"{picture(rate='1/2', seconds=8)} {tone(8)} {X264} {AAC}"],
    "negative-start.mkv": [
        f"{BOTH} {X264} {AAC} -output_ts_offset -0.5 -avoid_negative_ts disabled"
    ],
    "negative-start.mp4": [
        f"{BOTH} {X264} {AAC} -output_ts_offset -0.5 -avoid_negative_ts disabled"
    ],
    "late-start.mkv": [f"{BOTH} {X264} {AAC} -output_ts_offset 3600"],
    "late-start.ts": [f"{BOTH} {X264} {AAC} -output_ts_offset 3600"],
    "wrapping.ts": [f"{BOTH} {X264} {AAC} -output_ts_offset 95442.5"],
    "edit-list.mp4": [
        f"{BOTH} {X264} {AAC} {{edit-base.mp4}}",
        "-ss 0.7 -i {edit-base.mp4} -c copy",
    ],
    "edit-list.mov": [
        f"{picture()} {tone()} -c:v libx264 -bf 3 -g 50 {AAC} {{edit-base.mov}}",
        "-ss 0.5 -i {edit-base.mov} -c copy",
    ],
    "b-frames.mp4": [f"{BOTH} -c:v libx264 -bf 3 -g 50 {AAC}"],
    "b-frames-no-edit-list.mp4": [f"{BOTH} -c:v libx264 -bf 3 {AAC} -use_editlist 0"],
    "open-gop.ts": [f"{BOTH} -c:v libx264 -x264-params open-gop=1:bframes=3:keyint=12 {AAC}"],
    "fragmented.mp4": [f"{BOTH} {X264} {AAC} -movflags +frag_keyframe+empty_moov"],
    "no-duration.mkv": [f"{BOTH} {X264} {AAC} -live 1"],
    "one-frame.mp4": [f"{picture()} -frames:v 1 {X264}"],
    "one-frame.mkv": [f"{picture()} -frames:v 1 {X264}"],
    "one-frame-and-sound.mp4": [f"{BOTH} -frames:v 1 {X264} {AAC}"],
    "two-frames.mp4": [f"{picture()} -frames:v 2 {X264}"],
    "still.png": [f"{picture()} -frames:v 1"],
    "still.jpg": [f"{picture()} -frames:v 1 -q:v 2"],
    # -- sound
    "no-sound.mp4": [f"{picture()} {X264}"],
    "no-sound.ts": [f"{picture()} {X264}"],
    "sound-longer.mp4": [f"{picture()} {tone(4)} {X264} {AAC}"],
    "sound-longer.mkv": [f"{picture()} {tone(4)} {X264} {AAC}"],
    "sound-shorter.mp4": [f"{picture(seconds=4)} {tone(1.5)} {X264} {AAC}"],
    "sound-shorter.ts": [f"{picture(seconds=4)} {tone(1.5)} {X264} {AAC}"],
    "sound-later.mp4": [f"{picture(seconds=3)} -itsoffset 0.7 {tone()} {X264} {AAC}"],
    "sound-later.mkv": [f"{picture(seconds=3)} -itsoffset 0.7 {tone()} {X264} {AAC}"],
    "sound-later.ts": [f"{picture(seconds=3)} -itsoffset 0.7 {tone()} {X264} {AAC}"],
    "picture-later.mkv": [f"-itsoffset 0.6 {picture()} {tone(3)} {X264} {AAC}"],
    "picture-later.mp4": [f"-itsoffset 0.6 {picture()} {tone(3)} {X264} {AAC}"],
    "three-sounds.mkv": [
        (
            f"{picture()} {tone()} {tone(1)} {channels('5.1')} -map 0 -map 1 -map 2 -map 3 {X264}"
            " -c:a:0 aac -c:a:1 libopus -c:a:2 ac3"
        )
    ],
    "three-sounds.ts": [
        f"{picture()} {tone()} {tone(1)} {tone()} -map 0 -map 1 -map 2 -map 3 {X264} {AAC}"
    ],
    "surround-5.1-side.mkv": [f"{picture()} {channels('5.1(side)')} {X264} -c:a ac3"],
    "surround-7.1.mkv": [f"{picture()} {channels('7.1')} {X264} -c:a flac"],
    "mono-8k.avi": [f"{picture()} {tone(rate=8000)} -c:v mpeg4 -q:v 2 -c:a pcm_mulaw"],
    "sound-44.1k.mov": [f"{picture()} {tone(rate=44100)} {X264} -c:a pcm_s16le"],
    "sound-96k.mkv": [f"{picture()} {tone(rate=96000)} {X264} -c:a pcm_s24le"],
    "only-sound.m4a": [f"{tone()} {AAC}"],
    "only-sound.mp3": [f"{tone()} -c:a libmp3lame"],
    "only-sound.flac": [f"{tone()}"],
    "only-sound.wav": [f"{tone()}"],
    "only-sound.ogg": [f"{tone()} -c:a libvorbis"],
    "only-sound.opus": [f"{tone()} -c:a libopus"],
    # -- shape of the picture
    **{
        f"rotated-{turn}.mp4": [
            f"{BOTH} {X264} {AAC} {{upright-{turn}.mp4}}",
            f"-display_rotation {turn} -i {{upright-{turn}.mp4}} -c copy",
        ]
        for turn in (90, 180, 270)
    },
    "rotated-anamorphic.mov": [
        f"{BOTH} -vf setsar=64/45 {X264} {AAC} {{wide.mov}}",
        "-display_rotation 90 -i {wide.mov} -c copy",
    ],
    "odd-161x121.mkv": [f"{picture('161x121')} -c:v ffv1 -pix_fmt yuv444p"],
    "odd-width.mp4": [f"{picture('161x120')} -c:v libx264 -pix_fmt yuv444p -crf 10"],
    "odd-height.avi": [f"{picture('160x121')} -c:v mjpeg -q:v 2"],
    "tiny-18x16.mp4": [f"{picture('18x16')} {X264}"],
    "upright.mp4": [f"{picture('90x160')} {tone()} {X264} {AAC}"],
    "anamorphic-pal.mpg": [
        f"{picture('180x144')} {tone()} -vf setsar=64/45 -c:v mpeg2video -q:v 2 -c:a mp2"
    ],
    "anamorphic-narrow.mkv": [f"{BOTH} -vf setsar=8/9 {X264} {AAC}"],
    "interlaced-h264.ts": [
        f"{picture(rate='50')} {tone()} -vf interlace -flags +ilme+ildct {X264} {AAC}"
    ],
    "interlaced-mpeg2.mpg": [
        (
            f"{picture(rate='60000/1001')} {tone()} -vf interlace"
            " -c:v mpeg2video -q:v 2 -flags +ilme+ildct -c:a mp2"
        )
    ],
    # -- what else is in a file
    "subtitles.mkv": [f"{BOTH} -i {{subtitles.srt}} -map 0 -map 1 -map 2 {X264} {AAC} -c:s srt"],
    "subtitles.mp4": [
        f"{BOTH} -i {{subtitles.srt}} -map 0 -map 1 -map 2 {X264} {AAC} -c:s mov_text"
    ],
    "timecode.mov": [f"{BOTH} {X264} {AAC} -timecode 01:00:00:00"],
    "data.ts": [f"{BOTH} -f data -i {{subtitles.srt}} -map 0 -map 1 -map 2 {X264} {AAC} -c:d copy"],
    "chapters.mp4": [f"{BOTH} -i {{chapters.txt}} -map_metadata 2 {X264} {AAC}"],
    "attachment.mkv": [
        f"{BOTH} {X264} {AAC} -attach {{subtitles.srt}} -metadata:s:t mimetype=application/x-font"
    ],
    "cover.mp3": [
        (
            f"{picture('64x64')} {tone()} -map 1 -map 0 -frames:v 1 -c:a libmp3lame -c:v png"
            " -disposition:v attached_pic"
        )
    ],
    "cover.m4a": [
        (
            f"{picture('64x64')} {tone()} -map 1 -map 0 -frames:v 1 {AAC} -c:v png"
            " -disposition:v attached_pic"
        )
    ],
    "cover.mp4": [
        f"{picture('320x320')} -frames:v 1 -c:v png {{cover.mkv}}",
        (
            f"{picture()} {tone()} -i {{cover.mkv}} -map 0 -map 1 -map 2 {AAC} -c:v:0 libx264"
            " -c:v:1 copy -disposition:v:1 attached_pic"
        ),
    ],
    "two-pictures.mkv": [
        f"{picture('96x64')} {picture()} {tone()} -map 0 -map 1 -map 2 {X264} {AAC}"
    ],
    # -- other containers and codecs
    "mpeg4-mp3.avi": [f"{BOTH} -c:v mpeg4 -q:v 2 -c:a libmp3lame"],
    "b-frames.avi": [f"{BOTH} -c:v mpeg4 -bf 2 -q:v 2 -c:a libmp3lame"],
    "h264-aac.flv": [f"{BOTH} {X264} {AAC}"],
    "flv1-mp3.flv": [f"{picture()} {tone(rate=44100)} -c:v flv -q:v 2 -c:a libmp3lame"],
    "vp8-vorbis.webm": [f"{BOTH} -c:v libvpx -b:v 2M -deadline realtime -c:a libvorbis"],
    "vp9-opus.webm": [f"{BOTH} -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus"],
    "av1-opus.webm": [f"{BOTH} -c:v libsvtav1 -preset 12 -c:a libopus"],
    "h265-aac.mkv": [f"{BOTH} -c:v libx265 -x265-params log-level=none {AAC}"],
    "mpeg2-mp2.ts": [f"{BOTH} -c:v mpeg2video -q:v 2 -c:a mp2"],
    "blu-ray.m2ts": [f"{BOTH} {X264} -c:a ac3"],
    "wmv2-wma2.wmv": [f"{BOTH} -c:v wmv2 -q:v 2 -c:a wmav2"],
    "theora-vorbis.ogv": [f"{BOTH} -c:v libtheora -q:v 9 -c:a libvorbis"],
    "mpeg2-pcm.mxf": [f"{BOTH} -c:v mpeg2video -q:v 2 -c:a pcm_s16le"],
    "huffyuv-pcm.nut": [f"{BOTH} -c:v huffyuv -c:a pcm_s16le"],
    "raw.y4m": [f"{picture()} -pix_fmt yuv420p"],
    "raw.h264": [f"{picture()} {X264}"],
    "animation.gif": [f"{picture(rate='10')}"],
    "h263-amr.3gp": [
        f"{picture('176x144')} {tone(rate=8000)} -c:v h263 -q:v 2 -c:a libopencore_amrnb -b:a 12.2k"
    ],
    "size-changes.ts": [
        f"{picture()} {X264} {{one.ts}}",
        f"{picture('128x96')} {X264} {{two.ts}}",
        "-i concat:{one.ts}|{two.ts} -c copy",
    ],
}
TEXTS = {
    "subtitles.srt": (
        "1\n00:00:00,100 --> 00:00:00,900\nfirst\n\n2\n00:00:01,000 --> 00:00:01,500\nsecond\n"
    ),
    "chapters.txt": (
        ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=one\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=1000\nEND=2000\ntitle=two\n"
    ),
}


def make(folder: Path, name: str, recipe: Sequence[str]) -> Path:
    """Makes it if it is not there yet; it is made anew when its recipe has changed."""
    digest = hashlib.sha256("\n".join([FFMPEG, *recipe]).encode()).hexdigest()[:12]
    place = folder / digest
    place.mkdir(parents=True, exist_ok=True)
    target = place / name
    with (place / ".lock").open("w") as lock:  # two runs at once make it once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            _make(place, target, recipe)
    return target


def _make(place: Path, target: Path, recipe: Sequence[str]) -> None:
    for name, text in TEXTS.items():
        (place / name).write_text(text)
    fresh = target.with_name(f"new-{target.name}")
    for number, step in enumerate(recipe, 1):
        here = re.sub(r"\{(.*?)\}", lambda match: str(place / match[1]), step)
        argv = [FFMPEG, "-nostdin", "-v", "error", "-y", *here.split()]
        if number == len(recipe):
            argv.append(str(fresh))
        subprocess.run(argv, check=True, capture_output=True)
    fresh.rename(target)
