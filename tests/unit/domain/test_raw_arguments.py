"""Raw arguments: what is listed passes, everything else is refused by name."""

from dataclasses import replace

import pytest

from ffrtmp.domain.errors import InvalidSpec
from ffrtmp.domain.raw_arguments import (
    ALLOWED,
    MAX_ARGUMENTS,
    OFF,
    Number,
    RawArgument,
    check_allowed,
    check_raw_arguments,
)
from ffrtmp.domain.spec import Input, JobSpec, MediaPath, Output, VideoCodec, VideoSettings
from ffrtmp.ffmpeg.presets import expand

HOSTILE = [
    "",
    " ",
    "-1",
    "1 -i x",
    "1\n",
    "0x10",
    "1e3",
    "\N{ARABIC-INDIC DIGIT ONE}",
    "1,2",
    "/etc/passwd",
    "file:x",
    "movie=x",
    "inf",
    "nan",
    "9" * 40,
    "film,movie=x",
    "main:stats=x",
]


def refusal(name: str, value: str, codecs: frozenset[str] | None = None) -> str:
    with pytest.raises(InvalidSpec) as caught:
        check_raw_arguments([RawArgument(name, value)], "it", codecs)
    return str(caught.value)


@pytest.mark.parametrize("name", ALLOWED)
def test_no_value_can_be_anything_but_a_word_of_the_list_or_a_number(name: str) -> None:
    for value in HOSTILE:
        assert f"it[0].value: {value!r} is not valid: -{name} takes" in refusal(name, value)


def test_the_ends_of_a_range_pass_and_what_is_beyond_does_not() -> None:
    assert [Number(1, 16).accepts(text) for text in ("0", "1", "16", "17")] == [
        *(False, True, True, False)
    ]
    assert Number(0, 3, 2).accepts("1.25")
    assert not Number(0, 3, 2).accepts("1.255")
    assert not Number(0, 3).accepts("1.5")


def test_an_unknown_name_is_refused_with_the_list() -> None:
    assert refusal("vf", "null").startswith("it[0].name: 'vf' is not valid: allowed are tune, ")


def test_an_argument_that_would_be_ignored_is_refused() -> None:
    assert "it is for vp9 only" in refusal("row-mt", "1", frozenset({"h264", "aac"}))


def test_an_argument_given_twice_is_refused() -> None:
    with pytest.raises(InvalidSpec, match=r"it\[1\]\.name: 'bf' .* given twice"):
        check_raw_arguments([RawArgument("bf", "1"), RawArgument("bf", "2")], "it", None)


def test_there_are_not_more_than_anybody_needs() -> None:
    many = [RawArgument("bf", "1")] * (MAX_ARGUMENTS + 1)
    with pytest.raises(InvalidSpec, match="at most 16"):
        check_raw_arguments(many, "it", None)


SPEC = JobSpec(
    input=Input(path=MediaPath("m", "a.mkv")),
    outputs=(
        Output(
            path=MediaPath("m", "o.mp4"),
            video=VideoSettings(codec=VideoCodec.COPY),
            raw_arguments=(RawArgument("bf", "1"),),
        ),
    ),
)


def test_nothing_is_told_to_an_encoder_that_is_not_there() -> None:
    with pytest.raises(InvalidSpec, match=r"outputs\[0\]\.raw_arguments\[0\]\.name: 'bf'"):
        expand(SPEC)


def test_a_live_push_takes_none() -> None:
    output = replace(SPEC.outputs[0], path=None, url="rtmp://h/app/key", video=None)
    with pytest.raises(InvalidSpec, match="a live push takes none"):
        expand(replace(SPEC, outputs=(output,)))


def test_where_they_are_off_the_first_is_named() -> None:
    arguments = [[], [RawArgument("bf", "1")]]
    check_allowed(arguments, allowed=True)
    with pytest.raises(InvalidSpec, match=r"outputs\[1\]\.raw_arguments: 'bf'") as caught:
        check_allowed(arguments, allowed=False)
    assert caught.value.expected == OFF
