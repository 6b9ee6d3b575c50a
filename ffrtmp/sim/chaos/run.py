"""One run: the cluster comes up, the plan is carried out, all jobs drain, the evidence is kept."""

import asyncio
import hashlib
import json
import platform
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from google.protobuf.json_format import MessageToDict

from ffrtmp.client import Client, Unreachable
from ffrtmp.clock import boot_seconds, utc_now
from ffrtmp.domain.errors import DomainError
from ffrtmp.sim.chaos import evidence, stores
from ffrtmp.sim.chaos.clients import Asker
from ffrtmp.sim.chaos.disks import Disks
from ffrtmp.sim.chaos.evidence import Line, Notes
from ffrtmp.sim.chaos.injector import Injector
from ffrtmp.sim.chaos.plan import (
    CLIENTS,
    Injection,
    Plan,
    Submission,
    make_plan,
    make_proof,
)
from ffrtmp.sim.chaos.site import LEASE, NotReady, Site, Where, running
from ffrtmp.v1 import admin_service_pb2 as admin_pb
from ffrtmp.v1 import job_pb2

CLIENT_PATIENCE = 5.0
UP_SECONDS = 120.0
POLL_SECONDS = 0.5
OPERATOR_SECONDS = 2.0
STUCK_SECONDS = 20.0
"""No job ends for so long, and none waits for its time: then the rest never will."""
REJECTED = timedelta(seconds=1.5)
"""A job that every worker rejects waits a second, again and again: that is no progress."""
DRAIN_SECONDS = 900.0
"""For a machine that is busy with other things: while jobs end, there is hope for the rest."""
GETS_AT_ONCE = 16
ENDED = frozenset(
    {job_pb2.JOB_STATE_SUCCEEDED, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_CANCELLED}
)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """`folder`: where the evidence goes. `code`: the folder of another build of ffrtmp. `proof`: a
    short and rough plan, for a build with a fault in it."""

    seed: int
    minutes: int
    store: str
    folder: Path
    code: Path | None = None
    proof: bool = False


async def run(asked: Asked) -> None:
    """Leaves the evidence in the folder. Raises NotReady."""
    plan = make_proof(asked.seed) if asked.proof else make_plan(asked.seed, asked.minutes)
    async with AsyncExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ffrtmp-chaos-")))
        asked.folder.mkdir(parents=True, exist_ok=True)
        where = Where(
            folder=asked.folder,
            scratch=scratch,
            disks=stack.enter_context(Disks.mounted(scratch)),
            store=stack.enter_context(stores.opened(asked.store, scratch)),
            seed=asked.seed,
            code=asked.code,
        )
        injections = stack.enter_context(Notes.open(asked.folder / evidence.INJECTIONS))
        clients = stack.enter_context(Notes.open(asked.folder / evidence.CLIENTS))
        _keep_plan(plan, asked.folder)
        site = await stack.enter_async_context(running(where, injections))
        await Run(asked, plan, site, injections, clients).carry_out()


def _keep_plan(plan: Plan, folder: Path) -> None:
    evidence.write(folder / "plan-injections.jsonl", map(asdict, plan.injections))
    evidence.write(folder / "plan-submissions.jsonl", map(asdict, plan.submissions))


