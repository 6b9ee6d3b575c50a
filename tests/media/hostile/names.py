"""Names that are more than names to FFmpeg, to a shell or to a terminal: here they are names."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.media.hostile.ground import Ground, Trap, hostile, job

MISSING = "does not exist"
TO_NOTHING = ("-f", "null", "-")
QUIET = ("-v", "error")


def named(told: Callable[[Ground], str], *before: object) -> Callable[[Ground], Trap]:
    """An input of that name, which FFmpeg takes for a protocol."""

    def make(ground: Ground) -> Trap:
        plain = [*QUIET, *before, "-f", "mpegts", "-i", told(ground), *TO_NOTHING]
        return Trap(plain=plain, job=job(told(ground)), says=MISSING)

    return make


KEY = ("-key", "00" * 16, "-iv", "00" * 16)
for kind, text, *before in (
    ("protocol", "file:{}"),
    ("protocol", "cache:{}"),
    ("protocol", "async:{}"),
    ("protocol", "crypto:{}", *KEY),
    ("protocol", "cache:async:file:{}"),
    ("concat", "concat:{}"),
    ("concat", "concat:{0}|{0}"),
    ("subfile", "subfile,,start,0,end,0,,:{}"),
    ("subfile", "subfile,,start,188,end,18800,,:{}"),
    ("subfile", "cache:subfile,,start,0,end,0,,:{}"),
    ("subfile", "concat:subfile,,start,0,end,0,,:{}"),
    ("subfile", "async:subfile,,start,0,end,0,,:{}"),
):
    make = named(lambda ground, text=text: text.format(ground.secret), *before)
    make.__name__ = f"name {text.format('X')}"
    hostile(kind)(make)


@hostile("concat")
def a_list_of_paths(ground: Ground) -> Trap:
    listed = ground.write("list.txt", f"{ground.secret}\n")
    return named(lambda _: f"concatf:{listed}")(ground)


def writes(told: Callable[[Ground], str], *options: str) -> Callable[[Ground], Trap]:
    """An output of that name: here it lies below the root, in folders of such names."""

    def make(ground: Ground) -> Trap:
        name = told(ground)
        output = ("-i", ground.film, "-map", "0", "-c", "copy", *options, name)

        def stays() -> None:
            assert (ground.root / name).is_file()

        return Trap(
            plain=[*QUIET, *output], job=job(target=name, container="CONTAINER_TS"), after=stays
        )

    return make


for kind, text, *options in (
    ("protocol", "file:{}/new.ts"),
    ("protocol", "md5:{}/new.md5", "-f", "mpegts"),
    ("tee", "tee:{0}/one.ts|{0}/two.ts", "-f", "mpegts"),
    ("tee", "[f=mpegts]{0}/one.ts|[f=mpegts]{0}/two.ts", "-f", "tee"),
    ("tee", "[f=mpegts:onfail=ignore]{0}/one.ts", "-f", "tee"),
    ("tee", "[f=mpegts:select=v]{0}/one.ts", "-f", "tee"),
):
    make = writes(lambda ground, text=text: text.format(ground.outside).lstrip("/"), *options)
    make.__name__ = f"target {text.format('X')}"
    hostile(kind)(make)


@hostile("filter option")
def name_that_ends_a_filter(ground: Ground) -> Trap:
    """As a caller falls for who writes names into filters."""
    name = f"film.ts,movie={ground.secret}"
    (ground.root / name).parent.mkdir(parents=True)
    shutil.copy(ground.film, ground.root / name)
    plain = [*QUIET, "-f", "lavfi", "-i", f"movie={name}[out0];movie={ground.secret}[out1]"]
    return Trap(plain=[*plain, *TO_NOTHING], job=job(name))


@hostile("leading dash")
def input_that_writes_a_report(ground: Ground) -> Trap:
    return dashed(ground, source="-report")


@hostile("leading dash")
def input_that_writes_statistics(ground: Ground) -> Trap:
    return dashed(ground, source="-vstats")


@hostile("leading dash")
def output_that_writes_a_report(ground: Ground) -> Trap:
    return dashed(ground, target="-report")


@hostile("leading dash")
def output_that_writes_statistics(ground: Ground) -> Trap:
    return dashed(ground, target="-vstats")


@hostile("leading dash")
def input_that_sends_progress_to_a_file(ground: Ground) -> Trap:
    """Two names that follow each other."""
    return dashed(ground, source="-progress", target="out.mp4")


def dashed(ground: Ground, source: str = "", target: str = "") -> Trap:
    """Naively called, FFmpeg takes the name for an option, which writes a file where it runs."""
    if source:
        shutil.copy(ground.film, ground.root / source)
    words = [source, ground.outside / "x.txt"] if source == "-progress" else [source or target]
    return Trap(
        plain=[*QUIET, *words, "-i", ground.film, *TO_NOTHING],
        job=job(source or "film.ts", target or "out.mp4", container="CONTAINER_MP4"),
        folder=ground.outside,
    )


for character in ("\n[fatal] No space left on device", "\x9b31m", "\u202e", "\x7f", "\u2028"):

    def speaks(ground: Ground, character: str = character) -> Trap:
        """Plain FFmpeg repeats it as it is; a path with it is no path."""
        name = f"a{character}.ts"
        shutil.copy(ground.film, ground.root / name)
        return Trap(
            plain=["-i", ground.root / name, *TO_NOTHING],
            job=job(name),
            says="printable characters only",
            proof=lambda done: character in done.stderr,
        )

    speaks.__name__ = f"name with {character!r}"
    hostile("control characters")(speaks)


@hostile("control characters")
def target_with_a_line_of_its_own(ground: Ground) -> Trap:
    line = "[fatal] No space left on device"
    return Trap(
        plain=["-i", ground.film, "-c", "copy", ground.root / f"a\n{line}.ts"],
        job=job(target=f"a\n{line}.ts"),
        says="printable characters only",
        proof=lambda done: f"\n{line}" in done.stderr,
    )


@hostile("other")
def target_that_proves_a_root(ground: Ground) -> Trap:
    """A worker knows a root again by a file of this name."""
    return ours(ground, ".ffrtmp-root.w1.0123456789abcdef")


@hostile("other")
def target_that_another_attempt_stages(ground: Ground) -> Trap:
    return ours(ground, ".a.mp4.01KB0Z6V5Q3M8S7T9W2X4Y6Z8B.1.part.mp4")


def ours(ground: Ground, name: str) -> Trap:
    (ground.outside / name).write_text("precious")
    return Trap(
        plain=["-i", ground.film, "-c", "copy", "-f", "mpegts", ground.outside / name],
        job=job(target=name, container="CONTAINER_TS"),
        says="the workers' own",
    )


# -- devices and their like ----------------------------------------------------------------------


def device(ground: Ground, name: str = "full", number: int = 7) -> Path:
    """A node of ours outside: /dev itself is opened by everybody all the time."""
    path = ground.outside / name
    try:
        os.mknod(path, 0o600 | 0o020000, os.makedev(1, number))
    except PermissionError:
        return Path("/dev") / name
    return path


RAW_VIDEO = ("-f", "rawvideo", "-video_size", "64x48", "-frames:v", "1")


@hostile("device file")
def link_to_a_device(ground: Ground) -> Trap:
    path = device(ground)
    ground.linked("in.mkv", path)
    return Trap(
        plain=[*RAW_VIDEO[:4], "-t", "0.1", "-i", ground.root / "in.mkv", *TO_NOTHING],
        job=job("in.mkv"),
        watched=[path],
        says="leads out of its root",
    )


@hostile("device file")
def link_to_an_endless_device(ground: Ground) -> Trap:
    path = device(ground, "zero", 5)
    ground.linked("in.ts", path)
    return Trap(
        plain=[*RAW_VIDEO[:4], "-t", "0.1", "-i", ground.root / "in.ts", *TO_NOTHING],
        job=job("in.ts"),
        watched=[path],
        says="leads out of its root",
    )


@hostile("device file")
def device_in_the_root(ground: Ground) -> Trap:
    path = device(ground)
    (ground.root / "in.mkv").hardlink_to(path) if path.parent == ground.outside else None
    if path.parent != ground.outside:
        ground.linked("in.mkv", path)
    return Trap(
        plain=[*RAW_VIDEO[:4], "-t", "0.1", "-i", ground.root / "in.mkv", *TO_NOTHING],
        job=job("in.mkv"),
        watched=[path],
        says="device" if path.parent == ground.outside else "leads out",
    )


@hostile("device file")
def target_that_is_a_link_to_a_device(ground: Ground) -> Trap:
    path = device(ground)
    ground.linked("out.mp4", path)
    return Trap(
        plain=["-i", ground.film, "-c", "copy", "-f", "mpegts", ground.root / "out.mp4"],
        job=job(),
        watched=[path],
        says="leads out of its root",
    )


@hostile("device file")
def what_this_process_knows(ground: Ground) -> Trap:
    """The environment, where secrets are."""
    ground.linked("in.mkv", Path("/proc/self/environ"))
    plain = [*RAW_VIDEO[:3], "2x2", "-t", "0.01", "-i", ground.root / "in.mkv", *TO_NOTHING]
    return Trap(
        plain=plain,
        job=job("in.mkv"),
        says="leads out of its root",
        proof=lambda done: "Video: rawvideo" in done.stderr,
    )


@hostile("device file")
def staged_name_that_is_a_pipe(ground: Ground) -> Trap:
    """Whoever opens it to write waits for a reader for ever."""
    staged = ground.root / ".out.mp4.01KB0Z6V5Q3M8S7T9W2X4Y6Z8A.1.part.mp4"
    os.mkfifo(staged)
    reader = os.open(staged, os.O_RDONLY | os.O_NONBLOCK)

    def gone() -> None:
        os.close(reader)
        assert not staged.exists()

    return Trap(
        plain=["-i", ground.film, "-c", "copy", "-f", "mpegts", staged],
        job=job(),
        watched=[staged],
        after=gone,
    )
