"""Whole clusters of real processes, started as a user would start them."""

import fcntl
import io
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest

from ffrtmp.cli import app
from tests.forks import forks

READY = re.compile(r"ready: master on (\S+),")


def environment(state: Path) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("FFRTMP_")}
    return kept | {"FFRTMP_STATE_DIR": str(state), "FFRTMP_CONFIG": os.devnull}


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


STAYING = {"master", "worker", "up", "simulate"}
"""Commands that set up logging and signals, or start others: each is a process of its own."""


def typed(
    folder: Path, known: Mapping[str, str], *arguments: str, stdin: str = "", seconds: float = 60
) -> Ran:
    """What somebody types in that folder, to its end. Most commands are run right here, by what
    the console script calls: a Python takes most of a second to start."""
    if arguments[0] not in STAYING:
        return _run_here(folder, known, arguments, stdin)
    done = subprocess.run(
        [sys.executable, "-m", "ffrtmp", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        env=known,
        cwd=folder,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)


def _run_here(folder: Path, known: Mapping[str, str], arguments: tuple[str, ...], said: str) -> Ran:
    out, err, given = (io.TextIOWrapper(io.BytesIO(text)) for text in (b"", b"", said.encode()))
    with (
        patch.dict(os.environ, known, clear=True),
        patch("sys.stdin", given),
        chdir(folder),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        code = app.run(arguments)
    texts = []
    for stream in (out, err):
        stream.seek(0)
        texts.append(stream.read())
    return Ran(code, *texts)


@dataclass
class Cluster:
    """`ffrtmp up` and its folder."""

    state: Path
    media: Path
    process: subprocess.Popen

    def run(self, *arguments: str, stdin: str = "") -> Ran:
        return typed(self.media, environment(self.state), *arguments, stdin=stdin)

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
        said = Path(log.name)
        wait_for(lambda: process.poll() is not None or READY.search(said.read_text()), seconds=60)
        assert process.poll() is None, Path(log.name).read_text()
        yield Cluster(state, media, process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(30)
        log.close()


def ffrtmp(folder: Path, *arguments: str) -> str:
    """Runs one command in a folder, whose state lies there too; returns what it printed."""
    ran = typed(folder, environment(folder / "state"), *arguments)
    assert ran.code == 0, ran.err
    return ran.out


@contextmanager
def process(folder: Path, ready: str, *arguments: str) -> Iterator[str]:
    """A process that stays; yields what it had said when it was ready."""
    log = folder / f"{'-'.join(arguments[:3]).replace('/', '-')}.log"
    with log.open("w") as file:
        running = forks().start(arguments, file.fileno(), environment(folder / "state"), folder)
    try:
        wait_for(lambda: running.poll() is not None or ready in log.read_text())
        assert running.poll() is None, log.read_text()
        yield log.read_text()
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(30)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    state, media = tmp_path / "state", tmp_path / "media"
    state.mkdir()
    media.mkdir()
    return state, media


Shell = Callable[..., Ran]


@pytest.fixture
def shell() -> Shell:
    return Cluster.run


class Terminal:
    """A command on a terminal of its own; `text` is what came, control sequences left out."""

    def __init__(self, cluster: Cluster, columns: int, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.before = termios.tcgetattr(self._ours)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ffrtmp", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment(cluster.state) | {"TERM": "xterm", "COLUMNS": "", "LINES": ""},
            cwd=cluster.media,
            start_new_session=True,
        )
        self._theirs = theirs
        self._received = b""

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    @property
    def text(self) -> str:
        while select.select([self._ours], [], [], 0)[0]:
            self._received += os.read(self._ours, 65536)
        plain = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", self._received)
        return plain.decode().replace("\r", "")

    def wait_for(self, pattern: str) -> re.Match[str]:
        found = wait_for(lambda: re.search(pattern, self.text))
        assert isinstance(found, re.Match)
        return found

    def wait(self) -> int:
        """Reads on: a full terminal would hold it up."""
        wait_for(lambda: (self.text, self.process.poll() is not None)[1], seconds=30)
        return self.process.wait(1)

    def is_as_before(self) -> bool:
        return termios.tcgetattr(self._ours) == self.before

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(cluster: Cluster, *arguments: str, columns: int = 80) -> Terminal:
        opened.append(Terminal(cluster, columns, *arguments))
        return opened[-1]

    yield start
    for each in opened:
        each.close()
