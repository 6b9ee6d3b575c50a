#!/usr/bin/env python3
"""No-op jobs through what a Python user would pick instead, and through ours, in one run:
`scripts/bench/peers.py [NAME ...] [--jobs N]`.

Each peer is installed into an environment of its own (PyPI or npm), and runs at its documented
setting for durable results and remote workers: two worker processes, one that submits and waits for
the end of all. Its tasks stand in `peers/`. Redis is `redis-server`, or the program that
REDIS_SERVER names, with every write appended and synced (`--appendfsync always`); PostgreSQL comes
with the development environment, at its defaults. A peer that cannot be had, or whose server is
missing, is printed as not run, with the reason.

Run it with `.venv/bin/python`.
"""

import argparse
import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster import machine
from fleet import all_ended, bench, connected, no_op

from ffrtmp.client import Client
from ffrtmp.rpc.convert_spec import spec_to_pb

HERE = Path(__file__).parent / "peers"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ffrtmp-bench-peers"
START_SECONDS = 60.0
RUN_SECONDS = 120.0
WARM_UP_SECONDS = 15.0  # workers start slowly where much else runs


class NotRun(Exception):
    """Why; one sentence."""


@dataclass(frozen=True)
class Peer:
    """`workers`: commands of its environment that are started, the last one twice when
    `doubled`. `submit`: its program, if it is not `NAME_peer.py`, of an environment of Node's.
    `durable`: what, and where."""

    name: str
    packages: tuple[str, ...]
    server: str
    durable: str
    workers: tuple[tuple[str, ...], ...]
    prepare: tuple[str, ...] = ()
    doubled: bool = True
    submit: str = ""


PEERS = (
    Peer(
        "arq",
        ("arq",),
        "redis",
        "jobs and results, Redis AOF",
        (("arq", "arq_peer.WorkerSettings"),),
    ),
    Peer(
        "saq",
        ("saq[redis]", "typing_extensions"),
        "redis",
        "jobs and results, Redis AOF",
        (("saq", "saq_peer.settings"),),
    ),
    Peer(
        "taskiq",
        ("taskiq", "taskiq-redis"),
        "redis",
        "stream and results, Redis AOF",
        (("taskiq", "worker", "taskiq_peer:broker", "--workers", "2", "--max-async-tasks", "100"),),
        doubled=False,
    ),
    Peer(
        "celery",
        ("celery[redis]",),
        "redis",
        "queue and results, Redis AOF",
        (("celery", "-A", "celery_peer", "worker", "-c", "2", "--loglevel", "warning"),),
        doubled=False,
    ),
    Peer(
        "dask",
        ("distributed",),
        "",
        "nothing: the scheduler's memory",
        (
            ("dask", "scheduler", "--port", "18786", "--no-dashboard"),
            (
                *("dask", "worker", "tcp://127.0.0.1:18786", "--nworkers", "2"),
                *("--nthreads", "4", "--no-dashboard"),
            ),
        ),
        doubled=False,
    ),
    Peer(
        "procrastinate",
        ("procrastinate", "psycopg[binary]"),
        "postgres",
        "jobs and events, PostgreSQL",
        (("procrastinate", "--app", "procrastinate_peer.app", "worker", "-c", "50"),),
        ("procrastinate", "--app", "procrastinate_peer.app", "schema", "--apply"),
    ),
    Peer(
        "pgqueuer",
        ("pgqueuer[asyncpg]",),
        "postgres",
        "jobs and log, PostgreSQL; no results",
        (("python", "pgqueuer_peer.py", "work"),),
        ("pgq", "install"),
    ),
    Peer(
        "graphile-worker",
        ("graphile-worker",),
        "postgres",
        "jobs, PostgreSQL; no results",
        (("graphile-worker", "--config", "graphile/graphile.config.js"),),
        ("graphile-worker", "--config", "graphile/graphile.config.js", "--schema-only"),
        submit="graphile/submit.js",
    ),
)


def environment_of(peer: Peer) -> Path:
    folder = CACHE / peer.name
    ready = folder / "ready"
    if ready.exists() and ready.read_text() == " ".join(peer.packages):
        return folder
    install = node_install if peer.submit else python_install
    if subprocess.run([*install(folder), *peer.packages], check=False).returncode:
        raise NotRun("it cannot be installed here")
    ready.write_text(" ".join(peer.packages))
    return folder


def python_install(folder: Path) -> list[str]:
    venv.create(folder, with_pip=True, clear=True)
    return [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]


