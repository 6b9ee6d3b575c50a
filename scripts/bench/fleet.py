#!/usr/bin/env python3
"""A real master under simulated workers: `scripts/bench/fleet.py [MODE ...]`.

throughput  no-op jobs submitted in batches: submit, grant, run, result, publish, everything durable
quiet       jobs one after the other on an idle cluster: submit to the offer that a worker reads,
            beside what that is made of: one unary call, two commits, one message on a stream;
            and to begun, another commit and two messages later
streams     many idle workers at the default heartbeat: who is lost, master's CPU and memory
kill        master kill -9 under many running jobs: time until all workers are back, what was lost
submit      without workers: jobs a second, one by one from 16 callers, and in batches
paced       100 jobs a second beside many idle streams: submit to begun, event-loop lag, scrape
watch       from a worker's publish to the client that watches the job
scale       jobs of 50 ms on 1 to 2,000 workers, beside what a model says

The master is one process, the fleet another; what the workers did is read from their own ledger.
Run it with `.venv/bin/python`.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from pathlib import Path

import psutil
from cluster import machine, percentiles
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from ffrtmp.client import Client
from ffrtmp.clock import utc_now
from ffrtmp.domain.job import JobState
from ffrtmp.domain.spec import Input, JobSpec, MediaPath, Output, TestSource
from ffrtmp.pki.identity import load_identity
from ffrtmp.rpc.channel import open_channel
from ffrtmp.rpc.convert_spec import spec_to_pb
from ffrtmp.rpc.enums import JOB_STATES
from ffrtmp.v1.admin_service_pb2 import WORKER_STATE_CONNECTED

START_SECONDS = 120.0
WARM_UP = 20
BATCH = 1000
PACE = 100
JOB_SECONDS = 0.05
SCALE = (1, 10, 50, 100, 500, 1000, 2000)
ENDED = {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}


@dataclass
class Bench:
    """A folder on a disk for the master, one in memory for the fleet's journals."""

    folder: Path
    master_arguments: list[str] = field(default_factory=list)
    address: str = "127.0.0.1:0"
    http: str = ""
    master: subprocess.Popen[str] | None = None

    @property
    def certs(self) -> Path:
        return self.folder / "certs"

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger"

    def run(self, *arguments: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "ffrtmp", *arguments],
            check=True,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
        )

    def start(self, stack: ExitStack, name: str, ready: str, *arguments: str) -> str:
        """Starts a process that stays; returns its log up to the line that is waited for."""
        log = self.folder / f"{name}.log"
        with log.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "ffrtmp", *arguments],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                text=True,
            )
        stack.callback(end, process)
        if name == "master":
            self.master = process
        until = time.monotonic() + START_SECONDS
        while ready not in log.read_text():
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{name} did not start:\n{log.read_text()}")
            time.sleep(0.05)
        return log.read_text()

    def start_master(self, stack: ExitStack) -> None:
        arguments = ["master", "--certs", str(self.certs / "master-m"), "--listen", self.address]
        said = self.start(
            stack,
            "master",
            "master ready",
            *arguments,
            "--http",
            "127.0.0.1:0",
            *self.master_arguments,
        )
        [(self.address, self.http)] = re.findall(r"gRPC on ([^,]+), HTTP on (\S+)", said)

    def start_fleet(
        self, stack: ExitStack, workers: int, *, slots: int, pace: float, name: str = "sim"
    ) -> None:
        memory = Path(tempfile.mkdtemp(prefix="ffrtmp-fleet-", dir="/dev/shm"))
        stack.callback(shutil.rmtree, memory, ignore_errors=True)
        arguments = ["simulate", "--ca", str(self.certs), "--master", self.address]
        arguments += ["--workers", str(workers), "--slots", str(slots), "--pace", str(pace)]
        arguments += ["--ledger", str(self.ledger), "--state-dir", str(memory), "--name", name]
        self.start(stack, f"fleet-{name}", "simulated workers dial", *arguments)

    def master_cpu(self) -> float:
        assert self.master is not None
        times = psutil.Process(self.master.pid).cpu_times()
        return times.user + times.system

    def master_rss(self) -> int:
        assert self.master is not None
        return psutil.Process(self.master.pid).memory_info().rss


