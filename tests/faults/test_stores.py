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
    """Master killed before and after each of the first commits of its run, over and over; each run
    begins with what the one before left: every job is done once, the invariants hold. Ten
    deaths."""
    await cluster.worker("w1", slots=2)
    patient = Client(cluster.address, cluster.certs / "client-c", patience=300)
    async with patient as client, asyncio.TaskGroup() as tasks:
        submitted = []
        for number in range(1, FAILPOINTS + 1):
            for side in ((), ("--after",)):
                fault = ("--at", COMMIT, "kill", "--skip", str(number), *side)
                if cluster.master.code is None:
                    cluster.master.kill()  # the first one
                cluster.masters[0].begin(*fault)
                spec = spec_for([f"a{number}{'-'.join(side)}.mkv"], 0.2)
                submitted.append(tasks.create_task(client.submit(spec)))
                await until(lambda: cluster.master.code is not None, 30, f"death {fault}")
        await cluster.start_master()
    for each in submitted:
        history = await cluster.succeeds(each.result().job_id, 40)
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


@one_store
async def test_d10_what_is_acknowledged_is_on_the_disk(cluster, row):
    """fsync before the acknowledgement, seen by strace; then SIGKILL at once, and a new start: what
    was acknowledged is there. Ten submits, ten deaths."""
    for number in range(TIMES):
        trace = cluster.folder / f"trace{number}"
        tracer = traced(cluster.master.pid, trace)
        is_seen = await until(lambda t=tracer: sees(t, cluster.master.pid), 15) == SEES
        if not is_seen:
            row.substitutes(UNTRACED)
        before = syncs(trace)
        job_id = await cluster.submit(f"a{number}.mkv")
        cluster.master.kill()
        assert not is_seen or syncs(trace) > before
        if tracer is not None:
            tracer.wait(10)
        with row.within(5.0):
            await cluster.start_master()
            assert (await cluster.history(job_id)).state == "QUEUED"


SEES, REFUSED_TO = "it sees", "it may not"
UNTRACED = (
    "no process may be traced here (strace is missing, or the kernel refuses ptrace): that what was"
    " acknowledged outlives a SIGKILL is shown, not that it was on the disk before"
)


def traced(pid: int, trace: Path) -> subprocess.Popen[bytes] | None:
    asked = ("-f", "-q", "-e", "trace=fsync,fdatasync", "-o", str(trace), "-p", str(pid))
    return subprocess.Popen(["strace", *asked]) if shutil.which("strace") else None


def sees(tracer: subprocess.Popen[bytes] | None, pid: int) -> str:
    """Empty while it is not known yet."""
    if tracer is None or tracer.poll() is not None:
        return REFUSED_TO
    status = Path(f"/proc/{pid}/status").read_text()
    return SEES if re.search(r"TracerPid:\s+[1-9]", status) else ""


def syncs(trace: Path) -> int:
    return trace.read_text().count("= 0") if trace.exists() else 0
