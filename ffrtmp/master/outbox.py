"""What waits to be written to one worker: numbered commands, sent as one batch a write."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from ffrtmp.domain.errors import DomainError, WorkerDoesNotRead
from ffrtmp.domain.messages import Command, Numbered

LIMIT = 256
"""Commands that may wait. None is ever dropped: a worker that does not read loses its stream."""

Send = Callable[[Sequence[Numbered]], Awaitable[None]]


class Outbox:
    def __init__(self, worker: str) -> None:
        self._worker = worker
        self._waiting: list[Numbered] = []
        self._number = 0
        self._ready = asyncio.Event()
        self._closed = asyncio.Event()
        self._closed_by: DomainError | None = None

    def put(self, command: Command) -> int:
        """Queues a command and returns its number. When full, the stream is closed instead."""
        self._number += 1
        if self._closed_by is None:
            self._waiting.append(Numbered(self._number, command))
            if len(self._waiting) > LIMIT:
                self.close(WorkerDoesNotRead(self._worker))
        self._ready.set()
        return self._number

    def close(self, why: DomainError) -> None:
        """Ends the stream: `until_closed` raises `why`, also while a write waits for the worker."""
        self._closed_by = self._closed_by or why
        self._closed.set()

    async def until_closed(self) -> None:
        """Runs until cancelled or closed. Beside the writer, which may be stuck."""
        await self._closed.wait()
        assert self._closed_by is not None
        raise self._closed_by

    async def write_to(self, send: Send) -> None:
        """The stream's one writer. Runs until cancelled."""
        while True:
            await self._ready.wait()
            self._ready.clear()
            batch, self._waiting = self._waiting, []
            if batch:
                await send(batch)

    async def flush(self, send: Send) -> None:
        """Writes what waits, once: the last words of a stream that ends well."""
        batch, self._waiting = self._waiting, []
        if batch:
            await send(batch)
