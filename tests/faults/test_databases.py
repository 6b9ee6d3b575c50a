"""PostgreSQL goes away, fails over, or comes back older than it was."""

import asyncio
import time
from datetime import timedelta

import pytest

from ffrtmp.client import Client, Unreachable
from ffrtmp.domain.errors import Unavailable
from ffrtmp.domain.messages import Offer
from ffrtmp.v1 import job_pb2
from tests.faults.kit.cluster import Cluster, Fleet, Master, spec_for
from tests.faults.kit.figures import at_most, scrape
from tests.faults.kit.peer import floor_at, prove, running
from tests.faults.kit.replay import Replay, recording
from tests.faults.kit.waiting import until

RESUMED = 3.0
TAKEN_OVER = 10.0
AWAY = 10.0
TIMES = 10
SIMULATED = 6
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
        await until(lambda: has_lease(w2, key), 15)
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


async def has_lease(peer, *attempts) -> bool:
    return (await peer.beat(*attempts)).remaining > timedelta(seconds=1)


async def test_d3_a_standby_takes_over(cluster_on, database, databases, row):
    """Primary killed, its synchronous standby promoted; both are in the masters' DSN: service
    resumes in 10 s; ten running jobs are not lost, not charged, not run again; what clients were
    told and workers did, through all of it, is replayed: I1 to I16 hold, nothing diverges."""
    standby = await asyncio.to_thread(databases.standby_of, database)
    dsn = f"postgresql://postgres@{database.host},{standby.host}/postgres"
    async with cluster_on(dsn, masters=2) as cluster:
        fleet = await cluster.fleet(SIMULATED, "--slots", "2")
        await cluster.worker("w1", slots=TIMES)
        with recording(cluster) as replay:
            await replay.ask_for(TIMES, 12)
            for job_id in replay.ids("real"):
                await cluster.encodes(job_id)
            done = asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(replay.keep_asking(done))
                await until(lambda: len(replay.ids("simulated")) >= 10, 30)
                with row.within(TAKEN_OVER):
                    database.kill()
                    await asyncio.to_thread(standby.promote)
                    before = len(replay.ids("simulated"))
                    await until(lambda: began_a_new_one(fleet, replay, before), 30)
                await until(lambda: len(replay.ids("simulated")) >= before + 10, 60)
                done.set()
            await every_job_ran_once(cluster, replay.ids("real"))
            slots = {f"sim-{number:04}": 2 for number in range(1, SIMULATED + 1)}
            assert await replay.violations(slots | {"w1": TIMES}) == []
            row.measures(f"{len(replay.said('acknowledged'))} jobs replayed, violations: 0")
        told = "".join(master.log for master in cluster.masters)
        assert "older than what workers know" not in told, "a divergence"


def began_a_new_one(fleet: Fleet, replay: Replay, before: int) -> bool:
    """One that was submitted after `before` others."""
    return bool(set(replay.ids("simulated")[before:]) & fleet.did("began").keys())


async def test_d3_a_database_that_is_older_than_the_workers_know(cluster_of, database, row):
    """Database restored to a copy that is some moments old: the fence jumps above the one that a
    worker reports, its attempt is stopped, nothing is published twice, the divergence is logged."""
    async with cluster_of() as cluster:
        async with floor_at(cluster.address, cluster.certs) as floor:
            w1 = floor.peer("w1")
            prove(w1, cluster.media)
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


async def test_d7_an_old_snapshot_does_not_slow_the_queue(cluster_of, database, row):
    """Old snapshot open while jobs came and went for five minutes at 200 a second (made by SQL
    here), then 200 jobs/s for some seconds: all are done, what a claim takes is printed; the age of
    the snapshot is told, for its alert."""
    async with cluster_of() as cluster:
        [master] = cluster.masters
        first = await cluster.client.submit(spec_for(["first.mkv"], 1, root="sim"))
        async with database.snapshot():
            came = CAME.format(job_id=first.job_id, jobs=GONE)
            for statement in (came, "DELETE FROM jobs WHERE job_id LIKE 'gone%'"):
                await asyncio.to_thread(database.do, statement)
            fleet = await cluster.fleet(10, "--slots", "20", "--pace", "0")
            await until(lambda: fleet.began(1), 30)
            before = await scrape(master)
            for second in range(SECONDS):
                specs = [spec_for([f"n{second}-{n}.mkv"], 1, root="sim") for n in range(A_SECOND)]
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(asyncio.sleep(1.0))  # the load itself
                    tasks.create_task(cluster.client.submit_many(specs))
            await until(lambda: fleet.did("published").total() > SECONDS * A_SECOND, 60)
            after = await scrape(master)
            half, most = (at_most(before, after, CLAIMS, share) for share in (0.5, 0.99))
            row.measures(f"claims p50 <= {half:g} s, p99 <= {most:g} s, behind {GONE} that left")
            await until(lambda: snapshot_is_told(master), 30)


GONE = 60_000
A_SECOND = 200
CLAIMS = "ffrtmp_claim_seconds"
SECONDS = 5
CAME = """
INSERT INTO jobs SELECT (jsonb_populate_record(jobs, jsonb_build_object(
    'job_id', 'gone' || lpad(n::text, 22, '0'), 'rank', rank - n))).*
FROM jobs, generate_series(1, {jobs}) AS n WHERE job_id = '{job_id}'
"""
"""The index of queued jobs keeps each of them, for whoever has the old snapshot."""


async def snapshot_is_told(master: Master) -> bool:
    return (await scrape(master))["ffrtmp_store_oldest_snapshot_seconds"] > 1.0
