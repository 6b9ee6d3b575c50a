"""The Python client against a whole master: every call, and what a broken connection costs."""

import asyncio
import inspect
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import pytest

import ffrtmp
from ffrtmp.client import BlockingClient, Client, JobFailed, NotEnded, Unreachable, state_of
from ffrtmp.clock import utc_now
from ffrtmp.domain.errors import (
    IdempotencyMismatch,
    IllegalTransition,
    InvalidSpec,
    JobNotFound,
    NotAllowed,
    TargetTaken,
    WorkerInUse,
    WorkerNotFound,
)
from ffrtmp.domain.job import JobState
from ffrtmp.domain.log import Lines, LogPlace
from ffrtmp.domain.messages import Goodbye, LogPart, LogReport, Offer, OfferReply
from ffrtmp.domain.spec import Input, JobSpec, MediaPath, Output, Priority, TestSource
from ffrtmp.pki.errors import PkiError
from ffrtmp.rpc.convert_spec import spec_to_pb
from ffrtmp.rpc.enums import JOB_STATES, PRIORITIES
from ffrtmp.v1.admin_service_pb2 import WORKER_STATE_GONE
from tests.ports import free_port


def spec(target: str) -> JobSpec:
    return JobSpec(
        input=Input(test_source=TestSource(width=64, height=48, duration=timedelta(seconds=1))),
        outputs=(Output(path=MediaPath("m", target)),),
    )


@asynccontextmanager
async def a_client(master, name: str = "client-c", patience: float = 10) -> AsyncIterator[Client]:
    async with Client(master.address, master.certs / name, patience=patience) as client:
        yield client


async def test_a_job_is_submitted_seen_and_cancelled(run):
    async with run() as master, a_client(master) as client:
        job = await client.submit(spec("a.mp4"))
        seen = await client.get(job.job_id)
        assert (seen.job.job_id, len(seen.events)) == (job.job_id, 1)
        cancelled = await client.cancel(job.job_id)
        assert JOB_STATES.from_wire(cancelled.state) is JobState.CANCELLED
        news = [each async for each in client.watch(job.job_id)]
        assert [each.event.number for each in news if each.HasField("event")] == [1, 2]
        assert news[-1].job.state == cancelled.state


async def test_the_same_key_is_the_same_job_and_no_key_is_a_new_one(run):
    async with run() as master, a_client(master) as client:
        first = await client.submit(spec("a.mp4"), key="k")
        assert (await client.submit(spec("a.mp4"), key="k")).job_id == first.job_id
        with pytest.raises(IdempotencyMismatch):
            await client.submit(spec("b.mp4"), key="k")
        with pytest.raises(TargetTaken, match=first.job_id):
            await client.submit(spec("a.mp4"))


async def test_a_batch_is_all_or_nothing_and_its_key_names_it(run):
    async with run() as master, a_client(master) as client:
        specs = [spec_to_pb(spec(f"{number}.mp4")) for number in range(5)]
        jobs = await client.submit_many(specs, key="batch")
        again = await client.submit_many(specs, key="batch")
        assert [job.job_id for job in again] == [job.job_id for job in jobs]
        with pytest.raises(TargetTaken):
            await client.submit_many([spec_to_pb(spec("new.mp4")), specs[0]])
        assert len([job async for job in client.list()]) == 5


async def test_the_list_is_newest_first_filtered_and_ends_where_asked(run):
    async with run() as master, a_client(master) as client:
        specs = [spec_to_pb(spec(f"{number}.mp4")) for number in range(7)]
        ids = [job.job_id for job in await client.submit_many(specs)]
        await client.cancel(ids[3])
        assert {job.job_id async for job in client.list()} == set(ids)
        assert len([job async for job in client.list(limit=4)]) == 4
        only = [job.job_id async for job in client.list(states=[JobState.CANCELLED])]
        assert only == [ids[3]]
        assert [job async for job in client.list(worker="nobody")] == []
        now, day = utc_now(), timedelta(days=1)
        assert len([job async for job in client.list(since=now - day, until=now + day)]) == 7
        assert [job async for job in client.list(since=now + day)] == []
        assert [job async for job in client.list(until=now - day)] == []


