"""Names that mean something else after they were checked."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

from ffrtmp.domain.session import Phase
from tests.media.hostile.ground import Ground, Trap, hostile, job

TO_NOTHING = ("-f", "null", "-")
STAGED = ".out.mp4.01KB0Z6V5Q3M8S7T9W2X4Y6Z8A.1.part.mp4"


def replace_by_link(path: Path, to: Path) -> None:
    """At one stroke, as an attacker would."""
    link = path.with_name("new link")
    link.symlink_to(to)
    if path.is_dir():
        path.rename(path.with_name("moved away"))
    link.replace(path)


def reading(ground: Ground, source: str, swapped: Path, to: Path, says: str) -> Trap:
    """Plain FFmpeg is shown what lies there afterwards."""
    after = ground.site.root / "shown"
    shutil.copytree(ground.root, after, symlinks=True, ignore=shutil.ignore_patterns("shown"))
    replace_by_link(after / swapped, to)
    return Trap(
        plain=["-v", "error", "-i", after / source, *TO_NOTHING],
        job=job(source),
        says=says,
        at=Phase.PROBE,
        act=lambda: replace_by_link(ground.root / swapped, to),
    )


@hostile("swapped link")
def input_swapped_for_a_link_out(ground: Ground) -> Trap:
    return reading(ground, "film.ts", Path("film.ts"), ground.secret, "leads out of its root")


@hostile("swapped link")
def folder_of_the_input_swapped_for_a_link_out(ground: Ground) -> Trap:
    (ground.root / "sub").mkdir()
    shutil.copy(ground.film, ground.root / "sub/secret.ts")
    return reading(ground, "sub/secret.ts", Path("sub"), ground.outside, "leads out of its root")


@hostile("swapped link")
def folder_above_swapped_for_a_link_out(ground: Ground) -> Trap:
    (ground.root / "a/outside").mkdir(parents=True)
    shutil.copy(ground.film, ground.root / "a/outside/secret.ts")
    return reading(
        ground,
        "a/outside/secret.ts",
        Path("a"),
        ground.outside.parent,
        "leads out of its root",
    )


def writing(ground: Ground, name: Path, to: Path, *, says: str) -> Trap:
    shown = ground.root / "shown.mp4"
    shown.symlink_to(to)
    return Trap(
        plain=["-v", "error", "-i", ground.film, "-c", "copy", "-f", "mpegts", shown],
        job=job(),
        says=says,
        at=Phase.PROBE,
        act=lambda: replace_by_link(name, to),
    )


@hostile("swapped link")
def staged_file_swapped_for_a_link_out(ground: Ground) -> Trap:
    """FFmpeg would write over whatever it leads to."""
    return writing(
        ground, ground.root / STAGED, ground.outside / "secret.srt", says="was replaced or removed"
    )


@hostile("swapped link")
def staged_file_swapped_for_a_link_to_nothing(ground: Ground) -> Trap:
    return writing(
        ground, ground.root / STAGED, ground.outside / "new.mp4", says="was replaced or removed"
    )


@hostile("swapped link")
def folder_of_the_output_swapped_for_a_link_out(ground: Ground) -> Trap:
    (ground.root / "sub").mkdir()
    shown = ground.root / "shown"
    shown.symlink_to(ground.outside)
    return Trap(
        plain=["-v", "error", "-i", ground.film, "-c", "copy", shown / "out.ts"],
        job=job(target="sub/out.mp4"),
        says="leads out of its root",
        at=Phase.PROBE,
        act=lambda: replace_by_link(ground.root / "sub", ground.outside),
        after=lambda: shutil.rmtree(ground.root / "moved away"),
    )


@hostile("swapped link")
def folders_of_an_output_swapped_while_it_is_verified(ground: Ground) -> Trap:
    trap = folder_of_the_output_swapped_for_a_link_out(ground)
    return replace(trap, at=Phase.VERIFY)


@hostile("other")
def staged_name_that_is_a_hard_link(ground: Ground) -> Trap:
    """Another name of a precious file: what is written there is written into it."""
    precious = ground.outside / "secret.srt"
    before = precious.read_bytes()
    shown = ground.root / "shown.ts"
    shutil.copy(precious, ground.outside / "copy.srt")
    os.link(ground.outside / "copy.srt", shown)
    os.link(precious, ground.root / STAGED)

    def untouched() -> None:
        assert precious.read_bytes() == before

    return Trap(
        plain=["-v", "error", "-i", ground.film, "-c", "copy", shown],
        proof=lambda _: (ground.outside / "copy.srt").read_bytes() != before,
        job=job(),
        after=untouched,
    )