def node_install(folder: Path) -> list[str]:
    """Its programs lie where those of an environment of Python's do."""
    npm = shutil.which("npm")
    if npm is None:
        raise NotRun("there is no npm; install Node")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bin").unlink(missing_ok=True)
    (folder / "bin").symlink_to("node_modules/.bin")
    return [npm, "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(folder)]


@contextmanager
def process(command: list[str], **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """Ended with the block, with all that it started."""
    started = subprocess.Popen(command, start_new_session=True, **options)  # type: ignore[call-overload]
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, 9)
            started.wait()


@contextmanager
def redis(folder: Path) -> Iterator[dict[str, str]]:
    program = os.environ.get("REDIS_SERVER") or shutil.which("redis-server")
    if program is None:
        raise NotRun("there is no redis-server; install it, or name it in REDIS_SERVER")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [program, "--port", str(port), "--dir", str(folder), "--save", ""]
    command += ["--appendonly", "yes", "--appendfsync", "always", "--loglevel", "warning"]
    with process(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if time.monotonic() > until:
                    raise NotRun("redis-server does not start") from None
                time.sleep(0.1)
        yield {"REDIS_URL": f"redis://127.0.0.1:{port}/0"}


@contextmanager
def postgres(_folder: Path) -> Iterator[dict[str, str]]:
    from ffrtmp.sim.chaos.stores import opened  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder, opened("postgres", Path(folder)) as store:
        yield {"POSTGRES_DSN": store.address, "PGDSN": store.address}


@contextmanager
def nothing(_folder: Path) -> Iterator[dict[str, str]]:
    yield {}


SERVERS = {"redis": redis, "postgres": postgres, "": nothing}


def measure(peer: Peer, jobs: int) -> float:
    """Seconds from the first submit to the end of the last job. Raises NotRun."""
    environment = environment_of(peer)
    binaries = environment / "bin"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="peer-")))
        given = stack.enter_context(SERVERS[peer.server](folder))
        path = f"{binaries}{os.pathsep}{os.environ['PATH']}"
        variables = {**os.environ, **given, "PYTHONPATH": str(HERE), "PATH": path}
        variables["NODE_PATH"] = str(environment / "node_modules")
        log = stack.enter_context((folder / "log").open("wb"))
        options: dict[str, Any] = {"env": variables, "cwd": HERE, "stdout": log, "stderr": log}
        if peer.prepare:
            subprocess.run(
                [str(binaries / peer.prepare[0]), *peer.prepare[1:]], check=True, **options
            )
        commands = [*peer.workers, *([peer.workers[-1]] if peer.doubled else [])]
        for name, *arguments in commands:
            stack.enter_context(process([str(binaries / name), *arguments], **options))
        time.sleep(WARM_UP_SECONDS)
        submit = ["node", peer.submit] if peer.submit else ["python", f"{peer.name}_peer.py"]
        try:
            ran = subprocess.run(
                [shutil.which(submit[0], path=path) or submit[0], str(HERE / submit[1]), str(jobs)],
                env=variables,
                cwd=HERE,
                capture_output=True,
                text=True,
                timeout=RUN_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise NotRun(f"not done in {RUN_SECONDS:g} s") from None
        if ran.returncode:
            raise NotRun(
                f"it failed: {(ran.stderr.strip().splitlines() or ['without a word'])[-1]}"
            )
        return float(ran.stdout.split()[-1])


async def ours(jobs: int, store: str, *, batch: int) -> float:
    with bench(["--store", store] if store else []) as (made, stack):
        for name in ("a", "b"):
            made.start_fleet(stack, 25, slots=4, pace=0, name=name)
        async with Client(made.address, made.certs / "admin-a") as client:
            await connected(made.http, 50)
            began = time.perf_counter()
            specs = [spec_to_pb(no_op(number)) for number in range(jobs)]
            if batch > 1:
                for first in range(0, jobs, batch):
                    await client.submit_many(specs[first : first + batch])
            else:
                for first in range(0, jobs, 50):
                    await asyncio.gather(*map(client.submit, specs[first : first + 50]))
            await all_ended(client, made.ledger, jobs)
            return time.perf_counter() - began


def report(name: str, said: str, durable: str) -> None:
    print(f"| {name} | {said} | {durable} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=", ".join(peer.name for peer in PEERS))
    parser.add_argument("--jobs", type=int, default=5000)
    options = parser.parse_args()
    print(f"{machine()}\n{options.jobs} no-op jobs, two worker processes each\n")
    report("what", "jobs/s", "what is durable, where")
    report("---", "--:", "---")
    for peer in PEERS:
        if options.names and peer.name not in options.names:
            continue
        try:
            said = f"{options.jobs / measure(peer, options.jobs):.0f}"
        except (NotRun, subprocess.CalledProcessError) as error:
            said = f"not run: {error}"
        report(peer.name, said, peer.durable)
    if not options.names or "ffrtmp" in options.names:
        everything = "jobs, specs, every event, leases, results; SQLite, synced"
        for name, batch in (("ffrtmp, one by one", 1), ("ffrtmp, batches of 1,000", 1000)):
            took = asyncio.run(ours(options.jobs, "", batch=batch))
            report(name, f"{options.jobs / took:.0f}", everything)
        with postgres(Path()) as given:
            took = asyncio.run(ours(options.jobs, given["POSTGRES_DSN"], batch=1000))
        report("ffrtmp, batches, PostgreSQL", f"{options.jobs / took:.0f}", "the same; PostgreSQL")


if __name__ == "__main__":
    main()