def end(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def bench(arguments: list[str]) -> Iterator[tuple[Bench, ExitStack]]:
    folder = Path(tempfile.mkdtemp(prefix="ffrtmp-bench-"))
    if not any(each.startswith("--store") for each in arguments):
        arguments = [*arguments, "--store", str(folder / "master.db")]
    made = Bench(folder, arguments)
    try:
        made.run("certs", "init", "certs")
        made.run("certs", "issue", "certs", "master", "m")
        made.run("certs", "issue", "certs", "admin", "a")
        with ExitStack() as stack:
            made.start_master(stack)
            yield made, stack
    finally:
        shutil.rmtree(folder)


def no_op(number: int, seconds: float = 1.0) -> JobSpec:
    source = TestSource(width=64, height=48, duration=timedelta(seconds=seconds))
    return JobSpec(
        input=Input(test_source=source),
        outputs=(Output(path=MediaPath("sim", f"{number:06}.mp4")),),
    )


async def connected(http: str, workers: int) -> float:
    """Waits until so many are; returns how long. To list them all, again and again, would cost the
    master more than their hellos do."""
    began = time.perf_counter()
    while True:
        text = await asyncio.to_thread(scrape, http)
        [found] = re.findall(r'ffrtmp_workers{state="connected"} (\S+)', text)
        if float(found) >= workers:
            return time.perf_counter() - began
        await asyncio.sleep(0.2)


async def count_states(client: Client) -> Counter[JobState | None]:
    return Counter([JOB_STATES.from_wire(job.state) async for job in client.list()])


async def all_ended(client: Client, ledger: Path, jobs: int) -> None:
    """The ledger says when to ask; the master has the last word."""
    while ledger.read_text().count('"published"') < jobs:
        await asyncio.sleep(0.1)
    while True:
        left = 0
        for state in set(JobState) - ENDED:
            async for _ in client.list(states=[state], limit=1):
                left += 1
        if not left:
            return
        await asyncio.sleep(0.05)


async def throughput(jobs: int, workers: int, arguments: list[str]) -> None:
    print(f"method: {jobs} no-op jobs in batches of {BATCH}, {workers} workers of 4 slots")
    with bench(arguments) as (made, stack):
        made.start_fleet(stack, workers, slots=4, pace=0)
        async with Client(made.address, made.certs / "admin-a") as client:
            await connected(made.http, workers)
            cpu, began = made.master_cpu(), time.perf_counter()
            for first in range(0, jobs, BATCH):
                specs = [
                    spec_to_pb(no_op(number)) for number in range(first, min(jobs, first + BATCH))
                ]
                await client.submit_many(specs)
            submitted = time.perf_counter() - began
            await all_ended(client, made.ledger, jobs)
            took, cpu = time.perf_counter() - began, made.master_cpu() - cpu
            states = await count_states(client)
        published = Counter(
            line["job_id"] for line in read(made.ledger) if line["did"] == "published"
        )
    print(
        f"{jobs / took:.0f} jobs/s ({took:.1f} s; submitted in {submitted:.1f} s); "
        f"master {1e6 * cpu / jobs:.0f} us CPU a job; "
        f"succeeded {states[JobState.SUCCEEDED]}, lost {jobs - len(published)}, "
        f"doubled {sum(count > 1 for count in published.values())}"
    )


def read(ledger: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in ledger.read_text().splitlines()]


@asynccontextmanager
async def floor(made: Bench, client: Client) -> AsyncIterator[Callable[[], Awaitable[float]]]:
    """What no dispatcher can do without: a unary call that does nothing, two commits (the master
    says how long one takes), and a message on a stream: half of there and back."""
    identity = load_identity(made.certs / "admin-a", now=utc_now())
    async with open_channel(made.address, identity) as channel:
        stream = ServerReflectionStub(channel).ServerReflectionInfo()

        async def measure() -> float:
            began = time.perf_counter()
            await client.settings()
            call = time.perf_counter() - began
            commit = (await client.store()).commit_duration.ToTimedelta().total_seconds()
            began = time.perf_counter()
            await stream.write(ServerReflectionRequest(list_services=""))
            await stream.read()
            return call + 2 * commit + (time.perf_counter() - began) / 2

        yield measure
        await stream.done_writing()


async def quiet(jobs: int, workers: int, arguments: list[str]) -> None:
    print(
        f"method: {jobs} jobs one after the other, {workers} idle workers; from the call of submit"
    )
    with bench(arguments) as (made, stack):
        made.start_fleet(stack, workers, slots=1, pace=0)
        called: dict[str, float] = {}
        least: list[float] = []
        async with (
            Client(made.address, made.certs / "admin-a") as client,
            floor(made, client) as measure,
        ):
            await connected(made.http, workers)
            for number in range(jobs + WARM_UP):
                least.append(await measure())
                at = time.clock_gettime(time.CLOCK_BOOTTIME)
                job = await client.submit(no_op(number))
                if number >= WARM_UP:  # the first ones warm up
                    called[job.job_id] = at
                async for _ in client.watch(job.job_id):
                    pass
        lines = read(made.ledger)
    offered, began = ([*after(lines, did, called)] for did in ("offered", "began"))
    ratio = statistics.median(offered) / statistics.median(least[WARM_UP:])
    print(f"submit to offer: {percentiles(offered)}")
    print(f"submit to begun: {percentiles(began)}")
    print(f"call + 2 commits + message: {percentiles(least[WARM_UP:])}; ratio of p50: {ratio:.2f}")


def after(lines: list[dict[str, object]], did: str, called: dict[str, float]) -> Iterator[float]:
    """Seconds from the call that submitted a job to what a worker did with it."""
    for line in lines:
        if line["did"] == did and line["job_id"] in called:
            yield float(str(line["at"])) - called[str(line["job_id"])]


async def streams(seconds: int, workers: int, arguments: list[str]) -> None:
    print(f"method: {workers} idle workers, default heartbeat, {seconds} s")
    with bench(arguments) as (made, stack):
        empty, idle = made.master_rss(), made.master_cpu()
        made.start_fleet(stack, workers, slots=1, pace=0)
        async with Client(made.address, made.certs / "admin-a") as client:
            took = await connected(made.http, workers)
            each_hello = (made.master_cpu() - idle) / workers
            await asyncio.sleep(5)
            before, cpu, began = streams_of(made.http), made.master_cpu(), time.perf_counter()
            await asyncio.sleep(seconds)
            anew = streams_of(made.http) - before
            share = (made.master_cpu() - cpu) / (time.perf_counter() - began)
            kept = [worker.state async for worker in client.workers()].count(WORKER_STATE_CONNECTED)
        each = (made.master_rss() - empty) / workers / 1024
    print(
        f"all connected after {took:.1f} s, {1000 * each_hello:.1f} ms CPU each; "
        f"{before['closed']} were lost while all dialled at once\n"
        f"{seconds} s later {kept} still are; meanwhile lost "
        f"{anew['closed']}, dialled again {anew['opened']}; master {share:.2f} cores, "
        f"{each:.0f} KiB a worker"
    )


def streams_of(http: str) -> Counter[str]:
    """Of the master since its start: opened, closed and what else became of them."""
    found = re.findall(r'ffrtmp_streams_total{what="(\w+)"} (\S+)', scrape(http))
    return Counter({what: int(float(count)) for what, count in found})


async def kill(jobs: int, workers: int, arguments: list[str]) -> None:
    print(f"method: {workers} workers run {jobs} jobs of 90 s; master kill -9, started after 2 s")
    with bench(arguments) as (made, stack):
        made.start_fleet(stack, workers, slots=max(1, jobs // workers), pace=1)
        async with Client(made.address, made.certs / "admin-a", patience=60) as client:
            await connected(made.http, workers)
            specs = [spec_to_pb(no_op(number, 90)) for number in range(jobs)]
            for first in range(0, jobs, BATCH):
                await client.submit_many(specs[first : first + BATCH])
            while (await count_states(client))[JobState.RUNNING] < jobs:
                await asyncio.sleep(0.2)
            assert made.master is not None
            os.kill(made.master.pid, signal.SIGKILL)
            made.master.wait()
            await asyncio.sleep(2)
            made.start_master(stack)
            took = await connected(made.http, workers)
            await asyncio.sleep(40)  # longer than the recovery grace: what is lost is lost by then
            found = [job async for job in client.list()]
        states = Counter(JOB_STATES.from_wire(job.state) for job in found)
        print(
            f"all back {took:.1f} s after it listened; running {states[JobState.RUNNING]}, "
            f"re-run {sum(job.fence > 1 for job in found)}, "
            f"charged {sum(job.charged for job in found)}, lost {jobs - len(found)}"
        )


async def submit(jobs: int, _workers: int, arguments: list[str]) -> None:
    print(f"method: {jobs} jobs, no worker; 16 callers one by one, then batches of {BATCH}")
    with bench(arguments) as (made, _stack):
        async with Client(made.address, made.certs / "admin-a") as client:
            specs = iter([spec_to_pb(no_op(number)) for number in range(2 * jobs)])
            alone = list(islice(specs, jobs))

            async def caller() -> None:
                while alone:
                    await client.submit(alone.pop())

            cpu, began = made.master_cpu(), time.perf_counter()
            await asyncio.gather(*(caller() for _ in range(16)))
            report_rate("one by one", jobs, time.perf_counter() - began, made.master_cpu() - cpu)
            cpu, began = made.master_cpu(), time.perf_counter()
            while batch := list(islice(specs, BATCH)):
                await client.submit_many(batch)
            report_rate("batched", jobs, time.perf_counter() - began, made.master_cpu() - cpu)


def report_rate(what: str, jobs: int, seconds: float, cpu: float) -> None:
    print(f"{what}: {jobs / seconds:.0f} jobs/s; master {1e6 * cpu / jobs:.0f} us CPU a job")


async def paced(seconds: int, workers: int, arguments: list[str]) -> None:
    print(f"method: {PACE} jobs/s for {seconds} s, {workers} workers of 1 slot, default heartbeat")
    with bench(arguments) as (made, stack):
        made.start_fleet(stack, workers, slots=1, pace=0)
        called: dict[str, float] = {}
        async with Client(made.address, made.certs / "admin-a") as client:
            await connected(made.http, workers)
            cpu, began = made.master_cpu(), time.perf_counter()
            loop = asyncio.get_running_loop()

            async def one(number: int) -> None:
                at = time.clock_gettime(time.CLOCK_BOOTTIME)
                called[(await client.submit(no_op(number))).job_id] = at

            async with asyncio.TaskGroup() as tasks:
                for number in range(PACE * seconds):
                    tasks.create_task(one(number))
                    await asyncio.sleep(max(0.0, began + number / PACE - time.perf_counter()))
            await all_ended(client, made.ledger, PACE * seconds)
            share = (made.master_cpu() - cpu) / (time.perf_counter() - began)
            scrapes, text = [], ""
            for _ in range(20):
                at = loop.time()
                text = await asyncio.to_thread(scrape, made.http)
                scrapes.append(loop.time() - at)
        lines = [line for line in read(made.ledger) if line["did"] == "began"]
    took = [float(str(line["at"])) - called[str(line["job_id"])] for line in lines]
    print(f"submit to begun: {percentiles(took)}; master {share:.2f} cores")
    print(f"event-loop lag: p99 <= {lag_of(text):g} s; scrape: {percentiles(scrapes)}")


def scrape(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics") as answer:
        return str(answer.read().decode())


def lag_of(text: str) -> float:
    """The smallest bucket that holds 99 of 100."""
    found = re.findall(r'event_loop_lag_seconds_bucket{le="([^"]+)"} (\S+)', text)
    total = float(found[-1][1])
    return next(float(bound) for bound, count in found if float(count) >= 0.99 * total)


async def watch(jobs: int, _workers: int, arguments: list[str]) -> None:
    print(f"method: {jobs} jobs of 3 s on as many slots, all watched; staged to heard")
    with bench(arguments) as (made, stack):
        made.start_fleet(stack, 10, slots=max(1, jobs // 10), pace=1)
        heard: dict[str, float] = {}
        async with Client(made.address, made.certs / "admin-a") as client:
            await connected(made.http, 10)

            async def follow(job_id: str) -> None:
                async for _ in client.watch(job_id):
                    heard[job_id] = time.clock_gettime(time.CLOCK_BOOTTIME)

            made_jobs = await client.submit_many([spec_to_pb(no_op(n, 3)) for n in range(jobs)])
            await asyncio.gather(*(follow(job.job_id) for job in made_jobs))
        lines = [line for line in read(made.ledger) if line["did"] == "published"]
    took = [heard[str(line["job_id"])] - float(str(line["at"])) for line in lines]
    print(f"published to its watcher: {percentiles(took)}")


async def scale(jobs: int, workers: int, arguments: list[str]) -> None:
    """The model: slots / duration, until the master can do no more (measured at the largest)."""
    print(f"method: jobs of {1000 * JOB_SECONDS:g} ms in batches, 1 slot a worker")
    rows = []
    for count in [each for each in SCALE if each <= workers]:
        with bench(arguments) as (made, stack):
            made.start_fleet(stack, count, slots=1, pace=JOB_SECONDS / 0.2)
            async with Client(made.address, made.certs / "admin-a") as client:
                await connected(made.http, count)
                share = min(jobs, 100 * count)
                cpu, began = made.master_cpu(), time.perf_counter()
                specs = [spec_to_pb(no_op(number, 0.2)) for number in range(share)]
                for first in range(0, share, BATCH):
                    await client.submit_many(specs[first : first + BATCH])
                await all_ended(client, made.ledger, share)
                took, cpu = time.perf_counter() - began, made.master_cpu() - cpu
        rows.append((count, share / took, cpu / share))
    limit = max(rate for _, rate, _ in rows)
    print("| workers | jobs/s | model | master CPU a job |\n| --: | --: | --: | --: |")
    for count, rate, each in rows:
        model = min(count / JOB_SECONDS, limit)
        print(f"| {count} | {rate:.0f} | {model:.0f} | {1e6 * each:.0f} us |")


MODES = {
    "submit": (submit, 5_000, 0),
    "paced": (paced, 20, 1000),
    "watch": (watch, 50, 0),
    "scale": (scale, 10_000, 2000),
    "throughput": (throughput, 20_000, 50),
    "quiet": (quiet, 500, 10),
    "streams": (streams, 20, 1000),
    "kill": (kill, 1000, 1000),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modes", nargs="*", help=", ".join(MODES))
    parser.add_argument("--count", type=int, help="jobs, or seconds for streams")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--master", action="append", default=[], help="an option of the master")
    options = parser.parse_args()
    for mode in options.modes or MODES:
        if mode not in MODES:
            parser.error(f"there is no {mode!r}: choose from {', '.join(MODES)}")
        measure, count, workers = MODES[mode]
        print(f"== {mode}\n{machine()}")
        asyncio.run(measure(options.count or count, options.workers or workers, options.master))


if __name__ == "__main__":
    main()
