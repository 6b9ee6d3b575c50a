"""Whole clusters of real processes, started as a user would start them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

READY = re.compile(r"ready: master on (\S+),")


def environment(state: Path) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("FFRTMP_")}
    return kept | {"FFRTMP_STATE_DIR": str(state), "FFRTMP_CONFIG": str(state / "none.toml")}


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


def wait_for(condition: Callable[[], object], seconds: float = 20) -> object:
    """The first true answer. Fails after `seconds`."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if answer := condition():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")


def processes_with(text: str) -> list[int]:
    """Pids of the processes whose command line holds `text`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in line and int(path.parent.name) != os.getpid():
            found.append(int(path.parent.name))
    return found


@dataclass
class Cluster:
    """`ffrtmp up` and its folder."""

    state: Path
    media: Path
    process: subprocess.Popen

    def run(self, *arguments: str, stdin: str = "") -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "ffrtmp", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=environment(self.state),
            cwd=self.media,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    def submit(self, *arguments: str) -> str:
        ran = self.run("jobs", "submit", *arguments)
        assert ran.code == 0, ran.err
        return ran.out.strip()

    def job(self, job_id: str) -> dict:
        return json.loads(self.run("jobs", "get", job_id, "--json").out)

    def stop(self) -> int:
        """As Ctrl-C would."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)


@contextmanager
def up(state: Path, media: Path, *arguments: str) -> Iterator[Cluster]:
    log = (state.parent / "up.log").open("w+")
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "ffrtmp",
            "up",
            "--listen",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
            "--root",
            f"media={media}",
            *arguments,
        ],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=environment(state),
        start_new_session=True,
    )
    try:
        wait_for(lambda: process.poll() is not None or READY.search(Path(log.name).read_text()))
        assert process.poll() is None, Path(log.name).read_text()
        yield Cluster(state, media, process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(30)
        log.close()


def ffrtmp(folder: Path, *arguments: str) -> str:
    """Runs one command in a folder, whose state lies there too; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "ffrtmp", *arguments],
        env=environment(folder / "state"),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def process(folder: Path, ready: str, *arguments: str) -> Iterator[str]:
    """A process that stays; yields what it had said when it was ready."""
    log = folder / f"{'-'.join(arguments[:3]).replace('/', '-')}.log"
    with log.open("w") as file:
        running = subprocess.Popen(
            [sys.executable, "-m", "ffrtmp", *arguments],
            env=environment(folder / "state"),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    try:
        wait_for(lambda: running.poll() is not None or ready in log.read_text())
        assert running.poll() is None, log.read_text()
        yield log.read_text()
    finally:
        running.terminate()
        running.wait(30)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    state, media = tmp_path / "state", tmp_path / "media"
    state.mkdir()
    media.mkdir()
    return state, media
