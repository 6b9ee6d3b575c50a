"""V4, and inputs that are wanted although they are cut off."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ffrtmp.domain.messages import Progress
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.session import Phase
from ffrtmp.domain.spec import Verification
from ffrtmp.worker.probe import probe
from tests.media.conftest import PRECIOUS, Site, ffmpeg, picture, tone


def clip(site: Site, name: str) -> Path:
    path = site.root / name
    encoded = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "10", "-g", "25", "-c:a", "aac"]
    ffmpeg(*picture(8, "320x180"), *tone(8), *encoded, "-movflags", "+faststart", path)
    return path


def when_staged(site: Site, harm: Callable[[Path], None]) -> None:
    """As a disk that keeps other bytes than it was given."""

    def report(progress: Progress) -> None:
        if progress.phase is Phase.VERIFY:
            [staged] = site.root.glob(".*.part*")
            harm(staged)
            site.report = lambda _: None

    site.report = report


def spoil(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = os.urandom(3000)
    path.write_bytes(content)


async def test_only_a_full_decode_sees_damage_inside_the_frames(site: Site) -> None:
    clip(site, "in.mp4")
    (site.root / "out.mp4").write_bytes(PRECIOUS)
    spec = site.job("in.mp4", "out.mp4", overwrite=True, verification=Verification.FULL)
    when_staged(site, spoil)
    failure = await site.fails(spec)
    assert failure.reason is Reason.VERIFY_FAILED
    assert "V4 full decode of output media:out.mp4: expected no error, found" in failure.message
    await site.transcode(spec)
    [found] = await probe([site.root / "out.mp4"], ["it"])
    assert found.video is not None
    assert found.video.packets == 200


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts"])
async def test_a_cut_input_is_encoded_as_far_as_it_goes_when_asked(
    site: Site, container: str
) -> None:
    path = clip(site, f"in.{container}")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    await site.fails(site.job(path.name, "out.mp4"))
    await site.transcode(site.job(path.name, "out.mp4", accept_truncated=True))
    [found] = await probe([site.root / "out.mp4"], ["it"])
    assert found.video is not None
    assert 90 <= found.video.packets <= 110
