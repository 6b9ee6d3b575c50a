"""Workers that die: what they ran goes elsewhere, what they had finished is not done again."""

import asyncio
import os
import signal
import time

import pytest

from tests.faults.kit.cluster import LOST, Cluster
from tests.faults.kit.history import History
from tests.faults.kit.processes import ffmpegs
from tests.faults.kit.record import Row
from tests.faults.kit.stores import one_store
from tests.faults.kit.waiting import until

AT_ONCE = 1.0
TIMES = 10


@pytest.mark.requirement("G4")
async def test_w1_a_killed_workers_job_is_finished_by_another(cluster, row):
    """SIGKILL worker, staged job running: requeued <= T+1 s, charged 1, another completes it."""
    workers = {name: await cluster.worker(name) for name in ("w1", "w2")}
    job_id = await cluster.submit("a.mkv", seconds=3)
    first = (await cluster.encodes(job_id)).job.worker
    workers[first].process.kill()
    with row.within(LOST):
        await cluster.happens(job_id, "LOST", 3 * LOST)
    history = await cluster.succeeds(job_id)
    assert (history.job.charged, history.job.attempts) == (1, 2)
    assert history.workers == [first, *(workers.keys() - {first})]
    assert history.reasons == ["WORKER_LOST"]


@one_store
async def test_w3_a_host_that_loses_power_is_noticed(cluster, row):
    """Power loss (nothing comes through any more, process killed): requeued <= T+1 s.

    With T scaled down the lease ends before the ping time-out of 20 s can show itself; that one is
    tested unscaled in tests/integration/test_silent_peer.py.
    """
    w1 = await cluster.worker("w1", proxied=True)
    job_id = await cluster.submit("a.mkv", seconds=5)
    await cluster.encodes(job_id)
    w2 = await cluster.worker("w2")
    w1.proxy.hold()
    w1.process.kill()
    with row.within(LOST):
        await cluster.happens(job_id, "LOST", 3 * LOST)
    history = await cluster.succeeds(job_id)
    assert (history.workers, history.job.charged) == (["w1", "w2"], 1)
    assert not await w1.is_connected()
    assert await w2.is_connected()


async def test_w5_a_worker_that_is_back_at_once_loses_and_keeps_the_right_jobs(cluster_of, row):
    """SIGKILL, restarted at once under its name: what it ran is lost at its hello, without waiting
    for the lease; what its journal holds passes to it with the same fence."""
    async with cluster_of("--missed-heartbeats", "20") as cluster:
        w1 = await cluster.worker("w1", slots=2, proxied=True)
        ran, finished = await cluster.submit("a.mkv"), await cluster.submit("b.mkv", seconds=1)
        await cluster.encodes(ran)
        await cluster.encodes(finished)
        w1.proxy.hold()
        await until(lambda: not ffmpegs(finished), 15)
        journal = cluster.folder / "state" / "worker-w1" / "journal"
        await until(lambda: b'"sha256"' in (journal / f"{finished}.1.json").read_bytes(), 15)
        w1.process.kill()
        w1.proxy.reset()
        w1.proxy.restore()
        old = (await w1.seen()).incarnation

        async def is_back() -> bool:
            return (await w1.seen()).incarnation != old

        w1.start()
        await until(is_back, 15)
        with row.within(AT_ONCE):
            lost = await cluster.happens(ran, "LOST", 3 * AT_ONCE)
        assert "came back as a new incarnation" in lost.events_of("LOST")[0].detail
        assert lost.events_of("LOST")[0].charged == 1
        history = await cluster.succeeds(finished)
        assert "INHERITED" in history.causes
        assert (history.job.fence, history.job.charged, cluster.runs(finished)) == (1, 0, 1)
        await cluster.client.cancel(ran)
        (await cluster.reaches(ran, "CANCELLED")).check()


async def test_w6_finished_encodes_survive_their_worker(cluster_of, row):
    """Worker restarts after FFmpeg has finished, before result_ack: the journalled result is sent
    again in hello and committed once; FFmpeg is not run again. Ten attempts, in two deaths."""
    async with cluster_of("--missed-heartbeats", "20") as cluster:
        place = ("--at", "ffrtmp.worker.journal:Journal.record", "kill", "--after")
        for history in await all_caught_by_deaths(cluster, row, *place):
            assert history.causes.count("STAGED") == 1
            assert (history.job.attempts, history.job.charged) == (1, 0)
            assert cluster.runs(history.job.job_id) == 1


