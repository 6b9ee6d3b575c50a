"""Help, completion and a mistake in the options load nothing that takes long: that, other than a
time, is the same on every machine."""

import json
import subprocess
import sys

import pytest

from ffrtmp.cli.prose import to_text
from ffrtmp.domain.spec import Speed
from ffrtmp.ffmpeg.presets import DEFAULT_AUDIO_BITRATE, DEFAULT_CRF

HEAVY = (
    "aiohttp",
    "aiosqlite",
    "asyncio",
    "asyncpg",
    "av",
    "cryptography",
    "google.protobuf",
    "grpc",
    "imageio_ffmpeg",
    "markdown_it",
    "msgspec",
    "prometheus_client",
    "psutil",
    "pygments",
    "sqlite3",
)
WALK = """
import sys
before = set(sys.modules)  # coverage is there already, where it is measured
import contextlib, io, json
from ffrtmp.cli.app import app, run

def walk(command, path):
    yield path
    for name in command:
        if not name.startswith("-"):
            yield from walk(command[name], (*path, name))

ask, heavy = sys.argv[1].split(), sys.argv[2:]
for path in walk(app, ()):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = run([*path, *ask])
    loaded = [name for name in heavy if name in sys.modules.keys() - before]
    print(json.dumps([" ".join(path), code, said.getvalue(), loaded]), flush=True)
"""


def walked(ask: str) -> list[tuple[str, int, str, list[str]]]:
    """Every command with `ask` behind it: exit code, what it said, what was loaded by then."""
    argv = [sys.executable, "-c", WALK, ask, *HEAVY]
    ran = subprocess.run(argv, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in ran.stdout.splitlines()]


@pytest.mark.parametrize(
    ("ask", "expected", "says"), [("--help", 0, "Usage: "), ("--no-such-option", 2, "ffrtmp: ")]
)
def test_help_and_wrong_options_of_no_command_load_anything_heavy(ask, expected, says):
    found = walked(ask)
    names = {name for name, *_ in found}
    assert {"", "master", "worker", "jobs submit", "certs roll", "config running"} <= names
    for name, code, said, loaded in found:
        assert not loaded, f"ffrtmp {name} {ask}"
        assert expected or "`" not in said
        is_group = any(each.startswith(f"{name} ".lstrip()) for each in names - {name})
        assert code == expected or is_group, f"ffrtmp {name} {ask}"
        assert says in said or is_group


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_asks_nothing_of_the_program_that_takes_long(shell):
    code = (
        "import sys; before = set(sys.modules);"
        "from ffrtmp.cli.app import run; run(sys.argv[1:3]); loaded = sys.modules.keys() - before;"
        "print([name for name in sys.argv[3:] if name in loaded], file=sys.stderr)"
    )
    allowed = {"markdown_it", "pygments"}  # cyclopts' own; a script is made once
    argv = [sys.executable, "-c", code, "completion", shell, *sorted(set(HEAVY) - allowed)]
    ran = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert "certs" in ran.stdout
    assert ran.stderr.strip() == "[]"


def test_a_paragraph_is_one_line_and_code_has_no_backticks():
    text = to_text("It says `ffrtmp up`,\n    twice.\n\nAnd `more`.")
    assert text.plain == "It says ffrtmp up, twice.\n\nAnd more."
    assert [text.plain[span.start : span.end] for span in text.spans] == ["ffrtmp up", "more"]


def test_what_is_used_without_an_option_is_said_as_it_is():
    ran = subprocess.run(
        [sys.executable, "-m", "ffrtmp", "transcode", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    said = " ".join(ran.stdout.replace("│", " ").split())
    names = {"h264": "H.264", "h265": "H.265", "av1": "AV1", "vp9": "VP9", "vp8": "VP8"}
    crfs = ", ".join(f"{crf} for {names[codec]}" for codec, crf in DEFAULT_CRF.items())
    assert f"Default: {crfs}; none of a live push." in said
    assert f"or slowest. Default: {Speed.MEDIUM}." in said
    aac, opus = (rate // 1000 for rate in DEFAULT_AUDIO_BITRATE.values())
    assert f"Default: {aac}k for AAC, {opus}k for Opus." in said
