"""NOTIFY and LISTEN: hints between masters. Nothing depends on one: who waits polls as well.

Each has a connection of its own, made again when it breaks. Many commits make one NOTIFY.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from ffrtmp.store.postgres_pool import FAILURES

CHANNEL = "ffrtmp"
PACE_SECONDS = 0.01
AGAIN_SECONDS = 1.0
PROBE_SECONDS = 5.0
"""A dead connection says nothing: it is asked so often, and given up after as long again."""


class Hints:
    def __init__(self, connect: Callable[[], Awaitable[Any]]) -> None:
        self._connect = connect
        self._told = asyncio.Event()
        self._news = asyncio.Event()
        self._own = 0

    def tell(self) -> None:
        """Something was committed here: others should look. Never waits."""
        self._told.set()

    async def news(self) -> None:
        await self._news.wait()
        self._news.clear()

    async def send(self) -> None:
        """Runs until cancelled."""
        await self._connected(self._send)

    async def listen(self) -> None:
        """Runs until cancelled."""
        await self._connected(self._listen)

    async def _connected(self, use: Callable[[Any], Awaitable[None]]) -> None:
        while True:
            with suppress(*FAILURES):
                connection = await self._connect()
                try:
                    await use(connection)
                finally:
                    connection.terminate()
            await asyncio.sleep(AGAIN_SECONDS)

    async def _send(self, connection: Any) -> None:
        self._own = connection.get_server_pid()
        while True:
            await self._told.wait()
            self._told.clear()
            await connection.execute(f"NOTIFY {CHANNEL}")
            await asyncio.sleep(PACE_SECONDS)

    async def _listen(self, connection: Any) -> None:
        await connection.add_listener(CHANNEL, self._heard)
        self._news.set()  # something may have been missed
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            await connection.execute("SELECT 1")

    def _heard(self, _connection: object, pid: int, _channel: str, _payload: object) -> None:
        if pid != self._own:
            self._news.set()