async def test_w7_a_worker_that_dies_before_the_rename_publishes_when_it_is_back(cluster_of, row):
    """Worker dies between COMMITTED and the rename, and comes back: published from the staged
    file, the checksum matches, FFmpeg is not run again. Ten attempts, in two deaths."""
    async with cluster_of("--missed-heartbeats", "20") as cluster:
        place = ("--at", "ffrtmp.storage.publishing:publish", "kill")
        for history in await all_caught_by_deaths(cluster, row, *place):
            assert history.causes[3:5] == ["STAGED", "INHERITED"]
            assert (history.job.charged, cluster.runs(history.job.job_id)) == (0, 1)


async def all_caught_by_deaths(cluster: Cluster, row: Row, *place: str) -> list[History]:
    """Twice: five attempts reach that place, where their worker dies; it finishes them in its next
    run. Five, since a worker has six threads for its files."""
    histories = []
    fault = [*place, "--times", str(TIMES // 2), "--when"]
    w1 = await cluster.worker("w1", *fault, "one", slots=TIMES)
    for name, following in (("one", [*fault, "two"]), ("two", [])):
        jobs = await cluster.submit_many(TIMES // 2, name=name, seconds=0.5)
        await until(lambda: w1.process.code is not None, 15, "its death")
        w1.start(*following)
        with row.within(LOST):
            histories += [await cluster.succeeds(job_id) for job_id in jobs]
    return histories


async def test_w7_another_worker_publishes_what_a_dead_one_staged(cluster, row):
    """Worker dies between COMMITTED and the rename, and stays away: the manifest is kept, another
    worker of the shared root publishes the staged file, uncharged, FFmpeg is not run again. Five
    attempts in one death."""
    at_once = TIMES // 2
    fault = ("--at", "ffrtmp.storage.publishing:publish", "kill", "--times", str(at_once))
    w1 = await cluster.worker("w1", *fault, slots=at_once)
    jobs = await cluster.submit_many(at_once, seconds=0.5)
    await until(lambda: w1.process.code is not None, 15, "its death")
    died = time.monotonic()
    w2 = cluster.another("w2", slots=at_once)
    for job_id in jobs:
        await cluster.happens(job_id, "LOST", 3 * LOST)
    row.took(time.monotonic() - died, LOST)
    await w2.connected()
    for job_id in jobs:
        history = await cluster.succeeds(job_id)
        assert (history.workers, history.job.charged) == (["w1", "w2"], 0)
        assert cluster.runs(job_id) == 1


async def test_w12_a_poison_job_fails_at_the_third_worker(cluster, row):
    """A job whose FFmpeg kills every worker that runs it: FAILED after exactly three charged
    attempts, and the reason names the workers."""
    for name in ("w1", "w2", "w3"):
        await cluster.worker(name)
    job_id = await cluster.submit("poison.mkv")
    history = await cluster.reaches(job_id, "FAILED", seconds=60)
    history.check()
    assert (history.job.charged, history.job.attempts) == (3, 3)
    assert sorted(history.workers) == ["w1", "w2", "w3"]
    assert history.reasons == ["WORKER_LOST"] * 3
    for event in history.events_of("LOST"):
        assert event.worker in event.detail
    row.took(history.events[-1].at - history.events[1].at, 3 * LOST + 5)


@one_store
async def test_w12_a_job_that_kills_its_worker_while_probing_is_charged_too(cluster_of, row):
    """A job that kills every worker that touches its input: FAILED after three charged attempts."""
    fault = ("--at", "ffrtmp.worker.runner:prepare", "kill")
    async with cluster_of("--missed-heartbeats", "20") as cluster:
        w1 = await cluster.worker("w1", *fault)
        job_id = await cluster.submit("a.mkv")
        while not (history := await cluster.history(job_id)).ended:
            if w1.process.code is not None:
                w1.start(*fault)
            await asyncio.sleep(0.05)
        history.check()
        assert (history.job.charged, history.job.attempts, cluster.runs(job_id)) == (3, 3, 0)


@one_store
async def test_w19_no_ffmpeg_outlives_its_worker(cluster, row):
    """SIGKILL only the worker process, FFmpeg alive but hanging, so that no broken pipe ends it:
    its guard kills it <= 1 s after, no orphan after 2 s; the job follows W1."""
    w1 = await cluster.worker("w1")
    job_id = await cluster.submit("a.mkv")
    await cluster.encodes(job_id)
    for pid in ffmpegs(job_id):
        os.kill(pid, signal.SIGSTOP)
    w1.process.send(signal.SIGKILL)
    with row.within(AT_ONCE):
        await until(lambda: not ffmpegs(job_id), 2)
    await cluster.happens(job_id, "LOST", 3 * LOST)
    assert not ffmpegs(str(cluster.folder))
