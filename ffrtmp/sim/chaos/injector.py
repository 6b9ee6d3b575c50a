"""Carries out the plan's injections, and notes what came of each."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from ffrtmp.clock import boot_seconds
from ffrtmp.sim.chaos import plan
from ffrtmp.sim.chaos.evidence import Notes
from ffrtmp.sim.chaos.plan import Injection
from ffrtmp.sim.chaos.site import Site

UP_SECONDS = 5.0
POLL_SECONDS = 0.05
RESTART_SECONDS = 1.0
"""As systemd would wait before it starts again what ended by itself."""


class Injector:
    def __init__(self, site: Site, notes: Notes) -> None:
        self._site = site
        self._notes = notes
        self._doing: Mapping[str, Callable[[Injection], Awaitable[None]]] = {
            plan.KILL: self._kill,
            plan.FREEZE: self._freeze,
            plan.CUT: self._cut,
            plan.LATENCY: self._latency,
            plan.LOSS: self._loss,
            plan.BLACKHOLE: self._blackhole,
            plan.SLOW: self._slow,
            plan.FULL: self._full,
        }

    async def inject(self, injection: Injection) -> None:
        await self._doing[injection.what](injection)

    async def supervise(self) -> None:
        """Starts again what ended by itself. Runs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                for process in self._site.processes.values():
                    if process.note_end():
                        tasks.create_task(self._restart(process.name, RESTART_SECONDS))
                await asyncio.sleep(POLL_SECONDS)

    async def _kill(self, injection: Injection) -> None:
        process, loop = self._site.processes[injection.target], asyncio.get_running_loop()
        give_up_at = loop.time() + UP_SECONDS
        while not process.pid and loop.time() < give_up_at:
            await asyncio.sleep(POLL_SECONDS)
        process.kill()
        await self._restart(process.name, injection.seconds)

    async def _restart(self, name: str, after: float) -> None:
        await asyncio.sleep(after)
        if not self._site.processes[name].pid:
            self._site.processes[name].start()

    async def _freeze(self, injection: Injection) -> None:
        process = self._site.processes[injection.target]
        pid = process.freeze()
        since = boot_seconds()
        try:
            await asyncio.sleep(injection.seconds)
        finally:
            process.thaw(pid)
            if pid:
                self._note("frozen", injection, since)

    async def _cut(self, injection: Injection) -> None:
        count = sum(proxy.cut() for proxy in self._site.paths_to(injection.target))
        self._note("cut", injection, boot_seconds(), connections=count)

    async def _latency(self, injection: Injection) -> None:
        paths = self._site.paths_to(injection.target)
        for proxy in paths:
            proxy.latency = injection.amount
        await self._spell("latency", injection)
        for proxy in paths:
            proxy.latency = 0.0

    async def _loss(self, injection: Injection) -> None:
        paths = self._site.paths_to(injection.target)
        for proxy in paths:
            proxy.loss = injection.amount
        await self._spell("loss", injection)
        for proxy in paths:
            proxy.loss = 0.0

    async def _spell(self, did: str, injection: Injection) -> None:
        paths = self._site.paths_to(injection.target)
        since, before = boot_seconds(), sum(proxy.pieces for proxy in paths)
        await asyncio.sleep(injection.seconds)
        pieces = sum(proxy.pieces for proxy in paths) - before
        self._note(did, injection, since, amount=injection.amount, pieces=pieces)

    async def _blackhole(self, injection: Injection) -> None:
        paths, since = self._site.paths_to(injection.target), boot_seconds()
        for proxy in paths:
            proxy.hold()
        await asyncio.sleep(injection.seconds)
        for proxy in paths:
            proxy.release()
        self._note("blackhole", injection, since)

    async def _slow(self, injection: Injection) -> None:
        held = await self._site.where.store.hold(injection.seconds)
        if held:
            self._note("slow", injection, boot_seconds() - held)

    async def _full(self, injection: Injection) -> None:
        disks, since = self._site.where.disks, boot_seconds()
        if disks.problem:
            self._note("not possible", injection, since, why=disks.problem)
            return
        await asyncio.to_thread(disks.fill, injection.target)
        await asyncio.sleep(injection.seconds)
        disks.clear(injection.target)
        self._note("full", injection, since)

    def _note(self, did: str, injection: Injection, since: float, **more: object) -> None:
        self._notes.note(boot_seconds(), did, who=injection.target, since=round(since, 6), **more)
