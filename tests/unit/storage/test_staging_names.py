"""Names of staged files: one to an attempt, never too long, known again."""

from pathlib import Path

import pytest

from ffrtmp.domain.session import AttemptKey
from ffrtmp.storage.staging import attempt_of, staged_path

KEY = AttemptKey("01KB0Z6V5Q3M8S7T9W2X4Y6Z8A", 12)


def test_a_staged_file_lies_hidden_next_to_its_target() -> None:
    assert staged_path(Path("/m/shows/a.mkv"), KEY) == Path(
        "/m/shows/.a.mkv.01KB0Z6V5Q3M8S7T9W2X4Y6Z8A.12.part.mkv"
    )


@pytest.mark.parametrize("stem", ["x" * 251, "\N{SNOWMAN}" * 83, "a." + "b" * 253])
def test_a_staged_name_fits_where_the_targets_name_fits(stem: str) -> None:
    target = Path("/m") / (stem if "." in stem else f"{stem}.mkv")
    assert len(target.name.encode()) <= 255
    name = staged_path(target, KEY).name
    assert len(name.encode()) <= 255
    assert attempt_of(name) == KEY


def test_two_long_names_that_differ_at_the_end_stay_apart() -> None:
    one, other = (Path("/m") / f"{'x' * 240}{end}.mkv" for end in "ab")
    assert staged_path(one, KEY) != staged_path(other, KEY)


def test_attempts_at_one_target_stay_apart() -> None:
    target = Path("/m/a.mkv")
    assert staged_path(target, KEY) != staged_path(target, AttemptKey(KEY.job_id, 13))


@pytest.mark.parametrize("name", ["a.mkv", ".a.part", "a.b.01J.1.part.mkv", ".a.01J.x.part.mkv"])
def test_other_files_are_nobodys(name: str) -> None:
    assert attempt_of(name) is None
