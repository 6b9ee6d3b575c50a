"""A certificate that lives for seconds, and what becomes of its worker's jobs."""

import shutil
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from ffrtmp.clock import utc_now
from ffrtmp.pki import authority, rollover
from ffrtmp.v1 import admin_service_pb2 as admin_pb
from tests.faults.kit.cluster import LEASE, running
from tests.faults.kit.stores import one_store
from tests.faults.kit.waiting import until

DAY = timedelta(days=1)
SOON = 15.0
"""More than a worker takes to start and a job to run."""
SWEEP = 1.0

pytestmark = one_store


@pytest.fixture
async def cluster(tmp_path, site, store):
    """With a CA of its own: the others' certificates are to stay as they are."""
    certs = tmp_path / "certs"
    then = utc_now() - 2 * DAY
    authority.init(certs, now=then)
    for role, name in (("master", "m1"), ("admin", "me"), ("worker", "w2")):
        authority.issue(certs, role, name, now=then)
    async with running(tmp_path / "cluster", replace(site, certs=certs), store) as each:
        await each.worker("w2")  # FFmpeg is known now: the next worker starts at once
        await each.client.drain_worker("w2")
        yield each


def ends_in(cluster, seconds: float) -> datetime:
    """Makes w1 such a certificate, and returns its end."""
    then = utc_now() + timedelta(seconds=seconds) - DAY
    authority.issue(cluster.certs, "worker", "w1", now=then, lifetime=DAY, renew=True)
    return (then + DAY).replace(microsecond=0)


async def test_n15_a_stream_ends_with_its_certificate(cluster, row):
    """Certificate expires during a long stream: the master ends the stream at notAfter; the job
    follows the loss rules; the worker says why, and is back at once with a new certificate."""
    end = ends_in(cluster, SOON)
    w1 = await cluster.worker("w1")
    job_id = await cluster.submit("out.mkv")
    await cluster.encodes(job_id)
    await cluster.client.resume_worker("w2")
    await cluster.happens(job_id, "LOST", SOON + LEASE + 5)
    after = (utc_now() - end).total_seconds()
    row.took(after, LEASE + 2 * SWEEP + 1.0)
    assert after >= 0
    history = await cluster.reaches(job_id, "RUNNING")
    assert history.workers[-1] == "w2"
    assert history.job.charged == 1
    history.check()
    assert "its certificate ended at" in cluster.master.log.read_text()
    await until(lambda: "has ended, no master takes it" in w1.log, 15, "w1 says why")
    assert w1.process.code is None
    authority.issue(cluster.certs, "worker", "w1", now=utc_now(), renew=True)
    await until(w1.is_connected, 30, w1.log[-800:])


async def test_n15_a_renewal_before_the_end_loses_nothing(cluster, row):
    """Certificate renewed before its end: the worker changes to it in time, and its job neither
    notices nor is charged."""
    end = ends_in(cluster, SOON)
    w1 = await cluster.worker("w1")
    job_id = await cluster.submit("out.mkv", seconds=SOON + 4)
    await cluster.encodes(job_id)
    first = await w1.seen()
    authority.issue(cluster.certs, "worker", "w1", now=utc_now(), renew=True)

    async def came_again() -> admin_pb.Worker | None:
        seen = await w1.seen()
        is_new = seen.epoch > first.epoch and seen.state == admin_pb.WORKER_STATE_CONNECTED
        return seen if is_new else None

    with row.within(SOON):
        again = await until(came_again, SOON, w1.log)
    assert utc_now() < end
    assert again.incarnation == first.incarnation
    await until(lambda: utc_now() > end + timedelta(seconds=2 * SWEEP), SOON)
    assert (await w1.seen()).epoch == again.epoch  # nobody ends the stream of the new one
    history = await cluster.succeeds(job_id, SOON + 15)
    assert (history.job.attempts, history.job.charged) == (1, 0)
    assert cluster.runs(job_id) == 1
    assert "certificate ended" not in cluster.master.log.read_text()


async def test_a_new_ca_follows_the_old_one_under_a_running_job(cluster):
    """Master, worker and client change over while a job runs: no stream breaks, and nobody is
    started again. Who comes with the old CA's certificate after that is turned away."""
    for name in ("w1", "w3"):
        authority.issue(cluster.certs, "worker", name, now=utc_now())
    w1 = await cluster.worker("w1")
    job_id = await cluster.submit("out.mkv", seconds=25)
    await cluster.encodes(job_id)
    first = await w1.seen()
    taken = "new files of"

    async def all_took(times: int) -> None:
        logs = (cluster.master.log, w1.process.log)
        await until(lambda: all(log.read_text().count(taken) >= times for log in logs), 15)

    rollover.begin(cluster.certs, now=utc_now())
    await all_took(1)
    old = cluster.folder / "worker-w3"
    shutil.copytree(cluster.certs / "worker-w3", old)
    rollover.issue_anew(cluster.certs, now=utc_now())
    await all_took(2)
    w3 = await cluster.worker("w3")  # it shows what the new CA signed
    w3.process.kill()
    rollover.finish(cluster.certs)
    await all_took(3)
    again = await w1.seen()
    assert (again.epoch, again.incarnation) == (first.epoch, first.incarnation)
    history = await cluster.succeeds(job_id, 40)
    assert (history.job.attempts, history.job.charged) == (1, 0)
    shutil.copytree(old, w3.certs, dirs_exist_ok=True)
    w3.start()
    await until(lambda: "or it refused the certificate" in w3.log, 20, w3.log)
    assert (await w1.seen()).epoch == first.epoch
