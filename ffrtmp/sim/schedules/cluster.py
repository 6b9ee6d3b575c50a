"""One schedule of a whole cluster: real masters and workers on a virtual clock, broken as planned.

Everything that is simulated lies at the edges: the network, the disk, the encodes, the clock. What
clients, workers and the injector wrote down is judged by the judge of chaos, which shares no code
with master and worker; and by what must be so when all has ended.
"""

import asyncio
import gc
import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from google.protobuf.json_format import MessageToDict

from ffrtmp.client import Unreachable
from ffrtmp.domain.errors import DomainError, Unavailable
from ffrtmp.domain.facts import Fact
from ffrtmp.master.packing import pack_view
from ffrtmp.master.views import JobView
from ffrtmp.rpc.interceptors import opened
from ffrtmp.sim.chaos import checker
from ffrtmp.sim.chaos.clients import Asker
from ffrtmp.sim.chaos.evidence import Evidence, Line
from ffrtmp.sim.chaos.violation import Violation
from ffrtmp.sim.schedules import plan as plans
from ffrtmp.sim.schedules.clients import Caller, MemoryNotes
from ffrtmp.sim.schedules.database import FULL, HEALTHY, LOCKED, Database, SharedRenewals
from ffrtmp.sim.schedules.loop import Process, Stuck, VirtualLoop
from ffrtmp.sim.schedules.masters import MasterHost
from ffrtmp.sim.schedules.network import Network, Serves
from ffrtmp.sim.schedules.plan import FAULT_SECONDS, Injection, Plan, make_plan
from ffrtmp.sim.schedules.runner import Files, Memory
from ffrtmp.sim.schedules.workers import WorkerHost
from ffrtmp.worker.stream import Refused

