"""The progress of FFmpeg, cut anywhere: pieces make no difference, and nothing makes it fail."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffrtmp.ffmpeg.progress import ProgressParser, Reading

RECORDED = b"""frame=0
fps=0.00
stream_0_0_q=0.0
bitrate=N/A
total_size=N/A
out_time_us=N/A
out_time_ms=N/A
out_time=N/A
dup_frames=0
drop_frames=0
speed=N/A
progress=continue
frame=120
fps=59.94
bitrate=1200.5kbits/s
total_size=  262144
out_time_us=4004000
out_time=00:00:04.004000
speed=2.01x
progress=continue
frame=300
fps=60.10
total_size=1048576
out_time_us=10010000
speed=2.00x
progress=end
"""
READINGS = [
    Reading(position=0, frames=0, frames_per_second=0, speed=0, size=0, ended=False),
    Reading(
        position=4.004, frames=120, frames_per_second=59.94, speed=2.01, size=262144, ended=False
    ),
    Reading(
        position=10.01, frames=300, frames_per_second=60.1, speed=2.0, size=1048576, ended=True
    ),
]


def fed(*chunks: bytes) -> list[Reading]:
    parser = ProgressParser()
    return [reading for chunk in chunks for reading in parser.feed(chunk)]


def test_what_ffmpeg_wrote_is_read():
    assert fed(RECORDED) == READINGS


def test_windows_line_ends_make_no_difference():
    assert fed(RECORDED.replace(b"\n", b"\r\n")) == READINGS


@given(cuts=st.lists(st.integers(0, len(RECORDED)), max_size=8).map(sorted))
def test_it_may_be_cut_anywhere(cuts):
    edges = [0, *cuts, len(RECORDED)]
    assert fed(*(RECORDED[a:b] for a, b in pairwise(edges))) == READINGS


def test_it_may_come_byte_by_byte():
    assert fed(*(bytes([byte]) for byte in RECORDED)) == READINGS


def test_a_report_comes_out_with_the_piece_that_ends_it_and_not_before():
    parser = ProgressParser()
    assert parser.feed(b"frame=5\nprogress=cont") == []
    assert parser.feed(b"inue") == []
    [reading] = parser.feed(b"\n")
    assert reading.frames == 5
    assert parser.feed(b"progress=continue\n")[0].frames == 0, "no value outlives its report"


@pytest.mark.parametrize("text", [b"out_time_us=-23220\n", b"out_time_us=-9223372036854775807\n"])
def test_a_time_before_the_start_is_the_start(text):
    assert fed(text + b"progress=continue\n")[0].position == 0


texts = [b"nan", b"inf", b"-inf", b"1e400", b"-5", b"9" * 30, b"N/A", b"", b"0x"]
numbers = st.sampled_from(texts)
names = st.sampled_from([b"frame", b"fps", b"out_time_us", b"speed", b"total_size"])
lines = st.tuples(names, numbers | st.binary(max_size=8)).map(b"=".join)


@given(noise=st.lists(lines | st.binary(max_size=20), max_size=20))
def test_no_text_at_all_makes_it_fail(noise):
    for reading in fed(b"\n".join([*noise, b"progress=continue\n"])):
        assert 0 <= reading.position < 10**10
        assert reading.frames >= 0
        assert 0 <= reading.frames_per_second < float("inf")
        assert 0 <= reading.speed < float("inf")
        assert reading.size >= 0