async def test_more_jobs_than_a_page_are_listed_once_each(run, monkeypatch):
    monkeypatch.setattr("ffrtmp.client.aio.PAGE", 2)
    async with run() as master, a_client(master) as client:
        specs = [spec_to_pb(spec(f"{number}.mp4")) for number in range(5)]
        ids = [job.job_id for job in await client.submit_many(specs)]
        listed = [job.job_id async for job in client.list()]
        assert sorted(listed) == sorted(ids)
        assert [job.job_id async for job in client.list(limit=3)] == listed[:3]


async def test_errors_are_those_of_the_domain(run):
    async with run() as master, a_client(master) as client:
        for ask in (client.get, client.cancel):
            with pytest.raises(JobNotFound, match="no job 'nope'"):
                await ask("nope")
        with pytest.raises(JobNotFound):
            [_ async for _ in client.watch("nope")]
        with pytest.raises(InvalidSpec) as wrong:
            await client.submit(spec("a.xyz"))
        assert (wrong.value.field, wrong.value.value) == ("outputs[0].path", "a.xyz")
        assert "end it in .mp4" in wrong.value.expected
        with pytest.raises(InvalidSpec) as wrong:
            await client.submit_many([spec("a.mp4"), ffrtmp.job("m:b.mp4", "m:b.mp4")])
        assert wrong.value.field == "jobs[1].outputs[0].path"
        job = await client.submit(spec("a.mp4"))
        await client.cancel(job.job_id)
        with suppress(IllegalTransition):  # a second time it is too late, or already so
            await client.cancel(job.job_id)


async def test_an_admin_sees_the_workers_and_a_client_does_not(run, stream):
    async with run() as master, master.dial("worker-w1") as channel:
        wire = stream(channel)
        await wire.hello()
        async with a_client(master, "admin-a") as admin, a_client(master) as client:
            assert [worker.name async for worker in admin.workers()] == ["w1"]
            assert (await admin.worker("w1")).slots == 1
            with pytest.raises(WorkerNotFound):
                await admin.worker("w2")
            with pytest.raises(NotAllowed):
                await client.worker("w1")
            with pytest.raises(NotAllowed):
                [_ async for _ in client.workers()]
        wire.call.cancel()


async def test_a_certificate_of_another_role_is_refused_before_dialling(certs):
    with pytest.raises(PkiError, match="role"):
        async with Client("127.0.0.1:1", certs / "worker-w1"):
            pass


async def test_without_a_master_the_patience_ends_in_a_sentence(certs):
    address = f"127.0.0.1:{free_port()}"
    async with Client(address, certs / "client-c", patience=0.3) as client:
        with pytest.raises(Unreachable, match=f"no master answers at {address}"):
            await client.get("x")


async def test_a_call_waits_for_a_master_that_comes_back(run, certs):
    address = f"127.0.0.1:{free_port()}"
    async with Client(address, certs / "client-c") as client, asyncio.TaskGroup() as tasks:
        early = tasks.create_task(client.submit(spec("a.mp4")))
        async with run(listen=address):
            assert (await early).job_id


async def test_a_watch_goes_on_where_it_broke_when_the_master_starts_again(run, certs):
    address = f"127.0.0.1:{free_port()}"
    numbers: list[int] = []
    ended: list[JobState | None] = []
    begun = asyncio.Event()

    async def follow(client: Client, job_id: str) -> None:
        async for news in client.watch(job_id):
            if news.HasField("event"):
                numbers.append(news.event.number)
                begun.set()
            if news.HasField("job"):
                ended.append(JOB_STATES.from_wire(news.job.state))

    async with Client(address, certs / "client-c") as client, asyncio.TaskGroup() as tasks:
        async with run(listen=address):
            job = await client.submit(spec("a.mp4"))
            watching = tasks.create_task(follow(client, job.job_id))
            await begun.wait()
        assert not watching.done()
        async with run(listen=address):
            await client.cancel(job.job_id)
            await watching
    assert (numbers, ended) == ([1, 2], [JobState.CANCELLED])


