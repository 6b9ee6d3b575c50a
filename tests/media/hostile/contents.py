"""Files that name other files, and files that speak with FFmpeg's voice."""

import shutil
from dataclasses import replace
from pathlib import Path

from tests.media.conftest import ffmpeg
from tests.media.hostile.ground import Ground, Trap, hostile, job

NOT_READ = "cannot be read as media"
FILES = ("-v", "error", "-protocol_whitelist", "file")
TO_NOTHING = ("-f", "null", "-")


def reads(ground: Ground, name: str, *before: object, says: str = NOT_READ) -> Trap:
    return Trap(
        plain=[*FILES, *before, "-i", f"file:{ground.root / name}", *TO_NOTHING],
        job=job(name),
        says=says,
    )


def playlist(entry: object) -> str:
    head = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXTINF:2,\n"
    return f"{head}{entry}\n#EXT-X-ENDLIST\n"


@hostile("nested playlist")
def absolute_playlist(ground: Ground) -> Trap:
    ground.write("in.m3u8", playlist(ground.secret))
    return reads(ground, "in.m3u8")


@hostile("nested playlist")
def climbing_playlist(ground: Ground) -> Trap:
    ground.write("in.m3u8", playlist(f"{'../' * len(ground.root.parts)}{ground.secret}"))
    return reads(ground, "in.m3u8")


@hostile("nested playlist")
def playlist_over_a_link(ground: Ground) -> Trap:
    ground.write("in.m3u8", playlist(f"{ground.linked()}/secret.ts"))
    return reads(ground, "in.m3u8")


@hostile("nested playlist")
def playlist_of_an_url(ground: Ground) -> Trap:
    ground.write("in.m3u8", playlist(f"file://{ground.secret}"))
    return reads(ground, "in.m3u8")


@hostile("nested playlist")
def master_playlist(ground: Ground) -> Trap:
    ground.write("inner.m3u8", playlist(ground.secret))
    ground.write("in.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\ninner.m3u8\n")
    return reads(ground, "in.m3u8")


@hostile("nested playlist")
def playlist_with_another_ending(ground: Ground) -> Trap:
    """Asked for by its format, as a careless caller does who keeps the source's."""
    ground.write("in.mp4", playlist(ground.secret))
    return reads(ground, "in.mp4", "-f", "hls")


@hostile("nested playlist")
def playlist_with_a_key(ground: Ground) -> Trap:
    """The key is read from wherever it is said to lie."""
    key = f'#EXT-X-KEY:METHOD=AES-128,URI="{ground.outside / "secret.ttf"}"\n'
    shutil.copy(ground.film, ground.root / "part.ts")
    text = playlist("part.ts").replace("#EXTINF", f"{key}#EXTINF")
    ground.write("in.m3u8", text)
    trap = reads(ground, "in.m3u8", "-allowed_extensions", "ALL", "-extension_picky", "0")
    plain = ["file,crypto" if word == "file" else word for word in trap.plain]
    return replace(trap, plain=plain)


MANIFEST = """<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT1S"
 profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period duration="PT1S"><AdaptationSet
 mimeType="video/mp4"><Representation id="1" bandwidth="1000"><BaseURL>{path}</BaseURL>
</Representation></AdaptationSet></Period></MPD>
"""


@hostile("nested playlist")
def dash_manifest(ground: Ground) -> Trap:
    ground.write("in.mpd", MANIFEST.format(path=ground.outside / "secret.mp4"))
    return reads(ground, "in.mpd")


@hostile("nested playlist")
def dash_manifest_over_a_link(ground: Ground) -> Trap:
    ground.write("in.xml", MANIFEST.format(path=f"{ground.linked()}/secret.mp4"))
    return reads(ground, "in.xml")


def script(ground: Ground, name: str, *lines: str, unsafe: bool = False) -> Trap:
    ground.write(name, "\n".join(("ffconcat version 1.0", *lines, "")))
    return reads(ground, name, *(["-f", "concat", "-safe", "0"] if unsafe else []))


@hostile("concat")
def concat_script(ground: Ground) -> Trap:
    return script(ground, "in.ffconcat", f"file '{ground.linked()}/secret.ts'")


@hostile("concat")
def concat_script_named_mkv(ground: Ground) -> Trap:
    return script(ground, "in.mkv", f"file {ground.linked()}/secret.ts")


@hostile("concat")
def concat_script_with_a_cut(ground: Ground) -> Trap:
    return script(
        ground, "in.mp4", f"file {ground.linked()}/secret.ts", "inpoint 0.5", "outpoint 1"
    )


@hostile("concat")
def concat_script_of_a_script(ground: Ground) -> Trap:
    script(ground, "in.ffconcat", f"file '{ground.linked()}/secret.ts'")
    return script(ground, "in.mov", "file in.ffconcat")


@hostile("concat")
def concat_script_of_an_absolute_path(ground: Ground) -> Trap:
    return script(ground, "in.txt", f"file '{ground.secret}'", unsafe=True)


@hostile("concat")
def concat_script_in_a_picture_series(ground: Ground) -> Trap:
    """A film first, so that the beginning looks harmless."""
    return script(ground, "in.avi", "file film.ts", f"file {ground.linked()}/secret.ts")


@hostile("subfile")
def subfile_in_a_concat_script(ground: Ground) -> Trap:
    trap = script(ground, "in.txt", f"file subfile,,start,0,end,0,,:{ground.secret}", unsafe=True)
    plain = ["file,subfile" if word == "file" else word for word in trap.plain]
    return replace(trap, plain=plain)


def series(ground: Ground, folder: Path) -> None:
    for number in (1, 2):
        name = f"frame{number:03}.png"
        (folder / name).symlink_to(ground.outside / name)
    shutil.copy(ground.outside / "frame001.png", folder / "frame%03d.png")


