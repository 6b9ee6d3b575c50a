"""A trial: a master and simulated workers in processes of their own, jobs from a seed, kills if
wanted, and a report counted from what the client was told and what the workers did."""

import asyncio
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from ffrtmp import __version__
from ffrtmp.client import Client, state_of
from ffrtmp.clock import boot_seconds, utc_now
from ffrtmp.config import SimulateSettings, shown_store
from ffrtmp.domain.job import TERMINAL_STATES, JobState
from ffrtmp.domain.spec import JobSpec
from ffrtmp.groups import one_error
from ffrtmp.pki import authority
from ffrtmp.rpc.enums import REASONS
from ffrtmp.sim import tally
from ffrtmp.sim.chaos import stores
from ffrtmp.sim.chaos.evidence import Notes
from ffrtmp.sim.chaos.process import Process
from ffrtmp.sim.scenarios import SCENARIOS, draw

BATCH = 500
MASTER = "master"
START_SECONDS = 60.0
POLL_SECONDS = 0.2
DOWN_SECONDS = 0.5
PATIENCE_SECONDS = 120.0
LIVING = sorted(set(JobState) - TERMINAL_STATES)
_READY = re.compile(r"master ready: gRPC on ([^,]+),")


class TrialFailed(Exception):
    """One sentence: it could not be held at all."""


@dataclass(frozen=True, slots=True)
class Where:
    """`kept`: ledgers and logs; `scratch`: what is of no use afterwards."""

    kept: Path
    scratch: Path
    store: str

    @property
    def client(self) -> Path:
        return self.kept / "client.jsonl"


class Trial:
    def __init__(self, settings: SimulateSettings, where: Where, notes: Notes) -> None:
        self._settings = settings
        self._where = where
        self._notes = notes
        self._chance = Random(f"kills {settings.seed}")  # noqa: S311
        self._certs = where.scratch / "certs"
        self._address = "127.0.0.1:0"
        self._master = Process(MASTER, self._master_arguments, where.kept / "master.log", notes)
        self._fleets = [self._fleet(*each) for each in _shares(settings.workers)]

    @property
    def ledgers(self) -> list[Path]:
        return [self._ledger(fleet.name) for fleet in self._fleets]

    def _ledger(self, fleet: str) -> Path:
        return self._where.kept / f"fleet-{fleet}.jsonl"

    def _fleet(self, name: str, workers: int) -> Process:
        def arguments() -> list[str]:
            settings = self._settings
            return [
                *("simulate", "--ca", str(self._certs), "--master", self._address),
                *("--name", name, "--workers", str(workers), "--slots", str(settings.slots)),
                *("--pace", str(settings.pace), "--ledger", str(self._ledger(name))),
                *("--state-dir", str(self._where.scratch / "state")),
            ]

        log = self._where.kept / f"fleet-{name}.log"
        members = [f"{name}-{number:04}" for number in range(1, workers + 1)]
        return Process(name, arguments, log, self._notes, members=members)

    def _master_arguments(self) -> Sequence[str]:
        return [
            *("master", "--certs", str(self._certs / "master-m1"), "--store", self._where.store),
            *("--listen", self._address, "--http", "127.0.0.1:0"),
        ]

    async def run(self) -> None:
        """Raises TrialFailed."""
        await asyncio.to_thread(self._make_certificates)
        try:
            self._master.start()
            self._address = await self._until_ready()
            for fleet in self._fleets:
                fleet.start()
            certs = self._certs / "admin-operator"
            async with Client(self._address, certs, patience=PATIENCE_SECONDS) as client:
                await self._hold(client)
        finally:
            for process in (*self._fleets, self._master):
                process.end()

    def _make_certificates(self) -> None:
        authority.init(self._certs, now=utc_now())
        for role, name in (("master", "m1"), ("admin", "operator")):
            authority.issue(self._certs, role, name, now=utc_now())

    async def _until_ready(self) -> str:
        try:
            async with asyncio.timeout(START_SECONDS):
                while self._master.pid:
                    if said := _READY.search(self._master.log.read_text()):
                        return said[1]
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            pass
        words = self._master.last_line().removeprefix("ffrtmp: ") or "no word"
        raise TrialFailed(f"the master does not start: {words}")

    async def _hold(self, client: Client) -> None:
        with one_error(TrialFailed):
            async with asyncio.TaskGroup() as tasks:
                beside = [
                    tasks.create_task(self._kill_now_and_then()),
                    tasks.create_task(self._supervise()),
                ]
                await self._submit(client)
                while [job async for job in client.list(states=LIVING, limit=1)]:
                    await asyncio.sleep(POLL_SECONDS)
                for task in beside:
                    task.cancel()
        async for job in client.list():
            state, reason = state_of(job), REASONS.from_wire(job.failure.reason)
            self._note("ended", job.job_id, state=state, reason=reason)

    async def _submit(self, client: Client) -> None:
        settings = self._settings
        drawn = draw(settings.jobs, settings.seed, settings.failure_rate)
        for number, batch in enumerate(_batches(drawn)):
            jobs = await client.submit_many([spec for spec, _ in batch], key=f"trial-{number}")
            for job, (_, fails) in zip(jobs, batch, strict=True):
                self._note("submitted", job.job_id, fails=fails)

    def _note(self, did: str, job_id: str, **more: object) -> None:
        self._notes.note(boot_seconds(), did, job_id=job_id, **more)

    async def _supervise(self) -> None:
        """Without one of its processes a trial would wait for ever. Raises TrialFailed."""
        while True:
            for process in (self._master, *self._fleets):
                if process.note_end():
                    words = process.last_line() or "no word"
                    raise TrialFailed(f"process {process.name} ended by itself: {words}")
            await asyncio.sleep(POLL_SECONDS)

    async def _kill_now_and_then(self) -> None:
        if not self._settings.kill_rate:
            return
        while True:
            await asyncio.sleep(60 / self._settings.kill_rate * self._chance.uniform(0.5, 1.5))
            victim = self._chance.choice([self._master, *self._fleets])
            victim.kill()
            await asyncio.sleep(DOWN_SECONDS)
            victim.start()


