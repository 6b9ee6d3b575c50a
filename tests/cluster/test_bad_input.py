"""One wrong thing a row: one clear sentence, the right exit code, and nothing half-done behind."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import pytest
from cyclopts import App

from ffrtmp.cli.app import app as program
from tests.cluster.conftest import Cluster, Shell, environment, processes_with, up, wait_for

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
    "no input at all": (["transcode", "", OUT], 2, "the path is empty: name a file"),
    "a bar that is empty": (
        ["transcode", "good.mp4", OUT, "--quality", ""],
        2,
        "--quality is empty",
    ),
    "a preset that is empty": (["transcode", "good.mp4", OUT, "--preset", ""], 2, "is empty"),
    "missing input": (["transcode", "nothere.mp4", OUT], 2, "does not exist"),
    "empty input": (["transcode", "empty.mp4", OUT], 2, "is empty"),
    "input that only a worker can see is missing": (
        ["jobs", "submit", "media:nothere.mp4", OUT],
        2,
        "does not exist",
    ),
    "truncated input": (["transcode", "cut.mp4", OUT], 1, "source length: expected 8.00 s"),
    "random bytes": (["transcode", "random.mp4", OUT], 1, "random.mp4"),
    "a folder as input": (
        ["transcode", ".", OUT],
        2,
        r"input '\.' is a folder: name one file in it, for example in.mkv",
    ),
    "a folder as input by its root": (["jobs", "submit", "media:.", OUT], 2, "media:in.mkv"),
    "a folder as output": (
        ["jobs", "submit", "good.mp4", "/tmp"],
        2,
        "output '/tmp' is a folder: name the file to make, for example /tmp/out.mp4",
    ),
    "an output below a file": (
        ["jobs", "submit", "good.mp4", "exists.mp4/new.mp4"],
        2,
        "lies below .*exists.mp4, which is a file: name another folder",
    ),
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
    "unknown preset prefix": (["presets", "8K"], 2, "no preset begins with '8K'"),
    "input of a plan is missing": (["plan", "nothere.mp4", OUT], 2, "does not exist"),
    "input of a plan is cut off": (["plan", "cut.mp4", OUT], 2, "cut.mp4 is not whole"),
    "input of a plan is random": (["plan", "random.mp4", OUT], 2, "cannot be read as media"),
    "input of a plan lies elsewhere": (
        ["plan", "media2:good.mp4", OUT],
        2,
        "root media2 is not known here",
    ),
    "plan of sound that is not there": (
        ["plan", "good.mp4", "new.webm", "--video", "none"],
        2,
        "has no",
    ),
    "plan with a preset that is none": (["plan", "good.mp4", OUT, "--preset", "x"], 2, "SIZE"),
    "plan with no FFmpeg": (["plan", "good.mp4", OUT, "--ffmpeg", "/nope"], 2, "'/nope' does not"),
    "plan for an unknown worker": (
        ["plan", "good.mp4", OUT, "--worker", "w7"],
        2,
        "no worker 'w7'",
    ),
    "plan for two FFmpegs": (
        ["plan", "good.mp4", OUT, "--worker", "w1", "--ffmpeg", "x"],
        2,
        "not both",
    ),
    "doctor of a bad address": (["doctor", "--master", "x"], 2, "HOST:PORT"),
    "doctor of a bad root": (["doctor", "--root", "x"], 2, "NAME=DIR"),
    "unknown shell": (["completion", "csh"], 2, "csh"),
    "no shell": (["completion"], 2, "SHELL"),
    "unknown config command": (["config", "recomend"], 2, "recomend"),
    "nothing to cancel": (["jobs", "cancel"], 2, "which job"),
    "named and chosen to cancel": (["jobs", "cancel", "x", "--all"], 2, "not both"),
    "cancel what cannot be": (
        ["jobs", "cancel", "--state", "failed"],
        2,
        "state failed: such jobs cannot be cancelled; possible are leased, paused, queued, running",
    ),
    "cancel in an unknown state": (["jobs", "cancel", "--state", "lost"], 2, "lost"),
    "nothing to retry": (["jobs", "retry"], 2, "which job"),
    "unknown job to retry": (["jobs", "retry", "nope"], 2, "no job 'nope'"),
    "retry what cannot be": (["jobs", "retry", "--state", "running"], 2, "possible are cancelled"),
    "nothing to pause": (["jobs", "pause"], 2, "which job"),
    "named and chosen to pause": (["jobs", "pause", "x", "--all"], 2, "not both"),
    "unknown job to pause": (["jobs", "pause", "nope"], 2, "no job 'nope'"),
    "pause what cannot be": (["jobs", "pause", "--state", "running"], 2, "possible are queued"),
    "pause in the last time that is none": (["jobs", "pause", "--since", "x"], 2, "with its unit"),
    "nothing to resume": (["jobs", "resume"], 2, "which job"),
    "unknown job to resume": (["jobs", "resume", "nope"], 2, "no job 'nope'"),
    "resume what cannot be": (["jobs", "resume", "--state", "queued"], 2, "possible are paused"),
    "no priority to give": (["jobs", "priority"], 2, "PRIORITY"),
    "priority that is none": (["jobs", "priority", "top", "x"], 2, "top"),
    "priority for nothing": (["jobs", "priority", "high"], 2, "which job"),
    "priority for an unknown job": (["jobs", "priority", "high", "nope"], 2, "no job 'nope'"),
    "priority of what cannot be": (
        ["jobs", "priority", "low", "--state", "succeeded"],
        2,
        "possible are paused, queued",
    ),
    "log of no job": (["jobs", "logs"], 2, "JOB"),
    "log of an unknown job": (["jobs", "logs", "nope"], 2, "no job 'nope'"),
    "log of an unknown job followed": (["jobs", "logs", "nope", "--follow"], 2, "no job 'nope'"),
    "log of an attempt at an unknown job": (
        ["jobs", "logs", "nope", "--attempt", "1"],
        2,
        "no job 'nope'",
    ),
    "log from a place in that of an unknown job": (
        ["jobs", "logs", "nope", "--after", "1/5"],
        2,
        "no job 'nope'",
    ),
    "log from a place that is none": (["jobs", "logs", "x", "--after", "7"], 2, "ATTEMPT/LINE"),
    "log from beyond all": (
        ["jobs", "logs", "x", "--after", f"1/{'9' * 19}"],
        2,
        "ATTEMPT/LINE",
    ),
    "log of an attempt before the first": (
        ["jobs", "logs", "x", "--attempt", "-1"],
        2,
        "1 or more",
    ),
    "log of an attempt that is none": (["jobs", "logs", "x", "--attempt", "one"], 2, "one"),
    "unknown worker to remove": (["workers", "remove", "nope"], 2, "no worker 'nope'"),
    "accounts of too long a time": (["sla", "--since", "400d"], 2, "since 400d: more than 0s"),
    "no worker to remove": (["workers", "remove"], 2, "WORKER"),
    "unknown worker to drain": (["workers", "drain", "nope"], 2, "no worker 'nope'"),
    "no worker to drain": (["workers", "drain"], 2, "WORKER"),
    "unknown worker to resume": (["workers", "resume", "nope"], 2, "no worker 'nope'"),
    "no worker to resume": (["workers", "resume"], 2, "WORKER"),
    "workers with too many arguments": (["workers", "list", "w1"], 2, "w1"),
    "top with an argument": (["top", "w1"], 2, "w1"),
    "retention that is none": (
        ["master", "--certs", "{certs}/master-m1", "--keep-finished", "long"],
        2,
        "write a time, 30d",
    ),
    "a new CA after none": (["certs", "roll", "nowhere", "begin"], 2, "nowhere"),
    "a step that is none": (["certs", "roll", "{certs}", "start"], 2, "start"),
    "certificate of nowhere": (["certs", "inspect", "nowhere"], 2, "nowhere"),
    "recommendation with an argument": (["config", "recommend", "x"], 2, "x"),
    "alerts with an argument": (["config", "alerts", "x"], 2, "x"),
    "dashboard with an argument": (["config", "dashboard", "x"], 2, "x"),
    "renewal of what ends too far away": (
        ["certs", "renew", "{certs}", "--within", "9" * 12],
        2,
        "--within 999999999999: use the number of days",
    ),
    "renewal for nobody": (["certs", "renew", "nowhere"], 2, "nowhere"),
    "docs of errors with an argument": (["docs", "errors", "x"], 2, "x"),
    "docs of metrics with an argument": (["docs", "metrics", "x"], 2, "x"),
    "explanation of no job": (["jobs", "explain"], 2, "JOB"),
    "explanation of an unknown job": (["jobs", "explain", "nope"], 2, "no job 'nope'"),
    "no worker to release": (["workers", "release"], 2, "WORKER"),
    "unknown worker to release": (["workers", "release", "nope"], 2, "no worker 'nope'"),
    "overview with an argument": (["overview", "x"], 2, "x"),
    "settings of nothing": (["config", "show", "boss"], 2, "boss"),
    "running settings with an argument": (["config", "running", "x"], 2, "x"),
    "running settings of no master": (
        ["config", "running", "--master", "127.0.0.1:1", "--certs", "{certs}/admin-me"],
        3,
        "no master answers",
    ),
    "docs of nothing": (["docs", "nothing"], 2, "nothing"),
    "docs with an argument": (["docs", "retries", "x"], 2, "x"),
    "docs of the configuration with an argument": (["docs", "config", "x"], 2, "x"),
    "up with a root that is no folder": (["up", "--root", "a=/nowhere"], 2, "is not a folder"),
    "up twice": (["up", "--listen", "127.0.0.1:0"], 2, "runs already"),
    "simulate with no CA": (
        ["simulate", "--ca", "nowhere", "--master", "{address}"],
        2,
        "nowhere",
    ),
    "backup of no database": (["backup", "new.db", "--store", "no.db"], 2, "no database no.db"),
    "restore of no backup": (["restore", "no.db", "--store", "x.db"], 2, "no.db"),
    "unknown job listed": (["jobs", "list", "nope"], 2, "no job 'nope'"),
    "named and chosen to list": (["jobs", "list", "x", "--worker", "w1"], 2, "not both"),
    "since without a unit": (["jobs", "list", "--since", "5"], 2, "with its unit"),
    "since before all time": (["jobs", "cancel", "--since", "999999d"], 2, "a shorter time"),
    "limit of none": (["jobs", "list", "--limit", "0"], 2, "limit 0: at least 1"),
    "limit not a number": (["jobs", "list", "--limit", "few"], 2, "few"),
    "watch from before the beginning": (["jobs", "watch", "x", "--after", "-1"], 2, "0 or more"),
    "watch from a number that is none": (
        ["jobs", "watch", "x", "--after", "9" * 30],
        2,
        "0 or more",
    ),
    "watch without a job": (["jobs", "watch"], 2, "JOB"),
    "get without a job": (["jobs", "get"], 2, "JOB"),
    "get without a worker": (["workers", "get"], 2, "WORKER"),
    "unknown queue": (["jobs", "submit", "good.mp4", OUT, "--queue", "fast"], 2, "fast"),
    "unknown priority": (["jobs", "submit", "good.mp4", OUT, "--priority", "top"], 2, "top"),
    "unknown speed": (["transcode", "good.mp4", OUT, "--speed", "warp"], 2, "warp"),
    "unknown container": (["transcode", "good.mp4", OUT, "--container", "avi"], 2, "avi"),
    "unknown sound codec": (["transcode", "good.mp4", OUT, "--audio", "mp3"], 2, "mp3"),
    "bitrate not a bitrate": (["transcode", "good.mp4", OUT, "--bitrate", "fat"], 2, "4M"),
    "sound bitrate not one": (["transcode", "good.mp4", OUT, "--audio-bitrate", "x"], 2, "4M"),
    "crf not a number": (["transcode", "good.mp4", OUT, "--crf", "low"], 2, "low"),
    "time-out too long": (["transcode", "good.mp4", OUT, "--timeout", "31d"], 2, "30 days"),
    "rate of nothing": (["transcode", "good.mp4", OUT, "--rate", "0"], 2, "1 to 240 frames"),
    "certificates of nowhere": (["certs", "list", "nowhere"], 2, "no folder nowhere"),
    "certificate of no CA": (["certs", "issue", "nowhere", "client", "a"], 2, "nowhere"),
    "certificate of an unknown role": (["certs", "issue", "{certs}", "boss", "a"], 2, "boss"),
    "certificate with a bad name": (["certs", "issue", "{certs}", "client", "A b"], 2, "A b"),
    "certificate for no days": (
        ["certs", "issue", "{certs}", "client", "a", "--days", "0"],
        2,
        "day",
    ),
    "CA where one is": (["certs", "init", "{certs}"], 2, "this CA is kept"),
    "health of a bad address": (["health", "--http", "nohost"], 3, ""),
    "unknown job": (["jobs", "get", "nope"], 2, "no job 'nope'"),
    "unknown job watched": (["jobs", "watch", "nope"], 2, "no job 'nope'"),
    "unknown job cancelled": (["jobs", "cancel", "nope"], 2, "no job 'nope'"),
    "unknown worker": (["workers", "get", "nope"], 2, "no worker 'nope'"),
    "unknown state": (["jobs", "list", "--state", "done"], 2, "done"),
    "unknown option": (["jobs", "list", "--workr", "x"], 2, "did you mean --worker"),
    "unknown command": (["job", "list"], 2, "job"),
    "no arguments for submit": (["jobs", "submit"], 2, "give INPUT and OUTPUT, or --spec"),
    "an input beside a spec file": (
        ["jobs", "submit", "good.mp4", "--spec", "no.json"],
        2,
        "give INPUT and OUTPUT, or --spec",
    ),
    "an input alone": (["jobs", "submit", "good.mp4"], 2, "give INPUT and OUTPUT, or --spec"),
    "how to encode, beside a spec file": (
        ["jobs", "submit", "--spec", "no.json", "--preset", "480p-h264"],
        2,
        "with --spec give --key and --purpose only",
    ),
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


@pytest.fixture(scope="module")
def names(cluster: Cluster) -> dict[str, str]:
    return {
        "address": cluster.run("jobs", "list").err.split()[4],
        "certs": str(cluster.state / "up" / "certs"),
        "other": str(cluster.state.parent / "other"),
        "state": str(cluster.state),
    }


@pytest.mark.parametrize("name", ROWS)
def test_a_mistake_is_one_clear_sentence(cluster: Cluster, shell: Shell, names, name: str):
    arguments, code, sentence = ROWS[name]
    before = files(cluster)
    given = [argument.format(**names) for argument in arguments]
    ran = shell(cluster, *given)
    assert re.search(sentence, ran.err, re.DOTALL), ran.err
    assert ran.code == code, ran.err
    for leftover in ("x.db", "x.db.lock", "x.db-wal", "x.db-shm"):
        (cluster.media / leftover).unlink(missing_ok=True)
    assert files(cluster) == before
    assert (cluster.media / "exists.mp4").read_bytes() == b"precious"


def commands(app: App, *names: str) -> Iterator[tuple[str, ...]]:
    """Every command that does something, as it is typed."""
    for name in app:
        if not name.startswith("-"):
            yield from list(commands(app[name], *names, name)) or [(*names, name)]


def test_every_command_is_met_with_a_mistake():
    met = [arguments for arguments, _, _ in ROWS.values()]
    missing = [
        command
        for command in commands(program)
        if not any(tuple(each[: len(command)]) == command for each in met)
    ]
    assert missing == []


def test_no_mistake_leaves_a_job_behind(cluster: Cluster, shell: Shell):
    waiting = shell(cluster, "jobs", "cancel", "--all", "--yes")
    assert "no job to be cancelled" in waiting.err


def test_the_target_of_a_live_job_is_refused_with_its_owner(cluster: Cluster):
    job_id = cluster.submit("test:640x360@30:5m", "taken.mp4")
    ran = cluster.run("jobs", "submit", "good.mp4", "taken.mp4")
    assert (ran.code, job_id in ran.err) == (2, True)
    ran = cluster.run("jobs", "submit", "good.mp4", "media:taken.mp4/below.mp4")
    assert (ran.code, f"beside media:taken.mp4 of job {job_id}" in ran.err) == (2, True), ran.err
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


@pytest.mark.parametrize(
    ("ffmpeg", "sentence"),
    [("/nope", "'/nope' does not exist"), (shutil.which("true"), "is not FFmpeg")],
)
def test_up_is_not_ready_before_its_workers_are(tmp_path: Path, ffmpeg: str, sentence: str):
    command = f"up --ffmpeg {ffmpeg} --listen 127.0.0.1:0 --http 127.0.0.1:0 --root m={tmp_path}"
    done = subprocess.run(
        [sys.executable, "-m", "ffrtmp", *command.split()],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment(tmp_path / "state"),
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "state" / "up" / "running.json").exists()


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
