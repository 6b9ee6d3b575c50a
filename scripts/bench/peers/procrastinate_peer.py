"""Procrastinate: jobs and their events in PostgreSQL."""

import asyncio
import os
import sys
import time

from procrastinate import App, PsycopgConnector

app = App(connector=PsycopgConnector(conninfo=os.environ["POSTGRES_DSN"]))
WAITING = "SELECT count(*) AS n FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"


@app.task(name="noop")
async def noop(number: int) -> int:
    return number


async def main(jobs: int) -> None:
    async with app.open_async():
        began = time.perf_counter()
        for first in range(0, jobs, 1000):
            await noop.batch_defer_async(
                *({"number": n} for n in range(first, min(jobs, first + 1000)))
            )
        while (await app.connector.execute_query_one_async(WAITING))["n"]:
            await asyncio.sleep(0.05)
        print(time.perf_counter() - began)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
