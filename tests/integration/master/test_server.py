"""A whole master over gRPC with mTLS: what clients, operators and workers get, and how it ends."""

import asyncio
import os
import signal
import socket
import sqlite3
import sys
from contextlib import asynccontextmanager
from datetime import timedelta

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ffrtmp.config import MasterSettings
from ffrtmp.domain.job import FileRecord, Manifest
from ffrtmp.domain.messages import (
    Cancel,
    Goodbye,
    Heartbeat,
    HeartbeatAck,
    Hello,
    Offer,
    OfferReply,
    Progress,
    ProgressReport,
    Published,
    Reconnect,
    ResultAck,
    Staged,
)
from ffrtmp.domain.session import AttemptReport, Phase
from ffrtmp.domain.worker import Capabilities
from ffrtmp.master.server import PortTaken, run_master
from ffrtmp.pki.errors import PkiError
from ffrtmp.store.errors import StoreLocked, StoreUnusable
from ffrtmp.v1 import admin_service_pb2 as admin_pb
from ffrtmp.v1 import job_pb2
from ffrtmp.v1 import job_service_pb2 as pb
from ffrtmp.v1 import worker_service_pb2 as worker_pb
from ffrtmp.v1.admin_service_pb2_grpc import AdminServiceStub
from ffrtmp.v1.job_service_pb2_grpc import JobServiceStub

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def manifest(fence: int) -> Manifest:
    return Manifest((FileRecord("m:out.mp4", 3, "ab" * 32),), fence)


async def refusal(call) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refused.value.code(), refused.value.details()


# -- jobs ---------------------------------------------------------------------------------------


async def test_a_job_goes_from_submit_to_its_published_files(run, stream, request_for):
    async with run() as master, master.dial("client-c") as client, master.dial("worker-w1") as wire:
        jobs = JobServiceStub(client)
        job_id = (await jobs.SubmitJob(request_for())).job.job_id
        watch = jobs.WatchJob(pb.WatchJobRequest(job_id=job_id))
        worker = stream(wire)
        await worker.hello()
        offer = await worker.hear(Offer)
        await worker.say(OfferReply(offer.key))
        await worker.say(
            ProgressReport(
                (Progress(key=offer.key, phase=Phase.ENCODE, position=timedelta(seconds=2)),)
            )
        )
        seen = []
        async for response in watch:
            seen.append(response)
            if response.WhichOneof("kind") == "progress":
                await worker.say(Staged(offer.key, manifest(1)))
                await worker.hear(ResultAck)
                await worker.say(Published(offer.key))
        events = [each.event for each in seen if each.WhichOneof("kind") == "event"]
        assert [event.number for event in events] == [1, 2, 3, 4, 5]
        assert (events[0].actor, events[2].actor) == ("client/c", "worker/w1")
        [progress] = [each.progress for each in seen if each.WhichOneof("kind") == "progress"]
        assert progress.position.seconds == 2
        ended = seen[-1].job
        assert ended.state == job_pb2.JOB_STATE_SUCCEEDED
        assert [file.sha256 for file in ended.files] == ["ab" * 32]
        found = await jobs.GetJob(pb.GetJobRequest(job_id=job_id))
        assert (found.job, list(found.events)) == (ended, events)


async def test_the_same_key_and_body_are_the_same_job_and_another_body_is_refused(run, request_for):
    async with run() as master, master.dial("client-c") as client:
        jobs = JobServiceStub(client)
        first = await jobs.SubmitJob(request_for("a.mp4", key="k"))
        again = await jobs.SubmitJob(request_for("a.mp4", key="k"))
        assert again.job == first.job
        code, details = await refusal(jobs.SubmitJob(request_for("b.mp4", key="k")))
        assert (code, "'k'" in details) == (grpc.StatusCode.ALREADY_EXISTS, True)


async def test_a_target_of_a_live_job_is_refused_with_its_owners_id(run, request_for):
    async with run() as master, master.dial("client-c") as client:
        jobs = JobServiceStub(client)
        owner = (await jobs.SubmitJob(request_for("a.mp4", key="1"))).job.job_id
        code, details = await refusal(jobs.SubmitJob(request_for("a.mp4", key="2")))
        assert (code, owner in details) == (grpc.StatusCode.ALREADY_EXISTS, True)


