"""The acceptance of the spine as a user would run it: `ffrtmp up`, jobs from another shell."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.conftest import environment, processes_with, typed, up, wait_for

pytestmark = pytest.mark.slow


def test_ten_jobs_are_done_by_two_workers(folders):
    with up(*folders, "--workers", "2") as cluster:
        source = {"testSource": {"width": 160, "height": 120, "duration": "1s"}}
        video = {"speed": "SPEED_FASTEST"}
        lines = [
            json.dumps({"input": source, "outputs": [{"path": f"media:{n}.mp4", "video": video}]})
            for n in range(10)
        ]
        ran = cluster.run("jobs", "submit", "--spec", "-", stdin="\n".join(lines))
        ids = ran.out.split()
        assert len(ids) == 10, ran.err
        assert [cluster.run("jobs", "watch", job_id).code for job_id in ids] == [0] * 10
        assert sorted(path.name for path in cluster.media.glob("[!.]*")) == sorted(
            f"{n}.mp4" for n in range(10)
        )
        workers = {cluster.job(job_id)["job"]["worker"] for job_id in ids}
        assert workers == {"w1", "w2"}
        assert cluster.stop() == 0
    assert nothing_remains(*folders)


def test_when_it_says_ready_every_worker_takes_work(folders):
    with up(*folders, "--workers", "2") as cluster:
        listed = cluster.run("workers", "list").out.splitlines()
        assert [line.split("\t")[:3] for line in listed[1:]] == [
            ["w1", "connected", "1/1"],
            ["w2", "connected", "1/1"],
        ]


def test_a_worker_that_was_drained_before_is_told_of_with_how_to_resume_it(folders):
    with up(*folders, "--workers", "2") as cluster:
        assert cluster.run("workers", "drain", "w1").code == 0
        assert cluster.stop() == 0
    with up(*folders, "--workers", "2"):
        said = (folders[0].parent / "up.log").read_text()
    sentence = "w1 is draining and gets no work: ffrtmp workers resume w1"
    assert (sentence in said, "w2 is" in said) == (True, False)


def test_ctrl_c_before_it_is_ready_ends_it_too(folders, tmp_path: Path):
    asleep = tmp_path / "asleep"
    asleep.write_text("#!/bin/sh\nexec sleep 600\n")
    asleep.chmod(0o755)
    state, media = folders
    log = tmp_path / "early.log"
    command = f"up --ffmpeg {asleep} --listen 127.0.0.1:0 --http 127.0.0.1:0 --root media={media}"
    with log.open("w") as file:
        early = subprocess.Popen(
            [sys.executable, "-m", "ffrtmp", *command.split()],
            stdout=file,
            stderr=file,
            env=environment(state),
        )
    try:
        wait_for(lambda: processes_with(f"{state}/up/certs/worker-w1 --stop"))
        early.send_signal(signal.SIGINT)
        assert early.wait(40) == 0
    finally:
        early.kill()
        early.wait()
    said = log.read_text()
    assert ("stopping" in said, "ready: master" in said) == (True, False)
    assert nothing_remains(*folders)


def test_a_cancelled_job_leaves_neither_ffmpeg_nor_file(folders):
    with up(*folders) as cluster:
        job_id = cluster.submit("test:1280x720@30:10m", "long.mp4")
        wait_for(lambda: processes_with(f"{job_id}.1.part"))
        assert cluster.run("jobs", "cancel", job_id).code == 0
        wait_for(lambda: not processes_with(f"{job_id}.1.part"), seconds=3)
        wait_for(
            lambda: not list(cluster.media.glob("*long*")) + list(cluster.media.glob(".long*"))
        )
        assert cluster.run("jobs", "watch", job_id).code == 4


def test_a_job_of_a_killed_worker_ends_on_the_other_one(folders):
    with up(*folders, "--workers", "2") as cluster:
        job_id = cluster.submit("test:640x360@30:8s", "out.mp4", "--speed", "slow")
        first = wait_for(lambda: cluster.job(job_id)["job"].get("worker"))
        wait_for(lambda: processes_with(f"{job_id}.1.part"))
        for pid in processes_with(f"{cluster.state}/up/certs/worker-{first} --stop"):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not processes_with(f"{job_id}.1.part"), seconds=2)
        assert cluster.run("jobs", "watch", job_id).code == 0
        job = cluster.job(job_id)["job"]
        assert (job["worker"] != first, job["charged"], job["attempts"]) == (True, 1, 2)
        wait_for(lambda: not list(cluster.media.glob(".out*")))
    assert nothing_remains(*folders)


def test_ctrl_c_in_mid_job_leaves_nothing_and_the_next_up_finishes_it(folders):
    with up(*folders) as cluster:
        job_id = cluster.submit("test:640x360@30:6s", "out.mp4", "--speed", "slow")
        wait_for(lambda: processes_with(f"{job_id}.1.part"))
        assert cluster.stop() == 0
        assert nothing_remains(*folders)
    with up(*folders) as cluster:
        assert cluster.run("jobs", "watch", job_id).code == 0
        assert cluster.job(job_id)["job"].get("charged", 0) == 0


def test_jobs_that_wait_do_not_meet_another_folder_under_the_name_of_theirs(folders):
    state, media = folders
    other = media.parent / "other"
    other.mkdir()
    anywhere = ("up", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0")
    with up(state, media) as cluster:
        job_id = cluster.submit("test:160x120@25:1s", "o.mp4", "--require", "zone=eu")
        assert cluster.stop() == 0
    ran = typed(media, environment(state), *anywhere, "--root", f"media={other}")
    assert ran.code == 2
    assert (
        f"root media is {other} now, but {media} for 1 job not ended: "
        f"add --root media={media}, and give the other folder another name" in ran.err
    )
    assert not processes_with(f"{state}/up/certs")
    with up(state, media, "--root", f"other={other}") as cluster:
        assert cluster.run("jobs", "cancel", job_id).code == 0
        assert cluster.stop() == 0
    with up(state, other) as cluster:
        assert cluster.stop() == 0


def test_kill_9_of_up_takes_everything_with_it(folders):
    with up(*folders, "--workers", "2") as cluster:
        job_id = cluster.submit("test:1280x720@30:10m", "long.mp4")
        wait_for(lambda: processes_with(f"{job_id}.1.part"))
        cluster.process.kill()
        cluster.process.wait()
        wait_for(lambda: not processes_with(str(folders[0])))
        assert not processes_with(job_id)


def test_a_second_up_is_refused_by_name(folders):
    with up(*folders) as cluster:
        ran = cluster.run("up", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0")
        assert ran.code == 2
        assert "runs already, its master is 127.0.0.1:" in ran.err


def nothing_remains(state: Path, media: Path) -> bool:
    """No process, no staged file, no proof of a root, no record of a run."""
    assert not processes_with(str(state))
    assert not [path.name for path in media.iterdir() if path.name.startswith(".")]
    assert not (state / "up" / "running.json").exists()
    return True
