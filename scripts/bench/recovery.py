#!/usr/bin/env python3
"""How fast what broke goes on: `scripts/bench/recovery.py [MODE...]`.

elsewhere   a worker is killed with SIGKILL: until its jobs run on another one
return      the same, and the worker is started again at once: until its jobs run again
silence     a cable is cut and both connections stay open, timers unscaled: until each end notices
postgres    PostgreSQL is stopped and started under load: until jobs move again, and none is lost
waste       faults shorter than the lease: encode seconds thrown away

Real processes and FFmpeg, from the kit of the fault tests. Timers are scaled but for `silence`: a
heartbeat every 0.5 s, lease 1.5 s. Needs the development environment: `.venv/bin/python`.
"""

import argparse
import asyncio
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # what pip has installed is compiled; so is this
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # PostgreSQL is stopped by a child of ours

from cluster import machine, percentiles

TOP = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP))

from ffrtmp.client.errors import Unreachable  # noqa: E402
from ffrtmp.clock import utc_now  # noqa: E402
from ffrtmp.domain.errors import Unavailable  # noqa: E402
from ffrtmp.pki import authority  # noqa: E402
from tests.conftest import PostgresServer  # noqa: E402
from tests.faults.kit.cluster import LEASE, Cluster, Site, paced_ffmpeg, running  # noqa: E402
from tests.faults.kit.history import Event  # noqa: E402
from tests.faults.kit.stores import StoreUnderTest  # noqa: E402
from tests.faults.kit.waiting import until  # noqa: E402

JOBS = 2
LONG = 60.0
SILENT_WORKERS = 3
UNSCALED = ("--heartbeat-interval", "5s")
LOAD_SECONDS = 15
DOWN_SECONDS = 3.0


@asynccontextmanager
async def cluster(*options: str, store: str = "") -> AsyncIterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="ffrtmp-bench-") as name:
        folder = Path(name)
        authority.init(folder / "certs", now=utc_now())
        roles = (("master", "m1"), ("admin", "me"), *(("worker", f"w{n}") for n in (1, 2, 3)))
        for role, who in roles:
            life = timedelta(days=1)
            authority.issue(folder / "certs", role, who, now=utc_now(), lifetime=life)
        site = Site(folder / "certs", paced_ffmpeg(folder), folder / "cache")
        address = StoreUnderTest(store or f"sqlite:{folder}/master.db")
        async with running(folder / "site", site, address, *options) as each:
            yield each


async def run_again(site: Cluster, job_id: str) -> float:
    """When it was accepted for the second time, on the clock of the day."""
    history = await site.happens(job_id, "ACCEPTED", LONG, times=2)
    return history.events_of("ACCEPTED")[1].at


async def kill_rounds(rounds: int, *, comes_back: bool) -> list[float]:
    took = []
    async with cluster() as site:
        names = ["w1"] if comes_back else ["w1", "w2"]
        workers = [await site.worker(name, slots=JOBS) for name in names]
        for number in range(rounds):
            ids = await site.submit_many(JOBS, seconds=LONG, name=f"r{number}-")
            for job_id in ids:
                await site.encodes(job_id)
            dead = {(await site.history(job_id)).job.worker for job_id in ids}
            victim = next(worker for worker in workers if worker.name in dead)
            lost = [i for i in ids if (await site.history(i)).job.worker == victim.name]
            killed_at = time.time()
            victim.process.kill()
            if comes_back:
                victim.start()
            took += [await run_again(site, job_id) - killed_at for job_id in lost]
            for job_id in ids:
                await site.client.cancel(job_id)
            if not comes_back:
                victim.start()
                await victim.connected()
            await site.client.resume_worker(victim.name)  # it was killed too often to be trusted
    return took


async def elsewhere(rounds: int) -> None:
    print(f"method: {rounds} times SIGKILL of one of two workers; kill to ACCEPTED by the other")
    took = await kill_rounds(rounds, comes_back=False)
    print(f"running elsewhere, {len(took)} jobs: {percentiles(took, 's', 1)}")
    print(f"goal: lease_ttl + 1 s = {LEASE + 1:g} s")


async def come_back(rounds: int) -> None:
    print(f"method: {rounds} times SIGKILL and start of the only worker; kill to ACCEPTED again,")
    print("        the start of a Python process and its look at FFmpeg included")
    took = await kill_rounds(rounds, comes_back=True)
    print(f"running again, {len(took)} jobs: {percentiles(took, 's', 1)}")
    print("goal: 1 s")


