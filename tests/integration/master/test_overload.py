"""Storms, giants and readers that do not read: refused or let go, never half taken, never kept."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path

import grpc
import grpc.aio
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from ffrtmp.clock import utc_now
from ffrtmp.domain.messages import Offer, OfferReply, Progress, ProgressReport
from ffrtmp.domain.session import AttemptKey, Phase
from ffrtmp.master.master import Policy
from ffrtmp.pki.identity import load_identity
from ffrtmp.rpc.credentials import channel_credentials
from ffrtmp.v1 import job_service_pb2 as pb
from ffrtmp.v1.job_service_pb2_grpc import JobServiceStub
from tests.integration.master.test_http import fetch, value_of

MIB = 1 << 20
BATCH = 200
MOST = 1000
"""Jobs that may be on their way into the store; ten times as many by default."""
STORM = 60
"""Batches at once: twelve times as much as that."""
WATCHERS = 20
REPORTS = 400


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@asynccontextmanager
async def most_resident() -> AsyncIterator[list[int]]:
    """What this process has, and the most it had while the block lasted."""
    seen = [resident_bytes(), resident_bytes()]

    async def look() -> None:
        while True:
            seen[1] = max(seen[1], resident_bytes())
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(look())
        yield seen
        looking.cancel()


def batch(request_for) -> pb.SubmitJobsRequest:
    jobs = [request_for(f"{number}.mp4", f"{number}") for number in range(BATCH)]
    return pb.SubmitJobsRequest(jobs=jobs)


async def count_of(jobs: JobServiceStub) -> int:
    count, token = 0, ""
    while True:
        page = await jobs.ListJobs(pb.ListJobsRequest(page_size=1000, page_token=token))
        count += len(page.jobs)
        token = page.next_page_token
        if not token:
            return count


def retry_delay_of(error: grpc.aio.AioRpcError) -> float:
    """As tools read it: out of the rich status."""
    [details] = [v for k, v in error.trailing_metadata() or () if k == "grpc-status-details-bin"]
    info = RetryInfo()
    assert Status.FromString(details).details[0].Unpack(info)
    return info.retry_delay.ToTimedelta().total_seconds()


async def test_a_storm_of_submits_is_refused_before_it_costs_memory(run, request_for, monkeypatch):
    """The store takes nothing meanwhile, so that all of it piles up. Whatever was refused, at once
    or in the end, was not stored; a scrape is answered in the midst of it."""
    monkeypatch.setitem(Policy.__init__.__kwdefaults__, "most_submitted", MOST)
    async with run() as master, master.dial("client-c") as channel:
        jobs = JobServiceStub(channel)
        request = batch(request_for)

        async def submit() -> grpc.aio.AioRpcError | None:
            try:
                await jobs.SubmitJobs(request)
            except grpc.aio.AioRpcError as error:
                return error
            return None

        with closing(sqlite3.connect(master.store, isolation_level=None)) as stranger:
            stranger.execute("BEGIN IMMEDIATE")
            async with most_resident() as resident, asyncio.TaskGroup() as tasks:
                storm = [tasks.create_task(submit()) for _ in range(STORM)]
                await asyncio.wait(storm, return_when=asyncio.FIRST_COMPLETED)
                status, text = await fetch(master.http, "/metrics")
                assert status == 200
                assert "ffrtmp_event_loop_lag_seconds_count" in text
            stranger.execute("ROLLBACK")
        errors = [task.result() for task in storm]
        refused = [e for e in errors if e and e.code() is grpc.StatusCode.RESOURCE_EXHAUSTED]
        waited = [e for e in errors if e and e.code() is grpc.StatusCode.UNAVAILABLE]
        assert len(refused) + len(waited) == STORM
        assert len(refused) >= STORM / 2
        assert all(retry_delay_of(error) > 0 for error in refused + waited)
        assert "nothing of this call was stored" in (refused[0].details() or "")
        assert resident[1] - resident[0] < 24 * MIB, (resident[1] - resident[0]) / MIB
        assert await count_of(jobs) == 0
        assert len((await jobs.SubmitJobs(request)).jobs) == BATCH
        assert await count_of(jobs) == BATCH
        assert await value_of(master.http, 'ffrtmp_store_refused_total{pool="sqlite"}') > 0


async def test_a_spec_above_the_limit_is_refused_with_its_batch(run, request_for):
    """Each of its paths is allowed; all together they are not."""
    async with run() as master, master.dial("client-c") as channel:
        jobs = JobServiceStub(channel)
        giant = request_for("giant.mp4", "giant")
        [output] = giant.spec.outputs
        folder = "/".join(["d" * 250] * 15)
        giant.spec.ClearField("outputs")
        for number in range(20):
            output.path = f"m:{folder}/{number}.mp4"
            giant.spec.outputs.append(output)
        assert giant.ByteSize() > 64 * 1024
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await jobs.SubmitJobs(pb.SubmitJobsRequest(jobs=[request_for("a.mp4", "a"), giant]))
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert (refused.value.details() or "").startswith("jobs[1].spec: ")
        assert "at most 65536 bytes" in (refused.value.details() or "")
        del giant.spec.outputs[16:]
        assert (await jobs.SubmitJob(giant)).job.job_id
        assert await count_of(jobs) == 1


@pytest.mark.parametrize("size", [1001, 3000])
async def test_a_batch_above_the_limit_is_refused_unread(run, request_for, size):
    """Also when the first of its jobs is wrong."""
    async with run() as master, master.dial("client-c") as channel:
        jobs = JobServiceStub(channel)
        wrong = [pb.SubmitJobRequest(idempotency_key=f"k{number}") for number in range(size)]
        with pytest.raises(grpc.aio.AioRpcError, match="1 to 1000 jobs a call") as refused:
            await jobs.SubmitJobs(pb.SubmitJobsRequest(jobs=wrong))
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert await count_of(jobs) == 0


async def test_a_message_above_the_limit_is_refused_and_the_connection_lives(run, request_for):
    async with run() as master, master.dial("client-c") as channel:
        jobs = JobServiceStub(channel)
        long = [request_for(f"{'x' * 200}{number}.mp4", "k" * 4000) for number in range(300)]
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await jobs.SubmitJobs(pb.SubmitJobsRequest(jobs=long))
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await count_of(jobs) == 0
        assert (await jobs.SubmitJob(request_for())).job.job_id


def narrow(master) -> grpc.aio.Channel:
    """gRPC keeps little of what was not read."""
    credentials = channel_credentials(load_identity(master.certs / "client-c", now=utc_now()))
    options = [("grpc.http2.bdp_probe", 0), ("grpc.use_local_subchannel_pool", 1)]
    return grpc.aio.secure_channel(master.address, credentials, options=options)


def report(key: AttemptKey, number: int) -> ProgressReport:
    done = timedelta(seconds=number)
    return ProgressReport((Progress(key=key, phase=Phase.ENCODE, position=done, frames=number),))


async def test_watchers_that_never_read_cost_next_to_nothing(run, stream, request_for):
    """What they do not take is dropped but for the newest; who reads beside them is told all the
    same, and a scrape is answered."""
    async with run() as master, master.dial("client-c") as channel, master.dial("worker-w1") as w1:
        jobs, worker = JobServiceStub(channel), stream(w1)
        job_id = (await jobs.SubmitJob(request_for())).job.job_id
        await worker.hello()
        key = (await worker.hear(Offer)).key
        await worker.say(OfferReply(key))
        channels = [narrow(master) for _ in range(WATCHERS)]
        try:
            deaf = [
                JobServiceStub(each).WatchJob(pb.WatchJobRequest(job_id=job_id))
                for each in channels
            ]
            for call in deaf:
                await call.read()  # it has begun; nothing more is read of it
            reader = jobs.WatchJob(pb.WatchJobRequest(job_id=job_id))
            async with most_resident() as resident, asyncio.timeout(60):
                for number in range(1, REPORTS + 1):
                    await worker.say(report(key, number))
                    await asyncio.sleep(0.005)  # it reports, it does not flood
                while (await reader.read()).progress.frames < REPORTS:
                    pass
            assert (await fetch(master.http, "/metrics"))[0] == 200
            assert resident[1] - resident[0] < WATCHERS * MIB
            for call in deaf:
                call.cancel()
        finally:
            for each in channels:
                await each.close()
