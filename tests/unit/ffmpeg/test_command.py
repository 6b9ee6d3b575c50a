"""Golden command lines: what FFmpeg is told for each kind of output, one readable line each."""

import shlex
from dataclasses import replace
from datetime import timedelta

import pytest

from ffrtmp.domain.spec import (
    AudioCodec,
    AudioSettings,
    FrameRate,
    Input,
    JobSpec,
    MediaPath,
    Output,
    Speed,
    TestSource,
    VideoCodec,
    VideoSettings,
)
from ffrtmp.ffmpeg.capabilities import CANDIDATES
from ffrtmp.ffmpeg.command import build_argv
from ffrtmp.ffmpeg.media import Kind, MediaInfo, StreamInfo
from ffrtmp.ffmpeg.plan import plan
from ffrtmp.ffmpeg.presets import expand

ENCODERS = {codec: encoders[0] for codec, encoders in CANDIDATES.items()}
PICTURE = StreamInfo(
    index=1,
    kind=Kind.VIDEO,
    codec="h264",
    packets=300,
    start=0.0,
    last=9.967,
    end=10.0,
    width=1920,
    height=1080,
    pixel_format="yuv420p",
    frame_rate=FrameRate(30),
)
SOUND = StreamInfo(index=2, kind=Kind.AUDIO, codec="aac", packets=431, start=0.0, end=10.0)
SOURCE = MediaInfo(size=1, format_name="mov", declared_duration=10.0, streams=(PICTURE, SOUND))
HEAD = (
    "ffmpeg -nostdin -hide_banner -y -xerror -v level+info"
    " -progress pipe:1 -stats_period 0.5 -nostats"
)
READS = "-protocol_whitelist file -f mov -i file:/in.mov"


def line(
    name: str = "o.mp4",
    *,
    source: MediaInfo = SOURCE,
    encoders: dict[str, str] = ENCODERS,
    preset: str = "",
    video: VideoSettings | None = None,
    audio: AudioSettings | None = None,
) -> str:
    """The part about the output."""
    output = Output(path=MediaPath("m", name), preset=preset, video=video, audio=audio)
    spec = expand(JobSpec(input=Input(path=MediaPath("m", "in.mov")), outputs=(output,)))
    argv = build_argv(
        plan(spec, source, encoders), ffmpeg="ffmpeg", source="/in.mov", targets=[f"/{name}"]
    )
    text = shlex.join(argv)
    assert text.startswith(f"{HEAD} {READS} ")
    return text.removeprefix(f"{HEAD} {READS} ")


BOTH = "-map 0:1 -map 0:2"
KEPT = "-g 120 -fps_mode passthrough -enc_time_base:v demux"
SD = "-vf fps=25,scale=1280:720:flags=bicubic,setsar=1"
AAC = "-c:a aac -b:a 160000"
OPUS = "-c:a libopus -b:a 128000 -af 'aformat=channel_layouts=mono|stereo|3.0|quad|5.0|5.1|6.1|7.1'"
MP4 = "-movflags +faststart -f mp4 file:/o.mp4"
X264 = "-c:v libx264 -crf 20 -preset medium"
VP9 = "-c:v libvpx-vp9 -crf 31 -b:v 0 -deadline good -cpu-used 3"
PLAIN = "-pix_fmt yuv420p"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("o.mp4", f"{BOTH} {X264} {PLAIN} {KEPT} {AAC} {MP4}"),
        ("o.m4v", f"{BOTH} {X264} {PLAIN} {KEPT} {AAC} -movflags +faststart -f mp4 file:/o.m4v"),
        ("o.mov", f"{BOTH} {X264} {PLAIN} {KEPT} {AAC} -movflags +faststart -f mov file:/o.mov"),
        ("o.mkv", f"{BOTH} {X264} {PLAIN} {KEPT} {AAC} -f matroska file:/o.mkv"),
        ("o.ts", f"{BOTH} {X264} {PLAIN} {KEPT} {AAC} -f mpegts file:/o.ts"),
        (
            "o.webm",
            f"{BOTH} {VP9} {PLAIN} {KEPT} {OPUS} -f webm file:/o.webm",
        ),
    ],
)
def test_each_container_has_its_muxer_and_its_defaults(name, expected):
    assert line(name) == expected