class Run:
    def __init__(
        self, asked: Asked, plan: Plan, site: Site, injections: Notes, clients: Notes
    ) -> None:
        self._asked = asked
        self._plan = plan
        self._site = site
        self._injector = Injector(site, injections)
        self._clients = clients
        self._stop = asyncio.Event()
        self._busy = 0
        self._began_at = 0.0

    async def carry_out(self) -> None:
        async with self._client("admin-operator", self._site.address) as operator:
            await self._until_connected(operator)
            self._began_at = boot_seconds()
            async with asyncio.TaskGroup() as helpers:
                beside = [
                    helpers.create_task(self._injector.supervise()),
                    helpers.create_task(self._operate(operator)),
                ]
                drained = await self._inject_and_drain(operator)
                for helper in beside:
                    helper.cancel()
            await self._keep(operator, drained=drained)

    async def _inject_and_drain(self, operator: Client) -> bool:
        async with AsyncExitStack() as stack:
            askers = {}
            for name in CLIENTS:
                path = self._site.proxies[name].address
                client = await stack.enter_async_context(self._client(f"client-{name}", path))
                askers[name] = Asker(name, client, self._clients, self._stop)
            async with asyncio.TaskGroup() as asking:
                asked = [
                    asking.create_task(self._submit(askers[submission.client], submission))
                    for submission in self._plan.submissions
                ]
                async with asyncio.TaskGroup() as injecting:
                    for injection in self._plan.injections:
                        injecting.create_task(self._inject(injection))
                await self._until(self._plan.seconds)
                self._site.calm()
                drained = await self._drain(operator)
                self._stop.set()
                for each in asked:  # who follows a job that never ends
                    each.cancel()
        return drained

    def _client(self, identity: str, address: str) -> AbstractAsyncContextManager[Client]:
        certs = self._site.certs / identity
        return Client(address, certs, patience=CLIENT_PATIENCE)

    async def _until(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, self._began_at + seconds - boot_seconds()))

    async def _submit(self, asker: Asker, submission: Submission) -> None:
        self._busy += 1
        await self._until(submission.at)
        await asker.carry_out(submission)
        self._busy -= 1

    async def _inject(self, injection: Injection) -> None:
        await self._until(injection.at)
        await self._injector.inject(injection)

    async def _until_connected(self, operator: Client) -> None:
        wanted = {name for names in self._site.workers.values() for name in names}
        try:
            async with asyncio.timeout(UP_SECONDS):
                while wanted - {name async for name in _connected(operator)}:
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            missing = wanted - {name async for name in _connected(operator)}
            raise NotReady(f"not connected: {sorted(missing)}") from None

    async def _operate(self, operator: Client) -> None:
        """Somebody looks after the cluster: a worker in quarantine is taken back at once, else soon
        nobody would be left to kill."""
        while True:
            try:
                async for worker in operator.workers():
                    if worker.state == admin_pb.WORKER_STATE_QUARANTINED:
                        await operator.resume_worker(worker.name)
            except (Unreachable, DomainError):
                pass
            await asyncio.sleep(OPERATOR_SECONDS)

    async def _drain(self, operator: Client) -> bool:
        """Whether all ended. Gives up when nothing ends any more."""
        moved_at = began = boot_seconds()
        before = 0
        while boot_seconds() - began < DRAIN_SECONDS:
            try:
                jobs = [job async for job in operator.list()]
            except (Unreachable, DomainError):
                jobs = []
            left = [job for job in jobs if job.state not in ENDED or job.blocked_by]
            if jobs and not left and not self._busy:
                return True
            ended = len(jobs) - len(left)
            if ended != before or _waits(left, utc_now()):
                moved_at, before = boot_seconds(), ended
            if boot_seconds() - moved_at > STUCK_SECONDS:
                return False
            await asyncio.sleep(POLL_SECONDS)
        return False

    # -- what is kept -----------------------------------------------------------------------

    async def _keep(self, operator: Client, *, drained: bool) -> None:
        folder, site = self._asked.folder, self._site
        evidence.write(folder / evidence.JOBS, await table(operator))
        await asyncio.to_thread(
            lambda: evidence.write(folder / evidence.FILES, list(_digests(site)))
        )
        for name, process in site.processes.items():
            if name != site.master.name:
                process.end()
        if drained:
            starts = site.times_ready()
            site.master.end()
            site.master.start()
            await site.until_ready(starts)
            evidence.write(folder / evidence.AFTER_RESTART, await table(operator))
        (folder / evidence.RUN).write_text(json.dumps(self._about(drained=drained), indent=1))

    def _about(self, *, drained: bool) -> Line:
        return {
            "seed": self._asked.seed,
            "minutes": self._asked.minutes,
            "store": "postgres" if self._asked.store.startswith("postgres") else "sqlite",
            "began_at": self._began_at,
            "ended_at": boot_seconds(),
            "drained": drained,
            "lease_seconds": LEASE,
            "members": {name: list(those) for name, those in self._site.workers.items()},
            "slots": self._site.slots,
            "can_mount": not self._site.where.disks.problem,
            "mount_problem": self._site.where.disks.problem,
            "machine": platform.platform(),
        }


async def _connected(operator: Client) -> AsyncIterator[str]:
    try:
        async for worker in operator.workers():
            if worker.state == admin_pb.WORKER_STATE_CONNECTED:
                yield worker.name
    except (Unreachable, DomainError):
        return


def _waits(jobs: Iterable[job_pb2.Job], now: datetime) -> bool:
    return any(job.eligible_time.ToDatetime(tzinfo=UTC) > now + REJECTED for job in jobs)


async def table(operator: Client) -> list[Line]:
    """Every job with its events, as JSON."""
    ids = [job.job_id async for job in operator.list()]
    gate = asyncio.Semaphore(GETS_AT_ONCE)

    async def one(job_id: str) -> Line:
        async with gate:
            answer = await operator.get(job_id)
        line: Line = MessageToDict(answer, preserving_proto_field_name=True)
        line.pop("progress", None)
        return line

    return list(await asyncio.gather(*map(one, sorted(ids))))


def _digests(site: Site) -> Iterable[Line]:
    for name, path in site.files():
        yield {"path": name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
