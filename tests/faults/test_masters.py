"""Masters that die: nothing is run again, nothing is charged, nothing is said twice."""

import asyncio
import os
import signal
import time

import pytest

from ffrtmp.domain.job import JobState
from ffrtmp.domain.messages import Published, ResultAck, ResultOutcome, Staged
from tests.faults.kit.cluster import LEASE, LOST, Master, spec_for
from tests.faults.kit.figures import at_most, scrape
from tests.faults.kit.history import EVERYTHING
from tests.faults.kit.peer import floor_at, manifest, running
from tests.faults.kit.processes import ffmpegs
from tests.faults.kit.record import Row
from tests.faults.kit.stores import one_store
from tests.faults.kit.waiting import until

READOPTED = 10.0
TIMES = 10
MANY = int(os.environ.get("FFRTMP_TEST_STREAMS", "200"))
FULL = 1000
HELLOS_AT_ONCE = 64
DOWN = 8 * LEASE
OFFER_TTL = 0.5


@one_store
@pytest.mark.requirement("P4")
async def test_m1_a_killed_master_finds_everything_running(cluster, row):
    """SIGKILL master (SQLite), restarted at once: 0 run again, 0 charged, all re-adopted <= 10 s.
    Ten deaths over twenty running jobs."""
    workers = [await cluster.worker(name, slots=10) for name in ("w1", "w2")]
    jobs = await cluster.submit_many(20)
    for job_id in jobs:
        await cluster.encodes(job_id)
    before = {job_id: str(await cluster.history(job_id)) for job_id in jobs}
    for _ in range(TIMES):
        await cluster.restart_master()
        with row.within(READOPTED):
            for worker in workers:
                await until(lambda w=worker: holds(w, 10), 3 * READOPTED)
    assert {job_id: str(await cluster.history(job_id)) for job_id in jobs} == before
    assert [cluster.runs(job_id) for job_id in jobs] == [1] * len(jobs)


async def holds(worker, count: int) -> bool:
    return await worker.is_connected() and len((await worker.seen()).attempts) == count


async def test_m2_encodes_outlive_a_master_that_is_away_for_long(cluster, row):
    """SIGKILL master, down for eight leases: staged FFmpegs go on; finished ones deliver their
    journalled results; nothing is run again or charged. Ten jobs."""
    w1 = await cluster.worker("w1", slots=10)
    short = await cluster.submit_many(5, seconds=2, name="short")
    long = await cluster.submit_many(5, seconds=DOWN + 8, name="long")
    for job_id in short + long:
        await cluster.encodes(job_id)
    cluster.master.kill()
    await asyncio.sleep(DOWN)  # the fault itself: so long is it away
    assert not any(ffmpegs(job_id) for job_id in short)
    assert all(ffmpegs(job_id) for job_id in long)
    assert w1.process.code is None
    await cluster.start_master()
    with row.within(READOPTED):
        histories = [await cluster.succeeds(job_id, 3 * READOPTED) for job_id in short]
    histories += [await cluster.succeeds(job_id, 3 * READOPTED) for job_id in long]
    for history in histories:
        assert (history.job.attempts, history.job.charged) == (1, 0)
        assert cluster.runs(history.job.job_id) == 1


async def test_m3_results_that_were_committed_but_not_acknowledged(cluster_of, row):
    """SIGKILL between commit and result_ack, of STAGED and of PUBLISHED: sent again, answered
    ALREADY, committed once. Ten results at each death."""
    fault = ("--at", "ffrtmp.master.results:Results._acknowledge", "kill", "--when")
    async with cluster_of("--missed-heartbeats", "20", fault=[*fault, "Staged("]) as cluster:
        jobs = await cluster.submit_many(TIMES)
        async with floor_at(cluster.address, cluster.certs) as floor:
            peer = floor.peer()
            await peer.hello(slots=TIMES)
            keys = [await peer.accept() for _ in jobs]
            for step, following in ((Staged, [*fault, "Published("]), (Published, [])):
                results = [
                    step(key, manifest(key)) if step is Staged else step(key) for key in keys
                ]
                await peer.say(*results)
                await until(lambda: cluster.master.code is not None, 15, "its death")
                await cluster.start_master(*following)
                with row.within(LOST):
                    peer = floor.peer()
                    await peer.hello(*(running(key, journalled=True) for key in keys), slots=TIMES)
                    await peer.say(*results)
                    acks = [await peer.hear(ResultAck) for _ in keys]
                assert {ack.outcome for ack in acks} == {ResultOutcome.ALREADY}
        for job_id in jobs:
            history = (await cluster.reaches(job_id, "SUCCEEDED")).check()
            assert history.causes == EVERYTHING


