"""Outputs held against their sources, by real FFmpeg."""

from datetime import timedelta

import pytest

from ffrtmp.domain.retry import Reason
from ffrtmp.domain.session import Phase
from ffrtmp.domain.spec import (
    FrameRate,
    Input,
    Metric,
    Output,
    Quality,
    TestSource,
    VideoCodec,
    VideoSettings,
)
from ffrtmp.ffmpeg.capabilities import all_candidates, choose_encoders
from ffrtmp.ffmpeg.plan import plan
from ffrtmp.worker.compare import Comparing, judge
from ffrtmp.worker.probe import probe
from ffrtmp.worker.steps import TimeLeft
from ffrtmp.worker.watchdog import USUAL
from tests.media.conftest import KEY, Site, ffmpeg, media, picture, tone

pytestmark = pytest.mark.media

GOOD = {Metric.VMAF: 80.0, Metric.SSIM: 0.95, Metric.PSNR: 28.0, Metric.XPSNR: 28.0}


def output(name: str, quality: Quality, **video: object) -> Output:
    return Output(path=media(name), video=VideoSettings(**video), quality=quality)


@pytest.fixture
def clip(site: Site) -> str:
    """With B-frames, times that do not begin at 0, and sound that begins before the picture."""
    argv = [*picture(3, "320x180", "30000/1001"), *tone(3), "-c:v", "libx264", "-crf", "16"]
    ffmpeg(*argv, "-c:a", "aac", "-f", "mpegts", site.root / "in.ts")
    return "in.ts"


@pytest.mark.parametrize("metric", Metric)
async def test_every_metric_is_measured_on_aligned_frames(site: Site, clip: str, metric) -> None:
    asked = Quality(metric=metric, least=GOOD[metric], sample=timedelta(seconds=1))
    outputs = (
        output("same.mp4", asked),
        output("small.mkv", asked, width=160),
        output("rate.mp4", asked, frame_rate=FrameRate(24), height=90),
        output("free.webm", asked, codec=VideoCodec.VP9),
    )
    phases = set()
    site.report = lambda progress: phases.add(progress.phase)
    await site.transcode(site.job(clip, *outputs))
    figures = site.runner.measured(KEY)
    scores = [each.quality for each in figures.outputs]
    assert all(score.score >= GOOD[metric] for score in scores)
    assert [score.frames for score in scores] == [30, 30, 24, 30]
    assert figures.comparing > timedelta(0)
    assert phases == set(Phase) - {Phase.PUBLISH}


async def test_a_generated_source_is_compared_too(site: Site) -> None:
    source = Input(test_source=TestSource(width=160, height=90, duration=timedelta(seconds=1)))
    spec = site.job(source, output("a.mp4", Quality(metric=Metric.SSIM, least=0.9)))
    await site.transcode(spec)
    assert site.runner.measured(KEY).outputs[0].quality.frames == 30


async def test_an_output_under_the_bar_fails_with_its_score(site: Site, clip: str) -> None:
    asked = Quality(metric=Metric.VMAF, least=95.0)
    failure = await site.fails(site.job(clip, output("bad.mp4", asked, crf=51)))
    assert failure.reason is Reason.QUALITY_FAILED
    score = site.runner.measured(KEY).outputs[0].quality
    assert f"has VMAF {score.score:.4g} on 90 frames: at least 95 was asked" in failure.message
    assert score.score < 60


async def test_what_ffmpeg_says_of_a_comparison_is_heard_and_marked(site: Site, clip: str) -> None:
    asked = Quality(metric=Metric.SSIM, sample=timedelta(seconds=1))
    spec = site.job(clip, output("a.mp4", asked), output("b.mkv", asked), output("c.mkv", asked))
    heard: list[str] = []
    await site.runner.encode(KEY, spec, site.report, heard.append)
    for name in ("a.mp4", "b.mkv", "c.mkv"):
        of_it = [line for line in heard if line.startswith(f"quality of output media:{name}: ")]
        assert any("Input #0, mpegts, from 'media:in.ts'" in line for line in of_it)
        assert any("] SSIM " in line for line in of_it)
    first = next(at for at, line in enumerate(heard) if line.startswith("quality of "))
    assert any("frame I:" in line for line in heard[:first]), "the encode's own are as they were"
    assert all(line.startswith("quality of output media:") for line in heard[first:])
    assert str(site.root) not in "".join(heard)


async def test_a_copied_frame_for_frame_picture_scores_as_well_as_can_be(site: Site) -> None:
    ffmpeg(*picture(1), "-c:v", "libx264", "-qp", 0, "-pix_fmt", "yuv420p", site.root / "in.mkv")
    spec = site.job("in.mkv", output("a.mkv", Quality(metric=Metric.PSNR), crf=0))
    await site.transcode(spec)
    assert site.runner.measured(KEY).outputs[0].quality.score == 100


@pytest.mark.parametrize(
    ("filters", "says"),
    [
        ("trim=start_frame=1,setpts=PTS-STARTPTS,tpad=stop=1:stop_mode=clone", "too early"),
        ("tpad=start=1:start_mode=clone,trim=end_frame=75", "too late"),
    ],
)
async def test_a_one_frame_offset_is_misalignment_and_not_bad_quality(site, filters, says) -> None:
    ffmpeg(*picture(3), "-c:v", "libx264", "-crf", 12, site.root / "in.mp4")
    made = site.root / "made.mp4"
    ffmpeg("-i", site.root / "in.mp4", "-vf", filters, "-c:v", "libx264", made)
    asked = output("out.mp4", Quality(metric=Metric.SSIM, least=0.9))
    spec = site.job("in.mp4", asked)
    source, found = await probe([site.root / "in.mp4", made], ["input", "output"])
    assert source.video.packets == found.video.packets == 75
    comparing = Comparing(
        key=KEY,
        plan=plan(spec, source, choose_encoders(all_candidates())),
        tools=site.runner._tools,
        source=str(site.root / "in.mp4"),
        report=site.report,
        hear=lambda _: None,
        time=TimeLeft(spec, None),
        patience=USUAL,
        ran=lambda _: None,
    )
    compared = await comparing.score(0, spec.outputs[0], found, str(made))
    failed = judge(compared, spec.outputs[0])
    assert failed.failure.reason is Reason.VERIFY_FAILED
    assert f"a frame {says}" in failed.failure.message
