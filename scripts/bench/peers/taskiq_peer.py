"""taskiq: a Redis stream, acknowledged; results in Redis."""

import asyncio
import os
import sys
import time

from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

URL = os.environ["REDIS_URL"]
broker = RedisStreamBroker(URL).with_result_backend(RedisAsyncResultBackend(URL))


@broker.task(task_name="noop")
async def noop(number: int) -> int:
    return number


async def main(jobs: int) -> None:
    await broker.startup()
    began = time.perf_counter()
    tasks = []
    for first in range(0, jobs, 500):
        tasks += await asyncio.gather(*(noop.kiq(n) for n in range(first, min(jobs, first + 500))))
    for task in tasks:
        await task.wait_result(check_interval=0.05)
    print(time.perf_counter() - began)
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