async def test_a_batch_is_all_or_nothing_and_names_the_bad_job(run, request_for):
    async with run() as master, master.dial("client-c") as client:
        jobs = JobServiceStub(client)
        bad = request_for("b.mp4", key="2")
        bad.spec.ClearField("input")
        batch = pb.SubmitJobsRequest(jobs=[request_for("a.mp4", key="1"), bad])
        code, details = await refusal(jobs.SubmitJobs(batch))
        assert (code, "jobs[1]" in details) == (grpc.StatusCode.INVALID_ARGUMENT, True)
        assert not (await jobs.ListJobs(pb.ListJobsRequest())).jobs
        batch = pb.SubmitJobsRequest(jobs=[request_for(f"{n}.mp4", key=str(n)) for n in range(3)])
        made = [job.job_id for job in (await jobs.SubmitJobs(batch)).jobs]
        assert made == sorted(made)


async def test_listing_pages_through_every_job_of_the_filter(run, request_for):
    async with run() as master, master.dial("client-c") as client:
        jobs = JobServiceStub(client)
        made = [
            (await jobs.SubmitJob(request_for(f"{n}.mp4", key=str(n)))).job.job_id for n in range(5)
        ]
        await jobs.CancelJob(pb.CancelJobRequest(job_id=made[2]))
        wanted = pb.ListJobsRequest(states=[job_pb2.JOB_STATE_QUEUED], page_size=3)
        first = await jobs.ListJobs(wanted)
        wanted.page_token = first.next_page_token
        second = await jobs.ListJobs(wanted)
        listed = [job.job_id for job in (*first.jobs, *second.jobs)]
        assert listed == [made[4], made[3], made[1], made[0]]
        assert second.next_page_token == ""


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        (pb.ListJobsRequest(page_size=1001), "page_size"),
        (pb.ListJobsRequest(page_token="?"), "page_token"),
        (pb.ListJobsRequest(states=[99]), "states"),
    ],
)
async def test_a_wrong_list_request_names_its_field(run, wanted, named):
    async with run() as master, master.dial("client-c") as client:
        code, details = await refusal(JobServiceStub(client).ListJobs(wanted))
        assert (code, named in details) == (grpc.StatusCode.INVALID_ARGUMENT, True)


async def test_an_unknown_job_is_not_found_by_get_watch_and_cancel(run):
    async with run() as master, master.dial("client-c") as client:
        jobs = JobServiceStub(client)
        calls = [
            jobs.GetJob(pb.GetJobRequest(job_id="no")),
            jobs.CancelJob(pb.CancelJobRequest(job_id="no")),
            jobs.WatchJob(pb.WatchJobRequest(job_id="no")).read(),
        ]
        for call in calls:
            code, details = await refusal(call)
            assert (code, "'no'" in details or "no" in details) == (grpc.StatusCode.NOT_FOUND, True)


async def test_cancelling_tells_the_worker_and_is_idempotent(run, stream, request_for):
    async with run() as master, master.dial("client-c") as client, master.dial("worker-w1") as wire:
        jobs = JobServiceStub(client)
        job_id = (await jobs.SubmitJob(request_for())).job.job_id
        worker = stream(wire)
        await worker.hello()
        offer = await worker.hear(Offer)
        await worker.say(OfferReply(offer.key))
        cancel = pb.CancelJobRequest(job_id=job_id)
        cancelled = (await jobs.CancelJob(cancel)).job
        assert cancelled.state == job_pb2.JOB_STATE_CANCELLED
        assert (await worker.hear(Cancel)).key == offer.key
        assert (await jobs.CancelJob(cancel)).job == cancelled


@pytest.mark.parametrize(("after", "expected"), [(0, [1, 2]), (1, [2]), (2, []), (9, [])])
async def test_watching_a_job_that_has_ended_ends(run, request_for, after, expected):
    async with run() as master, master.dial("client-c") as client:
        jobs = JobServiceStub(client)
        job_id = (await jobs.SubmitJob(request_for())).job.job_id
        await jobs.CancelJob(pb.CancelJobRequest(job_id=job_id))
        watch = jobs.WatchJob(pb.WatchJobRequest(job_id=job_id, after_event_number=after))
        async with asyncio.timeout(5):
            assert [response.event.number async for response in watch] == expected


# -- workers ------------------------------------------------------------------------------------