async def test_a_watch_of_a_master_that_stays_away_ends_in_a_sentence(run, certs, monkeypatch):
    monkeypatch.setattr("ffrtmp.client.aio.BACKOFF_SECONDS", (0.01, 0.01))
    address = f"127.0.0.1:{free_port()}"
    async with Client(address, certs / "client-c") as client:
        async with run(listen=address):
            job = await client.submit(spec("a.mp4"))
            watching = client.watch(job.job_id)
            assert (await anext(watching)).event.number == 1
        with pytest.raises(Unreachable, match="no master answers"):
            await anext(watching)


async def test_a_result_is_a_success_and_any_other_end_is_an_error_with_the_job(run):
    async with run() as master, a_client(master) as client:
        job = await client.submit(spec("a.mp4"))
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(client.wait(job.job_id))
            await client.cancel(job.job_id)
        assert state_of(waiting.result()) is JobState.CANCELLED
        with pytest.raises(JobFailed, match="was cancelled") as failed:
            await client.result(job.job_id)
        assert failed.value.job.job_id == job.job_id


async def test_results_are_in_the_order_of_the_ids_whatever_their_end(run, monkeypatch):
    monkeypatch.setattr("ffrtmp.client.aio.WATCHES", 2)
    async with run() as master, a_client(master) as client:
        ids = [job.job_id for job in await client.submit_many(spec(f"{n}.mp4") for n in range(5))]
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(client.results(ids))
            for job_id in reversed(ids):
                await client.cancel(job_id)
        assert [job.job_id for job in waiting.result()] == ids
        with pytest.raises(JobNotFound, match="nope"):
            await client.results([ids[0], "nope"])


async def test_a_retry_is_a_new_job_once(run):
    async with run() as master, a_client(master) as client:
        old = await client.submit(ffrtmp.job("m:in.mov", "m:a.mp4", preset="720p-h265"))
        with pytest.raises(NotEnded, match=old.job_id):
            await client.retry(old.job_id)
        await client.cancel(old.job_id)
        new = await client.retry(old.job_id)
        assert (new.job_id != old.job_id, new.spec) == (True, old.spec)
        assert (await client.retry(old.job_id)).job_id == new.job_id


async def test_a_folder_of_certificates_may_be_text(run):
    async with run() as master, ffrtmp.Client(master.address, str(master.certs / "client-c")) as c:
        assert [job async for job in c.list()] == []


async def test_a_client_that_is_not_open_says_how_to_open_it(run):
    async with run() as master:
        client = Client(master.address, master.certs / "client-c")
        for _ in range(2):  # it may be opened again
            async with client:
                assert [job async for job in client.list()] == []
            with pytest.raises(RuntimeError, match="within `with` or `async with`"):
                await client.get("x")
            with pytest.raises(RuntimeError, match="within `with`"):
                BlockingClient(master.address, master.certs / "client-c").get("x")


async def test_the_blocking_face_does_all_of_it_from_any_thread(run):
    async with run() as master:
        await asyncio.to_thread(use_it_all, master.address, master.certs / "client-c")


async def test_a_job_that_waits_is_paused_resumed_and_given_another_priority(run):
    async with run() as master, a_client(master) as client:
        job = await client.submit(spec("a.mp4"))
        for _ in range(2):
            assert state_of(await client.pause(job.job_id)) is JobState.PAUSED
        raised = await client.reprioritise(job.job_id, Priority.HIGH)
        assert (raised.priority, raised.spec.priority) == (
            PRIORITIES.to_wire(Priority.HIGH),
            PRIORITIES.to_wire(Priority.NORMAL),
        )
        assert state_of(await client.resume(job.job_id)) is JobState.QUEUED
        seen = await client.get(job.job_id)
        assert [event.actor for event in seen.events] == ["client/c"] * 4
        await client.cancel(job.job_id)
        for late in (client.pause, client.resume):
            with pytest.raises(IllegalTransition, match="was cancelled: cannot"):
                await late(job.job_id)
        with pytest.raises(IllegalTransition, match="cannot change the priority of it"):
            await client.reprioritise(job.job_id, Priority.LOW)
        for unknown in (client.pause, client.resume):
            with pytest.raises(JobNotFound):
                await unknown("nope")


