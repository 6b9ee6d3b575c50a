"""A master takes renewed certificates while it runs, and no stream outlives its own."""

import asyncio
import shutil
import ssl
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509

from ffrtmp.client import Client, Unreachable
from ffrtmp.clock import utc_now
from ffrtmp.domain.errors import CertificateEnded
from ffrtmp.domain.messages import Heartbeat, HeartbeatAck
from ffrtmp.pki import authority, rollover
from ffrtmp.rpc.status import error_from_rpc
from ffrtmp.v1 import admin_service_pb2 as admin_pb
from ffrtmp.v1 import job_pb2
from ffrtmp.v1.admin_service_pb2_grpc import AdminServiceStub
from tests.integration.master.test_http import value_of

DAY = timedelta(days=1)
LEFT = 'ffrtmp_certificate_expiry_seconds{role="%s"}'


@pytest.fixture
def own_certs(tmp_path):
    folder = tmp_path / "own"
    long_ago = utc_now() - 10 * DAY
    authority.init(folder, now=long_ago)
    for role, name in (("master", "m"), ("worker", "w1"), ("admin", "a")):
        authority.issue(folder, role, name, now=utc_now(), lifetime=3 * DAY)
    return folder


def ends_in(folder, role: str, name: str, seconds: float) -> None:
    then = utc_now() + timedelta(seconds=seconds) - DAY
    authority.issue(folder, role, name, now=then, lifetime=DAY, renew=True)


def shown_by(address: str, folder) -> x509.Certificate:
    """What the port shows in a new handshake."""
    host, _, port = address.rpartition(":")
    pem = ssl.get_server_certificate((host, int(port)), ca_certs=str(folder / "ca.pem"))
    return x509.load_pem_x509_certificate(pem.encode())


async def test_a_renewed_certificate_is_shown_and_no_open_stream_notices(run, stream, own_certs):
    async with run(certs=own_certs / "master-m") as master:
        dialled = master.__class__(master.address, master.http, own_certs, master.store)
        async with dialled.dial("worker-w1") as wire:
            worker = stream(wire)
            await worker.hello()
            assert await value_of(master.http, LEFT % "master") == pytest.approx(3 * 86400, abs=99)
            assert await value_of(master.http, LEFT % "worker") == pytest.approx(3 * 86400, abs=99)
            authority.issue(own_certs, "master", "m", now=utc_now(), renew=True)
            new = x509.load_pem_x509_certificate((own_certs / "master-m/tls.pem").read_bytes())
            async with asyncio.timeout(15):
                while await asyncio.to_thread(shown_by, master.address, own_certs) != new:
                    pass
            await worker.say(Heartbeat(number=1, seen=1, slots=1))
            assert (await worker.hear(HeartbeatAck)).number == 1
            assert await value_of(master.http, LEFT % "master") > 360 * 86400


async def test_a_stream_ends_with_its_certificate_and_so_do_calls(run, stream, own_certs):
    ends_in(own_certs, "worker", "w1", 2)
    ends_in(own_certs, "admin", "a", 2)
    async with run(certs=own_certs / "master-m") as master:
        dialled = master.__class__(master.address, master.http, own_certs, master.store)
        async with dialled.dial("worker-w1") as wire, dialled.dial("admin-a") as channel:
            worker = stream(wire)
            await worker.hello()
            assert await AdminServiceStub(channel).ListWorkers(admin_pb.ListWorkersRequest())
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                await worker.hear(HeartbeatAck)
            assert ended.value.code() is grpc.StatusCode.UNAVAILABLE  # a worker dials again
            assert isinstance(error_from_rpc(ended.value), CertificateEnded)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await AdminServiceStub(channel).ListWorkers(admin_pb.ListWorkersRequest())
            assert isinstance(error_from_rpc(refused.value), CertificateEnded)
        assert await value_of(master.http, 'ffrtmp_streams_total{what="certificate_ended"}') == 1


async def beat(worker, number: int) -> None:
    await worker.say(Heartbeat(number=number, seen=number, slots=1))
    assert (await worker.hear(HeartbeatAck)).number == number


async def is_served(master, certs, stream, folder: str) -> bool:
    """Whether a worker with that folder gets a stream."""
    async with replace(master, certs=certs).dial(folder) as wire:
        worker = stream(wire)
        try:
            await worker.hello()
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                return False
            raise
        await beat(worker, 1)
    return True


async def until_served(master, certs, stream, folder: str, *, served: bool) -> None:
    async with asyncio.timeout(15):
        while await is_served(master, certs, stream, folder) is not served:
            await asyncio.sleep(0.1)


