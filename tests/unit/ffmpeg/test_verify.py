"""Each check fails alone, and says by which rule, what was expected and what was found."""

from dataclasses import replace

import pytest

from ffrtmp.domain.spec import (
    AudioCodec,
    AudioSettings,
    Container,
    FrameRate,
    VideoCodec,
    VideoSettings,
)
from ffrtmp.ffmpeg.media import Colours, Kind, MediaInfo, StreamInfo
from ffrtmp.ffmpeg.plan import AudioPlan, OutputPlan, VideoPlan
from ffrtmp.ffmpeg.verify import CODEC_NAMES, Problem, judge_run, judge_source, verify

SOURCE_PICTURE = StreamInfo(
    index=0,
    kind=Kind.VIDEO,
    codec="mpeg2video",
    packets=300,
    start=0.0,
    last=299 / 30,
    end=10.0,
    width=1920,
    height=1080,
    frame_rate=FrameRate(30),
)
SOURCE_SOUND = StreamInfo(index=1, kind=Kind.AUDIO, codec="mp2", packets=400, start=0.0, end=10.0)
PLAN = OutputPlan(
    container=Container.MP4,
    video=VideoPlan(
        source=SOURCE_PICTURE,
        settings=VideoSettings(codec=VideoCodec.H265),
        encoder="libx265",
        width=1280,
        height=720,
        scaled=True,
        pixel_format="yuv420p",
        frames=300,
        duration=10.0,
    ),
    audio=AudioPlan(
        source=SOURCE_SOUND,
        settings=AudioSettings(codec=AudioCodec.AAC),
        encoder="aac",
        duration=10.0,
    ),
)
PICTURE = replace(SOURCE_PICTURE, codec="hevc", width=1280, height=720, pixel_format="yuv420p")
SOUND = replace(SOURCE_SOUND, codec="aac")


def file(*streams: StreamInfo, size: int = 1) -> MediaInfo:
    return MediaInfo(size=size, format_name="mp4", declared_duration=10.0, streams=streams)


GOOD = file(PICTURE, SOUND)


def test_what_was_planned_passes():
    assert verify(PLAN, GOOD) == []


def bad_picture(**changes: object) -> MediaInfo:
    return file(replace(PICTURE, **changes), SOUND)


def bad_sound(**changes: object) -> MediaInfo:
    return file(PICTURE, replace(SOUND, **changes))


@pytest.mark.parametrize(
    ("found", "rule", "expected", "shown"),
    [
        (file(size=0), "V1 size", "a file with bytes", "0 bytes"),
        (file(SOUND), "V2 video streams", "1", "0"),
        (file(PICTURE), "V2 audio streams", "1", "0"),
        (file(PICTURE, SOUND, SOUND), "V2 audio streams", "1", "2"),
        (bad_sound(packets=0), "V2 audio streams", "1", "0"),
        (bad_picture(codec="h264"), "V2 video codec", "hevc", "h264"),
        (bad_sound(codec="opus"), "V2 audio codec", "aac", "opus"),
        (bad_picture(width=1278), "V2 size", "1280x720", "1278x720"),
        (bad_picture(pixel_format="yuv444p"), "V2 pixel format", "yuv420p", "yuv444p"),
        (bad_picture(starts_with_key=False), "V2 first picture", "a keyframe", "none"),
        (bad_picture(packets=299), "V3 frames", "300 +- 0", "299"),
        (bad_picture(last=9.8), "V3 video length", "9.967 s +- 0.067 s", "9.800 s"),
        (bad_picture(last=None), "V3 video length", "9.967 s +- 0.067 s", "0.000 s"),
        (bad_picture(largest_gap=1.2), "V3 video gap", "at most 1 s", "1.20 s"),
        (bad_sound(end=9.89), "V3 audio length", "10.000 s +- 0.100 s", "9.890 s"),
        (bad_sound(end=10.11), "V3 audio length", "10.000 s +- 0.100 s", "10.110 s"),
        (bad_sound(largest_gap=2.0), "V3 audio gap", "at most 1 s", "2.00 s"),
        (
            bad_sound(start=0.08, end=10.08),
            "V3 sound offset",
            "+0.000 s +- 0.073 s",
            "+0.080 s",
        ),
    ],
)
def test_one_thing_wrong_is_one_problem_by_its_rule(found, rule, expected, shown):
    [problem] = verify(PLAN, found)
    assert problem == Problem(rule, expected, shown)
    assert str(problem) == f"{rule}: expected {expected}, found {shown}"


@pytest.mark.parametrize(
    "found",
    [
        bad_picture(last=9.967 + 0.06),
        bad_picture(largest_gap=1.0),
        bad_sound(end=9.91),
        bad_sound(end=10.09),
        bad_sound(start=0.07, end=10.07),
    ],
)
def test_what_lies_within_the_tolerance_passes(found):
    assert verify(PLAN, found) == []


def test_a_new_rate_may_cost_two_frames_or_a_five_hundredth():
    video = replace(
        PLAN.video,
        settings=VideoSettings(codec=VideoCodec.H265, frame_rate=FrameRate(60)),
        frames=600,
    )
    plan = replace(PLAN, video=video)
    assert verify(plan, bad_picture(packets=598)) == []
    assert [str(each) for each in verify(plan, bad_picture(packets=597))] == [
        "V3 frames: expected 600 +- 2, found 597"
    ]
    long = replace(PLAN, video=replace(video, frames=6000))
    assert verify(long, bad_picture(packets=5988)) == []
    assert len(verify(long, bad_picture(packets=5987))) == 1


