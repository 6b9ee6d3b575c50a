"""Does what the plan says to processes, paths, disks and the database, and undoes it in time."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from ffrtmp.client import Unreachable
from ffrtmp.domain.errors import Unavailable, WorkerNotFound
from ffrtmp.master.master import Master
from ffrtmp.sim.schedules import plan as plans
from ffrtmp.sim.schedules.database import FULL, HEALTHY, LOCKED, Database
from ffrtmp.sim.schedules.hosts import Host
from ffrtmp.sim.schedules.masters import MasterHost
from ffrtmp.sim.schedules.network import Network, Path
from ffrtmp.sim.schedules.notes import Record
from ffrtmp.sim.schedules.plan import Injection
from ffrtmp.sim.schedules.workers import WorkerHost

SLOW_STORE_SECONDS = 1.0
SLOW_PATH_SECONDS = 1.5
PASSING = (Unreachable, Unavailable, WorkerNotFound)


class Injector:
    """`until`: when all is undone, whatever the plan says."""

    def __init__(
        self,
        *,
        hosts: Mapping[str, Host],
        masters: Mapping[str, MasterHost],
        workers: Mapping[str, WorkerHost],
        network: Network,
        database: Database,
        record: Record,
        until: float,
    ) -> None:
        self._hosts = hosts
        self._masters = masters
        self._workers = workers
        self._network = network
        self._database = database
        self._record = record
        self._until = until
        self._usual_seconds = database.most_seconds

    async def carry_out(self, injection: Injection) -> None:
        await asyncio.sleep(injection.at)
        self._record.counts[injection.what] += 1
        name, seconds = injection.target, self._at_most(injection.seconds)
        match injection.what:
            case plans.FREEZE:
                await self._freeze(name, seconds)
            case plans.STOP:
                await self._tell_to_stop(name)
            case plans.CUT:
                self._network.cut(name)
            case plans.SLOW_STORE | plans.LOCKED_STORE | plans.FULL_STORE:
                await self._trouble_store(injection.what, seconds)
            case plans.FULL_JOURNAL:
                await self._fill(name, seconds)
            case plans.DRAIN:
                await self.tell_a_master(lambda master: master.drain(name, actor="admin/me"))
            case _:
                await self._trouble_path(injection.what, name, seconds)

    def _at_most(self, seconds: float) -> float:
        return max(0.0, min(seconds, self._until - asyncio.get_running_loop().time()))

    async def _freeze(self, name: str, seconds: float) -> None:
        process, since = self._hosts[name].process, asyncio.get_running_loop().time()
        if process is None:
            return
        process.freeze()
        await asyncio.sleep(seconds)
        if process.frozen:
            process.thaw()
            self._record.inject("frozen", name, since=since)

    async def _tell_to_stop(self, name: str) -> None:
        """SIGTERM."""
        if (master := self._masters.get(name)) is not None:
            await master.leave()
        else:
            self._workers[name].signals.put_nowait(signal.SIGTERM)

    async def _trouble_store(self, what: str, seconds: float) -> None:
        database = self._database
        if what == plans.SLOW_STORE:
            database.most_seconds = SLOW_STORE_SECONDS
        else:
            database.state = LOCKED if what == plans.LOCKED_STORE else FULL
        await asyncio.sleep(seconds)
        self.heal_store()

    def heal_store(self) -> None:
        self._database.most_seconds, self._database.state = self._usual_seconds, HEALTHY

    async def _fill(self, name: str, seconds: float) -> None:
        disk = self._workers[name].disk
        disk.full = True
        await asyncio.sleep(seconds)
        disk.full = False

    async def _trouble_path(self, what: str, name: str, seconds: float) -> None:
        path = self._network.paths.get(name)
        if path is None:
            return
        until = asyncio.get_running_loop().time() + seconds
        if what == plans.SLOW_PATH:
            path.most = SLOW_PATH_SECONDS
        if what in {plans.HOLE, plans.HOLE_UP}:
            path.up_hole = until
        if what in {plans.HOLE, plans.HOLE_DOWN}:
            path.down_hole = until
        await asyncio.sleep(seconds)
        path.most = Path().most

    async def take_back(self) -> None:
        """An operator's: ends drain and quarantine of every worker."""
        for name in self._workers:
            await self.tell_a_master(partial(_resume, name))

    async def tell_a_master(self, use: Callable[[Master], Awaitable[Any]]) -> None:
        """The first that answers; none: it is left."""
        for host in self._masters.values():
            try:
                await host.ask(use)
            except PASSING:
                continue
            return


async def _resume(name: str, master: Master) -> None:
    await master.resume(name, actor="admin/me")
