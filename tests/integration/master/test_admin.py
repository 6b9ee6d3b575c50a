"""What operators ask: the cluster, its queues, its store, its settings; through any master."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from ffrtmp.clock import utc_now
from ffrtmp.config import Found, MasterSettings, options_of
from ffrtmp.domain.messages import Heartbeat, HeartbeatAck, Offer, OfferReply
from ffrtmp.domain.origin import Origin
from ffrtmp.store.records import MasterRecord, MasterReport
from ffrtmp.v1 import admin_service_pb2 as pb
from ffrtmp.v1 import job_pb2
from ffrtmp.v1.admin_service_pb2_grpc import AdminServiceStub
from ffrtmp.v1.job_service_pb2_grpc import JobServiceStub

SHORT = timedelta(seconds=1)
CONNECTED, DRAINING = (
    pb.WORKER_STATE_CONNECTED,
    pb.WORKER_STATE_DRAINING,
)


@pytest.fixture
async def opened():
    async with AsyncExitStack() as stack:
        yield stack


async def test_the_overview_counts_what_there_is(run, stream, request_for, opened):
    master = await opened.enter_async_context(run())
    admin = AdminServiceStub(await opened.enter_async_context(master.dial("admin-a")))
    empty = await admin.GetOverview(pb.GetOverviewRequest())
    assert (list(empty.workers), list(empty.jobs), empty.slots) == ([], [], 0)
    assert not empty.HasField("oldest_eligible_time")
    worker = stream(await opened.enter_async_context(master.dial("worker-w1")))
    await worker.hello(slots=2)
    jobs = JobServiceStub(await opened.enter_async_context(master.dial("client-c")))
    for number in range(4):
        await jobs.SubmitJob(request_for(f"{number}.mp4", str(number)))
    await worker.say(OfferReply((await worker.hear(Offer)).key))

    async with asyncio.timeout(5):
        while True:
            seen = await admin.GetOverview(pb.GetOverviewRequest())
            counted = {each.state: each.jobs for each in seen.jobs}
            if counted.get(job_pb2.JOB_STATE_RUNNING) == 1:
                break
    assert sum(counted.values()) == 4
    assert [(each.state, each.workers) for each in seen.workers] == [(CONNECTED, 1)]
    assert (seen.slots, seen.free_slots) == (2, 0)
    [this] = seen.masters
    assert (this.name, this.address, this.workers) == ("m", master.address, 1)
    assert this.serving
    assert this.answering
    waits = seen.read_time.ToDatetime(UTC) - seen.oldest_eligible_time.ToDatetime(UTC)
    assert 0 <= waits.total_seconds() < 30


async def test_a_queue_says_what_it_needs_and_who_could_do_it(run, stream, request_for, opened):
    master = await opened.enter_async_context(run())
    admin = AdminServiceStub(await opened.enter_async_context(master.dial("admin-a")))
    jobs = JobServiceStub(await opened.enter_async_context(master.dial("client-c")))
    live, batch = request_for("1.mp4", "1"), request_for("2.mp4", "2")
    live.spec.queue, batch.spec.queue = job_pb2.QUEUE_LIVE, job_pb2.QUEUE_BATCH
    batch.spec.outputs[0].video.codec = job_pb2.VIDEO_CODEC_AV1
    for request in (batch, live):
        await jobs.SubmitJob(request)
    worker = stream(await opened.enter_async_context(master.dial("worker-w1")))
    await worker.hello(slots=0)
    first, second = (await admin.ListQueues(pb.ListQueuesRequest())).backlogs
    assert (first.queue, second.queue) == (job_pb2.QUEUE_LIVE, job_pb2.QUEUE_BATCH)
    assert (first.queued, first.held, first.able_workers) == (1, 0, 1)
    assert list(first.roots) == ["m"]
    assert "av1" in second.codecs
    assert second.able_workers == 0  # it waits for ever, and here is why
    assert second.HasField("oldest_eligible_time")


async def test_released_is_not_resumed(run, stream, opened):
    master = await opened.enter_async_context(run())
    admin = AdminServiceStub(await opened.enter_async_context(master.dial("admin-a")))
    await stream(await opened.enter_async_context(master.dial("worker-w1"))).hello()
    await admin.DrainWorker(pb.DrainWorkerRequest(name="w1"))
    released = (await admin.ReleaseWorker(pb.ReleaseWorkerRequest(name="w1"))).worker
    assert (released.draining, released.state) == (True, DRAINING)
    assert released.master == "m"
    days = released.certificate_end_time.ToDatetime(UTC) - datetime.now(UTC)
    assert 300 < days.days < 366
    with pytest.raises(grpc.aio.AioRpcError, match="no worker 'w9'"):
        await admin.ReleaseWorker(pb.ReleaseWorkerRequest(name="w9"))


async def test_the_store_tells_of_itself(run, opened):
    master = await opened.enter_async_context(run())
    admin = AdminServiceStub(await opened.enter_async_context(master.dial("admin-a")))
    async with asyncio.timeout(10):
        while not (told := await admin.GetStore(pb.GetStoreRequest())).ready:
            pass
    assert (told.kind, told.location) == ("sqlite", master.store)
    assert told.size > 4096
    assert told.schema_version >= 4
    assert [pool.name for pool in told.pools] == ["sqlite"]
    assert told.HasField("commit_duration")


async def test_the_settings_of_a_master_are_told(run, opened):
    master = await opened.enter_async_context(run())
    admin = AdminServiceStub(await opened.enter_async_context(master.dial("admin-a")))
    told = (await admin.ListSettings(pb.ListSettingsRequest())).settings
    values = {each.name: each.value for each in told}
    assert values["heartbeat_interval"] == "5s"
    assert values["listen"] == "127.0.0.1:0"


def test_where_each_setting_came_from_is_told_and_no_password():
    settings = MasterSettings(certs=Path("x"), store="postgresql://ann:secret@db/jobs?password=pw")
    found = {"store": Found(Origin.VARIABLE, "FFRTMP_STORE"), "certs": Found(Origin.FLAG)}
    told = {each.name: each for each in options_of(settings, found)}
    assert told["store"].value == "postgresql://ann@db/jobs"
    assert told["store"].found == Found(Origin.VARIABLE, "FFRTMP_STORE")
    assert told["certs"].found.origin is Origin.FLAG
    assert told["missed_heartbeats"].found == Found(Origin.DEFAULT)


@pytest.mark.postgres
@pytest.mark.parametrize("store_address", ["postgres"], indirect=True)
async def test_a_master_that_vanished_is_shown_and_one_that_left_is_not(
    run, store_address, open_store, opened
):
    store = await opened.enter_async_context(open_store())
    seen_at = utc_now() - timedelta(minutes=1)
    report = MasterReport(name="m0", address="h:1", version="0", started_at=seen_at)
    await store.note_master(MasterRecord(run="killed", seen_at=seen_at, report=report))
    async with run(store=store_address):
        pass
    master = await opened.enter_async_context(run(store=store_address))
    admin = AdminServiceStub(await opened.enter_async_context(master.dial("admin-a")))
    seen = await admin.GetOverview(pb.GetOverviewRequest())
    assert [(each.name, each.serving) for each in seen.masters] == [("m", True), ("m0", False)]


@pytest.mark.postgres
@pytest.mark.parametrize("store_address", ["postgres"], indirect=True)
async def test_every_master_of_a_store_shows_the_same_cluster(run, stream, store_address, opened):
    one, other = [
        await opened.enter_async_context(run(store=store_address, heartbeat_interval=SHORT))
        for _ in range(2)
    ]
    here, there = [
        AdminServiceStub(await opened.enter_async_context(each.dial("admin-a")))
        for each in (one, other)
    ]
    worker = stream(await opened.enter_async_context(one.dial("worker-w1")))
    await worker.hello(slots=3)

    async def seen_from(admin) -> tuple[list[tuple[str, bool]], list[tuple[int, int]], int]:
        seen = await admin.GetOverview(pb.GetOverviewRequest())
        masters = sorted((each.address, each.serving) for each in seen.masters)
        return masters, [(each.state, each.workers) for each in seen.workers], seen.slots

    both = sorted([(one.address, True), (other.address, True)])
    async with asyncio.timeout(20):
        number = 0
        while await seen_from(there) != (both, [(CONNECTED, 1)], 3):
            number += 1
            await worker.say(Heartbeat(number=number, seen=1, slots=3))
            await worker.hear(HeartbeatAck)
    assert await seen_from(here) == (both, [(CONNECTED, 1)], 3)
    [listed] = (await there.ListWorkers(pb.ListWorkersRequest())).workers
    assert (listed.state, listed.slots, listed.master) == (CONNECTED, 3, "m")

    await there.DrainWorker(pb.DrainWorkerRequest(name="w1"))
    async with asyncio.timeout(20):
        draining = False
        while not draining:
            number += 1
            await worker.say(Heartbeat(number=number, seen=1, slots=3))
            draining = (await worker.hear(HeartbeatAck)).draining
