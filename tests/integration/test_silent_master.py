"""A worker and masters that say nothing, on a virtual clock."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from ffrtmp.domain.messages import Event, Hello, Numbered, Welcome
from ffrtmp.domain.timers import Timers
from ffrtmp.domain.worker import Load
from ffrtmp.sim.fleet import CAPABILITIES
from ffrtmp.sim.ledger import Ledger
from ffrtmp.sim.runner import SimRunner
from ffrtmp.sim.schedules.loop import VirtualLoop
from ffrtmp.worker.attempts import Attempts
from ffrtmp.worker.journal import Journal
from ffrtmp.worker.session import Presentation, Session
from ffrtmp.worker.stream import StreamBroken

WELCOME = Welcome(epoch=1, timers=Timers(), reconnect_spread=timedelta(seconds=1))


class Mute:
    """Takes what is said and never answers."""

    async def read(self) -> Sequence[Numbered]:
        await asyncio.Event().wait()
        return ()

    async def write(self, events: Sequence[Event]) -> None:
        pass


class Brief(Mute):
    """Welcomes, and says nothing more."""

    def __init__(self) -> None:
        self._said = False

    async def read(self) -> Sequence[Numbered]:
        if self._said:
            return await super().read()
        self._said = True
        return [Numbered(1, WELCOME)]


class Refusing(Mute):
    async def write(self, events: Sequence[Event]) -> None:
        if any(isinstance(event, Hello) for event in events):
            raise StreamBroken("connection refused")


def dials(folder: Path, stream_at: Callable[[float], Mute], *, seconds: float) -> list[float]:
    """When a worker whose chance is always the worst dials, in seconds from its start."""
    loop = VirtualLoop(lambda: 0.0)
    try:
        return loop.run_until_complete(_dials(folder, stream_at, seconds))
    finally:
        asyncio.set_event_loop(None)
        loop.close()


async def _dials(folder: Path, stream_at: Callable[[float], Mute], seconds: float) -> list[float]:
    loop = asyncio.get_running_loop()
    began, found = loop.time(), list[float]()

    @asynccontextmanager
    async def dial(_address: str) -> AsyncIterator[Mute]:
        found.append(loop.time() - began)
        yield stream_at(found[-1])

    async def no_load() -> Load:
        return Load()

    with Journal.open(folder / "journal") as journal, Ledger.open(folder / "ledger") as ledger:
        runner = SimRunner("w", ledger, pace=0.0)
        async with Attempts.running(runner, journal, slots=1) as attempts:
            session = Session(
                Presentation(incarnation="i", capabilities=CAPABILITIES, load=no_load),
                attempts,
                dial,
                boot=loop.time,
                chance=lambda: 1.0,
            )
            await _for(seconds, session.run(["m"]))
    return found


async def _for(seconds: float, work: Coroutine[Any, Any, None]) -> None:
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        pass


def waits(found: list[float], silence: float) -> list[float]:
    """Between the end of a dial that was answered by nothing for so long, and the next."""
    return [round(later - earlier - silence, 1) for earlier, later in pairwise(found)]


def test_one_that_nobody_answers_dials_less_and_less(tmp_path: Path):
    found = dials(tmp_path, lambda _now: Mute(), seconds=900)
    assert waits(found, 5.0)[:8] == [1, 1, 1, 2, 4, 8, 16, 32]
    assert max(waits(found, 5.0)) == 120


def test_one_that_is_refused_dials_on(tmp_path: Path):
    found = dials(tmp_path, lambda _now: Refusing(), seconds=900)
    assert max(waits(found, 0.0)) == 15


def test_one_that_was_welcomed_does_not_remember_the_silence_before(tmp_path: Path):
    found = dials(tmp_path, lambda now: Brief() if 60 < now < 100 else Mute(), seconds=300)
    assert waits([at for at in found if at < 60], 5.0)[-1] > 1
    welcomed = max(at for at in found if at < 100)
    after = [at for at in found if at > welcomed]
    assert after[0] - welcomed < 7.5 + 1 + 1
    assert waits(after, 5.0)[:5] == [1, 1, 1, 2, 4]
