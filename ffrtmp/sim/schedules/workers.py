"""A worker's process, run after run: the real session, attempts and journal."""

import asyncio
import errno
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

from ffrtmp.domain.session import AttemptKey
from ffrtmp.domain.spec import JobSpec
from ffrtmp.domain.worker import Load
from ffrtmp.sim.fleet import CAPABILITIES
from ffrtmp.sim.schedules.loop import PROCESS, Process
from ffrtmp.sim.schedules.network import Network
from ffrtmp.sim.schedules.plan import Plan
from ffrtmp.sim.schedules.runner import Files, Memory, ScriptedRunner
from ffrtmp.worker.attempts import Attempts
from ffrtmp.worker.journal import Entry, Journal
from ffrtmp.worker.session import Presentation, Session
from ffrtmp.worker.threads import in_thread
from ffrtmp.worker.worker import drain_when_told


class Disk:
    """Where a journal lies."""

    def __init__(self) -> None:
        self.full = False

    def require_room(self) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")


class SmallJournal(Journal):
    """On a disk that may be full. A process that was killed writes nothing."""

    disk = Disk()

    def begin(self, key: AttemptKey, spec: JobSpec) -> None:
        self.disk.require_room()
        super().begin(key, spec)

    def record(self, entry: Entry) -> None:
        self.disk.require_room()
        super().record(entry)

    def forget(self, key: AttemptKey) -> None:
        process = PROCESS.get()
        if process is None or process.alive:
            super().forget(key)


class WorkerHost:
    """As the plan has it, it knows its last incarnation, as a real worker does, or not."""

    def __init__(
        self,
        name: str,
        folder: Path,
        network: Network,
        files: Files,
        ledger: Memory,
        *,
        plan: Plan,
        chance: Random,
    ) -> None:
        self.name = name
        self.slots = plan.slots[name]
        self.disk = Disk()
        self.attempts: Attempts | None = None
        self.signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
        self._folder = folder / name
        self._network = network
        self._files = files
        self._ledger = ledger
        self._plan = plan
        self._chance = chance
        self._last = ""

    @property
    def journalled(self) -> list[str]:
        """Entries that lie in the journal."""
        return sorted(path.name for path in self._folder.glob("*.json"))

    async def run(self, _process: Process, addresses: Sequence[str]) -> None:
        """Until the process is killed, drained, or refused. Raises Refused."""
        loop = asyncio.get_running_loop()
        incarnation = f"{self._chance.getrandbits(128):032x}"
        self.signals = asyncio.Queue()
        async with AsyncExitStack() as stack:
            journal = stack.enter_context(SmallJournal.open(self._folder))
            assert isinstance(journal, SmallJournal)
            journal.disk = self.disk
            self.attempts = attempts = await stack.enter_async_context(
                Attempts.running(self._runner(), journal, slots=self.slots)
            )
            session = Session(
                Presentation(
                    incarnation=incarnation,
                    capabilities=CAPABILITIES,
                    load=_load,
                    previous=self._last if self.name in self._plan.remembers else "",
                ),
                attempts,
                self._network.dialler(self.name),
                boot=loop.time,
                chance=self._chance.random,
            )
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            helpers = [
                tasks.create_task(drain_when_told(session, attempts, self.signals)),
                tasks.create_task(self._settle(session, incarnation)),
            ]
            await session.run(addresses)
            for helper in helpers:
                helper.cancel()

    def _runner(self) -> ScriptedRunner:
        seed, failing = self._plan.seed, self._plan.failing
        return ScriptedRunner(self.name, self._ledger, self._files, seed=seed, failing=failing)

    async def _settle(self, session: Session, incarnation: str) -> None:
        await session.first_welcome()
        await in_thread(self._remember, incarnation)

    def _remember(self, incarnation: str) -> None:
        self._last = incarnation


async def _load() -> Load:
    return await in_thread(Load)
