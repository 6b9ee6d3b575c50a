"""Files that name other files: plain FFmpeg follows them out of the root, a worker does not."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ffrtmp.domain.errors import InvalidSpec
from ffrtmp.domain.retry import Reason
from ffrtmp.ffmpeg.capabilities import all_candidates, choose_encoders
from ffrtmp.ffmpeg.command import build_argv
from ffrtmp.ffmpeg.plan import plan
from ffrtmp.worker.probe import probe
from tests.media.conftest import FFMPEG, Site, ffmpeg, picture


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside every root, with a film and a series of pictures."""
    folder = tmp_path_factory.mktemp("outside")
    ffmpeg(*picture(), "-c:v", "libx264", folder / "secret.ts")
    ffmpeg(*picture(), "-frames:v", 2, folder / "frame%03d.png")
    return folder


def playlist(*entries: object) -> str:
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:2", "#EXT-X-PLAYLIST-TYPE:VOD"]
    for entry in entries:
        lines += ["#EXTINF:2,", str(entry)]
    return "\n".join([*lines, "#EXT-X-ENDLIST", ""])


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return path.name


def linked(root: Path, secret: Path) -> str:
    (root / "link").symlink_to(secret)
    return "link"


def absolute_playlist(root: Path, secret: Path) -> str:
    return write(root / "in.m3u8", playlist(secret / "secret.ts"))


def climbing_playlist(root: Path, secret: Path) -> str:
    up = "../" * len(root.parts)
    return write(root / "in.m3u8", playlist(f"{up}{secret / 'secret.ts'}"))


def playlist_over_a_link(root: Path, secret: Path) -> str:
    return write(root / "in.m3u8", playlist(f"{linked(root, secret)}/secret.ts"))


def playlist_of_an_url(root: Path, secret: Path) -> str:
    return write(root / "in.m3u8", playlist(f"file://{secret}/secret.ts"))


def master_playlist(root: Path, secret: Path) -> str:
    inner = absolute_playlist(root, secret)
    (root / inner).rename(root / "inner.m3u8")
    variant = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\ninner.m3u8\n"
    return write(root / "in.m3u8", variant)


def concat_script(root: Path, secret: Path) -> str:
    folder = linked(root, secret)
    return write(root / "in.ffconcat", f"ffconcat version 1.0\nfile '{folder}/secret.ts'\n")


def concat_script_named_mkv(root: Path, secret: Path) -> str:
    folder = linked(root, secret)
    return write(root / "in.mkv", f"ffconcat version 1.0\nfile {folder}/secret.ts\n")


def concat_script_with_a_cut(root: Path, secret: Path) -> str:
    folder = linked(root, secret)
    text = f"ffconcat version 1.0\nfile {folder}/secret.ts\ninpoint 0.5\noutpoint 1.5\n"
    return write(root / "in.mp4", text)


def concat_script_of_a_script(root: Path, secret: Path) -> str:
    inner = concat_script(root, secret)
    return write(root / "in.mov", f"ffconcat version 1.0\nfile {inner}\n")


def numbered_series(root: Path, secret: Path) -> str:
    for number in (1, 2):
        name = f"frame{number:03}.png"
        (root / name).symlink_to(secret / name)
    shutil.copy(secret / "frame001.png", root / "frame%03d.png")  # there must be such a file
    return "frame%03d.png"


def series_in_a_linked_folder(root: Path, secret: Path) -> str:
    (root / "sub").mkdir()
    return f"sub/{numbered_series(root / 'sub', secret)}"


MANIFEST = """<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT2S"
 profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period duration="PT2S"><AdaptationSet
 mimeType="video/mp4"><Representation id="1" bandwidth="1000"><BaseURL>{path}</BaseURL>
</Representation></AdaptationSet></Period></MPD>
"""


def dash_manifest(root: Path, secret: Path) -> str:
    film = secret / "secret.mp4"
    ffmpeg(*picture(), "-movflags", "+dash+frag_keyframe", film)
    return write(root / "in.mpd", MANIFEST.format(path=film))


def dash_manifest_over_a_link(root: Path, secret: Path) -> str:
    dash_manifest(root, secret)
    folder = linked(root, secret)
    return write(root / "in.xml", MANIFEST.format(path=f"{folder}/secret.mp4"))


HOSTILE = [
    absolute_playlist,
    climbing_playlist,
    playlist_over_a_link,
    playlist_of_an_url,
    master_playlist,
    concat_script,
    concat_script_named_mkv,
    concat_script_with_a_cut,
    concat_script_of_a_script,
    dash_manifest,
    dash_manifest_over_a_link,
]


