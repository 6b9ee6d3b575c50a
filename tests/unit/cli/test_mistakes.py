"""A mistake in a command line is told in our words: what it was, and what to write."""

import errno
from pathlib import Path

import pytest

from ffrtmp.cli.app import explain, run
from ffrtmp.cli.errors import UserError
from ffrtmp.cli.plan import look_into

MISTAKES = {
    "a required option": (["master"], "--certs is missing: the master's identity: a folder made"),
    "another": (["worker", "--certs", "x", "--master", "h:1"], "--root is missing: NAME=DIR: the"),
    "one that is misspelt": (["master", "--cert", "x"], "--certs is missing: did you mean --certs"),
    "an argument": (["transcode", "a.mp4"], "OUTPUT is missing: a local file or ROOT:PATH, whose"),
    "a value": (["presets", "--json", "x", "y"], "y"),
    "an option before": (
        ["--master", "h:1", "jobs", "list"],
        "--master stands before the command: write options behind it, ffrtmp COMMAND --master",
    ),
    "a command of a group": (["watch"], "no command 'watch': did you mean `ffrtmp jobs watch`?"),
    "a command of several": (["list"], "did you mean `ffrtmp jobs list` or `ffrtmp workers list`"),
    "a slip": (["jobs", "wtach"], "there is no command 'wtach': did you mean `ffrtmp jobs watch`?"),
    "nothing like it": (["frob"], "no command 'frob': there are transcode, up,"),
    "all of them": (["frob"], ", restore, doctor, config, completion"),
    "no number": (["jobs", "list", "--limit", "abc"], "'abc' is not a whole number: at most this"),
    "no CRF": (
        ["transcode", "a", "b.mp4", "--crf", "abc"],
        "--crf: 'abc' is not a whole number",
    ),
    "a CRF": (
        ["transcode", "m:a", "m:b.mp4", "--crf", "99"],
        "--crf: 99 is not valid: 0 to 51",
    ),
    "restarts": (
        ["transcode", "m:a", "m:b.mp4", "--restart", "3"],
        "--restart: 3 is not valid: o",
    ),
    "no copy": (["restore", "no.db", "--store", "x"], "there is no file no.db: name a copy that"),
    "a root of nobody": (
        ["transcode", "test:64x48@25:1s", "a:b.mp4"],
        "a:b.mp4: no cluster is named or runs that has a root 'a'; the file of that name here is "
        "./a:b.mp4",
    ),
}


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("FFRTMP_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("FFRTMP_CONFIG", "/dev/null")
    monkeypatch.delenv("FFRTMP_MASTER", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_says_what_to_write(name, capsys):
    arguments, says = MISTAKES[name]
    assert run(arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert says in line


def test_a_state_folder_that_cannot_be_made_is_named(monkeypatch):
    monkeypatch.delenv("FFRTMP_STATE_DIR")
    monkeypatch.setenv("HOME", "/nonexist")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    said, code = explain(PermissionError(errno.EACCES, "Permission denied", "/nonexist"))
    assert code == 2
    assert said == (
        "cannot use /nonexist: permission denied; the state folder is "
        "/nonexist/.local/state/ffrtmp: FFRTMP_STATE_DIR (--state-dir of a worker) moves it"
    )
    said, _ = explain(PermissionError(errno.EACCES, "Permission denied", "/elsewhere"))
    assert said == "cannot use /elsewhere: permission denied"


@pytest.mark.parametrize("folder", ["/proc/x", "/dev/null/x", f"/tmp/{'a' * 300}"])
def test_up_names_a_state_folder_that_nobody_can_make(folder, monkeypatch, capsys):
    monkeypatch.setenv("FFRTMP_STATE_DIR", folder)
    assert run(["up"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("ffrtmp: cannot use ")
    assert "FFRTMP_STATE_DIR" in line


def test_a_file_that_is_missing_in_a_state_folder_is_no_mistake_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("FFRTMP_STATE_DIR", str(tmp_path))
    said, _ = explain(FileNotFoundError(errno.ENOENT, "No such file", str(tmp_path / "journal")))
    assert said is None


def test_what_may_not_be_read_is_not_called_no_media(tmp_path: Path):
    with pytest.raises(UserError, match=r"input m:a cannot be read \(is a directory\); let this"):
        look_into(tmp_path, "m:a")


def test_health_says_that_it_asks_no_other_machine(monkeypatch, capsys):
    run(["health", "--http", "127.0.0.1:1"])
    assert "FFRTMP_MASTER" not in capsys.readouterr().err
    monkeypatch.setenv("FFRTMP_MASTER", "far:7443")
    monkeypatch.setenv("FFRTMP_HTTP", "127.0.0.1:1")
    run(["health"])
    assert "FFRTMP_MASTER is not asked: this looks at 127.0.0.1:1" in capsys.readouterr().err