async def silence(_rounds: int) -> None:
    print(f"method: the cables of {SILENT_WORKERS} workers are cut, both connections stay open")
    async with cluster(*UNSCALED) as site:
        workers = [site.another(f"w{n + 1}", proxied=True) for n in range(SILENT_WORKERS)]
        for worker in workers:
            await until(worker.is_connected, LONG, worker.name)
        cut_at = time.monotonic()
        for worker in workers:
            assert worker.proxy is not None
            worker.proxy.hold()

        async def noticed(log: Callable[[], str], sign: str) -> float:
            await until(lambda: re.search(sign, log()), LONG, sign)
            return time.monotonic() - cut_at

        master = site.folder / "master.log"
        by_worker: list[asyncio.Task[float]] = []
        by_master: list[asyncio.Task[float]] = []
        async with asyncio.TaskGroup() as tasks:
            for worker in workers:
                log, gone = worker.process.log.read_text, f"{worker.name} .*heartbeats missed"
                by_worker.append(tasks.create_task(noticed(log, "stream to .* ended")))
                by_master.append(tasks.create_task(noticed(master.read_text, gone)))
    for end, tasks_of in (
        ("worker dials again", by_worker),
        ("master ends its session", by_master),
    ):
        print(f"{end}: {percentiles([task.result() for task in tasks_of], 's', 1)}")
    print("goal: 20 s")


async def postgres(_rounds: int) -> None:
    print(
        f"method: jobs for {LOAD_SECONDS} s, PostgreSQL is stopped for {DOWN_SECONDS:g} s of them"
    )
    with tempfile.TemporaryDirectory(prefix="ffpg") as name:
        server = PostgresServer(Path(name))
        try:
            async with cluster(store=server.dsn) as site:
                await postgres_under_load(site, server)
        finally:
            server.close()


async def postgres_under_load(site: Cluster, server: PostgresServer) -> None:
    for name in ("w1", "w2"):
        await site.worker(name, slots=2)
    ids: list[str] = []
    refused = 0
    stop = asyncio.Event()

    async def load() -> None:
        nonlocal refused
        while not stop.is_set():
            try:
                ids.append(await site.submit(f"fast{len(ids)}-{refused}.mkv", seconds=0.2))
            except (Unavailable, Unreachable):
                refused += 1
            await asyncio.sleep(0.1)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(load())
        await asyncio.sleep(LOAD_SECONDS / 3)
        await asyncio.to_thread(server.stop)
        await asyncio.sleep(DOWN_SECONDS)
        await asyncio.to_thread(server.start)
        up_at = time.time()
        await asyncio.sleep(LOAD_SECONDS / 3)
        stop.set()
    events: list[Event] = []
    ends = []
    for job_id in ids:
        history = await site.reaches(job_id, "SUCCEEDED", "FAILED", seconds=LONG)
        ends.append(history.check().state)
        events += history.events
    resumed = min(e.at for e in events if e.cause == "ACCEPTED" and e.at > up_at) - up_at
    print(f"resumed {resumed:.2f} s after the server took connections; goal 3 s")
    print(f"{len(ids)} acknowledged, lost {len(ids) - ends.count('SUCCEEDED')}; {refused} refused")


async def waste(rounds: int) -> None:
    print(
        f"method: {rounds} cuts of 1 s, {rounds} resets, a master and a worker frozen 0.8 s each,"
    )
    print("        a master killed and started, while 4 jobs run on 2 workers")
    async with cluster() as site:
        workers = [await site.worker(f"w{n}", slots=2, proxied=True) for n in (1, 2)]
        ids = await site.submit_many(4, seconds=rounds * 3 + 15)
        for job_id in ids:
            await site.encodes(job_id)
        for _ in range(rounds):
            for worker in workers:
                assert worker.proxy is not None
                worker.proxy.hold()
                await asyncio.sleep(1.0)
                worker.proxy.restore()
                worker.proxy.reset()
            await asyncio.sleep(1.0)
        for process in (site.master, workers[0].process):
            process.send(signal.SIGSTOP)
            await asyncio.sleep(0.8)
            process.send(signal.SIGCONT)
        await site.restart_master()
        thrown, runs = 0.0, 0
        for job_id in ids:
            history = await site.succeeds(job_id, seconds=LONG)
            runs += site.runs(job_id)
            begun = {e.fence: e.at for e in history.events_of("ACCEPTED")}
            ends = {e.fence for e in history.events_of("STAGED")}
            lost = {e.fence: e.at for e in history.events_of("LOST")}
            thrown += sum(lost[f] - begun[f] for f in begun.keys() & lost.keys() - ends)
    print(
        f"encode seconds thrown away: {thrown:.1f}; FFmpeg started {runs} times for 4 jobs; goal 0"
    )


MODES: dict[str, tuple[Callable[[int], Coroutine[None, None, None]], int]] = {
    "elsewhere": (elsewhere, 8),
    "return": (come_back, 8),
    "silence": (silence, 1),
    "postgres": (postgres, 1),
    "waste": (waste, 3),
}


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modes", nargs="*", help=", ".join(MODES))
    parser.add_argument("--rounds", type=int, help="of each, instead of its own number")
    asked = parser.parse_args(arguments)
    os.environ.setdefault("PYTHONPATH", str(TOP))
    for mode in asked.modes or MODES:
        if mode not in MODES:
            parser.error(f"there is no {mode!r}: choose from {', '.join(MODES)}")
        measure, rounds = MODES[mode]
        print(f"== {mode}\n{machine()}")
        began = time.monotonic()
        asyncio.run(measure(asked.rounds or rounds))
        print(f"took {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
