"""A network without sockets: streams between worker processes and masters, as gRPC would be.

One direction of one stream keeps its order and loses nothing while the stream lives; streams
overtake each other. A stream that breaks may take with it what is on its way, and each side learns
of it when it does. A batch of replies and results may arrive twice.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Generic, Protocol, TypeVar

from ffrtmp.domain.errors import DomainError
from ffrtmp.domain.messages import AttemptEvent, Event, Numbered
from ffrtmp.rpc.interceptors import opened
from ffrtmp.rpc.status import status_of
from ffrtmp.sim.schedules.loop import NOBODY, require_alive
from ffrtmp.worker.link import FATAL
from ffrtmp.worker.session import Dial
from ffrtmp.worker.stream import Refused, StreamBroken

T = TypeVar("T")

CANCELLED_SHARE = 0.7


@dataclass(slots=True)
class Path:
    """Between one worker and every master. `up_hole` and `down_hole`: until then nothing arrives.
    `most`: the longest delay just now."""

    most: float = 0.004
    up_hole: float = 0.0
    down_hole: float = 0.0


class _HungUp(Exception):
    """The far side is gone."""


class _Way(Generic[T]):
    """One direction of one stream."""

    def __init__(self, delay: Callable[[], float], hole: Callable[[], float]) -> None:
        self._delay = delay
        self._hole = hole
        self._on_way: deque[tuple[float, T | Exception]] = deque()
        self._arrived: deque[T | Exception] = deque()
        self._news = asyncio.Event()
        self.closed = False
        self.on_end: Callable[[], None] = lambda: None

    def put(self, item: T | Exception) -> None:
        if self.closed:
            return
        self.closed = isinstance(item, Exception)
        loop = asyncio.get_running_loop()
        latest = self._on_way[-1][0] if self._on_way else 0.0
        due = max(latest, loop.time() + self._delay())
        self._on_way.append((due, item))
        loop.call_at(due, self._deliver, context=NOBODY)

    def lose_some(self, chance: Random) -> None:
        """Of what is on its way, the last."""
        for _ in range(0 if self.closed else chance.randint(0, len(self._on_way))):
            self._on_way.pop()

    def _deliver(self) -> None:
        loop = asyncio.get_running_loop()
        if self._on_way and (hole := self._hole()) > loop.time():
            loop.call_at(hole, self._deliver, context=NOBODY)
            return
        while self._on_way and self._on_way[0][0] <= loop.time():
            self._arrived.append(self._on_way.popleft()[1])
        if self._arrived:
            self._news.set()
            if isinstance(self._arrived[-1], Exception):
                self.on_end()

    async def get(self) -> T:
        """Raises what ended it, again and again."""
        while not self._arrived:
            self._news.clear()
            await self._news.wait()
        item = self._arrived[0]
        if isinstance(item, Exception):
            raise item
        self._arrived.popleft()
        return item

    @property
    def has_ended(self) -> bool:
        """The end of it has arrived."""
        return bool(self._arrived) and isinstance(self._arrived[0], Exception)


class Serves(Protocol):
    """The master's process at an address."""

    def accept(self, wire: "Wire") -> bool:
        """Serves the stream in a task of its own; False: nobody listens."""
        ...


@dataclass(frozen=True, slots=True)
class Slowness:
    """How long a write of a worker and of a master takes, drawn anew for each; in seconds."""

    write: Callable[[], float]
    send: Callable[[], float]


@dataclass(eq=False)
class Wire:
    """One stream."""

    worker: str
    up: _Way[Sequence[Event]]
    down: _Way[Sequence[Numbered]]
    chance: Random
    twice: float
    slowness: Slowness
    serving: "asyncio.Task[None] | None" = None
    number: int = field(default_factory=count().__next__)

    # -- the worker's side ------------------------------------------------------------------

    async def read(self) -> Sequence[Numbered]:
        return await self.down.get()

    async def write(self, events: Sequence[Event]) -> None:
        require_alive()
        if self.down.has_ended:
            await self.down.get()  # raises its end
        self.up.put(events)
        again = [event for event in events if isinstance(event, AttemptEvent)]
        if again and self.chance.random() < self.twice:
            self.up.put(again)
        await asyncio.sleep(self.slowness.write())

    # -- the master's side ------------------------------------------------------------------

    async def events(self) -> AsyncIterator[Sequence[Event]]:
        with suppress(_HungUp):
            while True:
                yield await self.up.get()

    async def send(self, commands: Sequence[Numbered]) -> None:
        require_alive()
        self.down.put(list(commands))
        await asyncio.sleep(self.slowness.send())

    # -- both -------------------------------------------------------------------------------

    def break_off(self) -> None:
        """Some of what is on its way is lost; the worker's end closes, and so does the master's."""
        self.up.lose_some(self.chance)
        self.down.lose_some(self.chance)
        self.down.closed = False
        self.down.put(StreamBroken("the connection broke"))
        self.hang_up()

    def hang_up(self) -> None:
        """The worker's end is closed."""
        self.up.put(_HungUp())

    def end(self) -> None:
        """The master hears that the worker is gone: gRPC cancels the handler, at once or a little
        after the end of what it reads."""
        if self.serving is not None and self.chance.random() < CANCELLED_SHARE:
            self.serving.cancel()


def meaning(error: Exception) -> Exception:
    """What the worker is told, as `worker.link` would put it."""
    cause = opened(error)
    if isinstance(cause, DomainError) and status_of(cause) in FATAL:
        return Refused(str(cause))
    return StreamBroken(str(cause))


class Network:
    """`twice`: the share of batches that arrive twice."""

    def __init__(
        self,
        masters: dict[str, Serves],
        chance: Random,
        *,
        twice: float,
        slowness: Slowness,
    ) -> None:
        self._masters = masters
        self._chance = chance
        self._twice = twice
        self._slowness = slowness
        self._wires: set[Wire] = set()
        self.paths: dict[str, Path] = {}

    def dialler(self, worker: str) -> Dial:
        """Of a worker's process."""
        path = self.paths.setdefault(worker, Path())

        @asynccontextmanager
        async def dial(address: str) -> AsyncIterator[Wire]:
            await self._connect(path)
            wire = self._wire(worker, path)
            if not self._masters[address].accept(wire):
                raise StreamBroken(f"nobody listens on {address}")
            self._wires.add(wire)
            try:
                yield wire
            finally:
                self._wires.discard(wire)
                wire.hang_up()

        return dial

    async def _connect(self, path: Path) -> None:
        loop = asyncio.get_running_loop()
        while (  # noqa: ASYNC110  # a hole may grow
            hole := max(path.up_hole, path.down_hole)
        ) > loop.time():
            await asyncio.sleep(hole - loop.time())
        await asyncio.sleep(2 * self._delay(path))

    def _wire(self, worker: str, path: Path) -> Wire:
        def delay() -> float:
            return self._delay(path)

        up = _Way[Sequence[Event]](delay, lambda: path.up_hole)
        down = _Way[Sequence[Numbered]](delay, lambda: path.down_hole)
        wire = Wire(worker, up, down, self._chance, self._twice, self._slowness)
        up.on_end = wire.end
        return wire

    def _delay(self, path: Path) -> float:
        return self._chance.random() * path.most

    def cut(self, worker: str) -> None:
        """Every stream of the worker breaks."""
        for wire in sorted(self._wires, key=lambda each: each.number):
            if wire.worker == worker:
                wire.break_off()

    def calm(self) -> None:
        """What is slow or dark now is neither any more."""
        for path in self.paths.values():
            path.most, path.up_hole, path.down_hole = Path().most, 0.0, 0.0