async def test_m4_a_grant_that_was_never_sent_comes_back(cluster_of, row):
    """SIGKILL between grant commit and offer write: LEASED, never offered; returned by the sweep
    after two offer_ttl, uncharged, though its worker does not say a word."""
    fault = ("--at", "ffrtmp.master.dispatcher:Dispatcher._offer", "kill")
    async with cluster_of("--missed-heartbeats", "20", fault=fault) as cluster:
        async with floor_at(cluster.address, cluster.certs) as floor:
            await floor.peer().hello()
            job_id = await cluster.submit("a.mkv")
            await until(lambda: cluster.master.code is not None, 15, "its death")
        await cluster.start_master()
        assert (await cluster.history(job_id)).state in {"LEASED", "QUEUED"}
        history = await cluster.happens(job_id, "UNANSWERED", 15)
        granted, returned = history.events[1], history.events[2]
        assert returned.at - granted.at >= 2 * OFFER_TTL
        row.took(returned.at - granted.at, 2 * OFFER_TTL + 1.0)
        async with floor_at(cluster.address, cluster.certs) as floor:
            peer = floor.peer("w2")
            await peer.hello()
            key = await peer.accept()
            assert await peer.stage(key) is await peer.publish(key) is ResultOutcome.COMMITTED
        history = (await cluster.reaches(job_id, "SUCCEEDED")).check()
        assert (history.job.charged, history.job.attempts, history.job.fence) == (0, 1, 2)


@one_store
async def test_m10_a_second_master_does_not_start_on_the_same_file(cluster, row):
    """Second master started on the same SQLite file: refuses with exit code and message; the first
    is not disturbed."""
    first, cluster.address = cluster.address, "127.0.0.1:0"
    second = cluster.launch_master()
    cluster.processes.append(second)
    with row.within(5.0):
        await until(lambda: second.code is not None, 15)
    assert second.code == 2
    assert "in use by another master" in second.log.read_text()
    assert cluster.master.code is None
    cluster.address = first
    await cluster.worker("w1")
    await cluster.succeeds(await cluster.submit("a.mkv", seconds=0.2))


async def test_m8_a_master_that_stalls_expires_nobody_by_it(cluster_of, row):
    """Master's event loop blocked for two leases, three times: no session is expired by its own
    lateness; ten running jobs are kept."""
    async with cluster_of(fault=["--block", f"{2 * LEASE}"]) as cluster:
        w1 = await cluster.worker("w1", slots=TIMES)
        jobs = await cluster.submit_many(TIMES, seconds=14)
        for job_id in jobs:
            await cluster.encodes(job_id)
        for _ in range(3):
            cluster.master.send(signal.SIGUSR1)
            await asyncio.sleep(2 * LEASE)  # the fault itself
            with row.within(READOPTED):
                await w1.connected()
        for job_id in jobs:
            history = await cluster.succeeds(job_id, 60)
            assert history.causes == EVERYTHING


@one_store
async def test_m5_m7_workers_return_at_once_and_are_sent_away(cluster_of, row):
    """200 workers (FFRTMP_TEST_STREAMS: so many) with a job each reconnect at once, after SIGKILL
    of their master: all attached <= 10 s, at most 64 hellos at once. Then SIGTERM: exit <= 15 s,
    what was committed is there; all attached again <= 10 s after the next one is ready; nothing ran
    twice."""
    if MANY < FULL:
        row.substitutes(f"{MANY} streams, not {FULL}: {FEWER}")
    async with cluster_of("--heartbeat-interval", "20s") as cluster:
        fleet = await cluster.fleet(MANY)
        specs = [spec_for([f"n{number}.mkv"], 3600, root="sim") for number in range(MANY)]
        jobs = [job.job_id for job in await cluster.client.submit_many(specs)]
        await until(lambda: fleet.began(MANY), 240, "all at work")
        [master] = cluster.masters
        await master.restart()
        with row.within(READOPTED):
            seen = await scraped_until_connected(master, row)
        assert max(each['ffrtmp_hellos{state="handled"}'] for each in seen) <= HELLOS_AT_ONCE
        began = time.monotonic()
        await master.stop()
        row.took(time.monotonic() - began, 15.0)
        await master.start()
        with row.within(READOPTED):
            await scraped_until_connected(master, row)
        await until(fleet.is_connected, 60)
        histories = [await cluster.history(job_id) for job_id in jobs[::20]]
        assert {tuple(h.causes) for h in histories} == {("SUBMITTED", "GRANTED", "ACCEPTED")}
        assert await running_count(cluster) == MANY
        assert fleet.did("began").total() == MANY


FEWER = (
    "certificates, start and two returns of 1,000 take longer than the matrix has for them;"
    " not shown: that the queue of hellos, and the bounds, hold with five times as many"
)


async def scraped_until_connected(master: Master, row: Row) -> list[dict[str, float]]:
    """What the master said of itself while all came back, the last time when all were there."""
    seen: list[dict[str, float]] = []

    async def all_are_there() -> bool:
        seen.append(await scrape(master))
        return seen[-1]['ffrtmp_workers{state="connected"}'] == MANY

    await until(all_are_there, 60, "all connected")
    most = max(each['ffrtmp_hellos{state="handled"}'] for each in seen)
    waited = max(each['ffrtmp_hellos{state="waiting"}'] for each in seen)
    lag = at_most({}, seen[-1], "ffrtmp_event_loop_lag_seconds", 1.0)
    row.measures(f"hellos at once {most:.0f}, waiting {waited:.0f}; loop lag max <= {lag:g} s")
    return seen


async def running_count(cluster) -> int:
    return len([job async for job in cluster.client.list(states=[JobState.RUNNING])])