@pytest.mark.parametrize(
    ("codec", "expected"),
    [
        ("h264", f"-c:v libx264 -crf 20 -preset medium {SD} {PLAIN}"),
        ("h265", f"-c:v libx265 -crf 23 -preset medium {SD} {PLAIN}"),
        ("av1", f"-c:v libsvtav1 -crf 28 -preset 8 {SD} {PLAIN}"),
        ("vp9", f"-c:v libvpx-vp9 -crf 31 -b:v 0 -deadline good -cpu-used 3 {SD} {PLAIN}"),
        ("vp8", f"-c:v libvpx -crf 10 -b:v 4608000 -deadline good -cpu-used 3 {SD} {PLAIN}"),
    ],
)
def test_each_codec_of_a_preset_has_its_encoder_quality_effort_and_size(codec, expected):
    tail = " -tag:v hvc1" if codec == "h265" else ""
    found = line("o.mkv", preset=f"720p25-{codec}")
    timing = "-g 100 -fps_mode passthrough"
    assert found == f"{BOTH} {expected} {timing}{tail} {AAC} -f matroska file:/o.mkv"


def test_an_encoder_that_is_not_the_first_choice_is_told_in_its_own_words():
    found = line(encoders=ENCODERS | {"av1": "libaom-av1"}, preset="720p-av1")
    assert "-c:v libaom-av1 -crf 28 -cpu-used 3 -row-mt 1" in found


@pytest.mark.parametrize(
    ("video", "expected"),
    [
        (VideoSettings(bitrate=4_000_000), "-c:v libx264 -b:v 4000000 -preset medium"),
        (VideoSettings(crf=0), "-c:v libx264 -crf 0 -preset medium"),
        (VideoSettings(speed=Speed.FASTEST), "-c:v libx264 -crf 20 -preset ultrafast"),
        (VideoSettings(speed=Speed.SLOWEST), "-c:v libx264 -crf 20 -preset veryslow"),
        (
            VideoSettings(codec=VideoCodec.AV1, speed=Speed.SLOW),
            "-c:v libsvtav1 -crf 28 -preset 5",
        ),
        (
            VideoSettings(codec=VideoCodec.VP9, speed=Speed.FAST),
            "-c:v libvpx-vp9 -crf 31 -b:v 0 -deadline good -cpu-used 5",
        ),
        (
            VideoSettings(codec=VideoCodec.VP9, speed=Speed.FASTEST),
            "-c:v libvpx-vp9 -crf 31 -b:v 0 -deadline realtime -cpu-used 8",
        ),
        (
            VideoSettings(codec=VideoCodec.VP9, bitrate=10**6),
            "-c:v libvpx-vp9 -b:v 1000000 -deadline good -cpu-used 3",
        ),
    ],
)
def test_quality_and_effort_reach_the_encoder(video, expected):
    assert line(video=video) == f"{BOTH} {expected} {PLAIN} {KEPT} {AAC} {MP4}"


@pytest.mark.parametrize(
    ("video", "size"),
    [
        (VideoSettings(width=640), "640:360"),
        (VideoSettings(height=480), "854:480"),
        (VideoSettings(width=3840, height=2160, upscale=True), "3840:2160"),
    ],
)
def test_a_new_size_is_scaled_to_square_pixels(video, size):
    scaled = f"-vf scale={size}:flags=bicubic,setsar=1"
    assert line(video=video) == f"{BOTH} {X264} {scaled} {PLAIN} {KEPT} {AAC} {MP4}"


def test_the_fastest_vp8_is_faster_than_the_next_and_chooses_nothing_by_the_clock():
    found = line("o.webm", video=VideoSettings(codec=VideoCodec.VP8, speed=Speed.FASTEST))
    assert "-c:v libvpx -crf 10 " in found
    assert " -deadline realtime -cpu-used -12 " in found


def test_a_larger_box_scales_nothing_unless_asked():
    found = line(video=VideoSettings(width=3840, height=2160))
    assert found == f"{BOTH} {X264} {PLAIN} {KEPT} {AAC} {MP4}"


