"""Live pushes through a whole cluster of processes: failover, never two publishers, no secret."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.cluster.conftest import Ran, environment, typed, wait_for
from tests.forks import Forked, forks
from tests.ports import free_port
from tests.receivers import Gate, gate, tcp_server

pytestmark = pytest.mark.slow

SECRET = "s3cret-Key_42"
BEAT_SECONDS = 0.5
MISSED = 6  # more than elsewhere: a busy machine must not end a lease by itself
LEASE_SECONDS = MISSED * BEAT_SECONDS
ENDLESS = "test:320x240@25:300s"


@dataclass
class Live:
    """A master and two workers, each a process that can be killed on its own."""

    folder: Path
    processes: dict[str, Forked] = field(default_factory=dict)
    address: str = ""
    http: str = ""

    @property
    def certs(self) -> Path:
        return self.folder / "certs"

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def run(self, *arguments: str) -> Ran:
        return typed(self.folder, environment(self.folder), *arguments)

    def ask(self, *arguments: str) -> Ran:
        """As a client of the cluster."""
        connection = ["--master", self.address, "--certs", str(self.certs / "client-me")]
        return self.run(*arguments, *connection)

    def submit(self, *arguments: str) -> str:
        ran = self.ask("jobs", "submit", *arguments)
        assert ran.code == 0, ran.err
        return ran.out.strip()

    def job(self, job_id: str) -> dict:
        return json.loads(self.ask("jobs", "get", job_id, "--json").out)["job"]

    def state(self, job_id: str) -> str:
        return self.job(job_id)["state"].removeprefix("JOB_STATE_").lower()

    def start(self, name: str, *arguments: str) -> None:
        with self.log(name).open("ab") as log:
            self.processes[name] = forks().start(arguments, log.fileno(), environment(self.folder))

    def start_worker(self, name: str) -> None:
        media = self.folder / "media"
        options = ["--root", f"media={media}", "--slots", "2", "--state-dir", str(self.folder)]
        certs = ["--certs", str(self.certs / f"worker-{name}")]
        self.start(name, "worker", *certs, "--master", self.address, *options)

    def ffmpegs(self, worker: str) -> list[psutil.Process]:
        children = psutil.Process(self.processes[worker].pid).children(recursive=True)
        return [each for each in children if each.name().startswith("ffmpeg")]

    def holder(self, job_id: str) -> str:
        return self.job(job_id)["worker"]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    cluster = Live(tmp_path_factory.mktemp("live"))
    (cluster.folder / "media").mkdir()
    assert cluster.run("certs", "init", str(cluster.certs)).code == 0
    for role, name in [("master", "m1"), ("client", "me"), ("worker", "w1"), ("worker", "w2")]:
        assert cluster.run("certs", "issue", str(cluster.certs), role, name).code == 0
    try:
        start_master(cluster)
        for name in ("w1", "w2"):
            cluster.start_worker(name)
        wait_for(lambda: all("connected" in cluster.log(w).read_text() for w in ("w1", "w2")))
        yield cluster
    finally:
        for process in cluster.processes.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


def start_master(cluster: Live) -> None:
    """Again: at the same addresses, with what the one before has left."""
    cluster.address = cluster.address or f"127.0.0.1:{free_port()}"
    cluster.http = cluster.http or f"127.0.0.1:{free_port()}"
    addresses = ["--listen", cluster.address, "--http", cluster.http]
    certs = ["--certs", str(cluster.certs / "master-m1")]
    timers = ["--heartbeat-interval", f"{BEAT_SECONDS}s", "--missed-heartbeats", str(MISSED)]
    store = ["--store", str(cluster.folder / "m.db")]
    told = len(cluster.log("master").read_text()) if cluster.log("master").exists() else 0
    cluster.start("master", "master", *certs, *addresses, *timers, *store)
    wait_for(lambda: "master ready" in cluster.log("master").read_text()[told:])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Gate]:
    with gate(tmp_path, f"live/{SECRET}") as opened:
        yield opened


@contextmanager
def on_air(live: Live, server: Gate, *options: str) -> Iterator[str]:
    """A job whose push is received; it is cancelled afterwards, and everybody lives again."""
    job_id = live.submit(ENDLESS, server.url, *options)
    try:
        wait_for(server.receives)
        yield job_id
    finally:
        live.ask("jobs", "cancel", job_id)
        wait_for(lambda: not server.on_air())
        wait_for(lambda: "blocked_by" not in live.job(job_id))


def back_on_air(server: Gate, publishers: int) -> float:
    """Waits for the next publisher; returns the pause on the air."""
    wait_for(lambda: len(server.publishers) == publishers and server.receives(), 60)
    before, after = server.publishers[-2:]
    assert before.ended is not None
    return after.began - before.ended


def test_a_push_ends_with_its_source_and_is_succeeded(live: Live, server: Gate) -> None:
    ran = live.ask("transcode", "test:320x240@25:2s", server.url)
    assert ran.code == 0, ran.err
    assert ran.out == f"all was sent to rtmp://127.0.0.1:{server.port}/live/***\n"
    assert "running" in ran.err
    wait_for(lambda: server.frames == [50])


def log_of(live: Live) -> list[str]:
    return [line for path in live.folder.glob("*.log") for line in path.read_text().splitlines()]


def test_cancel_takes_it_off_the_air_and_frees_the_target(live: Live, server: Gate) -> None:
    with on_air(live, server) as job_id:
        taken = live.ask("jobs", "submit", ENDLESS, server.url)
        assert taken.code == 2
        assert f"/live/*** already belongs to job {job_id}" in taken.err
        assert SECRET not in taken.err
        began = time.monotonic()
        assert live.ask("jobs", "cancel", job_id).code == 0
        wait_for(lambda: not server.on_air())
        sys.stdout.write(f"cancelled: off the air after {time.monotonic() - began:.1f} s\n")
        wait_for(lambda: "blocked_by" not in live.job(job_id))
    again = live.submit("test:320x240@25:1s", server.url)
    wait_for(lambda: live.state(again) == "succeeded")
    assert server.overlaps() == []


def test_a_draining_worker_hands_its_push_over(live: Live, server: Gate) -> None:
    with on_air(live, server) as job_id:
        first = live.holder(job_id)
        worker = live.processes[first]
        worker.send_signal(signal.SIGTERM)
        wait_for(lambda: "draining" in live.log(first).read_text())
        worker.send_signal(signal.SIGTERM)  # at once
        back_on_air(server, 2)
        worker.wait(20)
        assert live.job(job_id).get("charged", 0) == 0
        live.start_worker(first)
    assert server.overlaps() == []


def test_a_server_that_hangs_up_ends_the_job_unless_restarts_are_allowed(
    live: Live, server: Gate
) -> None:
    job_id = live.submit(ENDLESS, server.url)
    wait_for(server.receives)
    server.hang_up()
    wait_for(lambda: live.state(job_id) == "failed")
    assert live.job(job_id)["failure"]["reason"] == "FAILURE_REASON_FFMPEG_FAILED"
    with on_air(live, server, "--restart", "2") as restarted:
        server.hang_up()
        back_on_air(server, 3)
        assert live.job(restarted)["charged"] == 1
    assert server.overlaps() == []


# Rows of the fault matrix, with what a user has. Three such losses put a worker in quarantine, and
# the others would wait for that: these come after them.


@pytest.mark.faults
def test_w2_a_push_survives_the_death_of_its_worker_on_the_other(live: Live, server: Gate) -> None:
    with on_air(live, server) as job_id:
        first = live.holder(job_id)
        live.processes[first].kill()
        live.processes[first].wait()
        killed = time.monotonic()
        pause = back_on_air(server, 2)
        assert live.holder(job_id) != first
        assert server.publishers[0].ended - killed < LEASE_SECONDS  # the guard, at once
        sys.stdout.write(f"off the air for {pause:.1f} s, lease {LEASE_SECONDS} s\n")
        live.start_worker(first)
    assert server.overlaps() == []


@pytest.mark.faults
def test_w5_a_new_incarnation_does_not_shorten_the_lease_of_the_old(
    live: Live, server: Gate
) -> None:
    with on_air(live, server) as job_id:
        first = live.holder(job_id)
        live.processes[first].kill()
        live.processes[first].wait()
        live.start_worker(first)
        back_on_air(server, 2)
        assert live.job(job_id)["charged"] == 1
    assert server.overlaps() == []


@pytest.mark.faults
def test_w20_a_frozen_worker_is_off_the_air_before_another_begins(live: Live, server: Gate) -> None:
    with on_air(live, server) as job_id:
        first = live.holder(job_id)
        os.kill(live.processes[first].pid, signal.SIGSTOP)
        frozen = time.monotonic()
        pause = back_on_air(server, 2)
        assert live.holder(job_id) != first
        sys.stdout.write(
            f"guard after {server.publishers[0].ended - frozen:.1f} s, pause {pause:.1f} s\n"
        )
        os.kill(live.processes[first].pid, signal.SIGCONT)
        wait_for(lambda: not live.ffmpegs(first))
    assert server.overlaps() == []


@pytest.mark.faults
def test_m2_a_dead_master_takes_the_push_off_the_air_and_brings_it_back(
    live: Live, server: Gate
) -> None:
    with on_air(live, server) as job_id:
        master = live.processes["master"]
        master.kill()
        master.wait()
        wait_for(lambda: not server.on_air(), 30)
        start_master(live)
        back_on_air(server, 2)
        job = live.job(job_id)
        assert job.get("charged", 0) == 0
        assert any("lease ran out" in line for line in log_of(live))
    assert server.overlaps() == []


def test_the_key_is_nowhere_but_in_the_spec(live: Live, server: Gate) -> None:
    """Runs last: everything that the others said is searched too."""
    said = [live.ask("transcode", "test:320x240@25:1s", f"{server.url}?t={SECRET}2", "--json")]
    with tcp_server(lambda connection: connection.close()) as port:
        bad = f"rtmp://127.0.0.1:{port}/live/{SECRET}?token={SECRET}3"
        said.append(live.ask("transcode", ENDLESS, bad))
        said.append(live.ask("transcode", ENDLESS, bad, "--json"))
    srt = f"srt://127.0.0.1:{free_port()}?streamid={SECRET}&passphrase={SECRET}"
    said.append(live.ask("transcode", ENDLESS, srt))
    assert [ran.code for ran in said] == [0, 1, 1, 1]
    for line in live.ask("jobs", "list", "--json").out.splitlines():
        job_id = json.loads(line)["job_id"]
        said.append(live.ask("jobs", "get", job_id))
        said.append(live.ask("jobs", "get", job_id, "--json"))
    said += [live.ask("jobs", "list"), live.ask("jobs", "list", "--json")]
    said += [live.ask("jobs", "submit", ENDLESS, url) for url in (f"{bad} x", f"rtmp://h/{SECRET}")]
    assert not [ran for ran in said if SECRET in ran.out + ran.err]
    assert not [line for line in log_of(live) if SECRET in line]
    for page in ("metrics", "readyz"):
        with urllib.request.urlopen(f"http://{live.http}/{page}") as answer:
            assert SECRET not in answer.read().decode()
    journals = [path.read_text() for path in live.folder.glob("worker-*/journal/*.json")]
    assert not [text for text in journals if SECRET in text]
    assert tables_with(live.folder / "m.db", SECRET) == {"specs"}  # the next offer needs it


def tables_with(database: Path, text: str) -> set[str]:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        names = [
            row[0]
            for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        ]
        tables = [name for name in names if not name.startswith("sqlite_")]
        return {
            table
            for table in tables
            if any(text in str(row) for row in connection.execute(f"SELECT * FROM {table}"))
        }


def test_a_private_cluster_pushes_too(tmp_path: Path, server: Gate) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ffrtmp", "transcode", "test:320x240@25:1s", server.url],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env=environment(tmp_path),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    wait_for(lambda: server.frames == [25])


def test_what_a_push_cannot_have_is_said_in_a_sentence(live: Live) -> None:
    for arguments, says in [
        ((ENDLESS, "rtmp://h/live/k", "--overwrite"), "a live push replaces no file"),
        ((ENDLESS, "rtmp://h/live/k", "--video", "h265"), "flv holds h264"),
        ((ENDLESS, "rtmp://h/live/k", "--container", "mp4"), "rtmp carries flv"),
        ((ENDLESS, "media:a.mp4", "--restart", "3"), "only a live push is started again"),
        ((ENDLESS, "rtmp://h/live/k", "--restart", "-1"), "1 to 1000"),
        (("rtmp://h/live/k", "media:a.mp4"), "only files and generated sources are read"),
        ((ENDLESS, "http://h/live/k"), "a push goes to rtmp://, rtmps://, srt://"),
    ]:
        ran = live.ask("jobs", "submit", *arguments)
        assert (ran.code, says in ran.err) == (2, True), ran.err