@pytest.mark.requirement("G1")
async def test_workers_are_shown_with_slots_load_attempts_and_age(run, stream, request_for):
    async with run() as master, master.dial("admin-a") as admin, master.dial("worker-w1") as wire:
        await JobServiceStub(admin).SubmitJob(request_for())
        worker = stream(wire)
        await worker.hello(slots=2)
        offer = await worker.hear(Offer)
        await worker.say(OfferReply(offer.key))
        report = AttemptReport(key=offer.key, phase=Phase.ENCODE)
        await worker.say(Heartbeat(number=1, seen=2, slots=2, attempts=(report,)))
        await worker.hear(HeartbeatAck)
        workers = AdminServiceStub(admin)
        [listed] = (await workers.ListWorkers(admin_pb.ListWorkersRequest())).workers
        assert listed == (await workers.GetWorker(admin_pb.GetWorkerRequest(name="w1"))).worker
        assert (listed.slots, listed.free_slots, listed.epoch) == (2, 1, 1)
        [attempt] = listed.attempts
        assert (attempt.job_id, attempt.fence) == (offer.key.job_id, offer.key.fence)
        assert attempt.phase == job_pb2.ATTEMPT_PHASE_ENCODE
        assert listed.heartbeat_time.seconds > 0
        assert set(listed.capabilities.codecs) == {"aac", "h264"}
        code, _ = await refusal(workers.GetWorker(admin_pb.GetWorkerRequest(name="w9")))
        assert code is grpc.StatusCode.NOT_FOUND


async def test_a_stream_that_does_not_begin_with_hello_is_refused(run, stream):
    async with run() as master, master.dial("worker-w1") as wire:
        worker = stream(wire)
        await worker.say(Heartbeat(number=1, seen=0, slots=1))
        code, details = await refusal(worker.call.read())
        assert (code, "hello" in details) == (grpc.StatusCode.INVALID_ARGUMENT, True)


async def test_a_hello_with_malformed_labels_is_refused_by_name(run, stream):
    async with run() as master, master.dial("worker-w1") as wire:
        worker = stream(wire)
        labels = {f"k{number}": "v" for number in range(65)}
        many = Capabilities(spec_version=1, ffmpeg_version="9", codecs=frozenset(), labels=labels)
        await worker.say(Hello(incarnation="i1", capabilities=many, slots=1))
        code, details = await refusal(worker.call.read())
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "labels: 65 is not valid: at most 64 labels" in details


async def test_what_a_newer_worker_says_is_ignored_and_the_rest_is_heard(run, stream):
    async with run() as master, master.dial("worker-w1") as wire:
        worker = stream(wire)
        await worker.hello()
        unknown = worker_pb.WorkerEvent.FromString(b"\xfa\x3f\x00")  # field 1023
        await worker.call.write(worker_pb.ConnectRequest(events=[unknown]))
        await worker.say(Heartbeat(number=7, seen=0, slots=1))
        assert (await worker.hear(HeartbeatAck)).number == 7


async def state_of(master, name: str) -> str:
    async with master.dial("admin-a") as admin:
        answer = await AdminServiceStub(admin).GetWorker(admin_pb.GetWorkerRequest(name=name))
    return admin_pb.WorkerState.Name(answer.worker.state)


async def test_a_worker_whose_connection_breaks_is_silent_and_may_come_back(run, stream):
    async with run() as master:
        async with master.dial("worker-w1") as wire:
            assert (await stream(wire).hello()).epoch == 1
            assert await state_of(master, "w1") == "WORKER_STATE_CONNECTED"
        async with asyncio.timeout(5):
            while await state_of(master, "w1") != "WORKER_STATE_SILENT":
                pass
        async with master.dial("worker-w1") as wire:
            assert (await stream(wire).hello()).epoch == 2
            assert await state_of(master, "w1") == "WORKER_STATE_CONNECTED"


async def test_a_newer_stream_of_the_same_incarnation_ends_the_older(run, stream):
    async with run() as master, master.dial("worker-w1") as one, master.dial("worker-w1") as two:
        older, newer = stream(one), stream(two)
        await older.hello()
        await newer.hello()
        code, details = await refusal(older.call.read())
        # Not ABORTED, after which a worker ends: the newer hello may be one that came late.
        assert (code, "dial again" in details) == (grpc.StatusCode.UNAVAILABLE, True)
        await newer.say(Heartbeat(number=1, seen=0, slots=1))
        assert (await newer.hear(HeartbeatAck)).number == 1


