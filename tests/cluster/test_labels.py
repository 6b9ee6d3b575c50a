"""Labels as a user meets them: real workers that carry them, jobs that ask for them."""

import json
from pathlib import Path

import pytest

from ffrtmp.cli.target import RECORD
from tests.cluster.conftest import Cluster, Shell, process, up

pytestmark = pytest.mark.slow

CLIP = "test:64x48@25:1s"


def address_of(cluster: Cluster) -> str:
    return json.loads((cluster.state / "up" / RECORD).read_text())["address"]


def test_a_job_waits_for_its_label_says_so_and_runs_on_the_worker_that_brings_it(
    folders: tuple[Path, Path], tmp_path: Path, shell: Shell, terminal
):
    with up(*folders, "--label", "zone=us,rack=7") as cluster:
        job_id = cluster.submit(CLIP, "eu.mp4", "--require", "zone=eu", "--require", "gpu=none")
        assert shell(cluster, "jobs", "watch", cluster.submit(CLIP, "any.mp4")).code == 0
        waits = shell(cluster, "jobs", "explain", job_id).out
        assert "no fit worker: no worker that is here has its labels" in waits
        assert "w1\tlabel\tgpu=none is required, it has no label gpu; zone=eu is" in waits
        shown = shell(cluster, "jobs", "get", job_id).out
        assert "  requires gpu=none, zone=eu\n" in shown
        assert "no worker takes it: no connected worker has the label gpu=none or zone=eu" in shown
        assert cluster.job(job_id)["job"]["state"] == "JOB_STATE_QUEUED"
        told = terminal(cluster, "jobs", "watch", job_id, columns=120)
        told.wait_for("still queued: no worker takes it: no connected worker has the label gpu=no")
        ran = shell(cluster, "jobs", "submit", CLIP, "c.mp4", "--require", "zone")
        assert (ran.code, "require: 'zone' is not valid: write KEY=VALUE" in ran.err) == (2, True)
        assert "h264, aac, media, gpu=none, zone=eu" in shell(cluster, "overview").out.replace(
            "aac, h264", "h264, aac"
        )

        certs = cluster.state / "up" / "certs"
        assert shell(cluster, "certs", "issue", str(certs), "worker", "w9").code == 0
        arguments = ["worker", "--certs", str(certs / "worker-w9"), "--root"]
        arguments += [f"media={cluster.media}", "--master", address_of(cluster)]
        arguments += ["--label", "zone=eu,gpu=none", "--state-dir", str(tmp_path / "w9")]
        with process(tmp_path, "connected: stream", *arguments):
            assert shell(cluster, "jobs", "watch", job_id).code == 0
            assert cluster.job(job_id)["job"]["worker"] == "w9"
            assert "  labels gpu=none, zone=eu\n" in shell(cluster, "workers", "get", "w9").out
            rows = shell(cluster, "workers", "list").out.splitlines()
            assert [row.split("\t")[-1] for row in rows] == [
                "labels",
                "rack=7, zone=us",
                "gpu=none, zone=eu",
            ]
            listed = shell(cluster, "workers", "list", "--json").out.splitlines()
            assert json.loads(listed[1])["capabilities"]["labels"] == {"zone": "eu", "gpu": "none"}


def test_a_job_that_waits_runs_when_the_worker_is_restarted_with_its_label(
    folders: tuple[Path, Path],
):
    spec = {
        "input": {"test_source": {"width": 64, "height": 48, "duration": "1s"}},
        "outputs": [{"path": "media:a.mp4"}],
        "labels": {"zone": "eu"},
    }
    with up(*folders) as cluster:
        job_id = cluster.run("jobs", "submit", "--spec", "-", stdin=json.dumps(spec)).out.strip()
        assert cluster.job(job_id)["job"]["spec"]["labels"] == {"zone": "eu"}
        assert cluster.stop() == 0
    with up(*folders, "--label", "zone=eu") as cluster:
        assert cluster.run("jobs", "watch", job_id).code == 0


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["transcode", CLIP, "a.mp4", "--require", "zone"], "require: 'zone' is not valid"),
        (
            ["transcode", CLIP, "a.mp4", "--require", "zone=e u"],
            "require.zone: 'e u' is not valid: a value has 1 to 63 letters",
        ),
        (
            ["transcode", CLIP, "a.mp4", "--require", "a=1", "--require", "a=2"],
            "require: 'a=2' is not valid: a is given twice",
        ),
        (["up", "--label", "zone"], "label: 'zone' is not valid: write KEY=VALUE"),
        (["up", "--label", "ffrtmp.zone=eu"], "keys that begin with ffrtmp. are reserved"),
    ],
)
def test_a_label_that_is_none_is_refused_with_what_would_be_right(
    folders: tuple[Path, Path], shell: Shell, arguments: list[str], why: str
):
    ran = shell(Cluster(*folders, None), *arguments)
    assert (ran.code, why in ran.err) == (2, True), ran.err
    assert list(folders[1].iterdir()) == []


def test_a_private_cluster_has_no_labels_to_choose_by(folders: tuple[Path, Path], shell: Shell):
    ran = shell(Cluster(*folders, None), "transcode", CLIP, "a.mp4", "--require", "zone=eu")
    assert (ran.code, "give --master, or start ffrtmp up" in ran.err) == (2, True), ran.err
    assert list(folders[1].iterdir()) == []
