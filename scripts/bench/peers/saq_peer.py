"""saq: jobs and results in Redis."""

import asyncio
import os
import sys
import time

from saq import Queue

queue = Queue.from_url(os.environ["REDIS_URL"])


async def noop(_context: dict, *, number: int) -> int:
    return number


settings = {"queue": queue, "functions": [noop], "concurrency": 100}


async def main(jobs: int) -> None:
    await queue.connect()
    began = time.perf_counter()
    for first in range(0, jobs, 500):
        await asyncio.gather(
            *(queue.enqueue("noop", number=n) for n in range(first, min(jobs, first + 500)))
        )
    while await queue.count("incomplete"):
        await asyncio.sleep(0.05)
    print(time.perf_counter() - began)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