def _shares(workers: int) -> list[tuple[str, int]]:
    """Two processes: one of them can be killed."""
    half = workers // 2
    return [(name, share) for name, share in (("a", workers - half), ("b", half)) if share]


def _batches(
    drawn: Iterator[tuple[JobSpec, bool]],
) -> Iterator[Sequence[tuple[JobSpec, bool]]]:
    while batch := [each for _, each in zip(range(BATCH), drawn, strict=False)]:
        yield batch


@contextmanager
def _places(settings: SimulateSettings) -> Iterator[Where]:
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ffrtmp-trial-")))
        kept = settings.evidence or scratch / "kept"
        try:
            kept.mkdir(parents=True)
        except OSError as error:
            raise TrialFailed(f"cannot make {kept}: {error.strerror}; name another") from None
        store = stack.enter_context(stores.opened(settings.store, scratch))
        yield Where(kept, scratch, store.address)


async def run_trial(settings: SimulateSettings) -> tuple[bool, list[str]]:
    """Whether every job came to the end it was meant to, and the report. Raises TrialFailed."""
    with _places(settings) as where:
        with Notes.open(where.client) as notes:
            trial = Trial(settings, where, notes)
            await trial.run()
        found = tally.count(where.client, trial.ledgers)
    return found.is_good, [*_headline(settings), *found.lines]


def _headline(settings: SimulateSettings) -> Iterator[str]:
    yield (
        f"trial: {settings.jobs} jobs of {len(SCENARIOS)} scenarios, seed {settings.seed}, "
        f"{settings.workers} workers of {settings.slots} slots, pace {settings.pace:g}, "
        f"store {shown_store(settings.store)}, failure rate {settings.failure_rate:g}, "
        f"kill rate {settings.kill_rate:g} a minute"
    )
    yield (
        f"machine: {os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}, "
        f"Python {platform.python_version()}, ffrtmp {__version__}, "
        f"load {os.getloadavg()[0]:.1f}, {shutil.disk_usage('/').free >> 30} GiB free"
    )
