"""Local paths are named by the root that they lie under, from wherever one stands."""

import pytest

from ffrtmp.cli.errors import UserError
from ffrtmp.cli.paths import to_media
from ffrtmp.domain.spec import MediaPath


def test_a_way_up_and_down_again_within_a_root_is_followed(tmp_path, monkeypatch):
    (tmp_path / "new").mkdir()
    monkeypatch.chdir(tmp_path / "new")
    assert to_media("../clip.mkv", {"files": tmp_path}) == MediaPath("files", "clip.mkv")


def test_a_way_out_of_every_root_is_refused_as_such(tmp_path, monkeypatch):
    (tmp_path / "root").mkdir()
    monkeypatch.chdir(tmp_path / "root")
    with pytest.raises(UserError, match="lies under no root"):
        to_media("../outside.mkv", {"files": tmp_path / "root"})
