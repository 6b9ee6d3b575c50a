"""One root on several machines: mounted at different places, and on one of them not at all."""

import json
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cluster.conftest import ffrtmp, process

pytestmark = pytest.mark.slow

JOBS = 12


def test_a_worker_with_an_empty_mount_gets_no_work_and_says_why(tmp_path: Path):
    shared = tmp_path / "export"
    shared.mkdir()
    (shared / "film.txt").write_text("something is there")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mnt").symlink_to(shared)
    (tmp_path / "empty").mkdir()
    ffrtmp(tmp_path, "certs", "init", "certs")
    for role, name in (("master", "m1"), ("admin", "a"), *(("worker", f"w{n}") for n in (1, 2, 3))):
        ffrtmp(tmp_path, "certs", "issue", "certs", role, name)
    with ExitStack() as stack:
        arguments = ["master", "--certs", "certs/master-m1", "--listen", "127.0.0.1:0"]
        said = stack.enter_context(
            process(tmp_path, "master ready", *arguments, "--http", "127.0.0.1:0")
        )
        address = said.partition("gRPC on ")[2].partition(",")[0]
        for name, mount in (("w1", shared), ("w2", "elsewhere/mnt"), ("w3", "empty")):
            certs = f"certs/worker-{name}"
            arguments = ["worker", "--certs", certs, "--master", address]
            arguments += ["--slots", "2", "--root", f"media={mount}"]
            stack.enter_context(process(tmp_path, "connected: stream", *arguments))
        admin = ["--master", address, "--certs", "certs/admin-a", "--json"]
        source = {"test_source": {"width": 64, "height": 48, "duration": "1s"}}
        specs = "\n".join(
            json.dumps({"input": source, "outputs": [{"path": f"media:{number}.mp4"}]})
            for number in range(JOBS)
        )
        (tmp_path / "jobs").write_text(specs)
        ids = [
            json.loads(line)["job_id"]
            for line in ffrtmp(tmp_path, "jobs", "submit", "--spec", "jobs", *admin).splitlines()
        ]
        ran_on = set()
        for job_id in ids:
            last = ffrtmp(tmp_path, "jobs", "watch", job_id, *admin).splitlines()[-1]
            assert json.loads(last)["job"]["state"] == "JOB_STATE_SUCCEEDED"
            ran_on.add(json.loads(last)["job"]["worker"])
        assert ran_on == {"w1", "w2"}
        assert len(list(shared.glob("*.mp4"))) == JOBS
        worker = json.loads(ffrtmp(tmp_path, "workers", "get", "w3", *admin))
        [refused] = worker["refused_roots"]
        assert "it is empty: is it mounted?" in refused["reason"]
    assert not list((tmp_path / "empty").iterdir())


def test_a_job_waits_for_a_root_that_is_mounted_late_and_then_starts_by_itself(tmp_path: Path):
    ffrtmp(tmp_path, "certs", "init", "certs")
    for role, name in (("master", "m1"), ("admin", "a"), ("worker", "w1")):
        ffrtmp(tmp_path, "certs", "issue", "certs", role, name)
    with ExitStack() as stack:
        arguments = ["master", "--certs", "certs/master-m1", "--listen", "127.0.0.1:0"]
        said = stack.enter_context(
            process(tmp_path, "master ready", *arguments, "--http", "127.0.0.1:0")
        )
        address = said.partition("gRPC on ")[2].partition(",")[0]
        arguments = ["worker", "--certs", "certs/worker-w1", "--master", address]
        arguments += ["--root", "media=late"]
        stack.enter_context(process(tmp_path, "connected: stream", *arguments))
        admin = ["--master", address, "--certs", "certs/admin-a", "--json"]
        spec = {
            "input": {"test_source": {"width": 64, "height": 48, "duration": "1s"}},
            "outputs": [{"path": "media:a.mp4"}],
        }
        (tmp_path / "job").write_text(json.dumps(spec))
        job_id = json.loads(ffrtmp(tmp_path, "jobs", "submit", "--spec", "job", *admin))["job_id"]
        job = json.loads(ffrtmp(tmp_path, "jobs", "get", job_id, *admin))["job"]
        assert job["state"] == "JOB_STATE_QUEUED"
        assert "does not exist: mount or make it" in job["unschedulable_reason"]
        (tmp_path / "late").mkdir()
        last = ffrtmp(tmp_path, "jobs", "watch", job_id, *admin).splitlines()[-1]
        assert json.loads(last)["job"]["state"] == "JOB_STATE_SUCCEEDED"
        assert (tmp_path / "late" / "a.mp4").stat().st_size
