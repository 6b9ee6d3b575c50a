"""The network between a worker and its master, through a proxy that holds it up."""

import asyncio

import pytest
from h2.errors import ErrorCodes

from tests.faults.kit.cluster import BEAT, LEASE, LOST, Cluster, Worker
from tests.faults.kit.history import EVERYTHING
from tests.faults.kit.processes import ffmpegs, may_have_own_hosts
from tests.faults.kit.proxy import DOWN, UP
from tests.faults.kit.stores import one_store
from tests.faults.kit.waiting import until

TIMES = 10
RESETS = 20
SPREAD = 1.0
"""A worker waits up to this long before it dials again."""
BEAT_OF_NEW = 5.0
"""Before its first welcome a worker knows only the default timers."""


async def test_n4_a_worker_that_was_cut_off_goes_on_where_nobody_took_over(cluster, row):
    """Blackhole both ways for longer than the lease, nobody else is there: ADOPT with the same
    fence, the charge taken back, FFmpeg goes on. Ten jobs."""
    w1 = await cluster.worker("w1", slots=TIMES, proxied=True)
    jobs = await cluster.submit_many(TIMES, seconds=12)
    for job_id in jobs:
        await cluster.encodes(job_id)
    w1.proxy.hold()
    for job_id in jobs:
        await cluster.happens(job_id, "LOST", 3 * LOST)
    w1.proxy.restore()
    with row.within(LOST):
        for job_id in jobs:
            await cluster.happens(job_id, "ADOPTED", 15)
    for job_id in jobs:
        history = await cluster.succeeds(job_id, 40)
        assert (history.job.fence, history.job.charged, cluster.runs(job_id)) == (1, 0, 1)


async def test_n5_a_worker_that_was_cut_off_stops_where_another_took_over(cluster, row):
    """Blackhole both ways for longer than the lease, the job was granted anew and accepted: STOP to
    the first, exactly one commit."""
    workers = {name: await cluster.worker(name, proxied=True) for name in ("w1", "w2")}
    job_id = await cluster.submit("a.mkv", seconds=6)
    first = workers[(await cluster.encodes(job_id)).job.worker]
    first.proxy.hold()
    await cluster.happens(job_id, "LOST", 3 * LOST)
    await cluster.happens(job_id, "ACCEPTED", 15, times=2)
    first.proxy.restore()
    history = await cluster.succeeds(job_id)
    assert (history.causes.count("STAGED"), history.job.charged) == (1, 1)
    assert history.job.worker != first.name
    assert not cluster.leftovers(job_id)


@one_store
async def test_n1_a_worker_that_hears_nothing_dials_the_next_way(cluster, row):
    """Blackhole master to worker only: no acknowledgement for 1.5 intervals, the worker dials again
    by another way; its ten running jobs are kept."""
    deaf, way = cluster.proxy(), cluster.proxy()
    w1 = cluster.another("w1", slots=TIMES, dials=f"{deaf.address},{way.address}")
    await w1.connected()
    jobs = await running_jobs(cluster, 5)
    epoch = (await w1.seen()).epoch
    deaf.hold(DOWN)
    with row.within(1.5 * BEAT + SPREAD + 0.5):
        await until(lambda: has_new_stream(w1, epoch), 15)
    await never_moved(cluster, jobs)


@one_store
@pytest.mark.requirement("P4")
async def test_n2_a_worker_that_is_not_heard_loses_its_jobs_at_the_end_of_its_lease(cluster, row):
    """Blackhole worker to master only: the master stops renewing, the lease runs out, another
    worker takes over; the first one stops; exactly one commit. Ten jobs."""
    w1 = await cluster.worker("w1", slots=TIMES, proxied=True)
    w2 = await cluster.worker("w2", slots=TIMES)
    await cluster.client.drain_worker("w2")
    jobs = await running_jobs(cluster, 4)
    w1.proxy.hold(UP)
    await cluster.client.resume_worker("w2")
    with row.within(LOST):
        await cluster.happens(jobs[0], "LOST", 3 * LOST)
    for job_id in jobs:
        await cluster.happens(job_id, "ACCEPTED", 15, times=2)
    w1.proxy.restore()
    for job_id in jobs:
        history = await cluster.succeeds(job_id, 40)
        assert history.job.worker == w2.name
        assert [history.causes.count(cause) for cause in ("STAGED", "PUBLISHED")] == [1, 1]
    await until(lambda: not ffmpegs(str(cluster.media)), 15)


@one_store
@pytest.mark.requirement("G3")
async def test_n3_a_short_silence_is_nothing(cluster, row):
    """Blackhole both ways for a third of the lease, ten times: nothing lost, charged, run again."""
    w1 = await cluster.worker("w1", slots=TIMES, proxied=True)
    jobs = await running_jobs(cluster, 14)
    for _ in range(TIMES):
        w1.proxy.hold()
        await asyncio.sleep(LEASE / 3)  # the fault itself
        w1.proxy.restore()
        await w1.beats(1)
    await never_moved(cluster, jobs)


@one_store
@pytest.mark.requirement("G9")
async def test_n6_resets_again_and_again_are_not_hammered_back(cluster, row):
    """RST every 0.6 s for 12 s: at most one hello for each, and one at the end. Jobs run on."""
    w1 = await cluster.worker("w1", slots=TIMES, proxied=True)
    jobs = await running_jobs(cluster, 16)
    before = (await w1.seen()).epoch
    for _ in range(RESETS):
        w1.proxy.reset()
        await asyncio.sleep(0.6)  # the fault itself
    await w1.connected()
    hellos = (await w1.seen()).epoch - before
    assert 1 <= hellos <= RESETS + 1
    await never_lost(cluster, jobs)


