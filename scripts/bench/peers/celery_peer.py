"""Celery: Redis as broker and for results, late acknowledgement."""

import os
import sys
import time

from celery import Celery

app = Celery("celery_peer", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=64)


@app.task
def noop(number: int) -> int:
    return number


def main(jobs: int) -> None:
    began = time.perf_counter()
    results = [noop.delay(n) for n in range(jobs)]
    for result in results:
        result.get(timeout=600)
    print(time.perf_counter() - began)


if __name__ == "__main__":
    main(int(sys.argv[1]))
