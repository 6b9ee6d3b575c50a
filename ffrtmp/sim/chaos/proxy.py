"""A TCP proxy in a peer's path: it delays, stalls, holds back and cuts.

TCP loses nothing: a packet that is lost is late, and all behind it. So a share of the pieces is
stalled for as long as a retransmission takes. Order is kept.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random

CHUNK = 65536
PIECES = 64
"""On their way at a time; more waits in the sender's socket."""
RETRANSMISSION = (0.2, 1.0)
_Pieces = asyncio.Queue[tuple[float, bytes]]


class Proxy:
    """`latency`: each piece waits between 50 ms and that, in seconds; `loss`: the share of pieces
    that stall. `pieces`: how many of either there were."""

    def __init__(self, target: str, chance: Random) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._chance = chance
        self._open = asyncio.Event()
        self._open.set()
        self._transports: set[asyncio.WriteTransport] = set()
        self._carrying = 0
        self.latency = 0.0
        self.loss = 0.0
        self.pieces = 0
        self.address = ""

    @asynccontextmanager
    async def running(self) -> "AsyncIterator[Proxy]":
        async with await asyncio.start_server(self._carry, "127.0.0.1", 0) as server:
            self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            try:
                yield self
            finally:
                server.close()
                self.restore()
                self.cut()
                while self._carrying:
                    await asyncio.sleep(0.01)

    def hold(self) -> None:
        """Carries nothing until `release`."""
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    def restore(self) -> None:
        """As a good network again."""
        self.latency = self.loss = 0.0
        self.release()

    def cut(self) -> int:
        """Both ends of every connection get a RST. Returns how many there were."""
        count = len(self._transports) // 2
        for transport in self._transports:
            end: socket.socket = transport.get_extra_info("socket")
            if end.fileno() >= 0:  # else it is closed, and its task has not seen it yet
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        self._transports.clear()
        return count

    async def _carry(self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        self._carrying += 1
        try:
            await self._connect(near, to_near)
        finally:
            self._carrying -= 1

    async def _connect(self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        try:
            far, to_far = await asyncio.open_connection(*self._target)
        except OSError:
            to_near.transport.abort()
            return
        pair = {to_near.transport, to_far.transport}
        self._transports |= pair
        try:
            async with asyncio.TaskGroup() as tasks:
                for reader, writer in ((near, to_far), (far, to_near)):
                    pieces = _Pieces(PIECES)
                    tasks.create_task(self._read(reader, pieces))
                    tasks.create_task(self._write(pieces, writer))
        except asyncio.CancelledError:
            return  # the run is over
        finally:
            self._transports -= pair

    async def _read(self, reader: asyncio.StreamReader, pieces: _Pieces) -> None:
        content, due = b" ", 0.0
        while content:
            try:
                content = await reader.read(CHUNK)
            except OSError:
                content = b""
            due = max(due, asyncio.get_running_loop().time() + self._lateness())
            await pieces.put((due, content))

    def _lateness(self) -> float:
        late = self._chance.uniform(0.05, self.latency) if self.latency else 0.0
        if self.loss and self._chance.random() < self.loss:
            late += self._chance.uniform(*RETRANSMISSION)
        self.pieces += late > 0
        return late

    async def _write(self, pieces: _Pieces, writer: asyncio.StreamWriter) -> None:
        loop, content = asyncio.get_running_loop(), b" "
        with suppress(OSError):
            while True:
                due, content = await pieces.get()
                if (left := due - loop.time()) > 0:
                    await asyncio.sleep(left)
                await self._open.wait()  # a cut cable carries no farewell either
                if not content:
                    break
                writer.write(content)
                await writer.drain()
        writer.close()
        while content:  # the other side is gone: what still comes goes nowhere
            _, content = await pieces.get()
