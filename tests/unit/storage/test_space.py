"""Promises of disk: what is kept free for whom, and how it shrinks."""

import os
import tempfile
from pathlib import Path

import pytest

from ffrtmp.domain.session import AttemptKey
from ffrtmp.storage.errors import NoSpace
from ffrtmp.storage.space import Space

ONE, TWO = AttemptKey("01A", 1), AttemptKey("01B", 1)
MIB = 1 << 20


@pytest.fixture
def space(tmp_path: Path) -> Space:
    found = Space({"m": tmp_path, "gone": tmp_path / "gone"})
    found.look()
    return found


def free(space: Space) -> int:
    return space.look()["m"]


def promise(space: Space, key: AttemptKey, path: Path, size: int) -> None:
    space.promise(key, {path: size}, {path: f"m:{path.name}"})


def test_what_is_promised_to_one_is_not_given_to_another(space, tmp_path):
    half = free(space) // 2
    promise(space, ONE, tmp_path / "a", half)
    with pytest.raises(NoSpace, match=r"no room for m:b \(about .* may be needed: .* are promised"):
        promise(space, TWO, tmp_path / "b", half + 64 * MIB)
    space.release(ONE)
    promise(space, TWO, tmp_path / "b", half + 64 * MIB)


def test_a_promise_shrinks_as_the_file_grows(space, tmp_path):
    most = free(space) - 64 * MIB
    growing = tmp_path / "a"
    promise(space, ONE, growing, most)
    with growing.open("wb") as file:
        os.truncate(file.fileno(), most)  # sparse: the disk stays as it is
    promise(space, TWO, tmp_path / "b", most)


def test_what_was_written_on_one_disk_frees_nothing_on_another(tmp_path):
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is one disk")
    with tempfile.TemporaryDirectory(dir=shared) as other:
        space = Space({"m": tmp_path, "n": Path(other)})
        most = space.look()["n"] - MIB
        growing, far = tmp_path / "a", Path(other) / "b"
        space.promise(ONE, {growing: MIB, far: most}, {growing: "m:a", far: "n:b"})
        with growing.open("wb") as file:
            os.truncate(file.fileno(), MIB)
        with pytest.raises(NoSpace, match="are promised"):
            space.promise(TWO, {far.with_name("c"): 2 * MIB}, {far.with_name("c"): "n:c"})


def test_a_new_promise_takes_the_place_of_the_older_one(space, tmp_path):
    most = free(space) - 64 * MIB
    assert space.book(ONE, {"m": most}) == ""
    promise(space, ONE, tmp_path / "a", most)


def test_an_offer_is_booked_before_its_files_have_names(space):
    most = free(space) - 64 * MIB
    assert space.book(ONE, {"m": most}) == ""
    why = space.book(TWO, {"m": 128 * MIB})
    assert "about 128.0 MiB are needed in root m" in why
    assert "are promised to other attempts" in why
    space.release(ONE)
    assert space.book(TWO, {"m": 128 * MIB}) == ""


def test_what_no_empty_disk_could_hold_is_not_worth_waiting_for(space):
    assert space.book(ONE, {"m": free(space) * 2}) == ""  # it will fail: another disk may do


def test_two_files_on_one_disk_are_weighed_together(space, tmp_path):
    half = free(space) // 2 + 64 * MIB
    one, two = tmp_path / "a", tmp_path / "b"
    with pytest.raises(NoSpace):
        space.promise(ONE, {one: half, two: half}, {one: "m:a", two: "m:b"})


def test_a_folder_that_is_gone_is_somebody_elses_to_report(space, tmp_path):
    promise(space, ONE, tmp_path / "gone" / "a", 1 << 60)
    assert space.book(TWO, {"gone": 1 << 60}) == ""