DRAIN_SECONDS = 600.0
"""Everything has ended by then, once nothing is broken any more: back-offs, quarantines and the
minute between two tries of what nobody takes are in it."""
SETTLE_SECONDS = 8.0
OPERATOR_SECONDS = 1.0
LEFT = "SELECT count(*) FROM jobs WHERE end_time IS NULL OR blocked_by IS NOT NULL"
ROOMY = Path("/dev/shm")  # noqa: S108  # journals are forced to disk all the time


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one schedule went. `trace`: a digest of all that was written down; `counts`: what it
    bore."""

    seed: int
    violations: tuple[str, ...]
    trace: str
    counts: Counter[str]


def simulate(seed: int) -> Verdict:
    """The same seed makes the same verdict."""
    where = Path(tempfile.mkdtemp(prefix="ffsim", dir=ROOMY if ROOMY.is_dir() else None))
    gc.collect()
    gc.disable()  # what it closes, it closes at a moment of its own
    try:
        return _simulate(seed, where)
    finally:
        gc.enable()
        shutil.rmtree(where, ignore_errors=True)


def _simulate(seed: int, where: Path) -> Verdict:
    threads = Random(f"threads {seed}")  # noqa: S311
    loop = VirtualLoop(lambda: threads.choice((0.0, 0.001, 0.01)))
    asyncio.set_event_loop(loop)
    world = World(make_plan(seed), where)
    loop.set_exception_handler(world.note_exception)
    try:
        loop.run_until_complete(world.run())
    except Stuck:
        world.violations.append("process everybody waits, and nothing will ever happen")
    finally:
        asyncio.set_event_loop(None)
        loop.close()
        world.close()
    return world.verdict()


@dataclass(slots=True)
class _Host:
    """What runs again and again. `deaths` and `away` are used up."""

    name: str
    main: "MasterHost | WorkerHost"
    deaths: list[int]
    away: list[float]
    process: Process | None = None
    stays_down: bool = False


class World:
    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan = plan
        self._folder = folder
        self._numbers = count(1)
        self._hosts: dict[str, _Host] = {}
        self._facts: list[str] = []
        self._injections: list[Line] = []
        self._notes = MemoryNotes()
        self._over = False
        self._stop = asyncio.Event()
        self.violations: list[str] = []
        self.counts: Counter[str] = Counter()
        self._evidence: Evidence | None = None
        self._store_seconds = plan.store_seconds
        chance = self._chance("store")
        self._database = Database(lambda: chance.random() * self._store_seconds)

    def _chance(self, what: str) -> Random:
        return Random(f"{what} {self._plan.seed}")  # noqa: S311

    def close(self) -> None:
        self._database.close()

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    # -- from its start to its end ----------------------------------------------------------

    async def run(self) -> None:
        self._build()
        began = self.now
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self._supervise(each)) for each in self._hosts.values()]
            operating = tasks.create_task(self._operate())
            asking = [tasks.create_task(self._submit(each)) for each in self._plan.submissions]
            for injection in self._plan.injections:
                tasks.create_task(self._inject(injection))
            await asyncio.sleep(FAULT_SECONDS)
            self._calm()
            await self._drain(asking)
            self._stop.set()
            for each in (*asking, operating):
                each.cancel()
            await self._end(began)
            for each in running:
                each.cancel()

    def _build(self) -> None:
        plan, loop = self._plan, asyncio.get_running_loop()
        self._ledger, self._files = Memory(loop.time), Files()
        renewals = SharedRenewals(self._database, {}) if len(plan.masters) > 1 else None
        self._masters = {
            name: MasterHost(
                name,
                self._database,
                renewals,
                chance=self._chance(name),
                new_id=lambda: f"{next(self._numbers):026}",
                observe=self._observe,
                unexpected=self._note_unexpected,
            )
            for name in plan.masters
        }
        serving: dict[str, Serves] = dict(self._masters)
        self._network = Network(serving, self._chance("network"), twice=plan.twice)
        self._workers = {
            name: WorkerHost(
                name,
                self._folder,
                self._network,
                self._files,
                self._ledger,
                slots=slots,
                remembers=name in plan.remembers,
                seed=plan.seed,
                failing=plan.failing,
                chance=self._chance(name),
            )
            for name, slots in plan.slots.items()
        }
        both: dict[str, MasterHost | WorkerHost] = {**self._masters, **self._workers}
        for name, main in both.items():
            deaths, away = list(plan.deaths[name]), list(plan.away[name])
            self._hosts[name] = _Host(name, main, deaths, away)
        masters = list(self._masters.values())
        self._askers = {
            name: self._asker(name, Caller(name, masters, self._chance(name)))
            for name in plans.CLIENTS
        }

    def _asker(self, name: str, caller: Caller) -> Asker:
        clock = asyncio.get_running_loop().time
        return Asker(name, caller, self._notes, self._stop, clock)

    # -- processes --------------------------------------------------------------------------

    async def _supervise(self, host: _Host) -> None:
        while not self._over:
            if host.stays_down:
                await asyncio.sleep(0.1)
                continue
            process = Process(host.name, die_at=host.deaths.pop(0) if host.deaths else None)
            process.on_death = lambda: self._note("killed", host.name)
            host.process = process
            task = process.start(self._main(host, process))
            await asyncio.wait([task])
            self._look_at_end(host, process, task)
            await asyncio.sleep(host.away.pop(0) if host.away else 0.2)

    def _main(self, host: _Host, process: Process) -> Coroutine[Any, Any, None]:
        if isinstance(host.main, MasterHost):
            return host.main.run(process)
        return host.main.run(process, self._addresses(host.name))

    def _addresses(self, worker: str) -> list[str]:
        names = list(self._masters)
        return names if int(worker[1:]) % 2 else names[::-1]

    def _look_at_end(
        self, host: _Host, process: Process, task: "asyncio.Task[None]"
    ) -> None:
        """Killed, or drained; else it is a bug, or a master that refuses a twin."""
        if not process.alive or task.cancelled():
            return
        error = task.exception()
        process.alive = False
        if isinstance(error, Exception):
            cause = opened(error)
            if not isinstance(cause, Refused):
                self._note_unexpected(host.name, error)
            self._note("ended", host.name, code=1, why=f"{type(cause).__name__}: {cause}")
        else:
            self._note("left", host.name)

    def _kill(self, name: str) -> None:
        if (process := self._hosts[name].process) is not None:
            process.kill()

    # -- what is done to it -----------------------------------------------------------------

    async def _submit(self, submission: plans.Submission) -> None:
        await asyncio.sleep(submission.at)
        await self._askers[submission.client].carry_out(submission)

    async def _inject(self, injection: Injection) -> None:
        await asyncio.sleep(injection.at)
        self.counts[injection.what] += 1
        until = min(self.now + injection.seconds, 1000.0 + FAULT_SECONDS)
        match injection.what:
            case plans.FREEZE:
                await self._freeze(injection.target, until)
            case plans.STOP:
                await self._tell_to_stop(injection.target)
            case plans.CUT:
                self._network.cut(injection.target)
            case plans.SLOW_STORE | plans.LOCKED_STORE | plans.FULL_STORE:
                await self._trouble_store(injection.what, until)
            case plans.FULL_JOURNAL:
                await self._fill(injection.target, until)
            case plans.DRAIN:
                await self._drain_worker(injection.target, until)
            case _:
                await self._trouble_path(injection.what, injection.target, until)

    async def _freeze(self, name: str, until: float) -> None:
        process, since = self._hosts[name].process, self.now
        if process is None:
            return
        process.freeze()
        await asyncio.sleep(max(0.0, until - self.now))
        if process.frozen:
            process.thaw()
            self._note("frozen", name, since=since)

    async def _tell_to_stop(self, name: str) -> None:
        host = self._hosts[name].main
        if isinstance(host, MasterHost):
            await host.leave()
        else:
            host.signals.put_nowait(plans.SIGTERM)

    async def _trouble_store(self, what: str, until: float) -> None:
        if what == plans.SLOW_STORE:
            self._store_seconds = 1.0
        else:
            self._database.state = LOCKED if what == plans.LOCKED_STORE else FULL
        await asyncio.sleep(max(0.0, until - self.now))
        self._heal_store()

    def _heal_store(self) -> None:
        self._store_seconds, self._database.state = self._plan.store_seconds, HEALTHY

    async def _fill(self, name: str, until: float) -> None:
        self._workers[name].disk.full = True
        await asyncio.sleep(max(0.0, until - self.now))
        self._workers[name].disk.full = False

    async def _drain_worker(self, name: str, until: float) -> None:
        """By an operator, who takes it back later."""
        await self._tell_masters(lambda master: master.drain(name, actor="admin/me"))
        await asyncio.sleep(max(0.0, until - self.now))

    async def _trouble_path(self, what: str, name: str, until: float) -> None:
        path = self._network.paths.get(name)
        if path is None:
            return
        if what == plans.SLOW_PATH:
            path.most = 1.5
        if what in {plans.HOLE, plans.HOLE_UP}:
            path.up_hole = until
        if what in {plans.HOLE, plans.HOLE_DOWN}:
            path.down_hole = until
        await asyncio.sleep(max(0.0, until - self.now))
        path.most = plans.QUIET
        if what == plans.HOLE and until - self.now < plans.SHORT:
            self._network.cut(name)

    def _calm(self) -> None:
        self._heal_store()
        self._network.calm()
        for host in self._hosts.values():
            host.deaths.clear()
            host.away.clear()
            if host.process is not None:
                host.process.die_at = None

    # -- operator ---------------------------------------------------------------------------

    async def _operate(self) -> None:
        """Takes back who drains or is in quarantine, once nothing is broken any more."""
        await asyncio.sleep(FAULT_SECONDS + 1.0)
        while True:
            for name in self._workers:
                await self._tell_masters(lambda master, name=name: master.resume(name, actor="me"))
            await asyncio.sleep(20.0)

    async def _tell_masters(self, use: Any) -> None:
        for host in self._masters.values():
            try:
                await host.ask(use)
            except Exception as error:  # noqa: BLE001  # nobody is there, or it cannot now
                if not plans.passes(error):
                    self._note_unexpected(host.name, error)
            else:
                return

    # -- the end ----------------------------------------------------------------------------

    async def _drain(self, asking: "list[asyncio.Task[None]]") -> None:
        until = self.now + DRAIN_SECONDS
        while self.now < until:
            await asyncio.sleep(1.0)
            if not self._database.count(LEFT) and all(each.done() for each in asking):
                break
        await asyncio.sleep(SETTLE_SECONDS)

    async def _end(self, began: float) -> None:
        self._check_leftovers()
        for name in self._workers:
            self._hosts[name].stays_down = True
            self._kill(name)
        jobs = await self._table()
        master = next(iter(self._masters))
        self._kill(master)
        await asyncio.sleep(2.0)
        after = await self._table()
        self._over = True
        for name in self._masters:
            self._kill(name)
        self._evidence = Evidence(
            run=self._about(began),
            clients=self._notes.lines,
            workers=self._ledger.lines,
            injections=self._injections,
            jobs=jobs,
            after_restart=after,
        )
        await asyncio.sleep(0.5)

    def _about(self, began: float) -> Line:
        return {
            "began_at": began,
            "ended_at": self.now,
            "members": {name: [name] for name in self._workers},
            "slots": self._plan.slots,
        }

    async def _table(self) -> dict[str, Line]:
        host = next(iter(self._masters.values()))
        ids = [row[0] for row in self._database.connection.execute("SELECT job_id FROM jobs")]
        found = {}
        for job_id in sorted(ids):
            view = await self._insist(host, job_id)
            line: Line = MessageToDict(pack_view(view), preserving_proto_field_name=True)
            line.pop("progress", None)
            found[job_id] = line
        return found

    async def _insist(self, host: MasterHost, job_id: str) -> JobView:
        """It may just be starting."""
        for _ in range(100):
            try:
                return await host.ask(lambda master: master.get(job_id))
            except (Unreachable, Unavailable):
                await asyncio.sleep(0.1)
        raise Unreachable(f"{host.name} does not come back")

    def _check_leftovers(self) -> None:
        """A cluster at rest holds nothing any more."""
        for name, host in self._workers.items():
            if host.attempts is not None and (held := host.attempts.reports):
                self.violations.append(f"rest {name} still holds {held}")
            elif host.journalled:
                self.violations.append(f"rest {name} still has a journal: {host.journalled}")
        for master_name, master in self._masters.items():
            for presence in master.master.roster if master.master else ():
                held = presence.held or presence.listed or presence.blocks
                if presence.outbox is not None and held:
                    what = f"{presence.held.keys()} {presence.listed.keys()} {presence.blocks}"
                    self.violations.append(
                        f"rest {master_name} thinks {presence.holder.worker} holds {what}"
                    )

    # -- what is written down ---------------------------------------------------------------

    def _note(self, did: str, who: str, **more: Any) -> None:
        self.counts[did] += 1
        self._injections.append({"at": round(self.now, 6), "did": did, "who": who, **more})

    def _observe(self, master: str, fact: Fact) -> None:
        self.counts[type(fact).__name__] += 1
        self._facts.append(f"{self.now:.6f} {master} {type(fact).__name__}")

    def _note_unexpected(self, who: str, error: BaseException) -> None:
        cause = opened(error) if isinstance(error, Exception) else error
        if not isinstance(cause, DomainError):
            self.violations.append(f"process {who} failed: {cause!r}")

    def note_exception(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.violations.append(f"process {context['message']}: {context.get('exception')!r}")

    def verdict(self) -> Verdict:
        found = list(self.violations)
        if self._evidence is not None:
            found += [str(violation) for violation in checker.check(self._evidence)]
            for line in self._evidence.jobs.values():
                self.counts.update(event["cause"][10:].lower() for event in line["events"])
        digest = hashlib.sha256()
        for line in self._trace():
            digest.update(f"{line}\n".encode())
        return Verdict(self._plan.seed, tuple(found), digest.hexdigest()[:16], self.counts)

    def _trace(self) -> Iterator[object]:
        yield from self._facts
        yield from self._injections
        yield from self._notes.lines
        yield from self._ledger.lines
        if self._evidence is not None:
            yield from self._evidence.jobs.values()
