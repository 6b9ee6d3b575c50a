"""Exclusive targets: whatever dies or freezes, the receiver never sees two publishers at once."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from ffrtmp.domain.messages import Cancel, Offer, OfferReply
from ffrtmp.domain.session import VerdictKind
from tests.faults.kit.cluster import BEAT, Cluster, push_for
from tests.faults.kit.peer import floor_of, running
from tests.faults.kit.processes import ffmpegs
from tests.faults.kit.stores import one_store
from tests.faults.kit.waiting import until
from tests.receivers import Gate, gate

MISSED = 6
LEASE = MISSED * BEAT
"""Longer than elsewhere: a busy machine must not end a lease by itself."""
MARGIN = LEASE / 8


@pytest.fixture
def server(tmp_path) -> Iterator[Gate]:
    with gate(tmp_path, "live/key") as opened:
        yield opened


@pytest.fixture
async def live(cluster_of):
    async with two_workers(cluster_of, MISSED) as cluster:
        yield cluster


@asynccontextmanager
async def two_workers(cluster_of, missed: int) -> AsyncIterator[Cluster]:
    """Each has room for one push."""
    async with cluster_of("--missed-heartbeats", str(missed)) as cluster:
        for name in ("w1", "w2"):
            cluster.workers[name] = await cluster.worker(name)
        yield cluster


async def on_air(cluster: Cluster, server: Gate) -> tuple[str, str]:
    """A push that is received; the job and its worker."""
    job_id = await cluster.push(server.url)
    await until(server.receives, 20, "the first publisher")
    return job_id, (await cluster.history(job_id)).job.worker


async def back_on_air(server: Gate) -> None:
    await until(lambda: len(server.publishers) == 2 and server.receives(), 30, "the second one")


async def taken_off(cluster: Cluster, server: Gate, job_id: str):
    """Ends it; returns its checked history. No two publishers were ever there."""
    await cluster.client.cancel(job_id)
    await until(lambda: not server.on_air(), 15, "off the air")
    history = (await cluster.reaches(job_id, "CANCELLED")).check()
    assert server.overlaps() == []
    return history


async def test_w2_a_push_of_a_killed_worker_waits_for_the_lease(live, server, row):
    """SIGKILL worker, exclusive job: not leased again before the lease has ended, then at once;
    charged 1; the receiver sees no overlap."""
    job_id, first = await on_air(live, server)
    killed = time.time()
    live.workers[first].process.kill()
    await back_on_air(server)
    history = await taken_off(live, server, job_id)
    again = history.events_of("GRANTED")[1]
    assert again.at >= killed + LEASE - BEAT
    assert (again.worker != first, history.job.charged) == (True, 1)
    row.took(again.at - killed, LEASE + 1.0)


async def test_w5_a_worker_that_is_back_at_once_does_not_shorten_its_own_lease(
    cluster_of, server, row
):
    """SIGKILL, restarted at once, exclusive job: lost at once, but its target is not leased again
    before the old lease has run out."""
    lease = 3 * LEASE  # it must be back well before
    async with two_workers(cluster_of, 3 * MISSED) as live:
        job_id, first = await on_air(live, server)
        killed = time.time()
        live.workers[first].process.kill()
        live.workers[first].start()
        await back_on_air(server)
        history = await taken_off(live, server, job_id)
        lost, again = history.events_of("LOST")[0], history.events_of("GRANTED")[1]
        assert "new incarnation" in lost.detail
        assert [e.cause for e in history.events if lost.number < e.number < again.number] == [
            "UNBLOCKED"
        ], "a slow grant looks like a blocked one; only this tells them apart"
        assert lost.at < again.at - BEAT
        assert again.at >= killed + lease - BEAT
        assert history.job.charged == 1
        row.took(again.at - killed, lease + 2.0)


@one_store
async def test_w20_a_frozen_workers_push_is_ended_by_its_guard(live, server, row):
    """SIGSTOP only the worker process, exclusive FFmpeg alive: the guard kills FFmpeg at the
    deadline, before the master leases the job again; no overlap."""
    job_id, first = await on_air(live, server)
    frozen = time.monotonic()
    live.workers[first].process.freeze()
    await until(lambda: not server.on_air(), 15, "ended by the guard")
    row.took(time.monotonic() - frozen, LEASE - MARGIN)
    assert (await live.history(job_id)).workers == [first]
    await back_on_air(server)
    live.workers[first].process.thaw()
    await until(live.workers[first].is_connected, 15)
    assert len(ffmpegs(server.url)) == 1
    history = await taken_off(live, server, job_id)
    assert (len(history.workers), history.job.charged) == (2, 1)


@one_store
async def test_w4_a_worker_that_thaws_says_nothing_before_its_push_is_dead(live, server, row):
    """SIGSTOP worker until its push runs elsewhere, SIGCONT: what it finds is a dead FFmpeg; its
    word on that is STALE; the push elsewhere goes on."""
    job_id, first = await on_air(live, server)
    live.workers[first].process.freeze()
    await back_on_air(server)
    before = str(await live.history(job_id))
    live.workers[first].process.thaw()
    await until(live.workers[first].is_connected, 15)
    await asyncio.gather(*(until(worker.is_connected, 15) for worker in live.workers.values()))
    assert str(await live.history(job_id)) == before
    assert server.on_air()
    assert (await taken_off(live, server, job_id)).job.fence == 2


async def test_m2_a_push_ends_itself_when_the_master_is_away(live, server, row):
    """SIGKILL master, exclusive job: FFmpeg is ended at T - margin; back in the queue uncharged
    when the master is back, and on the air again; no overlap."""
    job_id, _ = await on_air(live, server)
    live.master.kill()
    with row.within(LEASE):
        await until(lambda: not server.on_air(), 3 * LEASE, "fenced by its own guard")
    await live.start_master()
    await back_on_air(server)
    history = await taken_off(live, server, job_id)
    assert (history.job.charged, history.reasons) == (0, ["STOPPED"])


async def test_w15_an_unanswered_push_waits_for_the_lease(certs, store, row):
    """Worker never answers the offer of an exclusive job: back in the queue after offer_ttl, but
    offered to another only when the lease of the silent one is over; its late accept is stopped."""
    async with floor_of(certs, store, heartbeat=BEAT, offer_ttl=0.5) as floor:
        silent = floor.peer("w1")
        began = time.monotonic()
        await silent.hello()
        job_id = (await floor.client.submit(push_for("rtmp://127.0.0.1:1/live/k"))).job_id
        late = (await silent.hear(Offer)).key
        await floor.happens(job_id, "UNANSWERED")
        other = floor.peer("w2")
        await other.hello()
        while not other.has(Offer):
            await other.beat()
            await asyncio.sleep(BEAT / 2)
        row.took(time.monotonic() - began, 2 * 3 * BEAT + 1.0)
        assert time.monotonic() - began >= 3 * BEAT
        key = await other.accept()
        assert key.fence == late.fence + 1
        again = floor.peer("w1")
        welcome = await again.hello(running(late))
        assert [each.kind for each in welcome.verdicts] == [VerdictKind.STOP]
        await again.say(OfferReply(late))
        assert (await again.hear(Cancel)).key == late
        history = (await floor.reaches(job_id, "RUNNING")).check()
        assert (history.job.charged, history.workers) == (0, ["w1", "w2"])


async def test_w11_a_worker_that_dies_again_and_again_is_left_alone(cluster_of, row):
    """Worker dies three times in ten minutes, with different jobs: quarantined, with the evidence
    shown; each job charged once at most by it, and finished by another."""
    fault = ("--at", "ffrtmp.worker.encode:verify", "kill")
    async with cluster_of("--missed-heartbeats", "20") as cluster:
        w1 = await cluster.worker("w1", *fault)
        await cluster.worker("w2")
        jobs = []
        for number in range(3):
            jobs.append(await cluster.submit(f"{number}.mkv", seconds=0.2))
            await until(lambda: w1.process.code is not None, 15, "its death")
            w1.start(*fault)
            history = await cluster.succeeds(jobs[-1])
            assert (history.workers, history.job.charged) == (["w1", "w2"], 1)
            await until(lambda n=number: has_stream(w1, epoch=n + 2), 15, "its next run")
        seen = await w1.seen()
        assert seen.HasField("quarantine_end_time")
        assert [loss.job_id for loss in seen.losses] == jobs
        for number in range(3):
            history = await cluster.succeeds(
                await cluster.submit(f"later{number}.mkv", seconds=0.2)
            )
            assert history.workers == ["w2"]
        assert w1.process.code is None


async def has_stream(worker, epoch: int) -> bool:
    return (await worker.seen()).epoch >= epoch
