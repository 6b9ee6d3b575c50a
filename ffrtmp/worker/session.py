"""The worker's session, across the reconnects of its stream: dials again until told to leave.

Only our own stop ends it, or a master that refuses this worker for good. FFmpeg runs on while the
master is away. The transport is handed in: a `Dial` opens a stream to an address.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from itertools import cycle

from ffrtmp.domain.messages import CapabilitiesChanged, HeartbeatAck, Welcome
from ffrtmp.domain.redial import longest_wait
from ffrtmp.domain.timers import Timers
from ffrtmp.domain.worker import Capabilities, Load
from ffrtmp.worker.attempts import Attempts
from ffrtmp.worker.outbox import MasterDoesNotRead
from ffrtmp.worker.stream import CannotTrust, Refused, Stream, StreamBroken, Visit

_log = logging.getLogger("ffrtmp.worker")

FIRST_SPREAD = 1.0

Dial = Callable[[str], AbstractAsyncContextManager[Stream]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Presentation:
    """What a worker says of itself in every hello. `load` looks at the machine; `previous` as in
    `Hello`."""

    incarnation: str
    capabilities: Capabilities
    load: Callable[[], Awaitable[Load]]
    previous: str = ""


@dataclass(slots=True)
class Lease:
    """What binds worker and master. `boot`: seconds of CLOCK_BOOTTIME. `tell` hears of each new
    deadline.

    The deadline counts from when an acknowledged heartbeat was *sent*, less a margin: by then the
    master cannot have given our attempts to anybody.
    """

    boot: Callable[[], float]
    tell: Callable[[float], None] = lambda _deadline: None
    timers: Timers = field(default_factory=Timers)
    spread: float = FIRST_SPREAD
    deadline: float = 0.0
    last_contact: float = 0.0
    given_up: bool = False
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    def open(self, welcome: Welcome, hello_sent_at: float) -> None:
        self.timers = welcome.timers
        self.spread = max(FIRST_SPREAD, welcome.reconnect_spread.total_seconds())
        self._extend(hello_sent_at, self.timers.lease_ttl.total_seconds())
        self.opened.set()

    def renew(self, ack: HeartbeatAck, sent_at: float) -> None:
        self._extend(sent_at, ack.remaining.total_seconds())

    def _extend(self, sent_at: float, remaining: float) -> None:
        self.last_contact = self.boot()
        self.deadline = max(self.deadline, sent_at + remaining - self.timers.margin.total_seconds())
        self.tell(self.deadline)

    def give_up(self) -> None:
        """Before goodbye: what is held goes back to the queue, and no more of it is published."""
        self.given_up = True

    def is_held(self) -> bool:
        return not self.given_up and self.boot() < self.deadline


class Session:
    """`chance`: uniform in [0, 1)."""

    def __init__(
        self,
        presentation: Presentation,
        attempts: Attempts,
        dial: Dial,
        *,
        boot: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._presentation = presentation
        self._attempts = attempts
        self._dial = dial
        self._chance = chance
        self._lease = Lease(boot, attempts.lease.move, last_contact=boot())
        self._leaving = asyncio.Event()
        self._hurry = asyncio.Event()
        self._current: Visit | None = None
        self._dials = 0
        self._unheard = 0
        attempts.may_publish = self._lease.is_held
        attempts.hurry = self._hurry.set

    @property
    def timers(self) -> Timers:
        """As the master last sent them."""
        return self._lease.timers

    async def first_welcome(self) -> None:
        """Returns when a master has welcomed this run of the worker."""
        await self._lease.opened.wait()

    def leave(self) -> None:
        """Says goodbye and ends `run`."""
        self._leaving.set()

    def redial(self, why: str) -> None:
        """Leaves the present stream for a new one; attempts run on."""
        if self._current is not None:
            self._current.leave(why)

    def report(self, capabilities: Capabilities) -> None:
        """They changed: told at once, or in the next hello."""
        self._presentation = replace(self._presentation, capabilities=capabilities)
        self._attempts.say(CapabilitiesChanged(capabilities))

    def beat_now(self) -> None:
        """The master is to know at once what changed."""
        self._hurry.set()

    async def run(self, addresses: Sequence[str]) -> None:
        """Serves until `leave`. Raises Refused."""
        for address in cycle(addresses):
            heard, unheard = self._lease.last_contact, 0
            try:
                await self._visit(address)
            except CannotTrust as error:
                if not self._lease.opened.is_set():
                    raise Refused(str(error)) from None
                self._note_end(address, str(error))
            except (StreamBroken, MasterDoesNotRead) as error:
                self._note_end(address, str(error))
            except TimeoutError:
                if self._lease.last_contact == heard:
                    unheard = self._unheard + 1
                self._note_end(address, "the master is silent")
            self._unheard = unheard
            if self._leaving.is_set():
                return
            await self._pause()

    async def _visit(self, address: str) -> None:
        """One stream, from dial to end."""
        self._dials += 1
        limit = 2 * self._lease.timers.connect_deadline.total_seconds()
        async with asyncio.timeout(limit) as silence, self._dial(address) as stream:
            self._current = visit = Visit(stream, self._attempts, self._lease, silence, self._hurry)
            hello_load = await self._presentation.load()
            await visit.run(
                incarnation=self._presentation.incarnation,
                previous=self._presentation.previous,
                capabilities=lambda: self._presentation.capabilities,
                load=self._presentation.load,
                first_load=hello_load,
                leaving=self._leaving,
                dial=self._dials,
            )

    def _note_end(self, address: str, why: str) -> None:
        if not self._leaving.is_set():
            _log.warning("stream to %s ended: %s; dialling again", address, why)

    async def _pause(self) -> None:
        """Workers come back spread out, the more so the longer the master is away."""
        longest = longest_wait(
            self._lease.spread,
            away=self._lease.boot() - self._lease.last_contact,
            unheard=self._unheard,
            holds=bool(self._attempts.keys),
            pushes=bool(self._attempts.pushes),
        )
        try:
            async with asyncio.timeout(longest * self._chance()):
                await self._leaving.wait()
        except TimeoutError:
            return
