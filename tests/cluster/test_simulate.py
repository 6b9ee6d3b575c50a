"""`ffrtmp simulate`: real streams, leases and journals; encodes that only take time."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tests.cluster.conftest import ffrtmp, process, wait_for

pytestmark = pytest.mark.slow

JOBS = 200


def test_a_simulated_fleet_does_every_job_once_and_writes_its_own_ledger(tmp_path: Path):
    ffrtmp(tmp_path, "certs", "init", "certs")
    for role, name in (("master", "m1"), ("admin", "a")):
        ffrtmp(tmp_path, "certs", "issue", "certs", role, name)
    arguments = ["master", "--certs", "certs/master-m1", "--listen", "127.0.0.1:0"]
    with process(tmp_path, "master ready", *arguments, "--http", "127.0.0.1:0") as said:
        address = said.partition("gRPC on ")[2].partition(",")[0]
        arguments = ["simulate", "--ca", "certs", "--master", address, "--workers", "5"]
        arguments += ["--slots", "3", "--pace", "0.01", "--ledger", "ledger"]
        with process(tmp_path, "connected: stream", *arguments):
            admin = ["--master", address, "--certs", "certs/admin-a", "--json"]
            source = {"test_source": {"width": 64, "height": 48, "duration": "1s"}}
            lines = [
                json.dumps({"input": source, "outputs": [{"path": f"sim:{number}.mp4"}]})
                for number in range(JOBS)
            ]
            (tmp_path / "jobs").write_text("\n".join(lines))
            submitted = ffrtmp(tmp_path, "jobs", "submit", "--spec", "jobs", *admin).splitlines()
            ids = {json.loads(line)["job_id"] for line in submitted}
            for job_id in ids:
                if not said_published(tmp_path, job_id):
                    ffrtmp(tmp_path, "jobs", "watch", job_id, *admin)
            ended = ffrtmp(tmp_path, "jobs", "list", "--state", "succeeded", *admin).splitlines()
            assert {json.loads(line)["job_id"] for line in ended} <= ids
    lines = [json.loads(line) for line in (tmp_path / "ledger").read_text().splitlines()]
    published = Counter(line["job_id"] for line in lines if line["did"] == "published")
    assert published == dict.fromkeys(ids, 1)
    assert {line["worker"] for line in lines} == {f"sim-{number:04}" for number in range(1, 6)}


def said_published(folder: Path, job_id: str) -> bool:
    text = (folder / "ledger").read_text()
    return any(job_id in line and '"published"' in line for line in text.splitlines())


def test_a_fleet_whose_names_are_taken_ends_with_a_sentence(tmp_path: Path):
    ffrtmp(tmp_path, "certs", "init", "certs")
    ffrtmp(tmp_path, "certs", "issue", "certs", "master", "m1")
    arguments = ["master", "--certs", "certs/master-m1", "--listen", "127.0.0.1:0"]
    with process(tmp_path, "master ready", *arguments, "--http", "127.0.0.1:0") as said:
        address = said.partition("gRPC on ")[2].partition(",")[0]
        arguments = ["simulate", "--ca", "certs", "--master", address, "--workers", "1"]
        with process(tmp_path, "connected: stream", *arguments, "--state-dir", "first"):
            ended = subprocess.run(
                [sys.executable, "-m", "ffrtmp", *arguments, "--state-dir", "second"],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
    assert ended.returncode == 3
    assert "already connected" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_a_trial_with_kills_accounts_for_every_job(tmp_path: Path):
    """With a master of its own; the second half of the workers, or the master, is killed."""
    arguments = ["--workers", "4", "--slots", "4", "--jobs", "200", "--pace", "2"]
    arguments += ["--failure-rate", "0.1", "--kill-rate", "20", "--seed", "3"]
    said = ffrtmp(tmp_path, "simulate", *arguments, "--evidence", "kept").splitlines()
    counts = dict(line.split(": ") for line in said[2:])
    otherwise = int(counts["failed otherwise"])
    assert int(counts["finished"]) + int(counts["failed as meant"]) == JOBS - otherwise
    assert (counts["lost"], counts["duplicates"]) == ("0", "0")
    client = tmp_path / "kept" / "client.jsonl"
    told = [json.loads(line) for line in client.read_text().splitlines()]
    reasons = Counter(line["reason"] for line in told if line["did"] == "ended" and line["reason"])
    assert reasons["worker_lost"] == otherwise  # three times, on a slow machine
    assert any(line["did"] == "killed" for line in told)


def test_a_trial_that_loses_a_process_ends_with_a_sentence(tmp_path: Path):
    """It would wait for ever for the jobs of a fleet that is gone."""
    arguments = ["--workers", "2", "--jobs", "50", "--pace", "60", "--evidence", "kept"]
    with subprocess.Popen(
        [sys.executable, "-m", "ffrtmp", "simulate", *arguments],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    ) as trial:
        fleet = tmp_path / "kept" / "fleet-b.log"
        wait_for(lambda: fleet.exists() and "connected: stream" in fleet.read_text())
        [victim] = [
            child
            for child in psutil.Process(trial.pid).children()
            if "--name b" in " ".join(child.cmdline())
        ]
        victim.kill()
        _, said = trial.communicate(timeout=60)
    assert trial.returncode == 2
    assert "process b ended by itself" in said.splitlines()[-1]
    assert "Traceback" not in said
