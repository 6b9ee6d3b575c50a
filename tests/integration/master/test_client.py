"""The Python client against a whole master: every call, and what a broken connection costs."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import pytest

from ffrtmp.client import Client, Unreachable
from ffrtmp.domain.errors import (
    IdempotencyMismatch,
    IllegalTransition,
    InvalidSpec,
    JobNotFound,
    NotAllowed,
    TargetTaken,
    WorkerNotFound,
)
from ffrtmp.domain.job import JobState
from ffrtmp.domain.spec import Input, JobSpec, MediaPath, Output, TestSource
from ffrtmp.pki.errors import PkiError
from ffrtmp.rpc.convert_spec import spec_to_pb
from ffrtmp.rpc.enums import JOB_STATES


def spec(target: str) -> JobSpec:
    return JobSpec(
        input=Input(test_source=TestSource(width=64, height=48, duration=timedelta(seconds=1))),
        outputs=(Output(path=MediaPath("m", target)),),
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


@asynccontextmanager
async def a_client(master, name: str = "client-c", patience: float = 10) -> AsyncIterator[Client]:
    async with Client.open(master.address, master.certs / name, patience=patience) as client:
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


async def test_more_jobs_than_a_page_are_listed_once_each(run, monkeypatch):
    monkeypatch.setattr("ffrtmp.client.PAGE", 2)
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
        with pytest.raises(InvalidSpec):
            await client.submit(spec("a.xyz"))
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
        async with Client.open("127.0.0.1:1", certs / "worker-w1"):
            pass


async def test_without_a_master_the_patience_ends_in_a_sentence(certs):
    address = f"127.0.0.1:{free_port()}"
    async with Client.open(address, certs / "client-c", patience=0.3) as client:
        with pytest.raises(Unreachable, match=f"no master answers at {address}"):
            await client.get("x")


async def test_a_call_waits_for_a_master_that_comes_back(run, certs):
    address = f"127.0.0.1:{free_port()}"
    async with Client.open(address, certs / "client-c") as client, asyncio.TaskGroup() as tasks:
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

    async with Client.open(address, certs / "client-c") as client, asyncio.TaskGroup() as tasks:
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
    monkeypatch.setattr("ffrtmp.client.BACKOFF_SECONDS", (0.01, 0.01))
    address = f"127.0.0.1:{free_port()}"
    async with Client.open(address, certs / "client-c") as client:
        async with run(listen=address):
            job = await client.submit(spec("a.mp4"))
            watching = client.watch(job.job_id)
            assert (await anext(watching)).event.number == 1
        with pytest.raises(Unreachable, match="no master answers"):
            await anext(watching)
