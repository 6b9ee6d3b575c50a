"""Dask distributed: a scheduler in memory."""

import sys
import time

from distributed import Client

ADDRESS = "tcp://127.0.0.1:18786"


def noop(number: int) -> int:
    return number


def main(jobs: int) -> None:
    with Client(ADDRESS) as client:
        client.wait_for_workers(2)
        began = time.perf_counter()
        client.gather(client.map(noop, range(jobs), pure=False))
        print(time.perf_counter() - began)


if __name__ == "__main__":
    main(int(sys.argv[1]))