@pytest.mark.parametrize("make", HOSTILE)
async def test_a_file_that_names_other_files_is_not_read(
    site: Site, secret: Path, make: Callable[[Path, Path], str]
) -> None:
    name = make(site.root, secret)
    whitelist = ["-protocol_whitelist", "file"]
    shown = ffmpeg(*whitelist, "-i", f"file:{site.root / name}", "-f", "framemd5", "-", check=False)
    assert shown.stdout.count("\n0,") > 1, f"plain FFmpeg does not fall for it: {shown.stderr}"
    failure = await site.fails(site.job(name, "out.mp4"))
    assert failure.reason is Reason.INPUT_BAD
    assert "cannot be read as media" in failure.message


@pytest.mark.parametrize("make", [numbered_series, series_in_a_linked_folder])
async def test_a_file_named_like_a_series_is_one_file(
    site: Site, secret: Path, make: Callable[[Path, Path], str]
) -> None:
    name = make(site.root, secret)
    shown = ffmpeg("-i", f"file:{site.root / name}", "-f", "framemd5", "-", check=False)
    assert shown.stdout.count("\n0,") > 1, "plain FFmpeg reads the series"
    await site.transcode(site.job(name, "out.mp4"))
    [found] = await probe([site.root / "out.mp4"], ["it"])
    assert found.video is not None
    assert found.video.packets == 1


async def test_a_script_put_in_place_of_a_film_after_the_probe_is_not_followed(
    site: Site, secret: Path
) -> None:
    """The reader is settled by then: a script is no MP4."""
    film = site.root / "in.mp4"
    ffmpeg(*picture(), film)
    spec = site.job("in.mp4", "out.mp4")
    [found] = await probe([film], ["it"])
    planned = plan(spec, found, choose_encoders(all_candidates()))
    argv = build_argv(planned, ffmpeg=FFMPEG, source=str(film), targets=[str(site.root / "o.mp4")])
    linked(site.root, secret)
    film.write_text("ffconcat version 1.0\nfile link/secret.ts\n")
    assert ffmpeg("-i", film, "-f", "null", "-", check=False).returncode == 0
    assert ffmpeg(*argv[1:], check=False).returncode != 0


PROTOCOLS = [
    "subfile,,start,0,end,0,,:{secret}",
    "concat:{secret}",
    "concat:{secret}|{secret}",
    "file:{secret}",
    "cache:{secret}",
    "async:{secret}",
    "crypto:{secret}",
    "concatf:{list}",
]


@pytest.mark.parametrize("name", PROTOCOLS)
async def test_a_name_that_is_a_protocol_to_ffmpeg_is_a_name_here(
    site: Site, secret: Path, name: str
) -> None:
    """A path is relative to its root, and FFmpeg gets `file:` and an absolute one."""
    listed = secret / "list.txt"
    listed.write_text(f"{secret}/secret.ts\n")
    told = name.format(secret=secret / "secret.ts", list=listed)
    key = ["-key", "00" * 16, "-iv", "00" * 16] if name.startswith("crypto") else []
    shown = ffmpeg(*key, "-f", "mpegts", "-i", told, "-c", "copy", "-f", "null", "-", check=False)
    assert shown.returncode == 0 or name.startswith("crypto"), shown.stderr
    failure = await site.fails(site.job(told, "out.mp4"))
    assert failure.reason is Reason.INPUT_BAD
    assert "does not exist" in failure.message


@pytest.mark.parametrize(
    "name", ["-i.mp4", "-y.mp4", "--help.mp4", "-f lavfi.mp4", "pipe:0.mp4", "a;b|c&d$(e).mp4"]
)
async def test_a_name_that_is_an_option_to_ffmpeg_is_a_name_here(site: Site, name: str) -> None:
    ffmpeg(*picture(), site.root / "plain.mp4")
    (site.root / "plain.mp4").rename(site.root / name)
    await site.transcode(site.job(name, f"sub/{name}"))
    assert site.names() == sorted([name, "sub", f"sub/{name}"])


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/urandom", "/dev/null", "/proc/self/environ"])
async def test_a_link_to_a_device_or_out_of_the_root_is_not_followed(
    site: Site, device: str
) -> None:
    (site.root / "in.mkv").symlink_to(device)
    failure = await site.fails(site.job("in.mkv", "out.mp4"))
    assert failure.reason is Reason.INVALID_SPEC
    assert "leads out of its root" in failure.message


@pytest.mark.parametrize(
    "name", ["a\nb.mp4", "a\0b.mp4", "a\x1b[2J.mp4", "a\r.mp4", "/etc/a.mp4", "../a.mp4"]
)
def test_a_path_that_a_log_or_a_shell_could_misread_is_no_path(site: Site, name: str) -> None:
    with pytest.raises(InvalidSpec):
        site.job(name, "out.mp4")
    with pytest.raises(InvalidSpec):
        site.job("in.mp4", name)
