"""What an FFmpeg can do: its version line, and which encoder stands for which codec."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffrtmp.domain.spec import MAX_CRF, AudioCodec
from ffrtmp.ffmpeg.capabilities import (
    CANDIDATES,
    all_candidates,
    choose_encoders,
    parse_filters,
    parse_protocols,
    parse_version,
)
from ffrtmp.ffmpeg.capabilities import (
    test_encode_argv as encode_argv,
)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("ffmpeg version 5.1.9-0+deb12u1 Copyright (c) 2000-2026", "5.1.9-0+deb12u1"),
        (
            "ffmpeg version 9.0.2-static Copyright",
            "9.0.2-static",
        ),
        ("ffmpeg version n7.1 Copyright (c) 2000-2024", "7.1"),
        ("ffmpeg version N-118-gabc Copyright", "N-118-gabc"),
        ("", ""),
        ("bash: ffmpeg: command not found", ""),
        ("avconv version 12", ""),
    ],
)
def test_the_version_is_read_from_the_first_line(text, version):
    assert parse_version(text) == version


def test_every_codec_of_a_spec_has_candidates():
    encoded = {codec.value for codec in MAX_CRF}
    assert CANDIDATES.keys() == encoded | {AudioCodec.AAC.value, AudioCodec.OPUS.value}
    assert len(all_candidates()) == len(set(all_candidates()))


def test_the_best_proved_encoder_of_each_codec_is_chosen():
    assert choose_encoders(all_candidates()) == {codec: c[0] for codec, c in CANDIDATES.items()}
    assert choose_encoders({"libaom-av1", "aac"}) == {"av1": "libaom-av1", "aac": "aac"}
    assert choose_encoders(()) == {}


def test_a_try_encodes_picture_or_sound_to_nowhere():
    assert " ".join(encode_argv("/x/ffmpeg", "libx264")) == (
        "/x/ffmpeg -nostdin -hide_banner -v error -f lavfi"
        " -i testsrc2=size=128x128:rate=25:duration=0.2,format=yuv420p -c:v libx264 -f null -"
    )
    assert encode_argv("ffmpeg", "libopus")[-5:] == ["-c:a", "libopus", "-f", "null", "-"]
    assert "sine=duration=0.1" in encode_argv("ffmpeg", "aac")


LEGEND = """\
Filters:
  T.. = Timeline support
  .S. = Slice threading
  ..C = Command support
  A = Audio input/output
  V = Video input/output
  N = Dynamic number and/or type of input/output
  | = Source or sink filter
"""
FILTERS_5 = f"""{LEGEND} ... abench            A->A       Benchmark part of a filtergraph.
 TSC psnr              VV->V      Calculate the PSNR between two video streams.
 ..C libvmaf           VV->V      Calculate the VMAF between two video streams.
 ... nullsrc           |->V       Null video source, return unprocessed video frames.
 ... abuffersink       A->|       Buffer audio frames.
"""
FILTERS_9 = f"""{LEGEND}  ------
 TS psnr              VV->V      Calculate the PSNR between two video streams.
 .. libvmaf           VV->V      Calculate the VMAF between two video streams.
 .. concat            N->N       Concatenate audio and video streams.
"""


def test_the_filters_are_read_whatever_the_number_of_flags():
    five = {"abench", "psnr", "libvmaf", "nullsrc", "abuffersink"}
    assert parse_filters(FILTERS_5) == five
    assert parse_filters(FILTERS_9) == {"psnr", "libvmaf", "concat"}
    assert parse_filters(FILTERS_9.replace("\n", "\r\n")) == {"psnr", "libvmaf", "concat"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        LEGEND,
        "libvmaf",
        "libvmaf           VV->V      not indented",
        "  .. libvmaf           VV->V      too far in",
        " .. libvmaf",
        " .. libvmaf           VV-V       no arrow",
        " .. libvmaf\n           VV->V      over two lines",
        " XY libvmaf           VV->V      flags that there are not",
        " TSC. libvmaf         VV->V      flags too many",
        "Unrecognized option 'libvmaf VV->V'.",
        "\0\0 .. libvmaf VV->V",
        "\x1b[2K .. libvmaf VV->V",
        " .. \t\N{NO-BREAK SPACE}VV->V",
    ],
)
def test_what_is_no_line_of_the_list_names_no_filter(text):
    assert parse_filters(text) == frozenset()


def test_a_description_names_no_filter():
    line = " .. tee               V->V       As in .. libvmaf VV->V, but not: .. ssim VV->V\n"
    assert parse_filters(line) == {"tee"}


@pytest.mark.parametrize("filler", [" ", "x", "->", " .", " .. ", " x ", "\n", "\n .. ", "V->"])
def test_an_answer_of_any_length_is_read_in_no_time(filler):
    """Nothing in it makes the expression try again and again: a megabyte would never end."""
    text = f" .. {filler * ((1 << 20) // len(filler))}"
    assert parse_filters(f"{text}\n .. ssim VV->V\n") >= {"ssim"}


NAMES = st.text(string.ascii_lowercase + string.digits + "_", min_size=1, max_size=20)
FLAGS = st.sampled_from(["..", "T.", ".S", "TS", "...", "T.C", "TSC"])
WAYS = st.sampled_from(["A->A", "V->V", "VV->V", "|->A", "V->|", "N->N", "A->VV"])
NO_LINES = st.text(st.characters(exclude_characters="\n"), max_size=40)


@given(st.lists(st.tuples(FLAGS, NAMES, WAYS, NO_LINES)))
def test_every_filter_of_a_list_is_found_and_no_other(listed):
    lines = [f" {flags} {name:<17} {ways:<10} {about}\n" for flags, name, ways, about in listed]
    assert parse_filters(LEGEND + "".join(lines)) == {name for _, name, _, _ in listed}


@given(st.text())
def test_any_text_is_read_and_what_it_names_is_a_word_of_it(text):
    for name in parse_filters(text):
        assert name in text
        assert name.split() == [name]


def test_the_protocols_are_those_that_can_be_written_to():
    text = "Supported file protocols:\nInput:\n  file\n  gopher\nOutput:\n  file\n  srt\n"
    assert parse_protocols(text) == {"file", "srt"}
    assert parse_protocols("") == parse_protocols("Input:\n  rtmp\n") == frozenset()
