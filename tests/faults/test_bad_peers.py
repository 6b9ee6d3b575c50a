"""A worker with a good certificate that sends rubbish, too much, or never reads."""

import asyncio
import os
import time
from contextlib import suppress

import grpc
import grpc.aio
import pytest

from ffrtmp.domain.messages import Heartbeat, Published
from ffrtmp.domain.session import AttemptKey
from ffrtmp.v1 import admin_service_pb2 as admin_pb2
from tests.faults.kit.peer import floor_at
from tests.faults.kit.processes import resident_bytes
from tests.faults.kit.waiting import until

MIB = 1 << 20
CONNECT = "/ffrtmp.v1.WorkerService/Connect"
ENDED = {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL}
"""The second is gRPC's, which gives up a write that hangs."""
FLOOD_SECONDS = 3.0
SLOW_READERS = ("w3", "w4", "w5")


@pytest.fixture
async def bad(cluster_of):
    """A cluster with a good worker and a job that runs on it; afterwards both are as before."""
    async with cluster_of("--missed-heartbeats", "20") as cluster:
        await cluster.worker("w1")
        job_id = await cluster.submit("a.mkv")
        before = str(await cluster.encodes(job_id))
        async with floor_at(cluster.address, cluster.certs) as floor:
            yield cluster, floor
        assert str(await cluster.history(job_id)) == before
        assert "failed unexpectedly" not in (cluster.folder / "master.log").read_text()
        assert cluster.master.code is None


async def test_p5_a_message_that_is_none_closes_its_stream_only(bad, row):
    """Malformed and oversized messages from an authenticated worker: that stream is closed, the
    others and their jobs are not affected."""
    _, floor = bad
    with row.within(5.0):
        for content in (os.urandom(200), b"x" * 2 * MIB, b""):
            raw = floor.channel("w2").stream_stream(CONNECT)()
            await raw.write(content)
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                await raw.read()
            assert ended.value.code() is not grpc.StatusCode.UNAVAILABLE
        late = floor.peer("w2")
        await late.say(beat(1))
        assert await late.ends() is grpc.StatusCode.INVALID_ARGUMENT


async def test_p5_a_flood_is_bounded(bad, row):
    """An authenticated worker sends messages without end: others are served meanwhile, the memory
    of the master stays bounded."""
    cluster, floor = bad
    flooder = floor.peer("w2")
    await flooder.hello()
    before = resident_bytes(cluster.master.pid)
    until_then, waits, count = time.monotonic() + FLOOD_SECONDS, [], 0
    reading = asyncio.get_running_loop().create_task(flooder.ends())
    while time.monotonic() < until_then and not flooder.call.done():
        await flooder.say(*(beat(number) for number in range(count, count + 50)))
        count += 50
        began = time.monotonic()
        await cluster.client.get((await cluster.client.worker("w1")).attempts[0].job_id)
        waits.append(time.monotonic() - began)
    reading.cancel()
    assert count > 100
    row.took(max(waits), 1.0)
    assert resident_bytes(cluster.master.pid) - before < 32 * MIB


async def test_p7_a_worker_that_never_reads_loses_its_stream(bad, row):
    """Slow reader worker (never reads): its stream is closed at 256 control messages; the memory
    of the master grows by less than 1 MiB a stream."""
    cluster, floor = bad
    await drown(cluster, [floor.narrow_peer("w2")])  # by then its memory is not that of a start
    peers = [floor.narrow_peer(name) for name in SLOW_READERS]
    before = resident_bytes(cluster.master.pid)
    with row.within(10.0):
        await drown(cluster, peers)
    grown = resident_bytes(cluster.master.pid) - before
    assert grown < len(peers) * MIB, f"{grown / MIB:.1f} MiB"


async def drown(cluster, peers) -> None:
    """They ask without end and read no answer; returns when the master has ended their streams."""
    names = {peer.name for peer in peers}
    for peer in peers:
        await peer.hello()

    async def are_out() -> bool:
        state = admin_pb2.WORKER_STATE_CONNECTED
        return not [
            each
            async for each in cluster.client.workers()
            if each.name in names and each.state == state
        ]

    async with asyncio.TaskGroup() as tasks:
        for peer in peers:
            tasks.create_task(ask_and_ask(peer))
        await until(are_out, 30, "their streams closed")
        for peer in peers:
            assert await peer.ends() in ENDED  # only now do they read


async def ask_and_ask(peer) -> None:
    """Results of jobs that nobody knows: each is answered."""
    results = [Published(AttemptKey(f"{number:026d}", 1)) for number in range(20)]
    with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        while True:
            await peer.say(*results)
            await asyncio.sleep(0.01)  # it is slow to read, it does not flood


def beat(number: int, *attempts) -> Heartbeat:
    return Heartbeat(number=number, seen=1, slots=1, attempts=attempts)
