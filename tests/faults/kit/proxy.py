"""A TCP proxy in a worker's path: it delays, holds back one way or both, and resets.

What is held back is not lost but late, as with TCP over a network that drops packets. It runs in a
thread of its own: a busy test does not slow it.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

CHUNK = 65536
UP, DOWN = "up", "down"


class Proxy:
    """`UP` is from the worker to the master."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._open = {UP: asyncio.Event(), DOWN: asyncio.Event()}
        self._delay = 0.0
        self._transports: set[asyncio.Transport] = set()
        listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{listener.getsockname()[1]}"
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._run, args=[listener], daemon=True)
        self._thread.start()
        self.restore()

    def hold(self, *ways: str) -> None:
        """Carries nothing on these ways (none given: on both) until `restore`."""
        self._do(lambda: [self._open[way].clear() for way in ways or (UP, DOWN)])

    def restore(self) -> None:
        self._do(lambda: [way.set() for way in self._open.values()])

    def delay(self, seconds: float) -> None:
        """Each piece waits this long, in both directions."""
        self._do(lambda: setattr(self, "_delay", seconds))

    def reset(self) -> None:
        """Both ends of every connection get a RST."""
        self._do(self._abort)

    def close(self) -> None:
        self._do(self._stopped.set)
        self._thread.join()

    def _do(self, call: Callable[[], Any]) -> None:
        """In the proxy's thread; returns when it is done."""
        done = threading.Event()
        self._loop.call_soon_threadsafe(lambda: (call(), done.set()))
        done.wait()

    def _run(self, listener: socket.socket) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve(listener))

    async def _serve(self, listener: socket.socket) -> None:
        async with await asyncio.start_server(self._carry, sock=listener):
            await self._stopped.wait()
            self._abort()

    def _abort(self) -> None:
        linger = struct.pack("ii", 1, 0)
        for transport in self._transports:
            with contextlib.suppress(OSError):  # it is being closed already
                transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, linger
                )
            transport.abort()
        self._transports.clear()

    async def _carry(self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        try:
            far, to_far = await asyncio.open_connection(*self._target)
        except OSError:
            to_near.transport.abort()
            return
        pair = {to_near.transport, to_far.transport}
        self._transports |= pair
        with contextlib.suppress(asyncio.CancelledError):  # the proxy is closed
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._copy(UP, near, to_far))
                tasks.create_task(self._copy(DOWN, far, to_near))
        self._transports -= pair

    async def _copy(
        self, way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while content := await reader.read(CHUNK):
                if self._delay:
                    await asyncio.sleep(self._delay)
                await self._open[way].wait()
                writer.write(content)
                await writer.drain()
        except OSError:
            pass
        await self._open[way].wait()  # a cut cable carries no farewell either
        writer.close()
