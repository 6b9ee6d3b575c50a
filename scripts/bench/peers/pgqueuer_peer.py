"""pgqueuer: jobs in PostgreSQL, polled by the workers themselves in batches."""

import asyncio
import os
import sys
import time

import asyncpg
from pgqueuer import PgQueuer, Queries
from pgqueuer.db import AsyncpgDriver

DSN = os.environ["POSTGRES_DSN"]


async def make() -> PgQueuer:
    worker = PgQueuer(AsyncpgDriver(await asyncpg.connect(DSN)))

    @worker.entrypoint("noop")
    async def noop(_job: object) -> None:
        return

    return worker


async def work() -> None:
    """As `pgq run` does, whose options its newest dependencies break."""
    worker = await make()
    await worker.run(batch_size=10)


async def main(jobs: int) -> None:
    connection = await asyncpg.connect(DSN)
    queries = Queries(AsyncpgDriver(connection))
    began = time.perf_counter()
    for first in range(0, jobs, 1000):
        count = min(jobs, first + 1000) - first
        await queries.enqueue(["noop"] * count, [None] * count, [0] * count)
    while await connection.fetchval("SELECT count(*) FROM pgqueuer"):
        await asyncio.sleep(0.05)
    print(time.perf_counter() - began)


if __name__ == "__main__":
    asyncio.run(work() if sys.argv[1] == "work" else main(int(sys.argv[1])))
