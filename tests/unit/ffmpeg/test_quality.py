"""Which frames are compared, and what FFmpeg's log says of them."""

from datetime import timedelta

import pytest

from ffrtmp.domain.spec import Metric, Quality, VideoCodec, VideoSettings
from ffrtmp.ffmpeg.media import Kind, MediaInfo, StreamInfo
from ffrtmp.ffmpeg.plan import VideoPlan
from ffrtmp.ffmpeg.quality import Comparison, comparison, read_scores

PICTURE = StreamInfo(index=0, kind=Kind.VIDEO, codec="h264", packets=1, width=64, height=48)
PLANNED = VideoPlan(
    source=PICTURE,
    settings=VideoSettings(codec=VideoCodec.H264),
    encoder="libx264",
    width=64,
    height=48,
    scaled=False,
    pixel_format="yuv420p",
    frames=1,
    duration=1.0,
)


def wanted(frames: int, seconds: float, sample: float, metric: Metric = Metric.PSNR) -> Comparison:
    made = StreamInfo(
        index=0, kind=Kind.VIDEO, codec="h264", packets=frames, start=0.0, end=seconds
    )
    found = MediaInfo(size=1, format_name="mov", declared_duration=None, streams=(made,))
    asked = Quality(metric=metric, sample=timedelta(seconds=sample), least=30.0)
    compared = comparison(asked, PLANNED, found)
    assert compared is not None
    return compared


def test_a_picture_no_longer_than_the_sample_is_compared_whole():
    whole = wanted(frames=50, seconds=2, sample=20)
    assert (whole.windows, whole.inner, whole.frames) == (((0, 50),), ((1, 49),), 50)


def test_a_longer_one_is_compared_in_pieces_from_its_first_frame_to_its_last():
    pieces = wanted(frames=2500, seconds=100, sample=6)
    assert pieces.windows == ((0, 50), (1225, 1275), (2450, 2500))
    assert pieces.inner == ((1, 50), (1225, 1275), (2450, 2499))
    assert pieces.frames == 150


def test_a_sample_of_one_piece_is_taken_from_the_middle():
    assert wanted(frames=1000, seconds=40, sample=1).windows == ((487, 512),)


def test_no_frame_is_compared_twice_where_pieces_would_lie_over_each_other():
    close = wanted(frames=1000, seconds=40, sample=39.9)
    assert close.frames <= 1000
    assert close.windows[0][0] == 0
    assert close.windows[-1][1] == 1000
    assert all(one[1] <= two[0] for one, two in zip(close.windows, close.windows[1:], strict=False))


@pytest.mark.parametrize("frames", [1, 2])
def test_a_frame_without_neighbours_tells_no_shift(frames):
    assert wanted(frames=frames, seconds=0.1, sample=20).inner == ()


def test_what_has_no_picture_is_not_compared():
    nothing = MediaInfo(size=1, format_name="mov", declared_duration=None, streams=())
    assert comparison(Quality(metric=Metric.SSIM), PLANNED, nothing) is None


SAID = {
    Metric.VMAF: ("libvmaf@score", "VMAF score: 98.469983", 98.469983),
    Metric.SSIM: (
        "ssim@score",
        "SSIM Y:0.99 (20.1) U:0.9 (1) V:1 (inf) All:0.997642 (26)",
        0.997642,
    ),
    Metric.PSNR: ("psnr@score", "PSNR y:46.1 u:50 v:51 average:47.4 min:45 max:60", 47.4),
    Metric.XPSNR: ("xpsnr@score", "XPSNR  y: 45.9700  u: 50.1  v: 51.2  (minimum: 45.9700)", 45.97),
}


def log(metric: Metric, **shifts: str) -> list[str]:
    name, said, _ = SAID[metric]
    near = [
        f"[psnr@{each} @ 0x5] [info] PSNR y:1 average:{db} min:1" for each, db in shifts.items()
    ]
    return ["[info] Stream mapping:", *near, f"[{name} @ 0x5f] [info] {said}"]


@pytest.mark.parametrize("metric", Metric)
def test_the_score_is_read_from_the_log(metric):
    compared = read_scores(log(metric), wanted(50, 2, 20, metric))
    assert compared is not None
    assert (compared.score.metric, compared.score.score) == (metric, SAID[metric][2])
    assert (compared.score.frames, compared.score.least, compared.shift) == (50, 30.0, 0)


def test_two_pictures_that_are_the_same_score_as_well_as_can_be():
    same = ["[psnr@score @ 0x1] [info] PSNR y:inf u:inf v:inf average:inf min:inf max:inf"]
    compared = read_scores(same, wanted(50, 2, 20))
    assert compared is not None
    assert compared.score.score == 100.0


def test_without_a_score_nothing_is_said():
    assert read_scores(["[psnr@same @ 0x1] [info] PSNR average:40"], wanted(50, 2, 20)) is None


@pytest.mark.parametrize(
    ("same", "early", "late", "shift"),
    [
        ("40.0", "30.0", "30.0", 0),
        ("inf", "inf", "inf", 0),
        ("40.0", "41.0", "39.0", 0),
        ("28.1", "40.2", "26.0", 1),
        ("28.1", "26.0", "inf", -1),
    ],
)
def test_a_picture_that_is_nearer_to_the_next_frame_is_off_by_one(same, early, late, shift):
    said = log(Metric.PSNR, same=same, early=early, late=late)
    compared = read_scores(said, wanted(50, 2, 20))
    assert compared is not None
    assert compared.shift == shift
