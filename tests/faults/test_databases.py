"""PostgreSQL goes away, fails over, or comes back older than it was."""

import asyncio
import time
from datetime import timedelta

import pytest

from ffrtmp.client import Client, Unreachable
from ffrtmp.domain.errors import Unavailable
from ffrtmp.domain.messages import Offer
from ffrtmp.v1 import job_pb2
from tests.faults.kit.cluster import Cluster, spec_for
from tests.faults.kit.peer import floor_at, running
from tests.faults.kit.waiting import until

RESUMED = 3.0
TAKEN_OVER = 10.0
AWAY = 10.0
TIMES = 10
pytestmark = pytest.mark.postgres


@pytest.fixture
def store_address(database) -> str:
    """A server of each test's own."""
    return database.dsn


async def test_d1_a_restart_of_the_database_is_waited_for(cluster_of, database, row):
    """PostgreSQL stopped for two leases under load, with ten jobs running, and started again: no
    job lost, charged or run again; the hot path resumes <= 3 s after; grace applied."""
    async with cluster_of(masters=2) as cluster:
        await cluster.worker("w1", slots=TIMES + 2)
        jobs = await cluster.submit_many(TIMES, seconds=9)
        for job_id in jobs:
            await cluster.encodes(job_id)
        await asyncio.to_thread(database.crash)
        await asyncio.sleep(3.0)  # the fault itself
        await asyncio.to_thread(database.start)
        with row.within(RESUMED):
            short = await cluster.submit("short.mkv", seconds=0.1)
            await cluster.happens(short, "ACCEPTED", 15)
        await every_job_ran_once(cluster, [*jobs, short])


async def test_d2_a_database_that_is_away_for_long(cluster_of, database, row):
    """PostgreSQL down for seven leases: acknowledgements show a lease that shrinks to nothing;
    offers stop; a submit is UNAVAILABLE within 2 s; afterwards nothing is expired or charged."""
    async with cluster_of() as cluster, floor_at(cluster.address, cluster.certs) as f:
        await cluster.worker("w1", slots=TIMES)
        jobs = await cluster.submit_many(TIMES, seconds=AWAY + 8)
        for job_id in jobs:
            await cluster.encodes(job_id)
        w2 = f.peer("w2")
        await w2.hello()
        held = await accepted(cluster, w2)
        key = running(held)
        await asyncio.to_thread(database.crash)
        began = time.monotonic()
        left = [(await w2.beat(key)).remaining]
        async with Client(cluster.address, cluster.certs / "client-c", patience=0) as client:
            with row.within(2.0), pytest.raises((Unavailable, Unreachable)):
                await client.submit(spec_for(["refused.mkv"]))
        while time.monotonic() - began < AWAY:
            left.append((await w2.beat(key)).remaining)
            await asyncio.sleep(0.4)
        assert left == sorted(left, reverse=True)
        assert left[-1] == timedelta(0)
        assert not w2.has(Offer)
        await asyncio.to_thread(database.start)
        await until(lambda: renewed(w2, key), 15)
        for _ in range(6):  # two leases more: whoever is to be expired is
            await w2.beat(key)
            await asyncio.sleep(0.5)
        for job_id in [*jobs, held.job_id]:
            history = (await cluster.history(job_id)).check()
            assert "LOST" not in history.causes, history
        await every_job_ran_once(cluster, jobs)


async def accepted(cluster: Cluster, peer):
    await cluster.submit("peers.mkv")
    return await peer.accept()


async def renewed(peer, *attempts) -> bool:
    return (await peer.beat(*attempts)).remaining > timedelta(seconds=1)


async def test_d3_a_standby_takes_over(cluster_on, database, databases, row):
    """Primary killed, its synchronous standby promoted; both are in the masters' DSN: service
    resumes in 10 s; ten running jobs are not lost, not charged, not run again; nothing that was
    acknowledged is missing."""
    standby = await asyncio.to_thread(databases.standby_of, database)
    dsn = f"postgresql://postgres@{database.host},{standby.host}/postgres"
    async with cluster_on(dsn, masters=2) as cluster:
        await cluster.worker("w1", slots=TIMES + 2)
        jobs = await cluster.submit_many(TIMES, seconds=10)
        for job_id in jobs:
            await cluster.encodes(job_id)
        acknowledged: list[str] = []
        async with asyncio.TaskGroup() as tasks:
            done = asyncio.Event()
            load = tasks.create_task(submits(cluster, acknowledged, done))
            await until(lambda: len(acknowledged) >= 3, 15)
            database.kill()
            await asyncio.to_thread(standby.promote)
            before = len(acknowledged)
            with row.within(TAKEN_OVER):
                await until(lambda: len(acknowledged) > before, 30)
                short = await cluster.submit("short.mkv", seconds=0.1)
                await cluster.happens(short, "ACCEPTED", 30)
            done.set()
            await load
        await every_job_ran_once(cluster, [*jobs, short, *acknowledged])


async def submits(cluster: Cluster, acknowledged: list[str], done: asyncio.Event) -> None:
    while not done.is_set():
        name = f"load{len(acknowledged)}.mkv"
        acknowledged.append(await cluster.submit(name, seconds=0.1))
        await asyncio.sleep(0.2)  # the load itself


async def test_d3_a_database_that_is_older_than_the_workers_know(cluster_of, database, row):
    """Database restored to a copy that is some moments old: the fence jumps above the one that a
    worker reports, its attempt is stopped, nothing is published twice, the divergence is logged."""
    async with cluster_of() as cluster:
        async with floor_at(cluster.address, cluster.certs) as floor:
            w1 = floor.peer("w1")
            await w1.hello()
            job_id = await cluster.submit("a.mkv", seconds=4)
            first = await w1.accept()
            await cluster.reaches(job_id, "RUNNING")
            copied = await asyncio.to_thread(database.copy)
            await cluster.happens(job_id, "LOST", 30)
        w2 = await cluster.worker("w2")
        await cluster.happens(job_id, "ACCEPTED", 30, times=2)
        w2.process.freeze()
        await asyncio.to_thread(database.put_back, copied)
        await until(lambda: still(cluster, job_id, first.fence), 15)
        w2.process.thaw()
        with row.within(10.0):
            history = await cluster.happens(job_id, "GRANTED", 30, times=2)
        assert history.events_of("GRANTED")[1].fence > first.fence + 1
        history = await cluster.reaches(job_id, "SUCCEEDED", seconds=40)
        assert history.causes.count("PUBLISHED") == 1
        assert not cluster.leftovers(job_id)
        assert "older than what workers know" in cluster.masters[0].log


async def still(cluster: Cluster, job_id: str, fence: int) -> bool:
    history = await cluster.history(job_id)
    return history.job.fence == fence


async def every_job_ran_once(cluster: Cluster, jobs: list[str]) -> None:
    for job_id in jobs:
        history = await cluster.succeeds(job_id, 40)
        assert (history.job.attempts, history.job.charged) == (1, 0), history
        assert cluster.runs(job_id) == 1
        assert history.job.state == job_pb2.JOB_STATE_SUCCEEDED
