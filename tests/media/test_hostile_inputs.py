"""Hostile specs and files: plain FFmpeg is seen to fall for each, a worker does not.

What each is, and how it is seen, stands in the modules of `hostile/`.
"""

from collections import Counter
from pathlib import Path

import pytest

from ffrtmp.ffmpeg.capabilities import all_candidates, choose_encoders
from ffrtmp.ffmpeg.command import build_argv
from ffrtmp.ffmpeg.plan import plan
from ffrtmp.worker.probe import probe
from tests.media.conftest import FFMPEG, Site, ffmpeg, picture
from tests.media.hostile import contents, names, options, swaps
from tests.media.hostile.ground import KINDS, LEAST, TRAPS, Ground, Make, make_films

pytestmark = pytest.mark.media

MODULES = (contents, names, options, swaps)
LEAST_OF_ALL = 60


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_films(tmp_path_factory.mktemp("films"))


@pytest.mark.parametrize(
    ("kind", "make"), TRAPS, ids=[f"{kind}-{make.__name__}" for kind, make in TRAPS]
)
async def test_what_plain_ffmpeg_falls_for_a_worker_does_not(
    tmp_path: Path, films: Path, kind: str, make: Make, record_property
) -> None:
    ground = Ground(tmp_path, films)
    trap = make(ground)
    ground.require_fall(trap)
    record_property("hostile", f"{kind}/{await ground.keeps_off(trap)}")


def test_there_are_enough_of_each_kind() -> None:
    counts = Counter(kind for kind, _ in TRAPS)
    assert all(counts[kind] >= LEAST for kind in KINDS[:-1]), counts
    assert counts.total() >= LEAST_OF_ALL


async def test_a_script_put_in_place_of_a_film_after_the_probe_is_not_followed(site: Site) -> None:
    """Even of the very file that is held: the reader is settled by then, and a script is no MP4."""
    film, other = site.root / "in.mp4", site.root / "other.ts"
    ffmpeg(*picture(), film)
    ffmpeg(*picture(), other)
    spec = site.job("in.mp4", "out.mp4")
    [found] = await probe([film], ["it"])
    planned = plan(spec, found, choose_encoders(all_candidates()))
    argv = build_argv(planned, ffmpeg=FFMPEG, source=str(film), targets=[str(site.root / "o.mp4")])
    film.write_text("ffconcat version 1.0\nfile other.ts\n")
    assert ffmpeg("-i", film, "-f", "null", "-", check=False).returncode == 0
    assert ffmpeg(*argv[1:], check=False).returncode != 0


@pytest.mark.parametrize(
    "name", ["-i.mp4", "-y.mp4", "--help.mp4", "-f lavfi.mp4", "pipe:0.mp4", "a;b|c&d$(e).mp4"]
)
async def test_a_name_that_is_an_option_to_ffmpeg_is_a_name_here(site: Site, name: str) -> None:
    ffmpeg(*picture(), site.root / "plain.mp4")
    (site.root / "plain.mp4").rename(site.root / name)
    await site.transcode(site.job(name, f"sub/{name}"))
    assert site.names() == sorted([name, "sub", f"sub/{name}"])


def test_every_module_of_traps_is_loaded() -> None:
    assert {make.__module__ for _, make in TRAPS} == {module.__name__ for module in MODULES}