@pytest.mark.requirement("P9")
async def test_a_new_ca_follows_the_old_one_and_no_open_stream_notices(
    run, stream, own_certs, tmp_path
):
    """Workers with a certificate of the old CA and of the new one are both served in between; at
    the end the old CA's is refused."""
    for name in ("w2", "w3"):
        authority.issue(own_certs, "worker", name, now=utc_now(), lifetime=DAY)
    late = tmp_path / "late"
    async with (
        run(certs=own_certs / "master-m") as master,
        replace(master, certs=own_certs).dial("worker-w1") as wire,
    ):
        first = stream(wire)
        await first.hello()
        rollover.begin(own_certs, now=utc_now())
        shutil.copytree(own_certs / "worker-w2", late / "worker-w2")  # not copied again
        rollover.issue_anew(own_certs, now=utc_now())
        await until_served(master, own_certs, stream, "worker-w3", served=True)
        assert await is_served(master, late, stream, "worker-w2")
        assert await is_served(master, own_certs, stream, "worker-w3")
        await beat(first, 1)
        rollover.finish(own_certs)
        await until_served(master, late, stream, "worker-w2", served=False)
        assert await is_served(master, own_certs, stream, "worker-w3")
        assert await is_served(master, own_certs, stream, "worker-w2")
        await beat(first, 2)


async def test_a_long_lived_client_shows_what_was_renewed_and_its_watch_goes_on(
    run, stream, own_certs, request_for
):
    """The old certificate ends while a watch is open."""
    ends_in(own_certs, "admin", "a", 6)
    end = utc_now() + timedelta(seconds=6)
    async with run(certs=own_certs / "master-m") as master:
        async with replace(master, certs=own_certs).dial("worker-w1") as wire:
            await stream(wire).hello(slots=0)  # so that the root is known
        async with Client(master.address, own_certs / "admin-a") as client:
            job = await client.submit(request_for().spec)
            seen: list[str] = []

            async def watch() -> None:
                async for news in client.watch(job.job_id):
                    seen.append(job_pb2.JobState.Name(news.event.state))

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(watch())
                async with asyncio.timeout(5):
                    while not seen:
                        await asyncio.sleep(0.05)
                authority.issue(own_certs, "admin", "a", now=utc_now(), renew=True)
                async with asyncio.timeout(20):
                    while utc_now() < end + timedelta(seconds=1):
                        await client.get(job.job_id)
                        await asyncio.sleep(0.2)
                await client.cancel(job.job_id)
            assert seen == ["JOB_STATE_QUEUED", "JOB_STATE_CANCELLED"]


async def test_a_client_that_was_idle_while_its_certificate_ended_shows_the_new_one(run, own_certs):
    ends_in(own_certs, "admin", "a", 3)
    end = utc_now() + timedelta(seconds=3)
    async with (
        run(certs=own_certs / "master-m") as master,
        Client(master.address, own_certs / "admin-a") as client,
    ):
        await client.overview()
        authority.issue(own_certs, "admin", "a", now=utc_now(), renew=True)
        while utc_now() <= end:
            await asyncio.sleep(0.2)
        await client.overview()


async def test_a_client_follows_to_a_new_ca(run, own_certs):
    authority.issue(own_certs, "admin", "b", now=utc_now(), lifetime=DAY)
    async with (
        run(certs=own_certs / "master-m") as master,
        Client(master.address, own_certs / "admin-a") as client,
    ):
        await client.overview()
        for step in (rollover.begin, rollover.issue_anew):
            step(own_certs, now=utc_now())
            await until_trusts(client, own_certs)
        rollover.finish(own_certs)
        await until_trusts(client, own_certs)
        async with Client(master.address, own_certs / "admin-b") as newcomer:
            await newcomer.overview()


async def until_trusts(client: Client, certs: Path) -> None:
    """Its newest channel is made of what lies there; each call on the way is served."""
    wanted = (certs / "admin-a" / "tls.pem").read_bytes(), (certs / "admin-a/ca.pem").read_bytes()
    async with asyncio.timeout(15):
        while True:
            await client.overview()
            current = client._masters._identity.current
            if (current.certificate_pem, current.ca_pem) == wanted:
                return
            await asyncio.sleep(0.1)


async def test_a_master_that_is_not_trusted_yet_is_passed_over_once(
    run, own_certs, request_for, tmp_path
):
    """While a CA is rolled one master has its new folder, the other and this client do not yet."""
    authority.init(tmp_path / "rolled", now=utc_now())
    ahead = authority.issue(tmp_path / "rolled", "master", "m2", now=utc_now())
    async with (
        run(certs=ahead, store=str(tmp_path / "ahead.db")) as rolled,
        run(certs=own_certs / "master-m") as master,
    ):
        both, folder = f"{rolled.address},{master.address}", own_certs / "admin-a"
        async with Client(both, folder) as client:
            await client.overview()
        async with Client(master.address, folder) as client:
            job = await client.submit(request_for().spec)
            await client.cancel(job.job_id)
        async with Client(both, folder) as client:
            numbers = [news.event.number async for news in client.watch(job.job_id)]
            assert numbers[:2] == [1, 2]
        async with Client(f"{rolled.address},{rolled.address}", folder, patience=60) as client:
            with pytest.raises(Unreachable, match="copy your folder anew"):
                await client.overview()
            with pytest.raises(Unreachable, match="copy your folder anew"):
                await anext(client.watch(job.job_id))
