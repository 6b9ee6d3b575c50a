"""One schedule of a whole cluster: real masters and workers on a virtual clock, broken as planned.

Everything that is simulated lies at the edges: the network, the disk, the encodes, the clock. What
clients, workers and the injector wrote down is judged by the judge of chaos, which shares no code
with master and worker; and by what must be so when all has ended.
"""

import asyncio
import gc
import shutil
import tempfile
from functools import partial
from itertools import count
from pathlib import Path
from random import Random

from ffrtmp.sim.chaos import checker
from ffrtmp.sim.chaos.clients import Asker
from ffrtmp.sim.chaos.evidence import Evidence, Line
from ffrtmp.sim.chaos.plan import Submission
from ffrtmp.sim.schedules.clients import Caller
from ffrtmp.sim.schedules.database import Database, SharedRenewals
from ffrtmp.sim.schedules.hosts import Host
from ffrtmp.sim.schedules.injector import Injector
from ffrtmp.sim.schedules.loop import Stuck, VirtualLoop
from ffrtmp.sim.schedules.many import Verdict
from ffrtmp.sim.schedules.masters import MasterHost
from ffrtmp.sim.schedules.network import Network, Serves, Slowness
from ffrtmp.sim.schedules.notes import Record
from ffrtmp.sim.schedules.plan import CLIENTS, FAULT_SECONDS, Plan, make_plan
from ffrtmp.sim.schedules.rest import leftovers, table
from ffrtmp.sim.schedules.runner import Files, Memory
from ffrtmp.sim.schedules.workers import WorkerHost

DRAIN_SECONDS = 600.0
"""Everything has ended by then, once nothing is broken any more: back-offs, quarantines and the
minute between two tries of what nobody takes are in it."""
SETTLE_SECONDS = 8.0
OPERATOR_SECONDS = 20.0
ROOMY = Path("/dev/shm")  # noqa: S108  # journals are forced to disk all the time


def simulate(seed: int) -> Verdict:
    """The same seed makes the same verdict."""
    where = Path(tempfile.mkdtemp(prefix="ffsim", dir=ROOMY if ROOMY.is_dir() else None))
    gc.collect()
    gc.disable()  # what it closes, it closes at a moment of its own
    try:
        return _simulate(make_plan(seed), where)
    finally:
        gc.enable()
        shutil.rmtree(where, ignore_errors=True)


def _simulate(plan: Plan, where: Path) -> Verdict:
    threads = _chance(plan, "threads")
    loop = VirtualLoop(lambda: threads.choice((0.0, 0.001, 0.01)) + world.database.seconds() / 2)
    asyncio.set_event_loop(loop)
    world = World(plan, where)
    loop.set_exception_handler(world.record.complain)
    try:
        loop.run_until_complete(world.run())
    except Stuck:
        world.record.unexpected.append("process everybody waits, and nothing will ever happen")
    finally:
        asyncio.set_event_loop(None)
        loop.close()
        world.database.close()
    return world.verdict()


def _chance(plan: Plan, what: str) -> Random:
    """One of its own for every part, so that one part's draws do not change another's."""
    return Random(f"{what} {plan.seed}")  # noqa: S311


def _slowness(plan: Plan) -> Slowness:
    writes, sends = _chance(plan, "writes"), _chance(plan, "sends")
    return Slowness(
        lambda: plan.write_seconds * writes.random() ** 2,
        lambda: plan.send_seconds * sends.random() ** 2,
    )