def test_a_gap_that_was_in_the_source_is_no_fault():
    source = replace(SOURCE_PICTURE, largest_gap=5.0)
    plan = replace(PLAN, video=replace(PLAN.video, source=source))
    assert verify(plan, bad_picture(largest_gap=5.0)) == []
    [problem] = verify(plan, bad_picture(largest_gap=5.1))
    assert (problem.expected, problem.found) == ("at most 5.07 s", "5.10 s")


def test_sound_that_was_late_in_the_source_stays_late():
    source = replace(SOURCE_SOUND, start=0.5, end=10.5)
    plan = replace(PLAN, audio=replace(PLAN.audio, source=source))
    assert verify(plan, bad_sound(start=0.5, end=10.5)) == []
    [problem] = verify(plan, GOOD)
    assert problem.rule == "V3 sound offset"


def test_a_stream_nobody_planned_is_a_fault_and_one_alone_is_judged_alone():
    mute = replace(PLAN, audio=None)
    assert verify(mute, file(PICTURE)) == []
    assert [each.rule for each in verify(mute, GOOD)] == ["V2 audio streams"]
    blind = replace(PLAN, video=None)
    assert verify(blind, file(SOUND)) == []
    assert [each.rule for each in verify(blind, GOOD)] == ["V2 video streams"]


def test_a_copy_has_the_codec_of_its_source_and_any_pixels():
    video = replace(PLAN.video, encoder=None, settings=VideoSettings(codec=VideoCodec.COPY))
    audio = replace(PLAN.audio, encoder=None, settings=AudioSettings(codec=AudioCodec.COPY))
    plan = OutputPlan(container=Container.MKV, video=video, audio=audio)
    copied = file(
        replace(PICTURE, codec="mpeg2video", pixel_format="yuv422p"), replace(SOUND, codec="mp2")
    )
    assert verify(plan, copied) == []
    assert [each.rule for each in verify(plan, GOOD)] == ["V2 video codec", "V2 audio codec"]


def test_a_source_without_a_rate_is_judged_as_if_it_had_25():
    source = replace(SOURCE_PICTURE, frame_rate=None)
    plan = replace(PLAN, video=replace(PLAN.video, source=source))
    assert "+- 0.080 s" in str(verify(plan, bad_picture(last=9.8))[0])


def test_every_codec_has_the_name_a_probe_gives_it():
    encoded = {codec for codec in VideoCodec if codec not in {"copy", "none"}}
    sounds = {codec for codec in AudioCodec if codec not in {"copy", "none"}}
    assert CODEC_NAMES.keys() == encoded | sounds


def test_a_run_that_did_not_say_it_ended_or_said_fatal_is_no_success():
    assert judge_run(["[info] done"], said_end=True) == []
    assert [str(each) for each in judge_run([], said_end=False)] == [
        "V0 end of progress: expected progress=end, found none"
    ]
    [problem] = judge_run(["[fatal] a", "[fatal] b"], said_end=True)
    assert str(problem) == "V0 log: expected no fatal line, found [fatal] a"


def cut(end: float, declared: float | None, start: float = 0.0) -> MediaInfo:
    stream = replace(SOURCE_PICTURE, start=start, end=end)
    return replace(file(stream), declared_duration=declared)


@pytest.mark.parametrize(
    "whole",
    [
        cut(10.0, 10.0),
        cut(10.0, None),
        cut(9.1, 10.0),  # less than a second short
        cut(98.1, 100.0),  # less than a fiftieth short
        cut(10.0, 10.0, start=-0.5),
        cut(60.0, 50.0, start=10.0),
    ],
)
def test_a_source_whose_packets_reach_its_declared_end_is_whole(whole):
    assert judge_source(whole) is None


def test_a_source_whose_packets_end_early_is_cut_off():
    problem = judge_source(cut(29.96, 60.03))
    assert str(problem) == "source length: expected 60.03 s, found packets for 29.96 s only"
    assert judge_source(cut(97.9, 100.0)) is not None
    assert judge_source(replace(cut(0, 9.0), streams=(replace(SOURCE_PICTURE, end=None),)))


def test_a_source_without_packets_is_no_source():
    assert str(judge_source(file())) == (
        "source streams: expected picture or sound with packets, found none"
    )


HDR = Colours(primaries=9, transfer=16, matrix=9)


@pytest.mark.parametrize(
    ("source", "found", "problems"),
    [
        (HDR, HDR, []),
        (HDR, Colours(), ["primaries", "transfer", "matrix"]),
        (HDR, replace(HDR, transfer=1), ["transfer"]),
        (Colours(), HDR, []),
        (Colours(primaries=1, transfer=13, matrix=0), Colours(primaries=1, transfer=13), []),
    ],
)
def test_what_the_source_says_of_its_colours_is_said_of_the_outputs(source, found, problems):
    video = replace(PLAN.video, source=replace(SOURCE_PICTURE, colours=source))
    verdict = verify(replace(PLAN, video=video), bad_picture(colours=found))
    assert [each.rule for each in verdict] == [f"V2 colour {name}" for name in problems]
