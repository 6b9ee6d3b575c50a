"""What the README tells a newcomer to type is typed here, block by block, in its order.

A block of `bash` is run in one folder; one that starts a process which stays is left running. Only
names of other machines, their mount points and the two fixed ports are replaced, and the length of
the picture that the tour encodes again and again.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from ffrtmp.cli.docs import retry_table
from ffrtmp.config.reference import options_table
from tests.cluster.conftest import environment, wait_for
from tests.ports import free_port
from tests.receivers import gate

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
STAYS = {
    "ffrtmp up": "ready: master",
    "ffrtmp master": "master ready",
    "ffrtmp worker": "connected: stream",
}


def blocks(text: str) -> list[tuple[str, str]]:
    """Language and text of each code block that is meant to be run."""
    found = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(language, code) for language, code in found if language in {"bash", "python"}]


def section(title: str) -> str:
    [text] = re.findall(rf"^## {title}$(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    return text


class Reader:
    """Somebody who types what he reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "media").mkdir()
        self._staying: list[subprocess.Popen[str]] = []
        self._replaced = {
            "master.example.org": "localhost",
            "/mnt/media": str(folder / "media"),
            "test:1280x720@30:5s": "test:1280x720@30:1s",
            "0.0.0.0": "127.0.0.1",
            ":7443": f":{free_port()}",
            "--listen": f"--http 127.0.0.1:{free_port()} --listen",
            "ffrtmp up": f"ffrtmp up --http 127.0.0.1:{free_port()} --listen 127.0.0.1:0",
        }
        self._environment = environment(folder / "state")
        here = str(Path(sys.executable).parent)
        self._environment["PATH"] = f"{here}:{self._environment['PATH']}"

    def replace(self, name: str, replacement: str) -> None:
        self._replaced[name] = replacement

    def run(self, language: str, code: str) -> None:
        for name, replacement in self._replaced.items():
            code = code.replace(name, replacement)
        command = ["bash", "-euo", "pipefail", "-c", code]
        if language == "python":
            command = [sys.executable, "-c", code]
        for start, ready in STAYS.items():
            if code.startswith(start):
                self._start([*command[:-1], f"exec {code}"], ready)
                return
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
        exported = re.findall(r"^export (.*)$", code, re.MULTILINE)
        for name, value in (pair.split("=") for line in exported for pair in line.split()):
            self._environment[name] = value

    def _start(self, command: list[str], ready: str) -> None:
        log = self.folder / f"log{len(self._staying)}"
        with log.open("w") as file:
            process = subprocess.Popen(
                command, cwd=self.folder, env=self._environment, stdout=file, stderr=file, text=True
            )
        self._staying.append(process)
        wait_for(lambda: process.poll() is not None or ready in log.read_text(), seconds=60)
        assert process.poll() is None, log.read_text()

    def stop(self) -> None:
        """The last started first, as one would by hand."""
        while self._staying:
            process = self._staying.pop()
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    someone = Reader(tmp_path)
    yield someone
    someone.stop()


@pytest.mark.requirement("P8")
def test_the_tour_works_as_it_is_written(reader: Reader):
    with gate(reader.folder) as server:
        reader.replace("stream.example.org/live/KEY", f"127.0.0.1:{server.port}/{server.path}")
        for language, code in blocks(section("Tour")):
            reader.run(language, code)
        assert len(server.publishers) == 1
    made = {path.name for path in reader.folder.iterdir()}
    assert {"clip.mp4", "small.mp4", "sound.webm", "archive.mkv"} <= made
    assert "long.mp4" not in made


def test_real_machines_and_their_operation_work_as_they_are_written(reader: Reader):
    for language, code in blocks(section("Real machines") + section("Operation")):
        reader.run(language, code)
    assert {path.name for path in (reader.folder / "media").glob("[!.]*")} == {
        "hello.mp4",
        "hello.webm",
    }


def test_a_master_on_postgresql_starts_as_it_is_written(reader: Reader, postgres: str):
    text = section("Real machines")
    reader.replace(
        "postgresql://ffrtmp@db.example.org/ffrtmp", f"'{postgres}' --listen 127.0.0.1:0"
    )
    [certificates, *_] = blocks(text)
    reader.run(*certificates)
    [command] = re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    reader.run("bash", command)


@pytest.mark.requirement("G17")
def test_the_two_commands_are_what_ci_runs():
    assert re.findall(r"^```sh\n(\S+)", README, re.MULTILINE) == ["scripts/demo", "scripts/test"]
    assert os.access(ROOT / "scripts/demo", os.X_OK)
    assert "run scripts/demo" in (ROOT / "scripts/test").read_text()


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("options", partial(options_table, "master", "worker", "client", "up")),
        ("retries", retry_table),
    ],
)
@pytest.mark.requirement("G7")
def test_the_tables_are_the_generated_ones(name, table):
    [shown] = re.findall(rf"<!-- {name}:[^>]*-->\n(.*?)<!-- end", README, re.DOTALL)
    assert shown.strip() == table().strip()


def test_what_the_troubleshooting_quotes_is_what_the_program_says():
    source = "".join(path.read_text() for path in (ROOT / "ffrtmp").rglob("*.py"))
    said = re.sub(r'"\s*\n\s*f?"', "", source)
    quotes = re.findall(r"^\| `([^`]+)`", section("Operation"), re.MULTILINE)
    assert len(quotes) >= 8
    for piece in (piece for quote in quotes for piece in re.split(r"\.\.\.", quote)):
        assert piece.strip(" ;:") in said, piece
