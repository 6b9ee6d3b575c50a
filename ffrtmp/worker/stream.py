"""One stream to a master, from hello to its end: loops that live and die together."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from ffrtmp.domain.messages import (
    Cancel,
    CapabilitiesChanged,
    Event,
    Goodbye,
    Heartbeat,
    HeartbeatAck,
    Hello,
    Numbered,
    Offer,
    OfferAck,
    Reconnect,
    Reject,
    ResultAck,
    Welcome,
)
from ffrtmp.domain.timers import Timers
from ffrtmp.domain.worker import Capabilities, Load
from ffrtmp.groups import one_error
from ffrtmp.worker.attempts import Attempts, nowhere
from ffrtmp.worker.outbox import MasterDoesNotRead, Outbox

_log = logging.getLogger("ffrtmp.worker")

LOOK = Callable[[], Awaitable[Load]]


class StreamBroken(Exception):
    """The stream ended, whatever the reason: dial again."""


class CannotTrust(StreamBroken):
    """One of the two certificates is not good for the other side."""


class Refused(Exception):
    """The master does not want this worker: one sentence. Do not dial again."""


class Stream(Protocol):
    """One open stream. Both methods raise StreamBroken or Refused."""

    async def read(self) -> Sequence[Numbered]: ...
    async def write(self, events: Sequence[Event]) -> None: ...


class Terms(Protocol):
    """The lease, as far as a stream touches it; `session.Lease` is one."""

    timers: Timers
    spread: float

    @property
    def boot(self) -> Callable[[], float]: ...
    def open(self, welcome: Welcome, hello_sent_at: float) -> None: ...
    def renew(self, ack: HeartbeatAck, sent_at: float) -> None: ...
    def give_up(self) -> None: ...


class Visit:
    """`silence` is the time-out around the whole stream; acknowledgements put it off.

    `hurry` asks for a heartbeat at once.
    """

    def __init__(
        self,
        stream: Stream,
        attempts: Attempts,
        lease: Terms,
        silence: asyncio.Timeout,
        hurry: asyncio.Event,
    ) -> None:
        self._stream = stream
        self._attempts = attempts
        self._lease = lease
        self._silence = silence
        self._hurry = hurry
        self._outbox = Outbox()
        self._seen = 0
        self._sent_at: dict[int, float] = {}
        self._hello_sent_at = 0.0
        self._welcomed = asyncio.Event()
        self._left = asyncio.Event()
        self._left_why = ""

    async def run(
        self,
        *,
        incarnation: str,
        previous: str,
        capabilities: Callable[[], Capabilities],
        load: LOOK,
        first_load: Load,
        leaving: asyncio.Event,
        dial: int,
    ) -> None:
        """Until `leaving` is set and goodbye was heard. Raises StreamBroken, Refused."""
        said = capabilities()
        hello = Hello(
            incarnation=incarnation,
            previous=previous,
            capabilities=said,
            attempts=self._attempts.reports,
            slots=self._attempts.slots,
            load=first_load,
            dial=dial,
        )
        self._hello_sent_at = self._lease.boot()
        await self._stream.write([hello])
        try:
            with one_error(StreamBroken, MasterDoesNotRead, Refused):
                async with asyncio.TaskGroup() as tasks:
                    self._begin_loops(tasks, load)
                    await self._welcomed.wait()
                    self._tell_change(said, capabilities())
                    await leaving.wait()
                    self._lease.give_up()
                    self._outbox.put(Goodbye())  # the master hangs up when it has read it
        finally:
            self._attempts.say = nowhere

    def _begin_loops(self, tasks: asyncio.TaskGroup, load: LOOK) -> None:
        tasks.create_task(self._read())
        tasks.create_task(self._write())
        tasks.create_task(self._beat(load))
        tasks.create_task(self._tell_progress())
        tasks.create_task(self._until_left())

    def _tell_change(self, said: Capabilities, newest: Capabilities) -> None:
        """Of what came after hello was written, and before anybody would have heard of it."""
        if newest != said:
            self._outbox.put(CapabilitiesChanged(newest))

    def leave(self, why: str) -> None:
        """Ends `run` with StreamBroken: dial again."""
        self._left_why = why
        self._left.set()

    async def _until_left(self) -> None:
        await self._left.wait()
        raise StreamBroken(self._left_why)

    # -- up ---------------------------------------------------------------------------------

    async def _write(self) -> None:
        await self._welcomed.wait()
        while True:
            await self._stream.write(await self._outbox.take())

    async def _beat(self, load: LOOK) -> None:
        await self._welcomed.wait()
        number = 0
        while True:
            await self._until_next_beat()
            machine = await load()
            self._attempts.say_refused_results()
            number += 1
            # Counted from before it is written: too early is safe.
            self._sent_at[number] = self._lease.boot()
            self._outbox.put(
                Heartbeat(
                    number=number,
                    seen=self._seen,
                    slots=self._attempts.slots,
                    attempts=self._attempts.reports,
                    load=machine,
                )
            )

    async def _until_next_beat(self) -> None:
        try:
            async with asyncio.timeout(self._lease.timers.heartbeat_interval.total_seconds()):
                await self._hurry.wait()
        except TimeoutError:
            return
        self._hurry.clear()

    async def _tell_progress(self) -> None:
        await self._welcomed.wait()
        while True:
            await asyncio.sleep(self._lease.timers.progress_interval.total_seconds())
            for report in (self._attempts.take_progress(), self._attempts.take_log()):
                if report is not None:
                    self._outbox.put(report)

    # -- down -------------------------------------------------------------------------------

    async def _read(self) -> None:
        while True:
            for numbered in await self._stream.read():
                self._seen = numbered.number
                self._obey(numbered)

    def _obey(self, numbered: Numbered) -> None:
        match numbered.command:
            case Welcome():
                self._welcome(numbered.command)
            case HeartbeatAck():
                self._acknowledged(numbered.command)
            case Offer():
                self._attempts.offer(numbered.command)
            case OfferAck(key):
                self._attempts.begin(key)
            case Cancel(key):
                self._attempts.stop(key)
            case ResultAck():
                self._attempts.acknowledge(numbered.command)
            case Reconnect(after):
                self._lease.spread = max(1.0, after.total_seconds())
                raise StreamBroken("the master goes down")
            case Reject(why):
                raise Refused(why)

    def _welcome(self, welcome: Welcome) -> None:
        self._lease.open(welcome, self._hello_sent_at)
        self._wait_longer()
        self._attempts.say = self._outbox.put
        self._attempts.waits_for_word = welcome.acknowledges_offers
        self._obey_drain(draining=welcome.draining)
        for verdict in welcome.verdicts:
            self._attempts.judge(verdict)
        self._attempts.say_all_results()
        self._welcomed.set()
        _log.info("connected: stream %d, %d attempts", welcome.epoch, len(self._attempts.reports))

    def _acknowledged(self, ack: HeartbeatAck) -> None:
        sent_at = self._sent_at.pop(ack.number, None)
        if sent_at is not None:
            self._lease.renew(ack, sent_at)
        self._wait_longer()
        self._obey_drain(draining=ack.draining)
        for verdict in ack.verdicts:
            self._attempts.judge(verdict)

    def _obey_drain(self, *, draining: bool) -> None:
        """An operator's wish, kept by the master. The changed slots are told at once."""
        if draining != self._attempts.told_to_drain:
            self._attempts.told_to_drain = draining
            self._hurry.set()
            _log.info("told to drain: no new work" if draining else "told to take work again")

    def _wait_longer(self) -> None:
        if self._silence.expired():  # in this very moment: the stream is being left
            return
        limit = self._lease.timers.ack_silence.total_seconds()
        self._silence.reschedule(asyncio.get_running_loop().time() + limit)
