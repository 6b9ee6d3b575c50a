"""Several masters over one PostgreSQL: any of them serves, and none of them is missed."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

from ffrtmp.client import Client
from ffrtmp.v1 import admin_service_pb2 as admin_pb
from ffrtmp.v1 import job_pb2
from ffrtmp.v1 import job_service_pb2 as pb
from tests.faults.kit.cluster import Cluster, spec_for
from tests.faults.kit.history import EVERYTHING, History
from tests.faults.kit.processes import ffmpegs
from tests.faults.kit.stores import on_postgres
from tests.faults.kit.waiting import until

PATIENT = ("--heartbeat-interval", "1s", "--offer-ttl", "2s")
"""A lease of 3 s: a try of the next master fits into it, and into the time of an offer, as it does
in the default timers."""
BEAT = 0.5
DISPATCHED = 2.0


@on_postgres
async def test_any_master_serves_what_another_holds(cluster_of):
    """Submit, list, watch (events, progress and log lines) and cancel through a master that holds
    no worker."""
    async with cluster_of(masters=2) as cluster:
        first, second = cluster.masters
        w1 = cluster.another("w1", dials=first.address)
        await w1.connected()
        async with cluster.client_of(second) as there, cluster.client_of(first) as here:
            job = await there.submit(spec_for(["a.mkv"], 1))
            seen = [
                news.event.number async for news in there.watch(job.job_id) if news.event.number
            ]
            assert seen == [1, 2, 3, 4, 5]
            long = await there.submit(spec_for(["b.mkv"]))
            await cluster.encodes(long.job_id)
            listed = [[each.job_id async for each in client.list()] for client in (there, here)]
            assert listed[0] == listed[1] == [long.job_id, job.job_id]
            watching = there.watch(long.job_id, after=3)
            news = await anext(watching)
            assert news.HasField("progress")
            await until(lambda: fences_logged(there, long.job_id), 15)
            cancelled = await there.cancel(long.job_id)
            assert cancelled.state == job_pb2.JOB_STATE_CANCELLED
            assert await numbers(watching) == [4]
            await until(lambda: not ffmpegs(long.job_id), 2 * BEAT + 5)
            await until(lambda: is_seen_connected(there, "w1"), 15)  # masters tell in turn
            third = await there.submit(spec_for(["c.mkv"], 0.2))
            await cluster.succeeds(third.job_id)


@on_postgres
async def test_m6_a_master_that_sleeps_is_not_waited_for(cluster_of, row):
    """Master SIGSTOP for longer than the lease, then CONT; a second one is alive: the workers
    moved, the old one's guarded writes change nothing, no dup. Ten jobs."""
    async with cluster_of(*PATIENT, masters=2) as cluster:
        first, second = cluster.masters
        w1 = await cluster.another("w1", slots=10, dials=cluster.addresses).connected()
        jobs = await cluster.submit_many(10, seconds=14)
        for job_id in jobs:
            await cluster.encodes(job_id)
        before = (await w1.seen()).epoch
        first.process.freeze()
        async with cluster.client_of(second) as client:

            async def moved() -> bool:
                return (await client.worker("w1")).epoch > before

            with row.within(10.0):
                await until(moved, 30)
            first.process.thaw()
            for job_id in jobs:
                history = await cluster.succeeds(job_id, 40)
                assert (history.job.fence, history.job.charged, cluster.runs(job_id)) == (1, 0, 1)
            async with cluster.client_of(first) as awake:
                assert (await awake.get(jobs[0])).job.state == job_pb2.JOB_STATE_SUCCEEDED


@on_postgres
async def test_m9_a_rolling_restart_of_three_masters_is_not_noticed(cluster_of, row):
    """Rolling restart of three masters under load: 0 failed, 0 run again, dispatch p99 < 2 s."""
    async with cluster_of(*PATIENT, masters=3) as cluster:
        fleet = await cluster.fleet(30, "--slots", "4")
        w1 = await cluster.worker("w1", slots=2)
        real = await cluster.submit_many(2, seconds=12, name="real")
        for job_id in real:
            await cluster.encodes(job_id)
        async with asyncio.TaskGroup() as tasks:
            jobs: list[str] = []
            load = tasks.create_task(steady_load(cluster, jobs))
            for master in cluster.masters:
                more = len(jobs) + 10
                await until(lambda: len(jobs) >= more, 60)  # noqa: B023  # called at once
                await master.stop()
                await master.start()
                await until(fleet.is_connected, 60)
            load.cancel()
        assert len(jobs) >= 30
        histories = [await cluster.reaches(job_id, "SUCCEEDED", seconds=60) for job_id in jobs]
        histories += [await cluster.succeeds(job_id, 40) for job_id in real]
        for history in histories:
            history.check()
            assert (history.job.attempts, history.job.charged) == (1, 0), history
        assert [cluster.runs(job_id) for job_id in real] == [1, 1]
        assert set(fleet.did("began").values()) == {1}
        assert await w1.is_connected()
        row.took(percentile(99, [dispatch_seconds(each) for each in histories]), DISPATCHED)


@on_postgres
async def test_c3_masters_need_not_agree_on_the_time(cluster_of, row):
    """Two masters with 5 minutes of skew: no effect on leases. Each is restarted, one
    twice; ten jobs that run for all that time are not lost, not charged, not run again."""
    async with cluster_of(*PATIENT) as cluster:
        await cluster.another_master(wall_clock=timedelta(minutes=5))
        w1 = await cluster.another("w1", slots=10, dials=cluster.addresses).connected()
        jobs = await cluster.submit_many(10, seconds=14)
        for job_id in jobs:
            await cluster.encodes(job_id)
        for master in (cluster.masters * 2)[:3]:
            await master.restart()
            with row.within(10.0):
                await until(w1.is_connected, 30)
        for job_id in jobs:
            history = await cluster.succeeds(job_id, 40)
            assert history.causes == EVERYTHING
            assert cluster.runs(job_id) == 1


async def is_seen_connected(client: Client, name: str) -> bool:
    return (await client.worker(name)).state == admin_pb.WORKER_STATE_CONNECTED


async def fences_logged(client: Client, job_id: str) -> list[int]:
    return [log.fence async for log in client.log(job_id)]


async def numbers(watching: AsyncIterator[pb.WatchJobResponse]) -> list[int]:
    """Of the events that came until the job ended."""
    return [news.event.number async for news in watching if news.HasField("event")]


async def steady_load(cluster: Cluster, jobs: list[str]) -> None:
    """Ten small simulated jobs a second, until it is cancelled."""
    while True:
        number = len(jobs)
        spec = spec_for([f"load{number}.mkv"], 1, root="sim")
        jobs.append((await cluster.client.submit(spec)).job_id)
        await asyncio.sleep(0.1)  # the load itself


def dispatch_seconds(history: History) -> float:
    return history.events_of("GRANTED")[0].at - history.events[0].at


def percentile(which: float, values: list[float]) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * which / 100))]