async def test_a_twin_is_refused_and_told_who_has_its_name(run, stream):
    async with run() as master, master.dial("worker-w1") as one, master.dial("worker-w1") as two:
        await stream(one).hello()
        code, details = await refusal(stream(two).hello(incarnation="another"))
        assert (code, "127.0.0.1" in details) == (grpc.StatusCode.ALREADY_EXISTS, True)


async def test_goodbye_ends_the_stream_well(run, stream):
    async with run() as master, master.dial("worker-w1") as wire:
        worker = stream(wire)
        await worker.hello()
        await worker.say(Goodbye())
        assert await worker.call.code() is grpc.StatusCode.OK


# -- its end ------------------------------------------------------------------------------------


async def test_health_is_served_for_the_whole_and_for_each_service(run):
    async with run() as master, master.dial("client-c") as client:
        health = health_pb2_grpc.HealthStub(client)
        for service in ("", "ffrtmp.v1.JobService", "ffrtmp.v1.WorkerService"):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == SERVING


async def test_a_master_that_goes_down_says_so_and_sends_its_workers_away(run, stream):
    statuses = []

    async def follow_health(client) -> None:
        health = health_pb2_grpc.HealthStub(client)
        try:
            async for answer in health.Watch(health_pb2.HealthCheckRequest()):
                statuses.append(answer.status)
                watching.set()
        except grpc.aio.AioRpcError as error:
            statuses.append(error.code())

    async def leave_when_told(wire) -> None:
        worker = stream(wire)
        await worker.hello()
        greeted.set()
        told.append(await worker.hear(Reconnect))
        worker.call.cancel()

    watching, greeted, told = asyncio.Event(), asyncio.Event(), []
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks, run() as master:
        client, wire = master.dial("client-c"), master.dial("worker-w1")
        tasks.create_task(follow_health(client))
        tasks.create_task(leave_when_told(wire))
        await watching.wait()
        await greeted.wait()
    async with client, wire:
        assert timedelta(0) <= told[0].after <= timedelta(seconds=1)
        assert statuses[:2] == [SERVING, NOT_SERVING]


async def test_a_job_outlives_its_master(run, request_for):
    async with run() as master, master.dial("client-c") as client:
        job = (await JobServiceStub(client).SubmitJob(request_for())).job
    async with run() as master, master.dial("client-c") as client:
        found = await JobServiceStub(client).GetJob(pb.GetJobRequest(job_id=job.job_id))
        assert found.job.unschedulable_reason == "no worker is connected"
        found.job.ClearField("unschedulable_reason")
        assert found.job == job


# -- what is wrong with the set-up --------------------------------------------------------------


@pytest.fixture
def settings(certs, tmp_path):
    def make(**options) -> MasterSettings:
        usual = {
            "certs": certs / "master-m",
            "listen": "127.0.0.1:0",
            "http": "127.0.0.1:0",
            "store": str(tmp_path / "master.db"),
        }
        return MasterSettings(**usual | options)

    return make


@pytest.fixture
def taken():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("option", ["listen", "http"])
async def test_a_taken_port_is_named_with_the_option_that_changes_it(settings, taken, option):
    with pytest.raises(PortTaken, match=f"{taken}.*--{option}"):
        await run_master(settings(**{option: taken}))


@pytest.mark.parametrize("option", ["listen", "http"])
async def test_an_address_of_another_machine_is_refused(settings, option):
    with pytest.raises(PortTaken, match=f"192.0.2.1:0.*--{option}"):
        await run_master(settings(**{option: "192.0.2.1:0"}))


async def test_a_second_master_does_not_share_a_port_in_silence(run, settings, tmp_path):
    async with run() as master:
        with pytest.raises(PortTaken):
            await run_master(settings(listen=master.address, store=str(tmp_path / "other.db")))


async def test_a_second_master_on_one_database_does_not_start(run, settings):
    async with run() as master:
        with pytest.raises(StoreLocked, match="another master"):
            await run_master(settings(store=master.store))