def test_a_set_rate_is_constant_and_a_keyframe_comes_every_four_seconds():
    found = line(video=VideoSettings(frame_rate=FrameRate(24000, 1001)))
    timing = "-g 96 -fps_mode passthrough"
    rate = "-vf fps=24000/1001"
    assert found == f"{BOTH} {X264} {rate} {PLAIN} {timing} {AAC} {MP4}"


def test_a_source_without_a_rate_gets_keyframes_as_if_it_had_25():
    streams = (replace(PICTURE, frame_rate=None),)
    assert "-g 100 -fps_mode passthrough" in line(source=replace(SOURCE, streams=streams))


@pytest.mark.parametrize(
    ("video", "audio", "expected"),
    [
        ("copy", "copy", f"{BOTH} -c:v copy -c:a copy {MP4}"),
        ("copy", None, f"{BOTH} -c:v copy {AAC} {MP4}"),
        ("none", None, f"-map 0:2 {AAC} {MP4}"),
        (None, "none", f"-map 0:1 {X264} {PLAIN} {KEPT} {MP4}"),
        (None, "opus", f"{BOTH} {X264} {PLAIN} {KEPT} {OPUS} {MP4}"),
    ],
)
def test_copy_and_none(video, audio, expected):
    found = line(
        video=VideoSettings(codec=VideoCodec(video)) if video else None,
        audio=AudioSettings(codec=AudioCodec(audio)) if audio else None,
    )
    assert found == expected


def test_the_bitrate_of_sound_reaches_the_encoder():
    assert "-c:a aac -b:a 96000" in line(audio=AudioSettings(bitrate=96_000))


def test_a_generated_source_is_a_picture_and_a_tone_and_several_outputs_come_from_one_decode():
    test = TestSource(
        width=64, height=48, frame_rate=FrameRate(30000, 1001), duration=timedelta(seconds=1.5)
    )
    outputs = (
        Output(path=MediaPath("m", "a.mp4")),
        Output(path=MediaPath("m", "b.webm"), video=VideoSettings(codec=VideoCodec.NONE)),
    )
    spec = expand(JobSpec(input=Input(test_source=test), outputs=outputs))
    argv = build_argv(
        plan(spec, None, ENCODERS), ffmpeg="/x/ffmpeg", source=None, targets=["/a.mp4", "/b.webm"]
    )
    assert shlex.join(argv) == (
        f"/x/{HEAD}"
        " -f lavfi -i testsrc2=size=64x48:rate=30000/1001:duration=1.5"
        " -f lavfi -i sine=frequency=440:sample_rate=48000:duration=1.5"
        f" -map 0:v:0 -map 1:a:0 {X264} {PLAIN} {KEPT} {AAC}"
        " -movflags +faststart -f mp4 file:/a.mp4"
        f" -map 1:a:0 {OPUS} -f webm file:/b.webm"
    )


def test_a_path_is_one_argument_that_cannot_be_taken_for_an_option_or_a_protocol():
    spec = expand(
        JobSpec(
            input=Input(path=MediaPath("m", "in.mov")),
            outputs=(Output(path=MediaPath("m", "o.mp4")),),
        )
    )
    argv = build_argv(
        plan(spec, SOURCE, ENCODERS), ffmpeg="ffmpeg", source="-i http:; rm", targets=["-y $HOME"]
    )
    assert argv[argv.index("-i") + 1] == "file:-i http:; rm"
    assert argv[-1] == "file:-y $HOME"


@pytest.mark.parametrize(
    ("version", "clock"),
    [
        ("5.1.9-0+deb12u1", "-1"),
        ("6.0", "-1"),
        ("6.1.1-3ubuntu5", "demux"),
        ("9.0.2-17-g2a571b6068-20260930", "demux"),
        ("10.0", "demux"),
        ("N-118000-g0123456789", "demux"),
        ("", "demux"),
    ],
)
def test_each_ffmpeg_is_told_to_keep_the_times_in_its_own_words(version, clock):
    spec = expand(
        JobSpec(
            input=Input(test_source=TestSource()), outputs=(Output(path=MediaPath("m", "o.mp4")),)
        )
    )
    planned = plan(spec, None, ENCODERS)
    argv = build_argv(planned, ffmpeg="f", version=version, source=None, targets=["/o.mp4"])
    assert argv[argv.index("-enc_time_base:v") + 1] == clock