async def test_a_log_is_read_attempt_by_attempt_and_followed_to_the_end(run, stream):
    async with run() as master, a_client(master) as client:
        job = await client.submit(spec("a.mp4"))
        channel = master.dial("worker-w1")
        w1 = stream(channel)
        await w1.hello()
        key = (await w1.hear(Offer)).key
        await w1.say(OfferReply(key))
        await w1.say(LogReport((LogPart(key, Lines(1, ("a", "b"))),)))
        following = client.log(job.job_id, follow=True, after=LogPlace(1, 1))
        part = await anext(following)
        assert (part.fence, part.worker, part.line_number, list(part.lines)) == (1, "w1", 2, ["b"])
        await client.cancel(job.job_id)
        assert [each async for each in following] == []
        [whole] = [each async for each in client.log(job.job_id)]
        assert list(whole.lines) == ["a", "b"]
        with pytest.raises(JobNotFound):
            await anext(client.log("nope"))
        await channel.close()


async def test_a_number_beyond_all_is_beyond_all_and_breaks_nothing(run):
    async with run() as master, a_client(master) as client:
        job = await client.submit(spec("a.mp4"))
        highest = 2**64 - 1
        assert [
            each async for each in client.log(job.job_id, after=LogPlace(highest, highest))
        ] == []
        await client.cancel(job.job_id)
        assert [each async for each in client.watch(job.job_id, after=highest)] == []


async def test_a_worker_is_removed_when_it_is_gone(run, stream):
    async with run() as master, a_client(master, "admin-a") as client:
        channel = master.dial("worker-w1")
        w1 = stream(channel)
        await w1.hello()
        with pytest.raises(WorkerInUse, match="its session is alive"):
            await client.remove_worker("w1")
        await w1.say(Goodbye())
        async with asyncio.timeout(10):
            while (await client.worker("w1")).state != WORKER_STATE_GONE:
                await asyncio.sleep(0.01)
        await client.remove_worker("w1")
        assert [each async for each in client.workers()] == []
        with pytest.raises(WorkerNotFound):
            await client.remove_worker("w1")
        await channel.close()


def use_it_all(address, certs) -> None:
    with BlockingClient(address, certs) as client:
        job = client.submit(spec("a.mp4"))
        numbers = client.watch(job.job_id)
        assert next(numbers).event.number == 1
        assert client.get(job.job_id).job.job_id == job.job_id
        assert state_of(client.pause(job.job_id)) is JobState.PAUSED
        assert state_of(client.resume(job.job_id)) is JobState.QUEUED
        assert client.reprioritise(job.job_id, Priority.LOW).job_id == job.job_id
        assert list(client.log(job.job_id)) == []
        with pytest.raises(NotAllowed):
            client.remove_worker("w1")
        many = client.submit_many([spec("b.mp4"), spec("c.mp4")])
        assert len(list(client.list(limit=2))) == 2
        for each in (job, *many):
            client.cancel(each.job_id)
        assert [news.event.number for news in numbers] == [2, 3, 4, 5]
        assert state_of(client.wait(job.job_id)) is JobState.CANCELLED
        assert len(client.results(each.job_id for each in many)) == 2
        with pytest.raises(JobFailed):
            client.result(job.job_id)
        with pytest.raises(NotAllowed):
            list(client.workers())
        with pytest.raises(NotAllowed):
            client.worker("w1")
        assert client.retry(job.job_id).job_id != job.job_id
    assert "ffrtmp-client" not in {thread.name for thread in threading.enumerate()}


def test_the_blocking_face_says_at_its_door_what_is_wrong(certs):
    with pytest.raises(PkiError, match="role"), BlockingClient("127.0.0.1:1", certs / "worker-w1"):
        pass
    assert "ffrtmp-client" not in {thread.name for thread in threading.enumerate()}


def test_both_faces_have_the_same_calls_with_the_same_arguments():
    def calls(face: type) -> dict[str, list[str]]:
        public = (name for name in vars(face) if not name.startswith("_"))
        return {name: list(inspect.signature(getattr(face, name)).parameters) for name in public}

    assert calls(BlockingClient) == calls(Client)


def test_everything_is_exported_and_nothing_is_imported_for_it():
    assert all(getattr(ffrtmp, name) for name in ffrtmp.__all__)
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = ffrtmp.nothing_like_it
    code = (
        "import ffrtmp, sys; print(len([m for m in sys.modules if 'grpc' in m or 'ffrtmp.' in m]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
