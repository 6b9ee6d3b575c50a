"""A worker's session and masters that are made up, on a virtual clock."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ffrtmp.domain.job import FileRecord, Manifest
from ffrtmp.domain.messages import (
    Command,
    Event,
    Goodbye,
    Hello,
    Numbered,
    ResultAck,
    ResultOutcome,
    ResultStep,
    Staged,
    Welcome,
)
from ffrtmp.domain.session import AttemptKey, Verdict, VerdictKind
from ffrtmp.domain.spec import Input, JobSpec, MediaPath, Output, TestSource
from ffrtmp.domain.timers import Timers
from ffrtmp.domain.worker import Load
from ffrtmp.sim.fleet import CAPABILITIES
from ffrtmp.sim.ledger import Ledger
from ffrtmp.sim.runner import SimRunner
from ffrtmp.sim.schedules.loop import VirtualLoop
from ffrtmp.worker.attempts import Attempts
from ffrtmp.worker.journal import Entry, Journal
from ffrtmp.worker.session import Dial, Presentation, Session
from ffrtmp.worker.stream import StreamBroken

KEY = AttemptKey("j1", 1)
SPEC = JobSpec(
    input=Input(test_source=TestSource(duration=timedelta(seconds=1))),
    outputs=(Output(path=MediaPath("sim", "o.mp4")),),
)
MADE = Manifest((FileRecord(path="sim:o.mp4", size=1, sha256="a" * 64),), 1)


def welcome(*verdicts: Verdict) -> Welcome:
    return Welcome(
        epoch=1, timers=Timers(), reconnect_spread=timedelta(seconds=1), verdicts=verdicts
    )


class Mute:
    """Takes what is said and never answers."""

    def __init__(self) -> None:
        self._said = asyncio.Queue[Command]()
        self._number = 0

    def say(self, command: Command) -> None:
        self._said.put_nowait(command)

    async def read(self) -> Sequence[Numbered]:
        self._number += 1
        return [Numbered(self._number, await self._said.get())]

    async def write(self, events: Sequence[Event]) -> None:
        for event in events:
            self.hear(event)

    def hear(self, event: Event) -> None:
        pass


class Brief(Mute):
    """Welcomes, and says nothing more."""

    def __init__(self) -> None:
        super().__init__()
        self.say(welcome())


class Refusing(Mute):
    def hear(self, event: Event) -> None:
        if isinstance(event, Hello):
            raise StreamBroken("connection refused")


class Recorder(Mute):
    """Lets the worker keep its attempt, commits its result, and is slow to hear a goodbye."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Event] = []

    def hear(self, event: Event) -> None:
        self.heard.append(event)
        if isinstance(event, Hello):
            self.say(welcome(Verdict(KEY, VerdictKind.KEEP)))
        if isinstance(event, Staged):
            self.say(ResultAck(KEY, ResultStep.STAGED, ResultOutcome.COMMITTED))


@pytest.fixture
def on_virtual_time():
    """Runs a coroutine to its end, in no time."""
    loop = VirtualLoop(lambda: 0.0)
    yield loop.run_until_complete
    asyncio.set_event_loop(None)
    loop.close()


@asynccontextmanager
async def session_of(folder: Path, dial: Dial, *entries: Entry) -> AsyncIterator[Session]:
    """Of a worker whose chance is always the worst, and whose journal has these entries."""

    async def no_load() -> Load:
        return Load()

    with Journal.open(folder / "journal") as journal, Ledger.open(folder / "ledger") as ledger:
        for entry in entries:
            journal.begin(entry.key, entry.spec)
            journal.record(entry)
        runner = SimRunner("w", ledger, pace=0.0)
        async with Attempts.running(runner, journal, slots=1) as attempts:
            yield Session(
                Presentation(incarnation="i", capabilities=CAPABILITIES, load=no_load),
                attempts,
                dial,
                boot=asyncio.get_running_loop().time,
                chance=lambda: 1.0,
            )


async def for_a_while(seconds: float, work: Coroutine[Any, Any, None]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await work


# -- when it dials ------------------------------------------------------------------------------


async def dials(
    folder: Path, stream_at: Callable[[float], Mute], *entries: Entry, seconds: float
) -> list[float]:
    """When a worker dials, in seconds from its start."""
    loop = asyncio.get_running_loop()
    began, found = loop.time(), list[float]()

    @asynccontextmanager
    async def dial(_address: str) -> AsyncIterator[Mute]:
        found.append(loop.time() - began)
        yield stream_at(found[-1])

    async with session_of(folder, dial, *entries) as session:
        await for_a_while(seconds, session.run(["m"]))
    return found


def waits(found: list[float], silence: float) -> list[float]:
    """Between the end of a dial that was answered by nothing for so long, and the next."""
    return [round(later - earlier - silence, 1) for earlier, later in pairwise(found)]


def test_one_that_nobody_answers_dials_less_and_less(tmp_path: Path, on_virtual_time):
    found = on_virtual_time(dials(tmp_path, lambda _now: Mute(), seconds=900))
    assert waits(found, 5.0)[:8] == [1, 1, 1, 2, 4, 8, 16, 32]
    assert max(waits(found, 5.0)) == 60


def test_one_with_an_attempt_does_not_stay_away_for_longer_than_its_master_waits(
    tmp_path: Path, on_virtual_time
):
    made = Entry(key=KEY, spec=SPEC, manifest=MADE)
    found = on_virtual_time(dials(tmp_path, lambda _now: Mute(), made, seconds=900))
    assert max(waits(found, 5.0)) == 15


def test_one_that_is_refused_dials_on(tmp_path: Path, on_virtual_time):
    found = on_virtual_time(dials(tmp_path, lambda _now: Refusing(), seconds=900))
    assert max(waits(found, 0.0)) == 15


def test_one_that_was_welcomed_does_not_remember_the_silence_before(
    tmp_path: Path, on_virtual_time
):
    def stream_at(now: float) -> Mute:
        return Brief() if 60 < now < 100 else Mute()

    found = on_virtual_time(dials(tmp_path, stream_at, seconds=300))
    assert waits([at for at in found if at < 60], 5.0)[-1] > 1
    welcomed = max(at for at in found if at < 100)
    after = [at for at in found if at > welcomed]
    assert after[0] - welcomed < 7.5 + 1 + 1
    assert waits(after, 5.0)[:5] == [1, 1, 1, 2, 4]


# -- how it leaves ------------------------------------------------------------------------------


@pytest.mark.parametrize("leaves", [True, False])
def test_what_it_gave_back_with_its_goodbye_it_does_not_publish(
    tmp_path: Path, on_virtual_time, leaves: bool
):
    """The master may say that a result is committed before it has read the goodbye behind it."""
    made = Entry(key=KEY, spec=SPEC, manifest=MADE)

    async def leave() -> Recorder:
        master = Recorder()

        @asynccontextmanager
        async def dial(_address: str) -> AsyncIterator[Mute]:
            yield master

        async with session_of(tmp_path, dial, made) as session:
            if leaves:
                session.leave()
            await for_a_while(4, session.run(["m"]))
        return master

    master = on_virtual_time(leave())
    heard = [type(event) for event in master.heard]
    assert Staged in heard
    assert (Goodbye in heard) is leaves
    assert ("published" in (tmp_path / "ledger").read_text()) is not leaves
