"""The store fails in the middle of its work: what was acknowledged is there, nothing is twice."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ffrtmp.client import Client
from ffrtmp.domain.errors import Unavailable
from tests.faults.kit.cluster import Cluster, spec_for
from tests.faults.kit.processes import ffmpegs
from tests.faults.kit.stores import one_store
from tests.faults.kit.waiting import until

TIMES = 10
FAILPOINTS = 5
COMMIT = "ffrtmp.store.writer:Writer._try_group"
REFUSED = 2.0


@one_store
async def test_m12_a_master_that_dies_at_any_commit_is_only_delayed(cluster, row):
    """Master killed before and after each of the first commits of its run, over and over: the job
    in work is done once, the invariants hold. Ten deaths."""
    await cluster.worker("w1", slots=2)
    for number in range(1, FAILPOINTS + 1):
        for side in ((), ("--after",)):
            fault = ("--at", COMMIT, "kill", "--skip", str(number), *side)
            await cluster.restart_master(*fault)
            name = f"a{number}{'-'.join(side)}.mkv"
            async with asyncio.TaskGroup() as tasks:
                submitted = tasks.create_task(cluster.submit(name, seconds=0.2))
                await until(lambda: cluster.master.code is not None, 30, f"death {fault}")
                with row.within(5.0):
                    await cluster.start_master()
            history = await cluster.succeeds(submitted.result(), 40)
            assert history.job.charged <= 1


@one_store
async def test_d9_a_full_disk_under_the_database_is_waited_for(tmp_path, row, cluster_on):
    """SQLite's disk is full: a submit is refused within 2 s, ten running jobs go on and their
    results wait in the worker's journal; with room again all is delivered, without a restart."""
    with small_disk(tmp_path / "disk") as disk:
        async with cluster_on(f"sqlite:{disk / 'master.db'}") as cluster:
            w1 = await cluster.worker("w1", slots=TIMES)
            jobs = await cluster.submit_many(TIMES, seconds=4)
            for job_id in jobs:
                await cluster.encodes(job_id)
            fill(disk / "ballast")
            with row.within(REFUSED), pytest.raises(Unavailable):
                await submit_until_refused(cluster)
            await until(lambda: not any(ffmpegs(job_id) for job_id in jobs), 30)
            assert w1.process.code is cluster.master.code is None
            (disk / "ballast").unlink()
            for job_id in jobs:
                history = await cluster.succeeds(job_id, 40)
                assert (history.job.charged, cluster.runs(job_id)) == (0, 1)


async def submit_until_refused(cluster: Cluster) -> None:
    """A few may find room in what the database has already."""
    async with Client(cluster.address, cluster.certs / "client-c", patience=0) as client:
        for number in range(100):
            await client.submit(spec_for([f"refused{number}.mkv"]))


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=4m", "none"]
    if subprocess.run(["mount", *options, str(folder)], check=False).returncode:
        pytest.skip("only root may mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


def fill(path: Path) -> None:
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
@one_store
async def test_d10_what_is_acknowledged_is_on_the_disk(cluster, row):
    """fsync before the acknowledgement, seen by strace; then SIGKILL at once, and a new start: what
    was acknowledged is there. Ten submits, ten deaths."""
    for number in range(TIMES):
        trace = cluster.folder / f"trace{number}"
        tracer = traced(cluster.master.pid, trace)
        await until(lambda: is_traced(cluster.master.pid), 15)
        before = syncs(trace)
        job_id = await cluster.submit(f"a{number}.mkv")
        cluster.master.kill()
        assert syncs(trace) > before
        tracer.wait(10)
        with row.within(5.0):
            await cluster.start_master()
            assert (await cluster.history(job_id)).state == "QUEUED"


def traced(pid: int, trace: Path) -> subprocess.Popen[bytes]:
    asked = ("-f", "-q", "-e", "trace=fsync,fdatasync", "-o", str(trace), "-p", str(pid))
    return subprocess.Popen(["strace", *asked])


def is_traced(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    return re.search(r"TracerPid:\s+[1-9]", status) is not None


def syncs(trace: Path) -> int:
    return trace.read_text().count("= 0") if trace.exists() else 0
