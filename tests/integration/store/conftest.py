"""Jobs, sessions and rules for the suite of both stores."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

import asyncpg
import pytest

from ffrtmp.domain import job as rules
from ffrtmp.domain.hello import Incumbent
from ffrtmp.domain.job import FileRecord, Holder, Job, Manifest
from ffrtmp.domain.roots import RootReport
from ffrtmp.domain.spec import Input, JobSpec, MediaPath, Output, Purpose, Queue, TestSource
from ffrtmp.domain.worker import Capabilities, requirements
from ffrtmp.store.base import Store
from ffrtmp.store.records import Change, NewJob, SessionKey, WorkerRecord

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CAPABLE = Capabilities(
    spec_version=1,
    ffmpeg_version="9",
    codecs=frozenset({"h264", "aac"}),
    roots=(RootReport(name="m", nonce="n", sees=frozenset({"n"})),),
)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


LATER = at(5000)


def job_id(number: int) -> str:
    return f"{number:026d}"


def new_job(
    number: int,
    *,
    target: str = "",
    key: str = "",
    digest: str = "d",
    job_class: str = "",
    actor: str = "client/c",
    queue: Queue = Queue.DEFAULT,
    purpose: Purpose = Purpose.PRODUCTION,
) -> NewJob:
    """Submitted `number` seconds after noon, ranked in that order."""
    path = MediaPath("m", target or f"{number}.mp4")
    spec = JobSpec(input=Input(test_source=TestSource()), outputs=(Output(path=path),), queue=queue)
    needs = requirements(spec)
    job = rules.new_job(
        job_id=job_id(number),
        job_class=job_class or needs.job_class,
        rank=number,
        now=at(number),
        actor=actor,
        queue=queue,
        purpose=purpose,
    )
    return NewJob(job=job, spec=spec, requirements=needs, key=key or f"key-{number}", digest=digest)


CLASS = new_job(0).job.job_class


def record(name: str = "w1", incarnation: str = "i1", **more) -> WorkerRecord:
    return WorkerRecord(
        name=name,
        incarnation=incarnation,
        epoch=0,
        address="here",
        alive=True,
        capabilities=CAPABLE,
        **more,
    )


def anyone(_newest: Incumbent) -> None:
    """Admits whoever says hello."""


@dataclass(frozen=True)
class Worker:
    """A worker's session in a store, and what it does to jobs."""

    store: Store
    holder: Holder
    session: SessionKey

    async def do(self, rule: Callable[..., Job], number: int, **arguments):
        change = Change(
            job_id(number),
            partial(rule, **{"holder": self.holder, "now": at(1000), **arguments}),
            self.session,
        )
        [outcome] = await self.store.change([change])
        return outcome

    async def grant(self, number: int):
        return await self.do(rules.grant, number)

    async def accept(self, number: int, fence: int = 1):
        return await self.do(rules.accept, number, fence=fence)

    async def stage(self, number: int, fence: int = 1):
        return await self.do(rules.stage, number, fence=fence, manifest=manifest(fence))

    async def publish(self, number: int, fence: int = 1):
        return await self.do(rules.publish, number, fence=fence)


def manifest(fence: int) -> Manifest:
    return Manifest((FileRecord("m:out.mp4", 3, "ab" * 32),), fence)


async def open_worker(store: Store, name: str = "w1", incarnation: str = "i1") -> Worker:
    epoch = await store.open_session(record(name, incarnation), anyone)
    return Worker(store, Holder(name, incarnation), SessionKey(name, epoch))


async def claim(store: Store, worker: Worker, most: int, *, now: datetime = LATER) -> list[Job]:
    """Grants the worker the best jobs, at most so many."""

    def choose(jobs):
        rule = partial(rules.grant, holder=worker.holder, now=now)
        return [Change(job.job_id, rule, worker.session) for job in jobs[:most]]

    granted = await store.claim({CLASS: most}, now=now, choose=choose)
    assert all(str(spec.outputs[0].path) for _, spec in granted)
    return [moved.after for moved, _ in granted]


async def cancel(store: Store, number: int) -> None:
    rule = partial(rules.cancel, actor="client/c", now=at(2000))
    await store.change([Change(job_id(number), rule)])


@pytest.fixture
def stranger(store_address):
    """Somebody who keeps every writer of the store waiting as long as the block lasts."""

    @asynccontextmanager
    async def locking() -> AsyncIterator[None]:
        if store_address.startswith("sqlite:"):
            path = store_address.removeprefix("sqlite:")
            with closing(sqlite3.connect(path, isolation_level=None)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                yield
            return
        connection = await asyncpg.connect(store_address)
        async with connection.transaction():
            await connection.execute("LOCK TABLE jobs, checks IN EXCLUSIVE MODE")
            yield
        await connection.close()

    return locking


def renamed(new: NewJob, number: int) -> NewJob:
    """The same submission with the id that another try would make."""
    return replace(new, job=replace(new.job, job_id=job_id(number)))
