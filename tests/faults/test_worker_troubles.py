"""Workers that live, but not well: frozen, blocked, draining, full, doubled; FFmpeg that fails."""

import asyncio
import os
import resource
import signal
import time

import pytest

from tests.faults.kit.cluster import LOST
from tests.faults.kit.processes import ffmpegs
from tests.faults.kit.stores import one_store
from tests.faults.kit.waiting import until

TIMES = 10
SMALL_BYTES = 16384


@pytest.mark.requirement("G4")
async def test_w4_a_frozen_workers_job_is_done_once_by_another(cluster, row):
    """SIGSTOP worker until its job is done elsewhere, SIGCONT: what it says then is STALE or STOP,
    nothing is done twice, nothing of it is left."""
    workers = {name: await cluster.worker(name) for name in ("w1", "w2")}
    job_id = await cluster.submit("a.mkv", seconds=3)
    first = workers[(await cluster.encodes(job_id)).job.worker]
    first.process.freeze()
    with row.within(LOST):
        await cluster.happens(job_id, "LOST", 3 * LOST)
    history = await cluster.succeeds(job_id)
    first.process.thaw()
    await until(first.is_connected, 15)
    await until(lambda: not cluster.leftovers(job_id), 15)
    assert str(await cluster.history(job_id)) == str(history)
    assert (sorted(history.workers), history.job.charged) == (["w1", "w2"], 1)


async def test_w4_a_frozen_workers_result_is_accepted_late(cluster, row):
    """SIGSTOP worker until its lease is over and FFmpeg has finished, nobody else is there,
    SIGCONT: the late result is accepted, the charge taken back, FFmpeg not run again."""
    w1 = await cluster.worker("w1")
    job_id = await cluster.submit("a.mkv", seconds=1)
    await cluster.encodes(job_id)
    w1.process.freeze()
    lost = await cluster.happens(job_id, "LOST", 3 * LOST)
    await until(lambda: not ffmpegs(job_id), 15)
    w1.process.thaw()
    with row.within(LOST):
        history = await cluster.succeeds(job_id)
    assert (lost.job.charged, history.job.charged, history.job.fence) == (1, 0, 1)
    assert cluster.runs(job_id) == 1


@one_store
async def test_w8_a_blocked_event_loop_costs_nothing(cluster_of, row):
    """Event loop of worker blocked for two thirds of T: the stream may drop; the job is kept, not
    charged, not run again. Five workers, twice each."""
    async with cluster_of("--missed-heartbeats", "10") as cluster:
        names = ("w1", "w2", "w3", "w4", "w5")
        workers = [await cluster.worker(name, "--block", "3.3") for name in names]
        jobs = await cluster.submit_many(len(workers))
        for job_id in jobs:
            await cluster.encodes(job_id)
        before = [await cluster.history(job_id) for job_id in jobs]
        for _ in range(2):
            beats = [(await worker.seen()).heartbeat_time for worker in workers]
            began = time.monotonic()
            for worker in workers:
                worker.process.send(signal.SIGUSR1)
            for worker, beat in zip(workers, beats, strict=True):
                await until(lambda w=worker, b=beat: beats_again(w, b.seconds + 3), 15)
            row.took(time.monotonic() - began, 5.0)
        for job_id, history in zip(jobs, before, strict=True):
            after = await cluster.history(job_id)
            assert after.causes == history.causes == ["SUBMITTED", "GRANTED", "ACCEPTED"]
            assert cluster.runs(job_id) == 1


async def beats_again(worker, second: float) -> bool:
    return await worker.is_connected() and (await worker.seen()).heartbeat_time.seconds > second


@one_store
@pytest.mark.requirement("G6")
async def test_w9_a_failure_of_ffmpeg_is_final(cluster, row):
    """FFmpeg exits with an error of its own: terminal, never retried, its last words kept."""
    await cluster.worker("w1")
    await cluster.worker("w2")
    job_id = await cluster.submit("broken.mkv")
    history = (await cluster.reaches(job_id, "FAILED", "SUCCEEDED")).check()
    assert history.causes == ["SUBMITTED", "GRANTED", "ACCEPTED", "FAILED"]
    assert history.reasons == ["FFMPEG_FAILED"]
    assert history.job.failure.exit_code != 0
    assert "no_such_option" in " ".join(history.job.failure.log_tail)
    assert (cluster.runs(job_id), history.job.charged) == (1, 0)


@one_store
async def test_w10_an_ffmpeg_killed_from_outside_is_retried_elsewhere(cluster, row):
    """FFmpeg SIGKILLed from outside, as by the kernel without memory: RESOURCE (memory), charged,
    retried on another worker after a back-off."""
    for name in ("w1", "w2"):
        await cluster.worker(name)
    job_id = await cluster.submit("a.mkv", seconds=2)
    await cluster.encodes(job_id)
    for pid in ffmpegs(job_id):
        os.kill(pid, signal.SIGKILL)
    history = await cluster.succeeds(job_id)
    assert history.reasons == ["RESOURCE_MEMORY"]
    assert (sorted(history.workers), history.job.charged) == (["w1", "w2"], 1)
    failed, again = history.events_of("FAILED")[0], history.events_of("GRANTED")[1]
    assert again.at - failed.at >= 2.5
    row.took(again.at - failed.at, 5.0)


