"""A database of an older schema is brought up to date, and its jobs are read as they were meant."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import asyncpg
import pytest

from ffrtmp.domain.job import Job
from ffrtmp.domain.spec import Queue
from ffrtmp.store import migrate, postgres, sqlite_files
from ffrtmp.store.codec import JOB_COLUMNS
from tests.integration.store.conftest import cancel, job_id, new_job

NEWER: dict[str, tuple[str, ...]] = {"queue": ()}
"""Columns of `jobs` that an older master neither reads nor writes."""


@pytest.fixture
def older(monkeypatch) -> Callable[[int], None]:
    """Lets a store be opened by the schema of that number, and then by the newest."""

    def until(number: int) -> None:
        for module in (sqlite_files, postgres):
            monkeypatch.setattr(
                module,
                "migrations",
                lambda dialect: [each for each in migrate.migrations(dialect) if each[0] <= number],
            )

    return until


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


async def as_before(address: str, column_of: dict[str, str], jobs: str) -> None:
    """What an older master would have stored of these jobs: nothing in the newer columns."""
    assert column_of.keys() <= set(JOB_COLUMNS)
    nothing = ", ".join(f"{name} = {value}" for name, value in column_of.items())
    await execute(address, f"UPDATE jobs SET {nothing} WHERE {jobs}")


async def test_the_queue_of_a_job_that_was_there_before_is_that_of_its_spec(
    open_store, store_address, older, monkeypatch
):
    live = new_job(3)
    live = replace(live, spec=replace(live.spec, queue=None), job=replace(live.job, exclusive=True))
    async with open_store() as store:
        await store.submit([new_job(1), new_job(2, queue=Queue.BATCH), live])
        await store.submit([new_job(4, queue=Queue.BATCH)])
        await cancel(store, 4)
    await back_to_six(store_address)
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
        await as_before(store_address, {"queue": "NULL"}, f"job_id = '{job_id(1)}'")
        assert {(each.queue, each.jobs) for each in await store.depths()} == {(Queue.DEFAULT, 1)}
        assert await queue_in(store, 1) == "default"


async def queue_in(store, number: int) -> str:
    job: Job = (await store.get(job_id(number))).job
    return job.queue.value


async def back_to_six(address: str) -> None:
    """As the sixth migration left it."""
    statements = [
        "DROP INDEX jobs_queued",
        "ALTER TABLE jobs DROP COLUMN queue",
        "CREATE INDEX jobs_queued ON jobs (job_class, rank, job_id) WHERE state = 'queued'",
    ]
    if address.startswith("sqlite:"):
        await execute(address, *statements, "PRAGMA user_version = 6")
    else:
        await execute(address, *statements, "DELETE FROM schema_version WHERE version > 6")
