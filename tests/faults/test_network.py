"""The network between a worker and its master, through a proxy that holds it up."""

from tests.faults.kit.cluster import LOST

TIMES = 10


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
