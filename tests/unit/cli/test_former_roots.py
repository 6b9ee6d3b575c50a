"""What is known of the roots of an earlier `ffrtmp up`."""

from pathlib import Path

import pytest

from ffrtmp.cli.former_roots import FILE, _known, note_roots


def test_roots_of_other_names_stay_known(tmp_path: Path):
    note_roots(tmp_path, {"a": Path("/a"), "b": Path("/b")})
    note_roots(tmp_path, {"b": Path("/c")})
    assert _known(tmp_path) == {"a": "/a", "b": "/c"}


@pytest.mark.parametrize("text", ["", "null", "5", '["ab"]', '{"files": null}'])
def test_what_is_no_record_says_nothing(tmp_path: Path, text: str):
    (tmp_path / FILE).write_text(text)
    assert _known(tmp_path) == {}
