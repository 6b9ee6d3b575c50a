"""A master's process, run after run: the real master over the simulated database."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TypeVar

from ffrtmp.client import Unreachable
from ffrtmp.domain.facts import Fact
from ffrtmp.domain.timers import Timers
from ffrtmp.master.master import Master
from ffrtmp.sim.schedules.database import Database, SharedRenewals, SharedStore, SimulatedReader
from ffrtmp.sim.schedules.loop import Process
from ffrtmp.sim.schedules.network import Wire, meaning
from ffrtmp.store.sqlite import SqliteStore
from ffrtmp.worker.stream import StreamBroken

T = TypeVar("T")

START = datetime(2026, 1, 1, tzinfo=UTC)
TIMERS = Timers(
    heartbeat_interval=timedelta(seconds=1),
    missed_heartbeats=3,
    offer_ttl=timedelta(seconds=1),
    progress_interval=timedelta(seconds=2),
    drain_timeout=timedelta(seconds=4),
)
PATIENCE_SECONDS = 2.0
LEAVE_SECONDS = 2.0


class MasterHost:
    """Implements `network.Serves`. `shared`: other masters use the database too."""

    def __init__(
        self,
        name: str,
        database: Database,
        renewals: SharedRenewals | None,
        *,
        chance: Random,
        new_id: Callable[[], str],
        observe: Callable[[str, Fact], None],
        unexpected: Callable[[str, BaseException], None],
    ) -> None:
        self.name = name
        self._database = database
        self._renewals = renewals
        self._chance = chance
        self._new_id = new_id
        self._observe = observe
        self._unexpected = unexpected
        self._process: Process | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self.master: Master | None = None

    async def run(self, process: Process) -> None:
        """Until the process is killed, or asked to leave."""
        loop = asyncio.get_running_loop()
        async with self._store() as store:
            master = Master(
                store,
                TIMERS,
                clocks=(lambda: START + timedelta(seconds=loop.time()), loop.time),
                chance=self._chance.random,
                new_id=self._new_id,
                observe=lambda fact: self._observe(self.name, fact),
            )
            try:
                async with asyncio.TaskGroup() as tasks:
                    self._process, self._tasks, self.master = process, tasks, master
                    await master.run()
            finally:
                self._tasks = None

    @asynccontextmanager
    async def _store(self) -> AsyncIterator[SqliteStore]:
        """The database takes its time for a commit, as the thread of a real one does."""
        kind = SharedStore if self._renewals is not None else SqliteStore
        with (
            closing(self._database.connect()) as writer,
            closing(self._database.connect()) as reads,
        ):
            async with kind.over(
                writer,
                None,
                [SimulatedReader(reads)],
                patience=PATIENCE_SECONDS,
                chance=self._chance.random,
                renewals=self._renewals,
            ) as store:
                if isinstance(store, SharedStore):
                    store.database = self._database
                yield store

    # -- what comes from outside ------------------------------------------------------------

    @property
    def listens(self) -> bool:
        return self._tasks is not None and self._process is not None and self._process.alive

    def accept(self, wire: Wire) -> bool:
        if not self.listens:
            return False
        wire.serving = self._begin(self._serve(wire))
        return True

    def _begin(self, work: "Awaitable[T]") -> "asyncio.Task[T]":
        assert self._tasks is not None
        assert self._process is not None
        context = self._process.context.copy()
        return self._tasks.create_task(work, context=context)  # type: ignore[arg-type]

    async def _serve(self, wire: Wire) -> None:
        end: Exception = StreamBroken("the master hung up")
        assert self.master is not None
        try:
            await self.master.serve(
                worker=wire.worker, address=wire.worker, events=wire.events(), send=wire.send
            )
        except Exception as error:  # noqa: BLE001  # the servicer's place: it answers
            self._unexpected(self.name, error)
            end = meaning(error)
        finally:
            wire.down.put(end)

    async def ask(self, use: Callable[[Master], Awaitable[T]]) -> T:
        """What a client's call does, in this master's process. Raises Unreachable, or what the call
        raises."""
        if not self.listens:
            raise Unreachable(f"{self.name} does not answer")
        assert self.master is not None
        task = self._begin(_caught(use, self.master))
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
        if task.cancelled():
            raise Unreachable(f"{self.name} is gone")
        error, answer = task.result()
        if error is not None:
            raise error
        return answer  # type: ignore[return-value]

    async def leave(self) -> None:
        """SIGTERM: sends its workers away, waits a little, and ends."""
        master, process = self.master, self._process
        if master is None or process is None or not self.listens:
            return
        master.send_away()
        loop = asyncio.get_running_loop()
        until = loop.time() + LEAVE_SECONDS
        while loop.time() < until and any(  # noqa: ASYNC110  # as `server` does
            each.outbox for each in master.roster
        ):
            await asyncio.sleep(0.05)
        process.kill()


async def _caught(
    use: Callable[[Master], Awaitable[T]], master: Master
) -> tuple[Exception | None, T | None]:
    try:
        return None, await use(master)
    except Exception as error:  # noqa: BLE001  # the caller's
        return error, None
