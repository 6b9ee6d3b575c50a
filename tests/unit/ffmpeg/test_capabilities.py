"""What an FFmpeg can do: its version line, and which encoder stands for which codec."""

import pytest

from ffrtmp.domain.spec import MAX_CRF, AudioCodec
from ffrtmp.ffmpeg.capabilities import (
    CANDIDATES,
    all_candidates,
    choose_encoders,
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
