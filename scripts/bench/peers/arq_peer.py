"""arq: jobs and results in Redis."""

import asyncio
import os
import sys
import time

from arq import create_pool
from arq.connections import RedisSettings

SETTINGS = RedisSettings.from_dsn(os.environ["REDIS_URL"])


async def noop(_context: dict, number: int) -> int:
    return number


class WorkerSettings:
    functions = (noop,)
    redis_settings = SETTINGS
    max_jobs = 100
    poll_delay = 0.01


async def main(jobs: int) -> None:
    pool = await create_pool(SETTINGS)
    began = time.perf_counter()
    for first in range(0, jobs, 500):
        await asyncio.gather(
            *(pool.enqueue_job("noop", n) for n in range(first, min(jobs, first + 500)))
        )
    while len(await pool.keys("arq:result:*")) < jobs:
        await asyncio.sleep(0.05)
    print(time.perf_counter() - began)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
