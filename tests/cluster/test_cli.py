"""Commands as people and programs use them, against one running `ffrtmp up`."""

import fcntl
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import pytest

from ffrtmp.cli.sources import read_file
from ffrtmp.config import WorkerSettings
from ffrtmp.config.room import slots_for_this_machine
from ffrtmp.v1.job_pb2 import AttemptResult
from tests.cluster.conftest import Cluster, environment, up, wait_for

pytestmark = pytest.mark.slow

LOGGING = """#!/bin/sh
case "$*" in *.part*)
    {{ for each in "$0" "$@"; do printf '%s\\037' "$each"; done; echo; }} >> "{log}" ;;
esac
exec "{ffmpeg}" "$@"
"""
RECENT = ("jobs", "list", "--since", "1h", "--json")
ORPHAN = ".a.mkv.01KB0Z6V5Q3M8S7T9W2X4Y6Z8A.1.part.mkv"
HELD = re.compile(r"file:.*/links/ffrtmp-[^/]+/(?:\d+/)?")
"""A worker's FFmpeg gets what the worker holds open, under names of its own."""
LONG = "test:320x240@25:1h"
SHORT = "test:64x48@25:1s"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Its FFmpeg writes down how it is called for a job."""
    top = tmp_path_factory.mktemp("cli")
    for name in ("state", "media"):
        (top / name).mkdir()
    orphan = top / "media" / ORPHAN
    orphan.write_text("of a run that a power cut ended")
    os.utime(orphan, (1000, 1000))
    wrapper = top / "ffmpeg"
    wrapper.write_text(LOGGING.format(log=top / "log", ffmpeg=imageio_ffmpeg.get_ffmpeg_exe()))
    wrapper.chmod(0o755)
    with up(top / "state", top / "media", "--ffmpeg", str(wrapper)) as running:
        assert running.run("transcode", "test:160x120@25:2s", "in.mkv").code == 0
        yield running


def wrapper(cluster: Cluster) -> Path:
    return cluster.state.parent / "ffmpeg"


def last_argv(cluster: Cluster) -> list[str]:
    """What the worker ran for its newest job."""
    line = (cluster.state.parent / "log").read_text().splitlines()[-1]
    return line.split("\037")[:-1]


def submit(shell, cluster, target: str, source: str = LONG) -> str:
    ran = shell(cluster, "jobs", "submit", source, target)
    assert ran.code == 0, ran.err
    return ran.out.strip()


def state(shell, cluster, job_id: str) -> str:
    ran = shell(cluster, "jobs", "get", job_id, "--json")
    return json.loads(ran.out)["job"]["state"].removeprefix("JOB_STATE_").lower()


def objects(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def numbers(text: str) -> list[int]:
    """Of events; 64-bit integers are text in the protobuf JSON mapping."""
    return [int(each["event"]["number"]) for each in objects(text) if "event" in each]


PLANNED = {
    "scaled": ["in.mkv", "small.mp4", "--preset", "360p25-h265", "--size", "80x60"],
    "copied": ["in.mkv", "copy.mov", "--video", "copy"],
    "sound": ["in.mkv", "sound.webm", "--video", "none", "--audio-bitrate", "64k"],
    "generated": ["test:64x48@30000/1001:1s", "new.webm", "--preset", "360p-vp8"],
}


@pytest.mark.parametrize("name", PLANNED)
def test_a_plan_is_what_a_worker_runs_but_for_the_staged_name(cluster, shell, name):
    ran = shell(cluster, "plan", *PLANNED[name], "--ffmpeg", str(wrapper(cluster)), "--json")
    assert ran.code == 0, ran.err
    [planned] = objects(ran.out)
    assert shell(cluster, "transcode", *PLANNED[name]).code == 0
    staged = re.compile(r"/\.([^/]*)\.[0-9A-Z]{26}\.\d+\.part(\.\w+)$")
    argv = [staged.sub(r"/\1", part) for part in last_argv(cluster)]
    argv = [HELD.sub(f"file:{cluster.media}/", part) for part in argv]
    assert planned["argv"] == [part.replace("/input.mkv", "/in.mkv") for part in argv]


def test_a_plan_runs_nothing_and_says_what_it_would_make(cluster, shell):
    before = sorted(cluster.media.iterdir())
    bar = ["--quality", "vmaf>=90", "--quality-sample", "5s"]
    ran = shell(cluster, "plan", "media:in.mkv", "media:other.mp4", "--worker", "w1", *bar)
    assert (ran.code, ran.out.count("\n")) == (0, 1)
    assert "libx264" in ran.out
    assert re.search(r"source  media:in.mkv: .*, 2.0\d s, h264 160x120, aac", ran.err)
    assert "output  media:other.mp4: libx264 160x120, aac, 50 frames" in ran.err
    assert "quality media:other.mp4: VMAF at least 90, on up to 5 s of the picture" in ran.err
    assert sorted(cluster.media.iterdir()) == before


def test_a_worker_removes_at_its_start_what_crashed_runs_have_left(cluster):
    wait_for(lambda: not (cluster.media / ORPHAN).exists())


def filled(message: dict, descriptor, path: str) -> Iterator[str]:
    """The fields that are not there, at any depth."""
    for field in descriptor.fields:
        value = message.get(field.name)
        if not value:
            yield f"{path}.{field.name}"
        elif field.message_type is not None and field.message_type.file == descriptor.file:
            for part in value if field.is_repeated else [value]:
                yield from filled(part, field.message_type, f"{path}.{field.name}")


def test_a_jobs_result_has_all_that_a_user_asks_next(cluster, shell):
    argv = ["in.mkv", "asked.mp4", "--size", "80x60", "--quality", "psnr=20"]
    ran = shell(cluster, "transcode", *argv)
    assert ran.code == 0
    assert re.search(
        r"^media:asked.mp4  PSNR \d+.* on 50 frames, at least 20", ran.out, re.MULTILINE
    )
    [job] = objects(shell(cluster, *RECENT, "--limit", "1").out)
    assert "result" not in job  # a page of a thousand would not fit into a message
    told = json.loads(shell(cluster, "jobs", "get", job["job_id"], "--json").out)
    result = told["job"]["result"]
    assert list(filled(result, AttemptResult.DESCRIPTOR, "result")) == []
    assert told["results"] == [result]
    [output] = result["outputs"]
    made = cluster.media / "asked.mp4"
    assert int(output["media"]["size"]) == made.stat().st_size
    assert output["sha256"] == hashlib.sha256(made.read_bytes()).hexdigest()
    assert (output["media"]["video"]["width"], output["video_encoder"]) == (80, "libx264")
    assert "file:media:in.mkv" in result["argv"]
    assert str(cluster.media) not in json.dumps(result)
    text = shell(cluster, "jobs", "get", job["job_id"]).out
    assert re.search(r"quality media:asked.mp4: PSNR \d+.* on 50 frames, at least 20", text)


def test_a_failed_job_tells_what_it_cost_and_its_score(cluster, shell):
    argv = ["in.mkv", "ugly.mp4", "--crf", "51", "--quality", "ssim>=0.999"]
    ran = shell(cluster, "transcode", *argv)
    assert ran.code == 1
    assert re.search(r"SSIM 0\.\d+ on 50 frames: at least 0.999 was asked for", ran.err)
    [job] = objects(shell(cluster, *RECENT, "--limit", "1").out)
    result = json.loads(shell(cluster, "jobs", "get", job["job_id"], "--json").out)["job"]["result"]
    assert job["failure"]["reason"] == "FAILURE_REASON_QUALITY_FAILED"
    assert result["outputs"][0]["quality"]["score"] < 0.999
    assert not (cluster.media / "ugly.mp4").exists()


def test_a_watch_is_detached_by_ctrl_c_and_resumed_without_a_gap(cluster, shell, tmp_path):
    job_id = submit(shell, cluster, "detached.mp4")
    out = tmp_path / "out"
    with out.open("w") as file:
        watching = subprocess.Popen(
            [sys.executable, "-m", "ffrtmp", "jobs", "watch", job_id, "--json"],
            stdout=file,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(cluster.state),
        )
    wait_for(lambda: numbers(out.read_text().rpartition("\n")[0]))
    watching.send_signal(signal.SIGINT)
    _, err = watching.communicate(timeout=30)
    seen = numbers(out.read_text())
    assert watching.returncode == 130
    resume = re.search(r"the job goes on: ffrtmp (jobs watch \w+ --after (\d+))\n", err)
    assert resume is not None, err
    assert int(resume[2]) == seen[-1]
    assert shell(cluster, "jobs", "cancel", job_id).code == 0
    ran = shell(cluster, *resume[1].split(), "--json")
    assert ran.code == 4
    seen += numbers(ran.out)
    assert seen == list(range(1, len(seen) + 1))
    assert objects(ran.out)[-1]["job"]["state"] == "JOB_STATE_CANCELLED"


def test_several_jobs_are_cancelled_and_one_that_cannot_be_is_named(cluster, shell):
    ids = [submit(shell, cluster, f"several{number}.mp4") for number in range(2)]
    ran = shell(cluster, "jobs", "cancel", ids[0], "nope", ids[1])
    assert (ran.code, "no job 'nope': ids are in `ffrtmp jobs list`" in ran.err) == (2, True)
    assert ran.out == "".join(f"job {job_id} is cancelled\n" for job_id in ids)
    newest = [job["job_id"] for job in objects(shell(cluster, *RECENT).out)]
    assert newest[:2] == ids[::-1]
    listed = shell(cluster, "jobs", "list", *ids, "--json")
    assert [job["job_id"] for job in objects(listed.out)] == ids


def test_a_choice_of_jobs_needs_a_yes(cluster, shell, terminal):
    ids = [submit(shell, cluster, f"chosen{number}.mp4") for number in range(2)]
    ran = shell(cluster, "jobs", "cancel", "--all")
    assert (ran.code, ran.out) == (2, "")
    assert "this would cancel 2 jobs (" in ran.err
    asked = terminal(cluster, "jobs", "cancel", "--all")
    asked.wait_for(r"cancel 2 jobs \(.*\)\? \[y/N\]")
    asked.type("n\n")
    assert asked.wait() == 2
    assert "nothing was cancelled" in asked.text
    assert "cancelled" not in {state(shell, cluster, job_id) for job_id in ids}
    asked = terminal(cluster, "jobs", "cancel", "--all")
    asked.wait_for(r"\[y/N\]")
    asked.type("y\n")
    assert asked.wait() == 0
    assert {state(shell, cluster, job_id) for job_id in ids} == {"cancelled"}
    ran = shell(cluster, "jobs", "cancel", "--all", "--yes")
    assert (ran.code, "no job to be cancelled" in ran.err) == (0, True)


def test_a_failed_job_is_retried_once_as_a_new_one(cluster, shell):
    (cluster.media / "late.mp4").write_text("no media")
    ran = shell(cluster, "jobs", "submit", "late.mp4", "done.mp4", "--watch")
    old = ran.out.split()[0]
    assert ran.code == 1
    ran = shell(cluster, "jobs", "submit", "late.mp4", "done-too.mp4", "--watch")
    refused = ran.out.split()[0]
    holder = submit(shell, cluster, "done-too.mp4")  # takes its target
    subprocess.run(["cp", cluster.media / "in.mkv", cluster.media / "late.mp4"], check=True)
    ran = shell(cluster, "jobs", "retry", "--state", "failed", "--yes")
    assert ran.code == 2
    assert f"ffrtmp: {refused}: target media:done-too.mp4 already belongs to job" in ran.err
    assert shell(cluster, "jobs", "cancel", holder).code == 0
    *others, (source, new) = (line.split(" -> ") for line in ran.out.splitlines())
    assert source == old
    for _, job_id in others:  # what failed in the tests before this one is older
        assert shell(cluster, "jobs", "watch", job_id).code == 1
    assert shell(cluster, "jobs", "watch", new).code == 0
    ran = shell(cluster, "jobs", "retry", old)
    assert (ran.code, ran.out.strip()) == (0, new)
    assert f"it was retried before and has succeeded: see {new}" in ran.err
    assert shell(cluster, "jobs", "retry", "--state", "succeeded", "--yes").code == 2
    ran = shell(cluster, "jobs", "retry", new)
    assert (ran.code, ran.out) == (2, "")
    assert f"job {new} has succeeded: there is nothing to retry" in ran.err


def test_a_job_that_has_not_ended_is_not_retried(cluster, shell):
    job_id = submit(shell, cluster, "unended.mp4")
    ran = shell(cluster, "jobs", "retry", job_id)
    assert (ran.code, f"job {job_id} has not ended" in ran.err) == (2, True)
    assert shell(cluster, "jobs", "cancel", job_id).code == 0


def test_a_job_that_waits_is_paused_resumed_and_moved_in_the_queue(cluster, shell):
    busy = [
        submit(shell, cluster, f"busy{number}.mp4") for number in range(slots_for_this_machine())
    ]
    wait_for(lambda: all(state(shell, cluster, each) == "running" for each in busy))
    waits = submit(shell, cluster, "waits.mp4")
    ran = shell(cluster, "jobs", "pause", waits, busy[0])
    assert (ran.code, ran.out) == (2, f"job {waits} is paused\n")
    assert f"job {busy[0]} is running: cannot pause it" in ran.err
    assert f"jobs resume {waits}" in shell(cluster, "jobs", "get", waits).out
    assert "1 paused" in shell(cluster, "top").out
    assert waits in shell(cluster, "jobs", "list", "--state", "paused").out
    ran = shell(cluster, "jobs", "priority", "high", waits)
    assert (ran.code, ran.out) == (0, f"job {waits} has priority high\n")
    ran = shell(cluster, "jobs", "priority", "low", "--all", "--yes", "--json")
    assert [job["priority"] for job in objects(ran.out)] == ["PRIORITY_LOW"]
    assert "paused" in shell(cluster, "jobs", "resume", "--all").err
    ran = shell(cluster, "jobs", "resume", "--all", "--yes")
    assert (ran.code, ran.out) == (0, f"job {waits} is queued\n")
    for job_id in (waits, *busy):
        assert shell(cluster, "jobs", "cancel", job_id).code == 0


def test_a_log_is_shown_followed_and_gone_on_with(cluster, shell, tmp_path):
    ended = submit(shell, cluster, "logged.mp4", SHORT)
    assert shell(cluster, "jobs", "watch", ended).code == 0
    ran = shell(cluster, "jobs", "logs", ended)
    attempt = re.search(r"^attempt (\d+), worker w1:$", ran.out, re.MULTILINE)
    assert (ran.code, attempt is not None) == (0, True), ran.err
    assert re.search(r"^\[libx264 @ \w+\] \[info\] kb/s", ran.out, re.MULTILINE)
    [part] = objects(
        shell(cluster, "jobs", "logs", ended, "--json", "--after", f"{attempt[1]}/3").out
    )
    assert (part["line_number"], part["lines"]) == ("4", ran.out.splitlines()[4:])
    only = shell(cluster, "jobs", "logs", ended, "--attempt", attempt[1])
    assert only.out.splitlines() == ran.out.splitlines()[1:]
    assert part["attempt"] == int(attempt[1]) <= int(part["fence"])
    ran = shell(cluster, "jobs", "logs", ended, "--attempt", "99")
    assert (ran.code, f"attempt 99: job {ended} had 1 attempt" in ran.err) == (2, True)
    ran = shell(cluster, "jobs", "logs", ended, "--after", "2/1")
    assert (ran.code, f"after '2/1': job {ended} had 1 attempt" in ran.err) == (2, True)
    assert "wrote nothing" in shell(cluster, "jobs", "logs", ended, "--after", "1/9999").err

    job_id = submit(shell, cluster, "following.mp4")
    out = tmp_path / "out"
    with out.open("w") as file:
        following = subprocess.Popen(
            [sys.executable, "-m", "ffrtmp", "jobs", "logs", job_id, "--follow"],
            stdout=file,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(cluster.state),
        )
    wait_for(out.read_text)
    following.send_signal(signal.SIGINT)
    _, err = following.communicate(timeout=30)
    seen = out.read_text().splitlines(keepends=True)
    assert following.returncode == 130
    on = re.search(r"to go on: ffrtmp (jobs logs \w+ --follow --after \d+/(\d+))\n", err)
    assert on is not None, err
    assert int(on[2]) == len(seen[1:])  # behind the name of the attempt
    assert shell(cluster, "jobs", "cancel", job_id).code == 0
    rest = shell(cluster, *on[1].split())
    whole = shell(cluster, "jobs", "logs", job_id)
    assert "".join(seen) + rest.out == whole.out
    script = '"$0" -m ffrtmp jobs logs "$1" | head -n 1; exit ${PIPESTATUS[0]}'
    done = subprocess.run(
        ["bash", "-c", script, sys.executable, job_id],
        capture_output=True,
        text=True,
        check=False,
        env=environment(cluster.state),
    )
    assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (0, seen[0], False)


def test_a_worker_that_is_there_is_not_removed(cluster, shell):
    ran = shell(cluster, "workers", "remove", "w1")
    assert (ran.code, "worker 'w1' cannot be removed: its session is alive" in ran.err) == (2, True)


@pytest.mark.parametrize("count", ["0", "20"])
def test_a_reader_that_goes_away_ends_a_command_in_silence(cluster, count):
    script = '"$0" -m ffrtmp jobs list --json | head -c "$1"; exit ${PIPESTATUS[0]}'
    done = subprocess.run(
        ["bash", "-c", script, sys.executable, count],
        capture_output=True,
        text=True,
        check=False,
        env=environment(cluster.state),
    )
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if not line.startswith("using")] == []


@pytest.mark.parametrize("columns", [40, 80])
def test_every_view_fits_its_terminal(cluster, shell, terminal, columns):
    job_id = submit(shell, cluster, "a-rather-long-name-for-a-file-that-nobody-would-type.mp4")
    views = (("jobs", "list"), ("workers", "list"), ("presets", "4K30"), ("jobs", "get", job_id))
    views += (("jobs", "explain", job_id), ("overview",), ("workers", "get", "w1"))
    for started in [terminal(cluster, *view, columns=columns) for view in views]:
        assert started.wait() == 0
    _, found, said = started.text.partition("worker w1:")
    assert max(map(len, (found + said).splitlines())) <= columns
    shown = terminal(cluster, "top", columns=columns)
    shown.wait_for(job_id)
    shown.type("q")
    assert shown.wait() == 0
    assert shown.is_as_before()
    assert max(map(len, shown.text.partition("using")[2].splitlines()[2:])) <= columns
    assert shell(cluster, "jobs", "cancel", job_id).code == 0


def test_top_is_ended_by_ctrl_c_and_prints_once_when_piped(cluster, shell, terminal):
    job_id = submit(shell, cluster, "top.mp4")
    wait_for(lambda: state(shell, cluster, job_id) == "running")
    shown = terminal(cluster, "top")
    shown.wait_for(rf"{job_id}  w1 +(probe|encode)")
    shown.process.send_signal(signal.SIGINT)
    assert shown.wait() == 0
    assert shown.is_as_before()
    calm = r"1 worker, 1/\d slots busy, 1 running, 0 waiting"  # once earlier jobs have let go
    wait_for(lambda: re.search(calm, shell(cluster, "top").out))
    ran = shell(cluster, "top")
    assert (ran.code, ran.out.count(job_id)) == (0, 1)
    [overview] = objects(shell(cluster, "top", "--json").out)
    assert [worker["name"] for worker in overview["workers"]] == ["w1"]
    assert [job["job_id"] for job in overview["held"]] == [job_id]
    assert shell(cluster, "jobs", "cancel", job_id).code == 0


def test_doctor_finds_a_healthy_machine_well(cluster, shell):
    ran = shell(cluster, "doctor", "--json")
    found = {each["check"]: each for each in objects(ran.out)}
    bad = [each for each in found.values() if each["verdict"] == "bad"]
    assert (ran.code, bad) == (0, [])
    for check in ("platform", "FFmpeg", "encoders", "certificate", "master", "clocks"):
        assert found[check]["verdict"] == "good", found[check]
    assert found["root media"]["verdict"] == "good"
    assert not list(cluster.media.glob(".ffrtmp-root.doctor*"))


def test_doctor_names_all_that_is_wrong_and_what_to_do(cluster, shell, tmp_path):
    certs = cluster.state / "up" / "certs"
    ran = shell(cluster, "certs", "issue", str(certs), "client", "soon", "--days", "10")
    soon = ran.out.strip()
    options = ["--ffmpeg", "/nope", "--root", f"a={tmp_path / 'none'}", "--root", f"b={tmp_path}"]
    ran = shell(cluster, "doctor", "--master", "127.0.0.1:1", "--certs", soon, *options)
    assert ran.code == 1
    for line in (
        r"bad   FFmpeg: none that works: '/nope' does not exist",
        r"bad   root a: it gets no work: .* mount or make it",
        r"warn  root b: writable: .* is empty: is it mounted\?",
        r"warn  certificate: client/soon .*, 9 days left: renew it: ffrtmp certs renew",
        r"bad   master: 127.0.0.1:1 is of no use: no master answers",
    ):
        assert re.search(line, ran.out), ran.out
    ran = shell(cluster, "doctor", "--certs", str(tmp_path / "none"))
    assert (ran.code, "bad   certificate: of no use: there is no folder" in ran.out) == (1, True)


def test_a_master_and_a_worker_can_be_examined_with_their_own_certificates(cluster, shell):
    [clocks] = re.findall(r"using the master at (\S+)", shell(cluster, "jobs", "list").err)
    for name in ("worker-w1", "master-m1"):
        certs = str(cluster.state / "up" / "certs" / name)
        ran = shell(cluster, "doctor", "--master", clocks, "--certs", certs)
        assert "good  master" in ran.out, ran.out


def test_the_recommended_configuration_is_one(cluster, shell, tmp_path):
    ran = shell(cluster, "config", "recommend")
    assert ran.code == 0
    (tmp_path / "config.toml").write_text(ran.out)
    slots = read_file(tmp_path / "config.toml")["worker"]["slots"]
    assert tomllib.loads(ran.out)["up"] == {"workers": 1, "slots": slots}
    assert 1 <= slots <= WorkerSettings(certs=Path(), master=("h:1",), root=("m=/m",)).slot_count


@pytest.mark.parametrize("which", ["bash", "zsh", "fish"])
def test_a_shell_is_given_its_completion(cluster, shell, which):
    ran = shell(cluster, "completion", which)
    assert (ran.code, "doctor" in ran.out) == (0, True)
    if which == "bash":
        subprocess.run(["bash", "-n"], input=ran.out, text=True, check=True)


def test_every_list_is_json_when_asked(cluster, shell):
    for command in (
        ("jobs", "list"),
        ("workers", "list"),
        ("presets", "1080p"),
        ("certs", "list", str(cluster.state / "up" / "certs")),
    ):
        ran = shell(cluster, *command, "--json")
        assert ran.code == 0
        assert objects(ran.out), command


def test_health_is_an_object_too(cluster, shell):
    http = (cluster.state.parent / "up.log").read_text().partition("http://")[2].partition("/")[0]
    for address, code, state in ((http, 0, "ready"), ("127.0.0.1:1", 3, "does not answer")):
        ran = shell(cluster, "health", "--http", address, "--json")
        [answer] = objects(ran.out)
        assert (ran.code, answer["master"]) == (code, address)
        assert answer["state"].startswith(state)


def test_a_worker_that_runs_says_nothing_of_the_master_that_is_asked_for(tmp_path):
    journal = tmp_path / "worker-w1" / "journal"
    journal.mkdir(parents=True)
    start = [sys.executable, "-m", "ffrtmp", "health"]
    with (journal / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for flags, variables, code in (
            ([], {}, 0),
            ([], {"FFRTMP_HTTP": "127.0.0.1:1"}, 0),
            (["--http", "127.0.0.1:1"], {}, 3),
        ):
            known = os.environ | {"FFRTMP_STATE_DIR": str(tmp_path)} | variables
            done = subprocess.run([*start, *flags], env=known, check=False, capture_output=True)
            assert done.returncode == code


def test_without_a_home_folder_there_is_a_sentence_not_a_traceback(cluster):
    bare = {"PATH": os.environ["PATH"]}
    start = [sys.executable, "-m", "ffrtmp"]
    for home, arguments, code in (
        (None, ["presets", "4K"], 0),
        ("/dev/null", ["presets", "4K"], 0),
        ("/dev/null", ["up", "--listen", "127.0.0.1:0"], 2),
        ("/dev/null", ["jobs", "list"], 3),
    ):
        done = subprocess.run(
            [*start, *arguments],
            env=bare if home is None else bare | {"HOME": home},
            cwd=cluster.media,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr
        assert done.returncode == code, done.stderr
        if code:
            assert done.stderr.startswith("ffrtmp: ")


def test_a_job_that_does_not_wait_is_explained_too(cluster, shell):
    job_id = submit(shell, cluster, "explained.mp4")
    assert shell(cluster, "jobs", "cancel", job_id).code == 0
    assert shell(cluster, "jobs", "explain", job_id).out == (
        f"job {job_id}: not waiting: it was cancelled\n"
    )
    [found] = objects(shell(cluster, "jobs", "explain", job_id, "--json").out)
    assert found == {"reason": "WAIT_REASON_NOT_WAITING", "detail": "it was cancelled"}
