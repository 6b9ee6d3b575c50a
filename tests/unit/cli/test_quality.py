"""How quality is asked for, and how a job's result is shown."""

from datetime import timedelta

import pytest
from google.protobuf.json_format import ParseDict

from ffrtmp.cli.ask import Wish, parse_quality
from ffrtmp.cli.attempts import Attempts
from ffrtmp.cli.errors import UserError
from ffrtmp.cli.result import result_lines
from ffrtmp.domain.errors import InvalidSpec
from ffrtmp.domain.spec import Metric, Quality
from ffrtmp.v1 import job_pb2

MEDIA = {
    "format": "mov",
    "size": 2000000,
    "duration": "10s",
    "bitrate": 1600000,
    "video": {"codec": "h264", "width": 640, "height": 360, "frames": 250},
    "audio": {"codec": "aac", "channels": 2},
}


@pytest.mark.parametrize("text", ["vmaf>=92.5", "vmaf >= 92.5", "vmaf=92.5", "vmaf:92.5"])
def test_a_bar_is_written_with_or_without_quotes(text):
    assert parse_quality(text, None) == Quality(metric=Metric.VMAF, least=92.5)


def test_a_metric_alone_is_only_measured():
    sample = timedelta(seconds=5)
    assert parse_quality("ssim", sample) == Quality(metric=Metric.SSIM, sample=sample)


@pytest.mark.parametrize("text", ["mos", "vmaf>90", "vmaf>=", "90", "vmaf>=nan"])
def test_what_is_no_quality_says_how_to_write_it(text):
    with pytest.raises(UserError, match="vmaf, ssim, psnr, xpsnr, or as vmaf>=90"):
        parse_quality(text, None)


def test_a_sample_without_a_metric_is_a_mistake():
    wish = Wish(quality_sample=timedelta(seconds=5))
    with pytest.raises(UserError, match="give --quality too"):
        wish.spec("m:a.mov", "m:b.mp4", {})


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        (Wish(quality="ssim>=2"), r"--quality: .*0 to 1 for ssim"),
        (Wish(quality="vmaf", video="copy"), r"--quality: .*codec copy"),
        (
            Wish(quality="vmaf", quality_sample=timedelta(days=2)),
            r"--quality-sample: .*1 second to 24 hours",
        ),
    ],
)
def test_a_quality_that_cannot_be_is_refused_by_its_field(wish, says):
    with pytest.raises(InvalidSpec, match=says):
        wish.spec("m:a.mov", "m:b.mp4", {})


def test_a_live_push_has_nothing_to_compare():
    with pytest.raises(InvalidSpec, match=r"--quality: .*leaves no file to compare"):
        Wish(quality="vmaf").spec("m:a.mov", "rtmp://h/app/key", {})


def test_a_result_is_shown_in_a_few_lines():
    job = ParseDict(
        {
            "result": {
                "fence": 3,
                "worker": "w1",
                "ffmpegVersion": "9.0",
                "argv": ["ffmpeg", "-i", "file:m:a b.mov"],
                "source": MEDIA,
                "outputs": [
                    {
                        "path": "m:o.mp4",
                        "media": MEDIA | {"size": 1000000},
                        "videoEncoder": "libx264",
                        "audioEncoder": "copy",
                        "ratio": 0.5,
                        "quality": {
                            "metric": "QUALITY_METRIC_VMAF",
                            "score": 95.5,
                            "frames": 250,
                            "min": 90,
                        },
                    }
                ],
                "probeDuration": "0.25s",
                "encodeDuration": "5s",
                "cpuDuration": "9.5s",
                "peakMemory": 200000000,
                "speed": 2,
            }
        },
        job_pb2.Job(),
    )
    text = "\n".join(result_lines(job, Attempts({3: 1})))
    for part in (
        "h264 640x360, 250 frames, aac 2 ch",
        "libx264 and copy, 50 % of the source",
        "VMAF 95.5 on 250 frames, at least 90 was asked for",
        "probe 0.25 s, encode 5.00 s, 2x real time",
        "9.50 s CPU",
        "FFmpeg 9.0 on w1, attempt 1",
        "ffmpeg -i 'file:m:a b.mov'",
    ):
        assert part in text
    assert list(result_lines(job_pb2.Job(), Attempts({}))) == []