class World:
    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan = plan
        self._folder = folder
        self.record = Record()
        self.database = Database(folder, _chance(plan, "store"), plan.store_seconds)
        self._files = Files()
        self._stop = asyncio.Event()
        self._evidence: Evidence | None = None

    # -- its parts --------------------------------------------------------------------------

    def _build(self) -> None:
        plan, loop = self._plan, asyncio.get_running_loop()
        self._ledger = Memory(loop.time)
        self._masters = self._make_masters()
        serving: dict[str, Serves] = dict(self._masters)
        self._network = Network(
            serving, _chance(plan, "network"), twice=plan.twice, slowness=_slowness(plan)
        )
        self._workers = {name: self._make_worker(name) for name in plan.slots}
        mains = {name: master.run for name, master in self._masters.items()} | {
            name: partial(worker.run, addresses=self._addresses(name))
            for name, worker in self._workers.items()
        }
        self._hosts = {
            name: Host(name, main, self.record, list(plan.deaths[name]), list(plan.away[name]))
            for name, main in mains.items()
        }
        self._askers = {name: self._make_asker(name) for name in CLIENTS}
        self._injector = Injector(
            hosts=self._hosts,
            masters=self._masters,
            workers=self._workers,
            network=self._network,
            database=self.database,
            record=self.record,
            until=loop.time() + FAULT_SECONDS,
        )

    def _make_masters(self) -> dict[str, MasterHost]:
        numbers, names = count(1), self._plan.masters
        renewals = SharedRenewals(self.database) if len(names) > 1 else None
        return {
            name: MasterHost(
                name,
                self.database,
                renewals,
                chance=_chance(self._plan, name),
                new_id=lambda: f"{next(numbers):026}",
                observe=self.record.observe,
                unexpected=self.record.fail,
            )
            for name in names
        }

    def _make_worker(self, name: str) -> WorkerHost:
        return WorkerHost(
            name,
            self._folder,
            self._network,
            self._files,
            self._ledger,
            plan=self._plan,
            chance=_chance(self._plan, name),
        )

    def _addresses(self, worker: str) -> list[str]:
        """Every other worker begins at the other end."""
        names = list(self._masters)
        return names if list(self._plan.slots).index(worker) % 2 else names[::-1]

    def _make_asker(self, name: str) -> Asker:
        caller = Caller(name, list(self._masters.values()), _chance(self._plan, name))
        clock = asyncio.get_running_loop().time
        return Asker(name, caller, self.record.clients, self._stop, clock)

    # -- from its start to its end ----------------------------------------------------------

    async def run(self) -> None:
        self._build()
        began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as tasks:
            for host in self._hosts.values():
                tasks.create_task(host.supervise())
            for injection in self._plan.injections:
                tasks.create_task(self._injector.carry_out(injection))
            asking = [tasks.create_task(self._submit(each)) for each in self._plan.submissions]
            await asyncio.sleep(FAULT_SECONDS)
            self._calm()
            operating = tasks.create_task(self._operate())
            await self._drain(asking)
            self._stop.set()
            for each in (*asking, operating):
                each.cancel()
            await self._end(began)

    async def _submit(self, submission: Submission) -> None:
        await asyncio.sleep(submission.at)
        await self._askers[submission.client].carry_out(submission)

    def _calm(self) -> None:
        self._injector.heal_store()
        self._network.calm()
        for host in self._hosts.values():
            host.spare()

    async def _operate(self) -> None:
        while True:
            await self._injector.take_back()
            await asyncio.sleep(OPERATOR_SECONDS)

    async def _drain(self, asking: "list[asyncio.Task[None]]") -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + DRAIN_SECONDS
        while loop.time() < until:
            await asyncio.sleep(1.0)
            if not self.database.unfinished() and all(each.done() for each in asking):
                break
        await asyncio.sleep(SETTLE_SECONDS)

    async def _end(self, began: float) -> None:
        """Looks at everything, and once more after the start of a master that has no worker."""
        self.record.unexpected += leftovers(self._workers, self._masters)
        for name in self._workers:
            self._hosts[name].end()
        name, master = next(iter(self._masters.items()))
        before = await table(master, self.database)
        self._hosts[name].kill()
        await asyncio.sleep(2.0)
        after = await table(master, self.database)
        for name in self._masters:
            self._hosts[name].end()
        self._evidence = self._gather(began, before, after)

    def _gather(self, began: float, before: dict[str, Line], after: dict[str, Line]) -> Evidence:
        return Evidence(
            run={
                "began_at": began,
                "ended_at": asyncio.get_running_loop().time(),
                "members": {name: [name] for name in self._workers},
                "slots": self._plan.slots,
            },
            clients=self.record.clients.lines,
            workers=self._ledger.lines,
            injections=self.record.injections.lines,
            jobs=before,
            after_restart=after,
        )

    def verdict(self) -> Verdict:
        record, found = self.record, list(self.record.unexpected)
        jobs: list[Line] = []
        if self._evidence is not None:
            found += [str(violation) for violation in checker.check(self._evidence)]
            jobs = list(self._evidence.jobs.values())
        for line in jobs:
            causes = (event["cause"].removeprefix("JOB_CAUSE_") for event in line["events"])
            record.counts.update(cause.lower() for cause in causes)
        trace = record.digest(self._ledger.lines, jobs)
        return Verdict(self._plan.seed, tuple(found), trace, record.counts)
