"""A cluster on this machine: certificates, a master and workers as child processes.

They watch their standard input: when this process is gone, however it ended, they stop.
"""

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ffrtmp.cli.errors import UserError
from ffrtmp.clock import utc_now
from ffrtmp.domain.identity import Role
from ffrtmp.domain.worker import WorkerState
from ffrtmp.pki import authority
from ffrtmp.pki.errors import PkiError
from ffrtmp.pki.identity import load_identity
from ffrtmp.pki.terms import DEFAULT_CLUSTER

if TYPE_CHECKING:
    from ffrtmp.v1.admin_service_pb2 import Worker

READY_SECONDS = 30.0
AWAY = frozenset({WorkerState.SILENT, WorkerState.GONE})
IDLE = frozenset({WorkerState.DRAINING, WorkerState.QUARANTINED})
"""There, but given no work: what somebody, or the master, decided outlives a run."""
READY_SECONDS_EACH = 10.0
"""For each worker more: they try out encoders, all at once."""
LOOK_SECONDS = 0.05
STOP_SECONDS = 15.0
RESTART_SECONDS = (0.2, 1.0, 5.0)
RENEW_BEFORE = timedelta(days=30)
_RAW = ["--allow-raw-arguments"]
RENEW_SECONDS = timedelta(days=1).total_seconds()
_READY = re.compile(r"master ready: gRPC on (\S+), HTTP on (\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`folder` keeps everything; `log` takes the children's standard error (None: ours)."""

    folder: Path
    workers: int
    roots: Mapping[str, Path]
    slots: int
    listen: str
    http: str
    ffmpeg: str = ""
    allow_raw_arguments: bool = False
    label: tuple[str, ...] = ()
    log: IO[bytes] | None = None

    @property
    def certs(self) -> Path:
        return self.folder / "certs"

    @property
    def client_certs(self) -> Path:
        return self.certs / "admin-me"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running one."""

    address: str
    http: str


@asynccontextmanager
async def running_cluster(
    plan: Plan, *, before_work: Callable[[Cluster], Awaitable[None]] | None = None
) -> AsyncIterator[Cluster]:
    """Starts it, keeps its workers alive, and stops it. `before_work` is awaited once the master
    answers and no worker is there yet. Raises UserError when it cannot start."""
    await asyncio.to_thread(make_certificates, plan)
    async with AsyncExitStack() as stack:
        master = await stack.enter_async_context(_child(plan, _master_arguments(plan), read=True))
        cluster = await _await_ready(master)
        if before_work is not None:
            await before_work(cluster)
        async with asyncio.TaskGroup() as tasks:
            keepers = [
                tasks.create_task(_keep(plan, number, cluster.address))
                for number in range(1, plan.workers + 1)
            ]
            watcher = tasks.create_task(_watch(master))
            keepers.append(tasks.create_task(_renew_certificates(plan)))
            try:
                yield cluster
            finally:
                watcher.cancel()
                for keeper in keepers:
                    keeper.cancel()


async def await_workers(plan: Plan, cluster: Cluster) -> Mapping[str, WorkerState]:
    """Until every worker is connected; returns those of them that are idle. Raises UserError when a
    folder is of no use to one, or it takes too long; one that ends by itself is told of by
    `running_cluster`."""
    from ffrtmp.client import Client  # noqa: PLC0415  # the help of `up` needs none of it
    from ffrtmp.rpc.enums import WORKER_STATES  # noqa: PLC0415

    waited_for = {f"w{number}" for number in range(1, plan.workers + 1)}
    idle: dict[str, WorkerState] = {}
    seconds = READY_SECONDS + READY_SECONDS_EACH * plan.workers
    try:
        async with asyncio.timeout(seconds), Client(cluster.address, plan.client_certs) as client:
            while waited_for:
                async for worker in client.workers():
                    state = WORKER_STATES.from_wire(worker.state)
                    if worker.name in waited_for and state is not None and state not in AWAY:
                        _require_roots(worker)
                        waited_for.discard(worker.name)
                        idle |= {worker.name: state} if state in IDLE else {}
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        names = ", ".join(sorted(waited_for))
        raise UserError(
            f"not connected after {seconds:.0f} s: {names}: is this machine overloaded?"
        ) from None
    return idle


def _require_roots(worker: "Worker") -> None:
    for problem in (root.problem for root in worker.capabilities.roots if root.problem):
        raise UserError(problem)


async def _renew_certificates(plan: Plan) -> None:
    """The children take new files without a restart. Those that they have are good for a month yet:
    what goes wrong is said, and tried again the next day. Runs until cancelled."""
    while True:
        await asyncio.sleep(RENEW_SECONDS)
        try:
            await asyncio.to_thread(make_certificates, plan)
        except PkiError as error:
            print(f"ffrtmp: {error}", file=sys.stderr)


def make_certificates(plan: Plan) -> None:
    """What is there and good for another month is kept."""
    now = utc_now()
    if not (plan.certs / "ca.key").exists():
        authority.init(plan.certs, DEFAULT_CLUSTER, now=now)
    wanted = [(Role.MASTER, "m1"), (Role.ADMIN, "me")]
    wanted += [(Role.WORKER, f"w{number}") for number in range(1, plan.workers + 1)]
    for role, name in wanted:
        try:
            load_identity(plan.certs / f"{role}-{name}", now=now + RENEW_BEFORE)
        except PkiError:
            authority.issue(plan.certs, role, name, now=now, renew=True)


def _master_arguments(plan: Plan) -> list[str]:
    arguments = ["master", "--certs", str(plan.certs / "master-m1"), "--stop-at-eof"]
    arguments += ["--listen", plan.listen, "--http", plan.http]
    arguments += _RAW if plan.allow_raw_arguments else []
    return [*arguments, "--store", f"sqlite:{plan.folder / 'master.db'}"]


def _worker_arguments(plan: Plan, number: int, address: str) -> list[str]:
    arguments = ["worker", "--certs", str(plan.certs / f"worker-w{number}"), "--stop-at-eof"]
    arguments += ["--master", address, "--slots", str(plan.slots)]
    arguments += ["--state-dir", str(plan.folder)]
    arguments += _RAW if plan.allow_raw_arguments else []
    if plan.ffmpeg:
        arguments += ["--ffmpeg", plan.ffmpeg]
    arguments += [part for each in plan.label for part in ("--label", each)]
    return arguments + [
        part for n, path in plan.roots.items() for part in ("--root", f"{n}={path}")
    ]


@asynccontextmanager
async def _child(plan: Plan, arguments: list[str], *, read: bool = False) -> AsyncIterator[Process]:
    """A process of its own session: only we decide when it stops, not the terminal."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ffrtmp",
        *arguments,
        stdin=PIPE,
        stdout=PIPE if read else plan.log or sys.stderr,
        stderr=plan.log or sys.stderr,
        start_new_session=True,
        env={name: text for name, text in os.environ.items() if not name.startswith("FFRTMP_")},
    )
    try:
        yield process
    finally:
        await _stop(process)


async def _stop(process: Process) -> None:
    """Closing its input asks it to stop; then it is made to."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def _await_ready(master: Process) -> Cluster:
    assert master.stdout is not None
    try:
        async with asyncio.timeout(READY_SECONDS):
            line = (await master.stdout.readline()).decode()
    except TimeoutError:
        line = ""
    match = _READY.match(line)
    if match is None:
        raise UserError("the master did not start: see what it says above")
    return Cluster(match[1], match[2])


async def _watch(master: Process) -> None:
    await master.wait()
    raise UserError(f"the master ended by itself (exit code {master.returncode})")


async def _keep(plan: Plan, number: int, address: str) -> None:
    """Runs a worker, and again when it dies. One that ends by itself was refused."""
    deaths = 0
    while True:
        async with _child(plan, _worker_arguments(plan, number, address)) as worker:
            code = await worker.wait()
        if code > 0:
            raise UserError(f"worker w{number} ended (exit code {code}): see what it says above")
        await asyncio.sleep(RESTART_SECONDS[min(deaths, len(RESTART_SECONDS) - 1)])
        deaths += 1
