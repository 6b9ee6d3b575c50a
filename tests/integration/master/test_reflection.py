"""What the gRPC port tells about itself, and to whom: any valid certificate, and nobody without."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from ffrtmp.rpc.channel import explain_rpc_error
from ffrtmp.v1 import admin_service_pb2 as admin_pb
from ffrtmp.v1.admin_service_pb2_grpc import AdminServiceStub
from ffrtmp.v1.job_service_pb2_grpc import JobServiceStub

BUF = Path(sys.executable).with_name("buf")
SERVICES = {
    "ffrtmp.v1.JobService",
    "ffrtmp.v1.WorkerService",
    "ffrtmp.v1.AdminService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1alpha.ServerReflection",
}


async def listed(channel: grpc.aio.Channel) -> set[str]:
    async def ask() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(ask())
    [answer] = [answer async for answer in call]
    return {service.name for service in answer.list_services_response.service}


@pytest.mark.parametrize("identity", ["admin-a", "client-c", "worker-w1"])
async def test_every_role_may_list_the_services(run, identity):
    async with run() as master, master.dial(identity) as channel:
        assert await listed(channel) == SERVICES


@pytest.mark.parametrize("identity", ["worker-w1", "client-c"])
async def test_only_an_admin_may_call_the_admin_service(run, identity):
    async with run() as master, master.dial(identity) as channel:
        with pytest.raises(grpc.aio.AioRpcError, match="is for the role admin") as refused:
            await AdminServiceStub(channel).ListWorkers(admin_pb.ListWorkersRequest())
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_worker_may_not_submit_and_an_admin_may(run, request_for):
    async with run() as master:
        async with master.dial("worker-w1") as channel:
            with pytest.raises(grpc.aio.AioRpcError, match="admin or client") as refused:
                await JobServiceStub(channel).SubmitJob(request_for())
            assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
        async with master.dial("admin-a") as channel:
            assert (await JobServiceStub(channel).SubmitJob(request_for())).job.job_id


async def test_without_a_certificate_the_handshake_fails(run):
    async with run() as master:
        trust = (master.certs / "ca.pem").read_bytes()
        credentials = grpc.ssl_channel_credentials(root_certificates=trust)
        async with grpc.aio.secure_channel(master.address, credentials) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await listed(channel)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "closed the connection" in explain_rpc_error(refused.value, master.address)


async def test_plain_text_is_not_answered(run):
    async with run() as master, grpc.aio.insecure_channel(master.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await listed(channel)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def buf_curl(master, identity: str | None, path: str, *more: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `buf curl`."""
    argv = [str(BUF), "curl", "--protocol", "grpc", "--cacert", str(master.certs / "ca.pem")]
    if identity is not None:
        folder = master.certs / identity
        argv += ["--cert", str(folder / "tls.pem"), "--key", str(folder / "tls.key")]
    process = await asyncio.create_subprocess_exec(
        *argv,
        *more,
        f"https://{master.address}{path}",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_buf_curl_lists_services_and_calls_one_with_an_admins_certificate(run, stream):
    async with run() as master, master.dial("worker-w1") as channel:
        await stream(channel).hello(slots=3)
        code, out, err = await buf_curl(master, "admin-a", "", "--list-services")
        assert (code, set(out.split())) == (0, SERVICES), err
        code, out, err = await buf_curl(
            master, "admin-a", "/ffrtmp.v1.AdminService/ListWorkers", "--data", "{}"
        )
        assert code == 0, err
        [worker] = json.loads(out)["workers"]
        assert (worker["name"], worker["slots"]) == ("w1", 3)
        assert worker["state"] == "WORKER_STATE_CONNECTED"


async def test_buf_curl_is_denied_with_a_workers_certificate_and_refused_with_none(run):
    call = ("/ffrtmp.v1.AdminService/ListWorkers", "--data", "{}")
    async with run() as master:
        code, _, err = await buf_curl(master, "worker-w1", *call)
        assert code != 0
        assert "permission_denied" in err
        code, out, err = await buf_curl(master, None, "", "--list-services")
        assert (code != 0, out) == (True, "")
        # The master hung up in the handshake; a slow buf sees it only when it writes.
        assert any(word in err for word in ("unavailable", "broken pipe", "reset by peer")), err
