"""Local paths are named by the root that they lie under, from wherever one stands."""

import pytest

from ffrtmp.cli.errors import UserError
from ffrtmp.cli.paths import refuse_folder, to_media
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


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (".", "in.mkv"),
        ("shows", "shows/in.mkv"),
        ("m:shows", "m:shows/in.mkv"),
        ("m:.", "m:in.mkv"),
    ],
)
def test_a_folder_is_called_one_with_an_example_of_what_would_be_right(
    tmp_path, monkeypatch, text, named
):
    (tmp_path / "shows").mkdir()
    monkeypatch.chdir(tmp_path)
    sentence = f"input '{text}' is a folder: name one file in it, for example {named}"
    with pytest.raises(UserError) as refused:
        refuse_folder(text, {"m": tmp_path}, "input", "one file in it", "in.mkv")
    assert str(refused.value) == sentence


def test_what_is_no_folder_is_left_to_others(tmp_path):
    for text in ("", "m:new.mkv", "nowhere:shows", "test:64x48@25:1s", "rtmp://h/app/key"):
        refuse_folder(text, {"m": tmp_path}, "input", "one file in it", "in.mkv")
