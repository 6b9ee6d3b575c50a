"""Every raw argument that is allowed does something: FFmpeg takes it, and the output passes."""

from dataclasses import replace

import pytest

from ffrtmp.domain.raw_arguments import ALLOWED, RawArgument
from ffrtmp.domain.spec import (
    AudioCodec,
    AudioSettings,
    MediaPath,
    Output,
    Speed,
    VideoCodec,
    VideoSettings,
)
from ffrtmp.worker.runner import AttemptFailed
from tests.media.conftest import Site, ffmpeg, picture, tone

pytestmark = pytest.mark.media

VALUES = {
    "tune": "film",
    "profile:v": "main",
    "level": "4.1",
    "g": "10",
    "keyint_min": "5",
    "bf": "1",
    "refs": "2",
    "maxrate": "2000000",
    "bufsize": "4000000",
    "rc-lookahead": "10",
    "aq-mode": "2",
    "aq-strength": "0.8",
    "row-mt": "1",
    "tile-columns": "1",
    "lag-in-frames": "10",
    "cutoff": "15000",
    "application": "lowdelay",
}
SOUND = {"aac": AudioCodec.AAC, "opus": AudioCodec.OPUS}


def output(codec: str, *names: str) -> Output:
    video = VideoSettings(codec=VideoCodec.H264, speed=Speed.FASTEST)
    audio = AudioSettings(codec=SOUND.get(codec, AudioCodec.OPUS))
    if codec not in SOUND:
        video = replace(video, codec=VideoCodec(codec))
    return Output(
        path=MediaPath("media", f"{codec}.mkv"),
        video=video,
        audio=audio,
        raw_arguments=tuple(RawArgument(name, VALUES[name]) for name in names),
    )


def allowed_for(codec: str) -> list[str]:
    return [name for name, allowed in ALLOWED.items() if codec in allowed.codecs]


async def test_what_is_allowed_for_a_codec_is_taken_by_its_encoder(site: Site) -> None:
    ffmpeg(*picture(1), *tone(1), "-c:v", "libx264", site.root / "in.mkv")
    codecs = sorted({codec for allowed in ALLOWED.values() for codec in allowed.codecs})
    outputs = [output(codec, *allowed_for(codec)) for codec in codecs]
    try:
        await site.transcode(site.job("in.mkv", *outputs))
    except AttemptFailed as error:
        pytest.fail("\n".join((error.failure.message, *error.failure.log_tail)))
    assert b" bframes=1 " in (site.root / "h264.mkv").read_bytes(), "x264 writes what it was told"