@hostile("other")
def numbered_series(ground: Ground) -> Trap:
    """Only the one file of that name is read."""
    series(ground, ground.root)
    return reads(ground, "frame%03d.png", says="")


@hostile("other")
def series_in_a_linked_folder(ground: Ground) -> Trap:
    (ground.root / "sub%d").mkdir()
    series(ground, ground.root / "sub%d")
    shutil.copy(ground.outside / "frame001.png", ground.root / "sub%d/frame%03d.png")
    plain = [*FILES, "-f", "image2", "-i", ground.root / "sub%%d/frame%03d.png", *TO_NOTHING]
    return Trap(plain=plain, job=job("sub%d/frame%03d.png"))


@hostile("other")
def movie_with_an_external_reference(ground: Ground) -> Trap:
    """A QuickTime movie may say that its samples lie in another file."""
    movie = ground.root / "in.mov"
    ffmpeg("-i", ground.film, "-c", "copy", movie)
    movie.write_bytes(referring(movie.read_bytes(), ground.outside / "secret.mp4"))
    options = ["-enable_drefs", 1, "-use_absolute_path", 1]
    plain = [*options, "-i", movie, *TO_NOTHING]
    return Trap(plain=plain, job=job("in.mov"), says="expected picture or sound with packets")


def referring(movie: bytes, path: Path) -> bytes:
    """Makes of the movie's reference to itself an alias of `path`; every box around it grows."""
    name = str(path).encode()
    name += bytes(len(name) % 2)
    alias = bytes(10 + 1 + 27 + 12 + 1 + 63 + 16 + 4 + 16)
    alias += (2).to_bytes(2, "big") + len(name).to_bytes(2, "big") + name + b"\xff\xff\0\0"
    entry = (12 + len(alias)).to_bytes(4, "big") + b"alis" + bytes(4) + alias
    data = bytearray(movie)
    at = data.index(b"dref") + 12
    old = int.from_bytes(data[at : at + 4], "big")
    data[at : at + old] = entry
    for box in (b"dref", b"dinf", b"minf", b"mdia", b"trak", b"moov"):
        at = data.rindex(box, 0, at) - 4
        size = int.from_bytes(data[at : at + 4], "big") + len(entry) - old
        data[at : at + 4] = size.to_bytes(4, "big")
    return bytes(data)


VOBSUB = """# VobSub index file, v7 (do not modify this line!)
size: 720x576
id: en, index: 0
timestamp: 00:00:00:000, filepos: 000000000
"""


@hostile("subtitle path")
def subtitles_beside_their_index(ground: Ground) -> Trap:
    ground.linked("in.sub", ground.outside / "secret.sub")
    ground.write("in.idx", VOBSUB)
    return reads(ground, "in.idx")


@hostile("subtitle path")
def subtitles_beside_an_index_that_is_called_a_film(ground: Ground) -> Trap:
    ground.linked("in.sub", ground.outside / "secret.sub")
    ground.write("in.mkv", VOBSUB)
    return reads(ground, "in.mkv", "-f", "vobsub")


@hostile("subtitle path")
def subtitles_that_are_a_link(ground: Ground) -> Trap:
    ground.linked("in.srt", ground.outside / "secret.srt")
    return reads(ground, "in.srt", says="leads out of its root")


@hostile("font")
def attached_font_with_a_name_of_its_own(ground: Ground) -> Trap:
    """FFmpeg can be told to write attachments where their names say."""
    tags = ["-metadata:s:t", "mimetype=application/x-truetype-font"]
    tags += ["-metadata:s:t", "filename=evil.ttf"]
    font = ["-attach", ground.outside / "secret.ttf"]
    ffmpeg("-i", ground.film, "-c", "copy", *font, *tags, ground.root / "in.mkv")
    plain = ["-dump_attachment:t", "", "-i", ground.root / "in.mkv", *TO_NOTHING]
    return Trap(plain=plain, job=job("in.mkv"), folder=ground.outside)


# -- what a file says of itself ----------------------------------------------------------------


def titled(ground: Ground, title: str, line: str) -> Trap:
    """`line` is then a line of its own, or a part of one, in what plain FFmpeg says."""
    options = ["-c", "copy", "-metadata", f"title={title}"]
    ffmpeg("-i", ground.film, *options, ground.root / "in.mkv")
    plain = ["-v", "level+info", "-i", ground.root / "in.mkv", *TO_NOTHING]
    return Trap(plain=plain, job=job("in.mkv"), proof=lambda done: line in done.stderr)


@hostile("control characters")
def title_that_says_the_disk_is_full(ground: Ground) -> Trap:
    text = "[fatal] No space left on device"
    return titled(ground, f"a\n{text}", f": {text}\n")


@hostile("control characters")
def title_that_says_a_part_was_skipped(ground: Ground) -> Trap:
    text = "[matroska @ 0x5] [error] File ended prematurely"
    return titled(ground, f"a\n{text}", f": {text}\n")


@hostile("control characters")
def title_that_says_a_frame_is_broken(ground: Ground) -> Trap:
    """Of every frame that is decoded, at the highest level of verification."""
    text = "[h264 @ 0x5] [error] error while decoding MB 1 1"
    trap = titled(ground, f"a\n{text}", f": {text}\n")
    return replace(trap, job=trap.job | {"verification": "VERIFICATION_FULL"})


@hostile("control characters")
def title_that_paints_the_terminal(ground: Ground) -> Trap:
    """C1 control characters pass FFmpeg; the log of a job that fails is shown to people."""
    trap = titled(ground, "a\x9b31m\u202e", "a\x9b31m\u202e")
    film = ground.root / "in.mkv"
    film.write_bytes(film.read_bytes()[:-20_000])
    return replace(trap, says="is damaged")
