"""Did the platform keep its promises: judged by the master that ends a job, told by any."""

import json
from contextlib import AsyncExitStack
from datetime import timedelta

import grpc
import grpc.aio
import pytest
from google.protobuf.json_format import MessageToJson

from ffrtmp.client import Client
from ffrtmp.clock import utc_now
from ffrtmp.domain.errors import IdempotencyMismatch, NotAllowed
from ffrtmp.domain.job import Failure
from ffrtmp.domain.messages import Failed, Offer, OfferReply, ResultAck
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.spec import Purpose, Queue
from ffrtmp.pki.identity import load_identity
from ffrtmp.rpc.credentials import server_credentials
from ffrtmp.rpc.times import to_duration
from ffrtmp.v1 import admin_service_pb2 as pb
from ffrtmp.v1 import job_pb2, job_service_pb2
from ffrtmp.v1.admin_service_pb2_grpc import AdminServiceStub
from ffrtmp.v1.job_service_pb2_grpc import JobServiceServicer, add_JobServiceServicer_to_server
from tests.integration.master.conftest import Running
from tests.integration.master.test_admin_cli import printed, said
from tests.integration.master.test_http import value_of


@pytest.fixture
async def opened():
    async with AsyncExitStack() as stack:
        yield stack


async def end_badly(worker, reason: Reason) -> None:
    """The next offer is accepted and fails."""
    key = (await worker.hear(Offer)).key
    await worker.say(OfferReply(key))
    await worker.say(Failed(key, Failure(reason=reason, message="no")))
    await worker.hear(ResultAck)


def spec_in(request_for, target: str, queue: Queue | None = None) -> job_pb2.JobSpec:
    spec = request_for(target).spec
    if queue is not None:
        spec.queue = job_pb2.Queue.Value(f"QUEUE_{queue.name}")
    return spec


@pytest.fixture
async def masters(run, store_address, opened) -> tuple[Running, Running]:
    """Two over one PostgreSQL; of SQLite one, twice."""
    both = store_address.startswith("postgres")
    one = await opened.enter_async_context(run(store=store_address))
    return one, await opened.enter_async_context(run(store=store_address)) if both else one


async def test_jobs_are_accounted_for_by_queue_and_purpose_whoever_is_asked(
    masters, stream, request_for, opened, capsys
):
    """A bad input counts for nobody, a broken promise for the platform, a cancel for neither."""
    one, other = masters
    client = await opened.enter_async_context(Client(one.address, one.certs / "admin-a"))
    bad = await client.submit(spec_in(request_for, "bad.mp4"), purpose=Purpose.TEST)
    worker = stream(await opened.enter_async_context(one.dial("worker-w1")))
    await worker.hello()
    await end_badly(worker, Reason.INPUT_BAD)
    batch = await client.submit(spec_in(request_for, "batch.mp4", Queue.BATCH))
    await end_badly(worker, Reason.STALLED)
    await end_badly(worker, Reason.STALLED)
    left = await client.submit(spec_in(request_for, "left.mp4"), purpose=Purpose.TEST)
    # It is on offer to the worker, which says nothing; so it may have an offer, but no attempt.
    assert (await client.cancel(left.job_id)).service.verdict == job_pb2.SLA_VERDICT_WITHDRAWN

    seen = (await client.get(bad.job_id)).job
    assert (seen.purpose, seen.state) == (job_pb2.PURPOSE_TEST, job_pb2.JOB_STATE_FAILED)
    assert seen.service.verdict == job_pb2.SLA_VERDICT_MET
    failed = (await client.get(batch.job_id)).job.service
    assert failed.platform_failures == 2
    assert list(failed.breaches) == [job_pb2.SLA_BREACH_PLATFORM_FAILURE]

    admin = AdminServiceStub(await opened.enter_async_context(other.dial("admin-a")))
    told = await admin.GetSla(pb.GetSlaRequest())
    assert [(each.queue, each.purpose) for each in told.accounts] == [
        (job_pb2.QUEUE_DEFAULT, job_pb2.PURPOSE_TEST),
        (job_pb2.QUEUE_BATCH, job_pb2.PURPOSE_PRODUCTION),
    ]
    tests, production = told.accounts
    assert (tests.jobs, tests.failed, tests.cancelled) == (2, 1, 1)
    assert (tests.met, tests.missed, tests.withdrawn) == (1, 0, 1)
    assert (production.jobs, production.failed, production.met) == (1, 1, 0)
    assert (production.missed, production.missed_platform_failure) == (1, 1)
    assert told.targets[0].wait_duration.seconds == 30

    counted = 'ffrtmp_sla_jobs_total{purpose="production",queue="batch",verdict="missed"}'
    assert await value_of(one.http, counted) == 1
    lines = (await printed(capsys, other, "sla")).splitlines()
    assert lines[0] == "waits    at most 30 s in live, 10 m in default, 12 h in batch"
    rows = [line.split("\t") for line in lines[lines.index("") + 1 :]]
    assert rows[1][:4] == ["default", "test", "100.00 %", "0"]
    assert rows[2][:4] == ["batch", "production", "0.00 %", "1"]
    assert rows[2][-1] == "1 failed"
    shown = await printed(capsys, other, "jobs", "get", batch.job_id)
    assert "promise missed: platform failure" in shown
    assert "for test" in await printed(capsys, other, "jobs", "get", bad.job_id)
    told = json.loads(await printed(capsys, other, "sla", "--since", "2h", "--json"))
    assert [each["jobs"] for each in told["accounts"]] == ["2", "1"]


