"""What exactly will be made: sizes, rates, streams, encoders."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffrtmp.domain.spec import (
    AudioCodec,
    AudioSettings,
    Container,
    FrameRate,
    Input,
    JobSpec,
    MediaPath,
    Output,
    TestSource,
    VideoCodec,
    VideoSettings,
)
from ffrtmp.ffmpeg.media import Kind, MediaInfo, StreamInfo
from ffrtmp.ffmpeg.plan import NothingToEncode, OutputPlan, plan
from ffrtmp.ffmpeg.presets import expand

ENCODERS = {"h264": "x264", "h265": "x265", "av1": "svt", "vp9": "vpx", "aac": "aac"}
PICTURE = StreamInfo(
    index=0,
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
SOUND = StreamInfo(index=1, kind=Kind.AUDIO, codec="mp3", packets=431, start=0.0, end=10.1)
COVER = StreamInfo(
    index=2,
    kind=Kind.VIDEO,
    codec="mjpeg",
    packets=1,
    start=0.0,
    end=0.04,
    width=5000,
    height=5000,
    attached_picture=True,
)


def media(*streams: StreamInfo) -> MediaInfo:
    return MediaInfo(size=1, format_name="mov", declared_duration=10.0, streams=streams)


def planned(
    source: MediaInfo,
    video: VideoSettings | None = None,
    audio: AudioSettings | None = None,
) -> OutputPlan:
    output = Output(path=MediaPath("m", "o.mkv"), video=video, audio=audio)
    spec = expand(JobSpec(input=Input(path=MediaPath("m", "i")), outputs=(output,)))
    [found] = plan(spec, source, ENCODERS).outputs
    return found


def size(picture: StreamInfo, **settings: object) -> tuple[int, int]:
    video = planned(media(picture), VideoSettings(**settings)).video
    return video.width, video.height


@pytest.mark.parametrize(
    ("source", "box", "expected"),
    [
        ((1920, 1080), {}, (1920, 1080)),
        ((1920, 1080), {"width": 1280, "height": 720}, (1280, 720)),
        ((1920, 800), {"width": 1280, "height": 720}, (1280, 534)),
        ((1440, 1080), {"width": 1280, "height": 720}, (960, 720)),
        ((1920, 1080), {"width": 640}, (640, 360)),
        ((1920, 1080), {"height": 480}, (854, 480)),
        ((1920, 1080), {"width": 3840, "height": 2160}, (1920, 1080)),
        ((1920, 1080), {"width": 3840, "height": 2160, "upscale": True}, (3840, 2160)),
        ((640, 360), {"width": 1920, "upscale": True}, (1920, 1080)),
        ((1080, 1920), {"width": 1280, "height": 720}, (720, 1280)),
        ((1919, 1079), {}, (1920, 1080)),
        ((1919, 1080), {"width": 3840}, (1920, 1080)),
        ((3, 3), {}, (4, 4)),
        ((4000, 2), {"width": 16, "height": 16}, (16, 2)),
    ],
)
def test_the_picture_is_fitted_into_its_box_aspect_kept_even_and_not_enlarged(
    source, box, expected
):
    width, height = source
    assert size(replace(PICTURE, width=width, height=height), **box) == expected


def test_an_upright_recording_is_fitted_as_it_is_shown():
    turned = replace(PICTURE, rotation=90)
    assert size(turned) == (1080, 1920)
    assert size(turned, width=1280, height=720) == (720, 1280)
    assert size(replace(PICTURE, rotation=180), width=1280) == (1280, 720)


def test_an_anamorphic_picture_is_scaled_by_its_shown_shape_and_else_left_alone():
    wide = replace(PICTURE, width=720, height=576, sample_aspect=FrameRate(64, 45))
    assert size(wide) == (720, 576)
    assert size(wide, height=288) == (512, 288)
    assert size(replace(wide, rotation=90), height=512) == (288, 512)
    assert not planned(media(wide)).video.scaled
    assert planned(media(wide), VideoSettings(height=288)).video.scaled


sides = st.integers(2, 4096)
boxes = st.none() | st.integers(8, 2048).map(lambda half: 2 * half)


@given(width=sides, height=sides, box_width=boxes, box_height=boxes, upscale=st.booleans())
def test_any_size_comes_out_even_in_its_box_and_in_shape(
    width, height, box_width, box_height, upscale
):
    picture = replace(PICTURE, width=width, height=height)
    found = size(picture, width=box_width, height=box_height, upscale=upscale)
    assert all(side % 2 == 0 and side >= 2 for side in found)
    if box_width and box_height:
        # The box lies as the picture does. Rounding to even may add a line to a thin picture.
        assert max(found) <= max(box_width, box_height, 2)
        assert min(found) <= max(2, min(box_width, box_height))
    if not upscale:
        assert found[0] <= width + 1
        assert found[1] <= height + 1
    if min(found) > 2:  # each side is off by at most one from the same exact shape
        assert abs(found[0] * height - found[1] * width) <= width + height


@pytest.mark.parametrize(
    ("codec", "source", "expected"),
    [
        ("h264", "yuv420p", "yuv420p"),
        ("h264", "yuv420p10le", "yuv420p"),
        ("h265", "yuv422p10le", "yuv420p10le"),
        ("av1", "yuv420p12le", "yuv420p10le"),
        ("vp9", "yuv420p10le", "yuv420p"),
        ("h265", "p010le", "yuv420p10le"),
        ("h265", "nv12", "yuv420p"),
        ("av1", "yuv410p", "yuv420p"),
        ("h265", "yuvj420p", "yuv420p"),
    ],
)
def test_ten_bits_are_kept_where_players_expect_them(codec, source, expected):
    picture = replace(PICTURE, pixel_format=source)
    found = planned(media(picture), VideoSettings(codec=VideoCodec(codec))).video
    assert found.pixel_format == expected


def test_frames_are_the_sources_packets_unless_a_rate_is_set():
    assert planned(media(PICTURE)).video.frames == 300
    set_rate = VideoSettings(frame_rate=FrameRate(24000, 1001))
    assert planned(media(PICTURE), set_rate).video.frames == round(10 * 24000 / 1001)


def test_the_largest_picture_that_is_no_cover_and_the_first_sound_are_kept():
    small = replace(PICTURE, index=3, width=320, height=180)
    second = replace(SOUND, index=4)
    empty = replace(SOUND, index=5, packets=0)
    found = planned(media(COVER, empty, small, PICTURE, SOUND, second))
    assert (found.video.source.index, found.audio.source.index) == (0, 1)


def test_a_copy_keeps_size_pixels_and_needs_no_encoder():
    copied = VideoSettings(codec=VideoCodec.COPY)
    turned = replace(PICTURE, rotation=90, pixel_format="yuv444p")
    found = planned(media(turned, SOUND), copied, AudioSettings(codec=AudioCodec.COPY))
    assert (found.video.encoder, found.audio.encoder) == (None, None)
    assert (found.video.width, found.video.height) == (1920, 1080)
    assert (found.video.pixel_format, found.video.scaled) == ("yuv444p", False)


def test_a_stream_that_the_source_lacks_or_nobody_wants_is_left_out():
    assert planned(media(PICTURE)).audio is None
    assert planned(media(SOUND)).video is None
    none = VideoSettings(codec=VideoCodec.NONE)
    assert planned(media(PICTURE, SOUND), none).video is None
    mute = AudioSettings(codec=AudioCodec.NONE)
    assert planned(media(PICTURE, SOUND), audio=mute).audio is None


@pytest.mark.parametrize(
    ("source", "video", "audio", "missing"),
    [
        (media(COVER), None, None, "no picture or sound"),
        (media(PICTURE), VideoCodec.NONE, None, "no sound"),
        (media(SOUND), None, AudioCodec.NONE, "no picture"),
    ],
)
def test_an_output_that_would_be_empty_is_refused_with_what_is_missing(
    source, video, audio, missing
):
    with pytest.raises(NothingToEncode, match=f"the input has {missing} for m:o.mkv"):
        planned(
            source,
            VideoSettings(codec=video) if video else None,
            AudioSettings(codec=audio) if audio else None,
        )


def test_a_missing_encoder_is_named():
    with pytest.raises(KeyError, match="vp8"):
        planned(media(PICTURE), VideoSettings(codec=VideoCodec.VP8))


def test_a_generated_source_is_known_without_a_probe():
    test = TestSource(frame_rate=FrameRate(30000, 1001), duration=timedelta(seconds=1.5))
    output = Output(path=MediaPath("m", "o.mp4"))
    found = plan(expand(JobSpec(input=Input(test_source=test), outputs=(output,))), None, ENCODERS)
    video, audio = found.outputs[0].video, found.outputs[0].audio
    assert found.outputs[0].container is Container.MP4
    assert (video.frames, video.width, video.height) == (45, 1280, 720)
    assert audio.duration == pytest.approx(1.5)
    assert found.duration == pytest.approx(45 * 1001 / 30000)


def test_a_source_lasts_from_its_first_packet_to_the_end_of_its_last():
    late = replace(SOUND, start=0.5, end=12.0)
    assert media(PICTURE, late).duration == 12.0
    assert media(replace(PICTURE, start=None, end=None)).duration == 0.0
    assert replace(PICTURE, start=None).duration == 0.0
    assert replace(PICTURE, last=None).span == 0.0
    assert PICTURE.span == pytest.approx(9.967)
