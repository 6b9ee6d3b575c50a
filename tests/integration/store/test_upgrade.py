"""A database of an older schema is brought up to date, and its jobs are read as they were meant."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from functools import partial

import asyncpg

from ffrtmp.domain import job as rules
from ffrtmp.domain.evidence import UNSEEN
from ffrtmp.domain.job import Job
from ffrtmp.domain.promises import Targets
from ffrtmp.domain.sla import judged
from ffrtmp.domain.spec import Purpose, Queue
from ffrtmp.store.records import Change
from tests.integration.store.conftest import NOON, at, cancel, job_id, new_job, open_worker

NEWER = ("queue", "purpose", "evidence", "sla")
"""Columns of `jobs` that an older master neither reads nor writes."""


async def execute(address: str, *statements: str) -> None:
    if address.startswith("sqlite:"):
        with closing(sqlite3.connect(address.removeprefix("sqlite:"))) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()
        return
    connection = await asyncpg.connect(address)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


async def as_before(address: str, jobs: str) -> None:
    """What an older master would have stored of these jobs: nothing in the newer columns."""
    nothing = ", ".join(f"{name} = NULL" for name in NEWER)
    await execute(address, f"UPDATE jobs SET {nothing} WHERE {jobs}")


async def test_the_queue_of_a_job_that_was_there_before_is_that_of_its_spec(
    open_store, store_address
):
    live = new_job(3)
    live = replace(live, spec=replace(live.spec, queue=None), job=replace(live.job, exclusive=True))
    async with open_store() as store:
        await store.submit([new_job(1), new_job(2, queue=Queue.BATCH), live])
        await store.submit([new_job(4, queue=Queue.BATCH)])
        await cancel(store, 4)
    await back_to_seven(store_address)
    async with open_store() as store:
        depths = {each.queue: each.jobs for each in await store.depths()}
        assert depths == {Queue.DEFAULT: 1, Queue.BATCH: 1, Queue.LIVE: 1}
        assert [await queue_in(store, n) for n in (1, 2, 3)] == ["default", "batch", "live"]
        assert await queue_in(store, 4) == "default", "it has ended: nobody asks any more"


async def test_a_job_of_a_master_that_stores_no_queue_yet_waits_in_the_usual_one(
    open_store, store_address
):
    async with open_store() as store:
        await store.submit([new_job(1), new_job(2)])
        await as_before(store_address, f"job_id = '{job_id(1)}'")
        assert {(each.queue, each.jobs) for each in await store.depths()} == {(Queue.DEFAULT, 1)}
        assert await queue_in(store, 1) == "default"


async def test_a_job_from_before_is_in_no_account_whoever_ends_it(open_store, store_address):
    """What its life was before is not known; its purpose is the usual."""
    async with open_store() as store:
        await store.submit([new_job(1), new_job(2), new_job(3, queue=Queue.BATCH)])
        await cancel(store, 2)
        worker = await open_worker(store)
        await worker.grant(1)
        await as_before(store_address, "TRUE")
        job = (await store.get(job_id(2))).job
        assert (job.sla, job.purpose, job.evidence) == (None, Purpose.PRODUCTION, UNSEEN)
        await worker.accept(1)
        for number in (1, 3):
            assert (await end(store, number)).sla is None
        assert await store.judged(NOON) == []


async def test_a_job_that_an_older_master_moved_is_in_no_account(open_store, store_address):
    """Its worker may have been lost there. The older master writes all but the newer columns."""
    async with open_store() as store:
        await store.submit([new_job(1), new_job(2)])
        worker = await open_worker(store)
        for number in (1, 2):
            await worker.grant(number)
        await execute(store_address, f"UPDATE jobs SET version = 3 WHERE job_id = '{job_id(1)}'")
        assert (await end(store, 1)).sla is None
        assert (await end(store, 2)).sla is not None
        assert [each.jobs for each in await store.judged(NOON)] == [1]


async def end(store, number: int) -> Job:
    rule = judged(partial(rules.cancel, actor="client/c", now=at(9000)), Targets())
    [outcome] = await store.change([Change(job_id(number), rule)])
    return outcome.after


async def queue_in(store, number: int) -> str:
    job: Job = (await store.get(job_id(number))).job
    return job.queue.value


async def back_to_seven(address: str) -> None:
    """As the seventh migration left it."""
    statements = [
        "DROP INDEX jobs_queued",
        "DROP INDEX jobs_ended",
        *(f"ALTER TABLE jobs DROP COLUMN {name}" for name in NEWER),
        "ALTER TABLE sessions DROP COLUMN lost_epoch",
        "ALTER TABLE sessions DROP COLUMN dial",
        "ALTER TABLE sessions DROP COLUMN previous",
        "CREATE INDEX jobs_ended ON jobs (end_time)",
        "CREATE INDEX jobs_queued ON jobs (job_class, rank, job_id) WHERE state = 'queued'",
    ]
    if address.startswith("sqlite:"):
        await execute(address, *statements, "PRAGMA user_version = 7")
    else:
        await execute(address, *statements, "DELETE FROM schema_version WHERE version > 7")
