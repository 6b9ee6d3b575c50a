"""An FFmpeg that lies: it ends with 0 and says all is well, and what it made is not what was asked.

Which level sees what, measured here. What no count of packets can tell, a picture that is not the
source's, is seen by `quality` only, and sound that is silent by nothing: integrity.md promises no
more below V6.
"""

from pathlib import Path

import pytest

from ffrtmp.domain.retry import Reason
from ffrtmp.domain.spec import Verification
from tests.media.conftest import FFMPEG, PRECIOUS, Site, ffmpeg, picture, tone

pytestmark = pytest.mark.media

SCRIPT = """#!/bin/sh
# The real one, and then something is done to what it made.
for last; do :; done
case $last in file:*) ;; *) exec "{ffmpeg}" "$@" ;; esac
"{ffmpeg}" "$@" || exit
made=${{last#file:}}
other={folder}/other.mkv
"{ffmpeg}" -nostdin -v error -y -f matroska -i "$made" {options} -f matroska "$other" || exit
cat "$other" > "$made"
"""
VIDEO = "-c:a copy -c:v libx264 -preset ultrafast -fps_mode passthrough -vf"
AUDIO = "-c:v copy -c:a aac -af"
SEEN = {
    "cut in the middle": (f"{VIDEO} select='not(between(n,20,29))'", "V3 frames: expected 50"),
    "a frame is missing": (f"{VIDEO} select='not(eq(n,20))'", "V3 frames: expected 50"),
    "a frame is doubled": (f"{VIDEO} loop=1:1:20,setpts=N/25/TB", "V3 frames: expected 50"),
    "frames in another time": (f"{VIDEO} setpts=PTS*0.9", "V3 video length"),
    "a pause in the middle": (f"{VIDEO} setpts='PTS+gt(N,20)*1.5/TB'", "V3 video"),
    "the picture is later than the sound": (
        "-itsoffset 0.5 -i {made} -map 1:v -map 0:a -c copy",
        "V3 sound offset",
    ),
    "sound cut short": (f"{AUDIO} atrim=end=1", "V3 audio length"),
    "a hole in the sound": (f"{AUDIO} aselect='not(between(t,0.2,1.5))'", "V3 audio"),
    "sound too long": (f"{AUDIO} apad=pad_dur=1", "V3 audio length"),
    "no sound": ("-c copy -an", "V2 audio streams: expected 1, found 0"),
    "no picture": ("-c copy -vn", "V2 video streams: expected 1, found 0"),
    "two sounds": ("-map 0 -map 0:a -c copy", "V2 audio streams: expected 1, found 2"),
    "another size": (f"{VIDEO} scale=64:48", "V2 size: expected 128x96, found 64x48"),
    "another codec": ("-c:a copy -c:v mpeg4", "V2 video codec: expected h264, found mpeg4"),
    "ten bits": (f"{VIDEO} format=yuv420p10le", "V2 pixel format: expected yuv420p"),
    "other colours": (
        f"{VIDEO} setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc",
        "V2 colour matrix: expected 1, found 9",
    ),
    "other pixels": (f"{VIDEO} setsar=2", "V2 pixel aspect"),
    "mono": (f"{AUDIO} pan=mono|c0=c0 -ac 1", "V2 channels: expected 2, found 1"),
}
UNSEEN = {
    "black": f"{VIDEO} geq=16:128:128",
    "frozen": f"{VIDEO} select='eq(n,0)',loop=49:1:0,setpts=N/25/TB",
    "silent": f"{AUDIO} volume=0",
}


def lying(tmp_path: Path, options: str) -> Site:
    script = tmp_path / "ffmpeg-lies"
    told = options.replace("{made}", '"$made"')
    script.write_text(SCRIPT.format(ffmpeg=FFMPEG, folder=tmp_path, options=quoted(told)))
    script.chmod(0o755)
    site = Site(tmp_path / "root", str(script))
    tags = ["-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709"]
    encoded = ["-c:v", "libx264", "-preset", "ultrafast", *tags, "-c:a", "aac", "-ac", "2"]
    ffmpeg(*picture(2), *tone(2), *encoded, site.root / "in.mkv")
    (site.root / "out.mkv").write_bytes(PRECIOUS)
    return site


def quoted(options: str) -> str:
    """The last word is a filter, which a shell would read."""
    before, mark, last = (
        options.rpartition(" -vf ") if " -vf " in options else options.rpartition(" -af ")
    )
    if not mark:
        return options
    graph, _, rest = last.partition(" ")
    return f'{before}{mark}"{graph}" {rest}'


@pytest.mark.parametrize("lie", SEEN)
async def test_a_wrong_output_is_no_success_and_the_rule_is_named(tmp_path: Path, lie: str) -> None:
    options, says = SEEN[lie]
    site = lying(tmp_path, options)
    failure = await site.fails(site.job("in.mkv", "out.mkv", overwrite=True))
    assert failure.reason is Reason.VERIFY_FAILED
    assert says in failure.message
    assert "expected" in failure.message
    assert "found" in failure.message


@pytest.mark.parametrize("lie", UNSEEN)
async def test_what_only_the_picture_itself_tells_is_not_told_by_packets(
    tmp_path: Path, lie: str
) -> None:
    """Known, and measured: neither the default levels nor a full decode look at what is shown."""
    site = lying(tmp_path, UNSEEN[lie])
    spec = site.job("in.mkv", "out.mkv", overwrite=True, verification=Verification.FULL)
    await site.transcode(spec)