@one_store
async def test_n7_a_proxy_with_an_idle_limit_sees_no_idle_stream(cluster, row):
    """A terminating HTTP/2 proxy that resets streams idle for three intervals (30 s of 5 s ones):
    heartbeats are DATA, an idle worker's stream survives six times that."""
    proxy = cluster.h2_proxy("w1")
    w1 = await cluster.another("w1", dials=proxy.address).connected()
    proxy.idle_limit = 3 * BEAT
    await w1.beats(18)
    assert proxy.resets == 0
    await cluster.succeeds(await cluster.submit("a.mkv", seconds=0.2))


@one_store
async def test_n8_a_proxy_that_answers_pings_but_carries_nothing(cluster_of, row):
    """Proxy answers PINGs but drops DATA: noticed by the silence of the application within the
    lease (which is made longer here, so that it cannot be what ends the stream); another way is
    dialled, ten jobs are kept."""
    async with cluster_of("--missed-heartbeats", "20") as cluster:
        proxy, way = cluster.h2_proxy("w1"), cluster.proxy()
        w1 = cluster.another("w1", slots=TIMES, dials=f"{proxy.address},{way.address}")
        await w1.connected()
        jobs = await running_jobs(cluster, 5)
        epoch = (await w1.seen()).epoch
        proxy.drops_data = True
        with row.within(LEASE + SPREAD):
            await until(lambda: has_new_stream(w1, epoch), 9)
        await never_moved(cluster, jobs)


@one_store
async def test_n9_n11_n12_whatever_ends_a_stream_is_dialled_again(cluster, row):
    """GOAWAY, GOAWAY for too many pings, RST_STREAM with CANCEL, with another code, and an end
    without a status, twice each: a clean reconnect each time, ten running jobs are kept."""
    proxy = cluster.h2_proxy("w1")
    w1 = await cluster.another("w1", slots=TIMES, dials=proxy.address).connected()
    jobs = await running_jobs(cluster, 16)
    code = ErrorCodes
    ends = (
        lambda: proxy.go_away(code.NO_ERROR),
        lambda: proxy.go_away(code.ENHANCE_YOUR_CALM, b"too_many_pings"),
        lambda: proxy.reset_streams(code.CANCEL),
        lambda: proxy.reset_streams(code.INTERNAL_ERROR),
        proxy.end_streams,
    )
    for end in (*ends, *ends):
        epoch = (await w1.seen()).epoch
        end()
        with row.within(LEASE + SPREAD):
            await until(lambda e=epoch: has_new_stream(w1, e), 15)
        assert w1.process.code is None
    await never_lost(cluster, jobs)


@one_store
async def test_n10_a_slow_network_expires_nobody(cluster_of, row):
    """60 ms of delay each way and stalls of a second at a heartbeat of one (300 ms and 5 s at one
    of five), for 12 s: nobody is expired, ten jobs are kept."""
    async with cluster_of("--heartbeat-interval", "1s") as cluster:
        w1 = await cluster.worker("w1", slots=TIMES, proxied=True)
        jobs = await running_jobs(cluster, 16)
        w1.proxy.delay(0.06)
        for _ in range(6):
            w1.proxy.hold()
            await asyncio.sleep(1)  # the fault itself
            w1.proxy.restore()
            await w1.beats(1)
        await never_moved(cluster, jobs)


@one_store
async def test_n13_a_stream_that_is_never_welcomed_is_left(cluster, row):
    """Stream opens, master never sends welcome: left within an interval (5 s), another dialled."""
    proxy, way = cluster.h2_proxy("w1"), cluster.proxy()
    proxy.is_mute = True
    w1 = cluster.another("w1", dials=f"{proxy.address},{way.address}")
    await until(lambda: proxy.connections, 15)
    with row.within(BEAT_OF_NEW + SPREAD):
        await w1.connected()
    await cluster.succeeds(await cluster.submit("a.mkv", seconds=0.2))


@one_store
async def test_n14_a_name_that_moves_is_followed(cluster, row):
    """The master's name means another address after a failure: used <= 10 s after it. Ten running
    jobs are kept."""
    if not may_have_own_hosts():
        pytest.skip("only root may give a process names of its own")
    hosts = cluster.folder / "hosts"
    hosts.write_text("127.0.0.1 master.test\n")
    port = cluster.address.rpartition(":")[2]
    w1 = cluster.another("w1", slots=TIMES, dials=f"master.test:{port}", hosts=hosts)
    await w1.connected()
    jobs = await running_jobs(cluster, 12)
    cluster.master.kill()
    cluster.address = f"127.0.0.2:{port}"
    hosts.write_text("127.0.0.2 master.test\n")
    await cluster.start_master()
    async with cluster.client_of(cluster.masters[0]) as cluster.client:
        with row.within(10.0):
            await w1.connected()
        await never_lost(cluster, jobs)


async def running_jobs(cluster: Cluster, seconds: float) -> list[str]:
    jobs = await cluster.submit_many(TIMES, seconds=seconds)
    for job_id in jobs:
        await cluster.encodes(job_id)
    return jobs


async def never_moved(cluster: Cluster, jobs: list[str]) -> None:
    """They end as if nothing had been."""
    for job_id in jobs:
        history = await cluster.succeeds(job_id, 40)
        assert history.causes == EVERYTHING
        assert cluster.runs(job_id) == 1


async def never_lost(cluster: Cluster, jobs: list[str]) -> None:
    """On a busy machine a lease of 1.5 s may run out meanwhile: then they are adopted."""
    for job_id in jobs:
        history = await cluster.succeeds(job_id, 40)
        assert (history.job.fence, history.job.charged, cluster.runs(job_id)) == (1, 0, 1)


async def has_new_stream(worker: Worker, epoch: int) -> bool:
    return await worker.is_connected() and (await worker.seen()).epoch > epoch
