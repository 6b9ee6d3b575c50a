"""Machines on which a master or a worker is started again whenever it has ended."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from ffrtmp.rpc.interceptors import opened
from ffrtmp.sim.schedules.loop import Process
from ffrtmp.sim.schedules.notes import Record
from ffrtmp.worker.stream import Refused

AWAY_SECONDS = 0.2


@dataclass(slots=True)
class Host:
    """`deaths` and `away` are used up, run by run, as in `plan.Plan`."""

    name: str
    main: Callable[[Process], Coroutine[Any, Any, None]]
    record: Record
    deaths: list[int] = field(default_factory=list)
    away: list[float] = field(default_factory=list)
    process: Process | None = None
    stays_down: bool = False

    async def supervise(self) -> None:
        """Until it is killed for good."""
        while not self.stays_down:
            process = Process(self.name, die_at=self.deaths.pop(0) if self.deaths else None)
            process.on_death = lambda: self.record.inject("killed", self.name)
            self.process = process
            task = process.start(self.main(process))
            await asyncio.wait([task])
            self._look_at_end(process, task)
            await asyncio.sleep(self.away.pop(0) if self.away else AWAY_SECONDS)

    def _look_at_end(self, process: Process, task: "asyncio.Task[None]") -> None:
        """It was killed, or ended as it was told; else it is a bug, or it was refused."""
        if not process.alive or task.cancelled():
            return
        process.alive = False
        error = task.exception()
        if not isinstance(error, Exception):
            self.record.inject("left", self.name)
            return
        cause = opened(error)
        if not isinstance(cause, Refused):
            self.record.fail(self.name, error)
        why = f"{type(cause).__name__}: {cause}"
        self.record.inject("ended", self.name, code=1, why=why)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()

    def end(self) -> None:
        """For good."""
        self.stays_down = True
        self.kill()

    def spare(self) -> None:
        """No more deaths are planned."""
        self.deaths.clear()
        self.away.clear()
        if self.process is not None:
            self.process.die_at = None