async def test_a_database_that_is_none_is_refused(settings, tmp_path):
    (tmp_path / "junk.db").write_bytes(b"no database at all, " * 500)
    with pytest.raises(StoreUnusable, match=r"junk\.db"):
        await run_master(settings(store=str(tmp_path / "junk.db")))
    with pytest.raises(StoreUnusable, match=str(tmp_path)):
        await run_master(settings(store=str(tmp_path)))
    with pytest.raises(StoreUnusable, match="choose another folder"):
        await run_master(settings(store=str(tmp_path / "junk.db" / "master.db")))


async def test_a_certificate_of_another_role_is_refused(settings, certs):
    with pytest.raises(PkiError, match="needs the role master"):
        await run_master(settings(certs=certs / "worker-w1"))
    with pytest.raises(PkiError, match="holds the CA's key"):
        await run_master(settings(certs=certs))


# -- as a process -------------------------------------------------------------------------------

PROGRAM = """
import asyncio, sys
from pathlib import Path
from ffrtmp.config import MasterSettings
from ffrtmp.master.server import run_master
from ffrtmp.telemetry.lines import set_up

set_up("text")
certs, store, stop_at_eof = sys.argv[1:]
settings = MasterSettings(
    certs=Path(certs), store=store, listen="127.0.0.1:0", http="127.0.0.1:0",
    stop_at_eof=stop_at_eof == "eof",
)
ready = lambda *addresses: print(*addresses, flush=True)
sys.exit(asyncio.run(run_master(settings, ready=ready)))
"""


class Process:
    """A master process. `stderr` is known after its end."""

    def __init__(self, child: asyncio.subprocess.Process, address: str) -> None:
        self.child = child
        self.address = address

    async def end(self) -> tuple[int, str]:
        async with asyncio.timeout(15):
            _, err = await self.child.communicate()
        return self.child.returncode, err.decode()


@asynccontextmanager
async def process(certs, store, *, stop_at_eof=False):
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", PROGRAM, str(certs / "master-m"), str(store), "eof" if stop_at_eof else "no"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(20):
            address, _ = (await child.stdout.readline()).decode().split()
        yield Process(child, address)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def test_a_start_that_fails_says_one_sentence_and_no_more(certs, taken, tmp_path):
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ffrtmp", "master", "--certs", str(certs / "master-m")),
        *("--listen", taken, "--http", "127.0.0.1:0", "--store", str(tmp_path / "master.db")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await child.communicate()
    assert (child.returncode, out) == (2, b"")
    [line] = err.decode().splitlines()
    assert line.startswith(f"ffrtmp: cannot listen on {taken}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_one_signal_ends_the_process_well(certs, tmp_path, number):
    async with process(certs, tmp_path / "master.db") as master:
        os.kill(master.child.pid, number)
        code, err = await master.end()
        assert (code, "Traceback" in err) == (0, False)
        assert err.count("goes down") == 1


async def test_a_second_signal_ends_it_at_once(certs, tmp_path, stream, dial):
    async with process(certs, tmp_path / "master.db") as master:
        async with dial(master.address, "worker-w1") as wire:
            worker = stream(wire)
            await worker.hello()
            os.kill(master.child.pid, signal.SIGTERM)
            await worker.hear(Reconnect)  # and stays, which the master would wait for
            os.kill(master.child.pid, signal.SIGTERM)
            async with asyncio.timeout(1):
                code, _ = await master.end()
        assert code == -signal.SIGTERM


async def test_it_ends_when_whoever_started_it_is_gone(certs, tmp_path):
    async with process(certs, tmp_path / "master.db", stop_at_eof=True) as master:
        master.child.stdin.close()
        code, err = await master.end()
        assert (code, "Traceback" in err) == (0, False)


async def test_after_a_kill_the_next_one_has_the_database_and_every_job(
    certs, tmp_path, run, dial, request_for
):
    async with process(certs, tmp_path / "master.db") as master:
        async with dial(master.address, "client-c") as client:
            job = (await JobServiceStub(client).SubmitJob(request_for())).job
        master.child.kill()
        await master.end()
    async with run(store=str(tmp_path / "master.db")) as master, master.dial("client-c") as client:
        found = await JobServiceStub(client).GetJob(pb.GetJobRequest(job_id=job.job_id))
        assert found.job.unschedulable_reason == "no worker is connected"
        found.job.ClearField("unschedulable_reason")
        assert found.job == job
    with sqlite3.connect(tmp_path / "master.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