async def test_w13_a_draining_worker_finishes_what_it_runs(cluster, row):
    """SIGTERM during ten runs: no new offers, all ten are finished, then it leaves with exit
    code 0."""
    w1 = await cluster.worker("w1", slots=TIMES)
    jobs = await cluster.submit_many(TIMES, seconds=3)
    for job_id in jobs:
        await cluster.encodes(job_id)
    w1.process.send(signal.SIGTERM)
    await until(lambda: "draining" in w1.log, 5)
    late = await cluster.submit("late.mkv", seconds=0.2)
    for job_id in jobs:
        history = await cluster.succeeds(job_id)
        assert (history.job.attempts, history.job.charged) == (1, 0)
    await until(lambda: w1.process.code is not None, 5)
    assert w1.process.code == 0
    assert (await cluster.history(late)).causes == ["SUBMITTED"]
    await cluster.worker("w2")
    assert (await cluster.succeeds(late)).workers == ["w2"]


async def test_w13_what_a_drain_cuts_short_goes_back_uncharged(cluster_of, row):
    """SIGTERM during ten runs that take longer than drain_timeout: all ten are handed back
    uncharged and end on another worker; none is lost."""
    async with cluster_of("--drain-timeout", "500ms") as cluster:
        w1 = await cluster.worker("w1", slots=TIMES)
        jobs = await cluster.submit_many(TIMES, seconds=10)
        for job_id in jobs:
            await cluster.encodes(job_id)
        w1.process.send(signal.SIGTERM)
        began = time.monotonic()
        for job_id in jobs:
            await cluster.happens(job_id, "RETURNED", 15)
        row.took(time.monotonic() - began, 0.5 + 2.0)
        await until(lambda: w1.process.code is not None, 5)
        assert not ffmpegs(str(cluster.folder))
        await cluster.worker("w2", slots=TIMES)
        for job_id in jobs:
            history = await cluster.succeeds(job_id)
            assert (history.workers, history.job.charged) == (["w1", "w2"], 0)
        assert w1.process.code == 0


@one_store
async def test_w16_a_disk_that_is_full_for_one_worker(cluster, row):
    """Disk full while staging on one worker (a limit on the size of its files): RESOURCE, not
    charged, back-off, the staged file removed, another worker preferred."""
    w1 = await cluster.worker("w1")  # of two that are free it is asked first, for its name
    await cluster.worker("w2")
    job_limit = (SMALL_BYTES, SMALL_BYTES)
    resource.prlimit(w1.process.pid, resource.RLIMIT_FSIZE, job_limit)
    job_id = await cluster.submit("fast.mkv", seconds=60)
    failed = await cluster.happens(job_id, "FAILED", 15)
    assert (failed.reasons, failed.job.charged) == (["RESOURCE"], 0)
    assert not cluster.leftovers(f"{job_id}.1.")
    history = await cluster.succeeds(job_id)
    assert (history.workers, history.job.charged) == (["w1", "w2"], 0)
    again = history.events_of("GRANTED")[1].at
    row.took(again - history.events_of("FAILED")[0].at, 5.0)


@one_store
async def test_w16_a_disk_that_is_full_for_all(cluster_of, row):
    """Disk full on all workers (a tiny file system): tried again uncharged with back-off, FAILED
    (RESOURCE) at the fifth, nothing left. The master's clock is put on through the back-offs."""
    async with cluster_of(fault=["--clock", "300"]) as cluster:
        if not await ran("mount", "-t", "tmpfs", "-o", "size=1200k", "tmpfs", str(cluster.media)):
            pytest.skip("only root may mount a small file system")
        try:
            for name in ("w1", "w2"):
                await cluster.worker(name)
            (cluster.media / "ballast").write_bytes(b"x" * 128 * 1024)
            job_id = await cluster.submit("fast.ts", seconds=3600)
            await fill(cluster, job_id)
            history = (await cluster.reaches(job_id, "FAILED", seconds=15)).check()
            assert history.reasons == ["RESOURCE"] * 5
            assert (history.job.charged, set(history.workers)) == (0, {"w1", "w2"})
            await until(lambda: not cluster.leftovers(job_id), 5)
        finally:
            cluster.end()
            assert await ran("umount", str(cluster.media))


async def ran(*command: str) -> bool:
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    return await process.wait() == 0


async def fill(cluster, job_id: str) -> None:
    for times in range(1, 5):
        await cluster.happens(job_id, "FAILED", 30, times=times)
        cluster.master.send(signal.SIGUSR2)
    await cluster.happens(job_id, "FAILED", 30, times=5)


@one_store
async def test_w17_a_twin_is_refused_and_touches_nothing(cluster, row):
    """Two workers with one certificate: the second is refused while the first is alive, the first
    is named, the master says so; no job of the first is touched."""
    w1 = await cluster.worker("w1")
    job_id = await cluster.submit("a.mkv", seconds=3)
    await cluster.encodes(job_id)
    first, incumbent = w1.process, (await w1.seen()).address
    w1.start(name="twin")
    twin = w1.process
    await until(lambda: twin.code is not None, 15)
    assert twin.code == 3
    assert incumbent in twin.log.read_text()
    assert "refused a stream of w1" in (cluster.folder / "master.log").read_text()
    assert first.code is None
    history = await cluster.succeeds(job_id)
    assert (history.job.attempts, history.job.charged) == (1, 0)