async def test_what_a_job_is_for_is_said_when_it_is_submitted(run, request_for, capsys, tmp_path):
    specs = tmp_path / "specs.jsonl"
    lines = [MessageToJson(request_for(f"{n}.mp4").spec, indent=None) for n in range(2)]
    specs.write_text("\n".join(lines))
    async with run() as master:
        submit = ("jobs", "submit", "--spec", str(specs), "--purpose", "benchmark")
        ids = (await printed(capsys, master, *submit)).split()
        for job_id in ids:
            assert "for benchmark" in await printed(capsys, master, "jobs", "get", job_id)
        assert len(ids) == 2


class OlderMaster(JobServiceServicer):
    """Of before there were purposes: it knows no such field, and leaves it out of its answers."""

    async def SubmitJob(self, request, context):  # noqa: N802  # named by the proto
        return job_service_pb2.SubmitJobResponse(job=job_pb2.Job(job_id="J"))

    async def SubmitJobs(self, request, context):  # noqa: N802
        return job_service_pb2.SubmitJobsResponse(jobs=[job_pb2.Job(job_id="J")])


@pytest.mark.parametrize("purpose", ["test", "production"])
async def test_a_purpose_that_an_older_master_passed_over_is_warned_of(
    certs, request_for, capsys, tmp_path, purpose
):
    specs = tmp_path / "specs.jsonl"
    specs.write_text(MessageToJson(request_for("a.mp4").spec, indent=None))
    server = grpc.aio.server()
    add_JobServiceServicer_to_server(OlderMaster(), server)
    identity = load_identity(certs / "master-m", now=utc_now())
    port = server.add_secure_port("127.0.0.1:0", server_credentials(identity))
    await server.start()
    master = Running(f"127.0.0.1:{port}", "", certs, "")
    try:
        for what in (("test:64x48@25:1s", "m:a.mp4"), ("--spec", str(specs))):
            submit = ("jobs", "submit", *what, "--purpose", purpose)
            code, out, err = await said(capsys, master, *submit)
            assert (code, out) == (0, "J\n")
            assert ("knows no purpose: not test, but production" in err) is (purpose == "test")
    finally:
        await server.stop(0)


async def test_no_job_is_nobodys_failure(run, capsys):
    async with run(sla_wait=timedelta(minutes=1)) as master:
        told = await printed(capsys, master, "sla")
        assert "1 m in default" in told
        assert told.endswith("no job has ended within 1 d\n")


@pytest.mark.parametrize("days", [-1, 0, 367])
async def test_a_window_that_is_none_is_refused(run, opened, days):
    master = await opened.enter_async_context(run())
    admin = AdminServiceStub(await opened.enter_async_context(master.dial("admin-a")))
    asked = pb.GetSlaRequest(window_duration=to_duration(timedelta(days=days)))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await admin.GetSla(asked)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "window_duration" in (refused.value.details() or "")


async def test_a_retry_is_for_what_the_first_was_for_and_only_admins_see_accounts(run, request_for):
    async with run() as master, Client(master.address, master.certs / "client-c") as client:
        spec = request_for("a.mp4").spec
        job = await client.submit(spec, key="k", purpose=Purpose.DEBUG)
        assert (await client.submit(spec, key="k", purpose=Purpose.DEBUG)).job_id == job.job_id
        with pytest.raises(IdempotencyMismatch):
            await client.submit(spec, key="k")
        await client.cancel(job.job_id)
        again = await client.retry(job.job_id)
        assert again.job_id != job.job_id
        assert again.purpose == job_pb2.PURPOSE_DEBUG
        with pytest.raises(NotAllowed):
            await client.sla()
