"""One wrong thing a row: one clear sentence, the right exit code, and nothing half-done behind."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import imageio_ffmpeg
import pytest

from tests.cluster.conftest import Cluster, environment, processes_with, up, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    top = tmp_path_factory.mktemp("bad")
    (top / "state").mkdir()
    (top / "media").mkdir()
    with up(top / "state", top / "media") as running:
        make_clips(running.media)
        certs = running.state / "up" / "certs"
        assert running.run("certs", "init", str(top / "other")).code == 0
        for folder, role, name in (
            (certs, "worker", "w9"),
            (top / "other", "admin", "stranger"),
        ):
            assert running.run("certs", "issue", str(folder), role, name).code == 0
        yield running


def make_clips(media: Path) -> None:
    """Good, empty, cut off and random ones."""
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run(
        [
            ffmpeg,
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=160x120:rate=25:duration=8",
            "-g",
            "25",
            "-movflags",
            "+faststart",
            str(media / "good.mp4"),
        ],
        check=True,
    )
    good = (media / "good.mp4").read_bytes()
    (media / "cut.mp4").write_bytes(good[: len(good) // 2])
    (media / "random.mp4").write_bytes(os.urandom(100_000))
    (media / "empty.mp4").touch()
    (media / "exists.mp4").write_bytes(b"precious")


OUT = "new.mp4"

ROWS = {
    "missing input": (["transcode", "nothere.mp4", OUT], 2, "does not exist"),
    "empty input": (["transcode", "empty.mp4", OUT], 2, "is empty"),
    "input that only a worker can see is missing": (
        ["jobs", "submit", "media:nothere.mp4", OUT],
        2,
        "does not exist",
    ),
    "truncated input": (["transcode", "cut.mp4", OUT], 1, "source length: expected 8.00 s"),
    "random bytes": (["transcode", "random.mp4", OUT], 1, "random.mp4"),
    "a folder as input": (["transcode", ".", OUT], 2, "is under no root|lies under no root"),
    "unknown root": (["transcode", "good.mp4", "nowhere:x.mp4"], 2, "no worker has this root"),
    "path under no root": (["transcode", "/etc/hostname", OUT], 2, "lies under no root"),
    "unknown preset": (
        ["transcode", "good.mp4", OUT, "--preset", "1080p-h265x"],
        2,
        "did you mean 1080p",
    ),
    "unknown codec": (["transcode", "good.mp4", OUT, "--video", "h26"], 2, "h26"),
    "codec the container cannot hold": (
        ["transcode", "good.mp4", "new.webm", "--video", "h264"],
        2,
        "webm holds av1, vp8, vp9",
    ),
    "unknown ending": (["transcode", "good.mp4", "new.xyz"], 2, "end it in .mp4"),
    "crf out of range": (["transcode", "good.mp4", OUT, "--crf", "99"], 2, "0 to 51 for h264"),
    "crf and bitrate": (
        ["transcode", "good.mp4", OUT, "--crf", "20", "--bitrate", "1M"],
        2,
        "crf or bitrate, not both",
    ),
    "odd size": (["transcode", "good.mp4", OUT, "--size", "321x240"], 2, "even number of pixels"),
    "size not a size": (["transcode", "good.mp4", OUT, "--size", "big"], 2, "WIDTHxHEIGHT"),
    "rate not a rate": (["transcode", "good.mp4", OUT, "--rate", "fast"], 2, "frames a second"),
    "time without unit": (["transcode", "good.mp4", OUT, "--timeout", "5"], 2, "with its unit"),
    "generated source misspelt": (["transcode", "test:1280", OUT], 2, "test:WIDTHxHEIGHT@RATE"),
    "target exists": (["transcode", "good.mp4", "exists.mp4"], 2, "--overwrite"),
    "output is the input": (
        ["transcode", "good.mp4", "good.mp4", "--overwrite"],
        2,
        "the output is the input",
    ),
    "path leaves its root": (
        ["transcode", "good.mp4", "media:../x.mp4"],
        2,
        r"no empty, \. or \.\.",
    ),
    "unknown job": (["jobs", "get", "nope"], 2, "no job 'nope'"),
    "unknown job watched": (["jobs", "watch", "nope"], 2, "no job 'nope'"),
    "unknown job cancelled": (["jobs", "cancel", "nope"], 2, "no job 'nope'"),
    "unknown worker": (["workers", "get", "nope"], 2, "no worker 'nope'"),
    "unknown state": (["jobs", "list", "--state", "done"], 2, "done"),
    "unknown option": (["jobs", "list", "--workr", "x"], 2, "did you mean --worker"),
    "unknown command": (["job", "list"], 2, "job"),
    "no arguments for submit": (["jobs", "submit"], 2, "give INPUT and OUTPUT, or --spec"),
    "spec file is not there": (["jobs", "submit", "--spec", "no.json"], 2, "cannot read no.json"),
    "spec is no JSON": (["jobs", "submit", "--spec", "good.mp4"], 2, "good.mp4"),
    "master unreachable": (
        ["jobs", "list", "--master", "127.0.0.1:1", "--certs", "{certs}/admin-me"],
        3,
        "no master answers at 127.0.0.1:1",
    ),
    "no certificate": (["jobs", "list", "--master", "{address}"], 2, "--certs is missing"),
    "certificate folder missing": (["jobs", "list", "--certs", "nope"], 2, "no folder nope"),
    "the CA's folder as certificate": (
        ["jobs", "list", "--certs", "{certs}"],
        2,
        "admin-me.*worker-w1",
    ),
    "certificate of another CA": (["jobs", "list", "--certs", "{other}/admin-stranger"], 3, "CA"),
    "role of a worker": (["jobs", "list", "--certs", "{certs}/worker-w9"], 2, "role"),
    "bad address": (["jobs", "list", "--master", "nohost"], 2, "HOST:PORT"),
    "FFmpeg missing": (
        [
            "worker",
            "--certs",
            "{certs}/worker-w9",
            "--master",
            "{address}",
            "--root",
            "media=.",
            "--ffmpeg",
            "/nope",
        ],
        2,
        "'/nope' does not exist",
    ),
    "worker with an admin's certificate": (
        ["worker", "--certs", "{certs}/admin-me", "--master", "{address}", "--root", "media=."],
        2,
        "role worker",
    ),
    "worker with a name that is taken": (
        ["worker", "--certs", "{certs}/worker-w1", "--master", "{address}", "--root", "media=."],
        3,
        "already connected",
    ),
    "root not NAME=DIR": (
        ["worker", "--certs", "{certs}/worker-w9", "--master", "{address}", "--root", "media"],
        2,
        "NAME=DIR",
    ),
    "port taken": (
        ["master", "--certs", "{certs}/master-m1", "--listen", "{address}", "--store", "x.db"],
        2,
        "the port is taken",
    ),
    "second master on one database": (
        [
            "master",
            "--certs",
            "{certs}/master-m1",
            "--listen",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
            "--store",
            "{state}/up/master.db",
        ],
        2,
        "in use by another master",
    ),
    "timer out of range": (
        ["master", "--certs", "{certs}/master-m1", "--heartbeat-interval", "10ms"],
        2,
        "at least 0.5 s",
    ),
}


def files(cluster: Cluster) -> list[str]:
    """What lies in the media folder, but for the workers' proofs, which come when they start."""
    names = (path.name for path in cluster.media.iterdir())
    return sorted(name for name in names if not name.startswith(".ffrtmp-root"))


