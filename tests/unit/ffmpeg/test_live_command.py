"""Command lines of live pushes: one readable line each."""

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
    TestSource,
    VideoCodec,
    VideoSettings,
)
from ffrtmp.ffmpeg.capabilities import all_candidates, choose_encoders
from ffrtmp.ffmpeg.command import LEAST_BUFFER_BYTES, build_argv
from ffrtmp.ffmpeg.media import Kind, MediaInfo, StreamInfo
from ffrtmp.ffmpeg.plan import NothingToEncode, plan
from ffrtmp.ffmpeg.presets import expand

RTMP = "rtmp://h/app/key"
RTMPS = "rtmps://h/app/key"
SRT = "srt://h:9000?streamid=key"
START = (
    "ffmpeg -nostdin -hide_banner -y -xerror -v level+info"
    " -progress pipe:1 -stats_period 0.5 -nostats"
)
TONE = "sine=frequency=440:sample_rate=48000:duration=10"
CODED = Input(path=MediaPath("m", "a.mp4"))


def file(video: str = "h264", audio: str = "aac") -> MediaInfo:
    picture = StreamInfo(
        index=0,
        kind=Kind.VIDEO,
        codec=video,
        packets=250,
        start=0.0,
        last=9.96,
        end=10.0,
        width=1280,
        height=720,
        frame_rate=FrameRate(25),
    )
    sound = StreamInfo(index=1, kind=Kind.AUDIO, codec=audio, packets=10, start=0.0, end=10.0)
    return MediaInfo(size=1, format_name="mp4", declared_duration=10.0, streams=(picture, sound))


def line(url: str, *, source: MediaInfo | None = None, ca_file: str = "", **output: object) -> str:
    given = CODED if source else Input(test_source=TestSource(duration=timedelta(seconds=10)))
    spec = expand(JobSpec(input=given, outputs=(Output(url=url, **output),)))
    planned = plan(spec, source, choose_encoders(all_candidates()))
    path = "/m/a.mp4" if source else None
    argv = build_argv(planned, ffmpeg="ffmpeg", source=path, targets=[url], ca_file=ca_file)
    return shlex.join(argv).removeprefix(START).strip()


def test_a_generated_source_to_rtmp() -> None:
    assert line(RTMP) == (
        "-re -f lavfi -i testsrc2=size=1280x720:rate=30:duration=10"
        f" -re -f lavfi -i {TONE} -map 0:v:0 -map 1:a:0"
        " -c:v libx264 -b:v 4000000 -preset veryfast"
        " -tune zerolatency -bf 0 -maxrate 4000000 -bufsize 8000000"
        " -pix_fmt yuv420p -g 60 -fps_mode passthrough -enc_time_base:v demux"
        " -c:a aac -b:a 160000 -flvflags no_duration_filesize -f flv"
        " -rw_timeout 5000000 -protocol_whitelist rtmp,tcp -send_buffer_size 1040000"
        " rtmp://h/app/key"
    )


def test_a_file_copied_to_rtmps() -> None:
    copied = {
        "video": VideoSettings(codec=VideoCodec.COPY),
        "audio": AudioSettings(codec=AudioCodec.COPY),
    }
    assert line(RTMPS, source=file(), ca_file="/ca.pem", **copied) == (
        "-re -protocol_whitelist file -f mp4 -i file:/m/a.mp4 -map 0:0 -map 0:1 -c:v copy -c:a copy"
        " -flvflags no_duration_filesize -f flv"
        " -rw_timeout 5000000 -protocol_whitelist rtmps,tls,tcp -tls_verify 1 -ca_file /ca.pem"
        " rtmps://h/app/key"
    )


def test_h265_to_srt() -> None:
    video = VideoSettings(codec=VideoCodec.H265, bitrate=6_000_000, frame_rate=FrameRate(50))
    assert line(SRT, source=file(), video=video) == (
        "-re -protocol_whitelist file -f mp4 -i file:/m/a.mp4 -map 0:0 -map 0:1"
        " -c:v libx265 -b:v 6000000 -preset veryfast"
        " -tune zerolatency -bf 0 -maxrate 6000000 -bufsize 12000000"
        " -vf fps=50 -pix_fmt yuv420p -g 100 -fps_mode passthrough -tag:v hvc1"
        " -c:a aac -b:a 160000 -f mpegts"
        " -rw_timeout 5000000 -protocol_whitelist srt -linger 3 'srt://h:9000?streamid=key'"
    )


@pytest.mark.parametrize(
    ("bitrate", "size"),
    [
        (100_000, LEAST_BUFFER_BYTES),
        (1_000_000, 290_000),
        (4_000_000, 1_040_000),
        (4_000_001, None),
    ],
)
def test_the_send_buffer_is_two_seconds_of_a_low_rate(bitrate: int, size: int | None) -> None:
    made = line(RTMP, video=VideoSettings(bitrate=bitrate))
    assert ("-send_buffer_size" in made) is (size is not None)
    assert size is None or f"-send_buffer_size {size} " in made


def test_a_rate_that_nobody_knows_leaves_the_buffer_to_the_kernel() -> None:
    assert "-send_buffer_size" not in line(RTMP, video=VideoSettings(crf=20))
    assert "-maxrate" not in line(RTMP, video=VideoSettings(crf=20))


def test_without_certificates_of_ours_ffmpeg_takes_its_own() -> None:
    assert "-tls_verify 1 rtmps://h/app/key" in line(RTMPS)


def test_a_file_is_not_paced() -> None:
    spec = expand(
        JobSpec(
            input=Input(test_source=TestSource()),
            outputs=(Output(path=MediaPath("m", "a.ts")),),
        )
    )
    planned = plan(spec, None, choose_encoders(all_candidates()))
    argv = build_argv(planned, ffmpeg="ffmpeg", source=None, targets=["/m/a.ts"])
    assert not {"-re", "-tune", "-rw_timeout"} & set(argv)
    assert argv[-1] == "file:/m/a.ts"


@pytest.mark.parametrize(
    ("source", "video", "audio", "says"),
    [
        (file(video="vp9"), VideoCodec.COPY, None, "video of the input is vp9"),
        (file(audio="opus"), None, AudioCodec.COPY, "audio of the input is opus"),
    ],
)
def test_what_rtmp_does_not_carry_is_not_copied(source, video, audio, says: str) -> None:
    settings = {"video": VideoSettings(codec=video), "audio": AudioSettings(codec=audio)}
    with pytest.raises(NothingToEncode, match=rf"{says}: rtmp://h/app/\*\*\* takes only"):
        line(RTMP, source=source, **settings)
    spec = JobSpec(input=CODED, outputs=(Output(url=SRT, **settings),))
    planned = plan(expand(spec), source, choose_encoders(all_candidates()))
    assert replace(planned.outputs[0], live=True) == planned.outputs[0]  # MPEG-TS: FFmpeg's matter
