#!/usr/bin/env python3
"""How long the store takes when much is in it: `scripts/bench/store.py [--store postgres]`.

At 10,000, 100,000 and 1,000,000 queued jobs of four classes: a claim of 16, the place of the last
job, the first page of a list, what /metrics counts; and, through the use case, why the last job
waits, with 200 workers.
Run it with `.venv/bin/python`.
"""

import argparse
import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import asyncpg
from cluster import machine, percentiles

from ffrtmp.clock import boot_seconds, utc_now
from ffrtmp.domain import job as rules
from ffrtmp.domain.job import Holder, Job
from ffrtmp.domain.roots import RootReport
from ffrtmp.domain.spec import Input, JobSpec, MediaPath, Output, TestSource
from ffrtmp.domain.timers import Timers
from ffrtmp.domain.worker import Capabilities, requirements
from ffrtmp.master.master import Master
from ffrtmp.sim.chaos.stores import opened
from ffrtmp.store.base import Store
from ffrtmp.store.opening import open_store
from ffrtmp.store.records import Change, JobFilter, NewJob, SessionKey, WorkerRecord

SIZES = (10_000, 100_000, 1_000_000)
CLASSES = 4
WORKERS = 200
RUNS = 30
SUBMITTED = datetime(2026, 1, 1, tzinfo=UTC)
CAPABLE = Capabilities(
    spec_version=1,
    ffmpeg_version="9",
    codecs=frozenset({"h264", "aac"}),
    roots=(RootReport(name="sim", nonce="n", sees=frozenset({"n"})),),
)
NUMBERS = (
    "(WITH RECURSIVE n(n) AS (SELECT {0} UNION ALL SELECT n + 1 FROM n WHERE n < {1})"
    " SELECT n FROM n) AS numbers"
)
CLAIMED = 16
COPIED = {
    "job_id": "'COPY' || n",
    "rank": "jobs.rank + n",
    "submit_time": "jobs.submit_time + n",
    "job_class": f"jobs.job_class || (n % {CLASSES})",
}


def spec() -> JobSpec:
    source = Input(test_source=TestSource(duration=timedelta(seconds=1)))
    return JobSpec(input=source, outputs=(Output(path=MediaPath("sim", "original.mp4")),))


def original() -> NewJob:
    """One job, of which all others are copies in SQL."""
    needs = requirements(spec())
    job = rules.new_job(
        job_id="0" * 26, job_class=needs.job_class, rank=1, now=SUBMITTED, actor="client/c"
    )
    return NewJob(job=job, spec=spec(), requirements=needs, key="k", digest="d")


def copies(table: str, columns: Sequence[str], first: int, last: int) -> str:
    chosen = ", ".join(COPIED.get(name, f"{table}.{name}") for name in columns)
    numbers = NUMBERS.format(first, last)
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {chosen} FROM {table}, {numbers}"
        f" WHERE {table}.job_id = '{'0' * 26}'"
    )


async def fill(address: str, first: int, last: int) -> None:
    new = original().job.job_class
    classes = [
        f"INSERT INTO classes SELECT '{new}{n}', requirements FROM classes"
        f" WHERE job_class = '{new}' ON CONFLICT DO NOTHING"
        for n in range(CLASSES)
    ]
    if address.startswith("sqlite:"):
        with closing(sqlite3.connect(address.removeprefix("sqlite:"))) as connection:
            for table in ("jobs", "specs"):
                names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
                connection.execute(copies(table, names, first, last))
            for each in classes:
                connection.execute(each)
            connection.commit()
        return
    connection = await asyncpg.connect(address)
    for table in ("jobs", "specs"):
        names = await connection.fetch(
            "SELECT column_name FROM information_schema.columns WHERE table_name = $1", table
        )
        await connection.execute(copies(table, [row[0] for row in names], first, last))
        await connection.execute(f"ANALYZE {table}")
    for each in classes:
        await connection.execute(each)
    await connection.close()


async def timed(call: Callable[[], Awaitable[object]]) -> str:
    """Wall time, and the CPU time of this process, which says more on a busy machine."""
    took, cpu = [], time.process_time()
    for _ in range(RUNS):
        began = time.perf_counter()
        await call()
        took.append(time.perf_counter() - began)
    each = 1000 * (time.process_time() - cpu) / RUNS
    return f"{percentiles(took)}  CPU {each:.1f} ms each"


async def claim(store: Store, session: SessionKey) -> None:
    """Sixteen, granted to one worker."""

    def choose(jobs: Sequence[Job]) -> list[Change]:
        rule = partial(rules.grant, holder=Holder("w000", "i"), now=utc_now())
        best = sorted(jobs, key=lambda job: job.rank)[:CLAIMED]
        return [Change(job.job_id, rule, session) for job in best]

    wanted = {f"{original().job.job_class}{n}": CLAIMED for n in range(CLASSES)}
    granted = await store.claim(wanted, now=utc_now(), choose=choose)
    assert len(granted) == CLAIMED


async def measure(store: Store, address: str, largest: int) -> None:
    await store.submit([original()])
    record = WorkerRecord(
        name="", incarnation="i", epoch=0, address="here", alive=True, capabilities=CAPABLE
    )
    for number in range(WORKERS):
        await store.open_session(replace(record, name=f"w{number:03}"), lambda _: None)
    session = SessionKey("w000", 1)
    master = Master(
        store,
        Timers(),
        clocks=(utc_now, boot_seconds),
        chance=lambda: 0.5,
        new_id=lambda: "",
        observe=lambda _fact: None,
    )
    first = 1
    for size in [each for each in SIZES if each <= largest]:
        await fill(address, first, size)
        first = size + 1
        print(f"-- {size} queued jobs")
        print(f"claim of 16:     {await timed(partial(claim, store, session))}")
        page = partial(store.find, JobFilter(), size=100, after=None)
        print(f"first page:      {await timed(page)}")
        print(f"jobs by state:   {await timed(store.count_jobs)}")
        print(f"queue depths:    {await timed(store.depths)}")
        last = (await store.get(f"COPY{size}")).job
        print(f"place of last:   {await timed(partial(store.place_of, last))}")
        print(f"jobs explain:    {await timed(partial(master.explain, last.job_id))}", flush=True)


async def run(asked: str, largest: int) -> None:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ffrtmp-bench-")))
        address = stack.enter_context(opened(asked, folder)).address
        path = Path(address.removeprefix("sqlite:"))
        store = await stack.enter_async_context(
            open_store(
                path if address.startswith("sqlite:") else address,
                connections=5,
                api_connections=5,
            )
        )
        await measure(store, address, largest)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", default="sqlite", help="sqlite, postgres or a DSN")
    parser.add_argument("--largest", type=int, default=SIZES[-1], help="queued jobs, at most")
    options = parser.parse_args()
    print(f"{machine()}\nstore: {options.store}, {RUNS} runs of each")
    asyncio.run(run(options.store, options.largest))


if __name__ == "__main__":
    main()