@pytest.mark.parametrize("name", ROWS)
def test_a_mistake_is_one_clear_sentence(cluster: Cluster, name: str):
    arguments, code, sentence = ROWS[name]
    before = files(cluster)
    names = {
        "address": cluster.run("jobs", "list").err.split()[4],
        "certs": cluster.state / "up" / "certs",
        "other": cluster.state.parent / "other",
        "state": cluster.state,
    }
    ran = cluster.run(*[argument.format(**names) for argument in arguments])
    assert re.search(sentence, ran.err, re.DOTALL), ran.err
    if code is not None:
        assert ran.code == code, ran.err
    for leftover in ("x.db", "x.db.lock", "x.db-wal", "x.db-shm"):
        (cluster.media / leftover).unlink(missing_ok=True)
    assert files(cluster) == before
    assert (cluster.media / "exists.mp4").read_bytes() == b"precious"


def test_the_target_of_a_live_job_is_refused_with_its_owner(cluster: Cluster):
    job_id = cluster.submit("test:640x360@30:5m", "taken.mp4")
    ran = cluster.run("jobs", "submit", "good.mp4", "taken.mp4")
    assert (ran.code, job_id in ran.err) == (2, True)
    assert cluster.run("jobs", "cancel", job_id).code == 0
    wait_for(lambda: not processes_with(job_id))


def test_a_folder_that_cannot_be_written_fails_the_job_and_names_it(cluster: Cluster):
    if os.geteuid() == 0:
        place, sentence = "/proc", "/proc"
    else:
        locked = cluster.media / "locked"
        locked.mkdir(mode=0o500)
        place, sentence = str(locked), "locked"
    state = cluster.state.parent / "alone"
    done = subprocess.run(
        [sys.executable, "-m", "ffrtmp", "transcode", "good.mp4", f"{place}/new.mp4"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment(state),
        cwd=cluster.media,
    )
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_config_file_that_is_no_toml_is_named(cluster: Cluster):
    config = cluster.state.parent / "broken.toml"
    config.write_text("this is not toml")
    done = subprocess.run(
        [sys.executable, "-m", "ffrtmp", "jobs", "list"],
        capture_output=True,
        text=True,
        check=False,
        env=environment(cluster.state) | {"FFRTMP_CONFIG": str(config)},
    )
    assert (done.returncode, "broken.toml" in done.stderr) == (2, True)
    assert "Traceback" not in done.stderr


def test_a_wrong_key_in_the_config_file_names_the_nearest(cluster: Cluster):
    config = cluster.state.parent / "wrong.toml"
    config.write_text('[client]\nmastr = "x:1"\n')
    done = subprocess.run(
        [sys.executable, "-m", "ffrtmp", "jobs", "list"],
        capture_output=True,
        text=True,
        check=False,
        env=environment(cluster.state) | {"FFRTMP_CONFIG": str(config)},
    )
    assert (done.returncode, "did you mean master" in done.stderr) == (2, True)


def test_a_port_that_is_taken_stops_up_with_a_sentence(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-m", "ffrtmp", "up", "--listen", address, "--root", f"m={tmp_path}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
            env=environment(tmp_path / "state"),
        )
    assert done.returncode == 2
    assert "the port is taken" in done.stderr
    assert "Traceback" not in done.stderr
    shutil.rmtree(tmp_path / "state")
