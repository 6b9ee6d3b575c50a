"""What waits to be written to the master, sent as one batch a write.

Control events are never dropped: if they pile up, the stream is closed and dialled again, and all
that matters is said anew. Progress is taken from the attempts at the moment of writing.
"""

import asyncio

from ffrtmp.domain.messages import Event

LIMIT = 256


class MasterDoesNotRead(Exception):
    pass


class Outbox:
    """Of one stream."""

    def __init__(self) -> None:
        self._waiting: list[Event] = []
        self._ready = asyncio.Event()

    def put(self, event: Event) -> None:
        self._waiting.append(event)
        self._ready.set()

    async def take(self) -> list[Event]:
        """Waits until there is something, and returns all of it. Raises MasterDoesNotRead.

        What attempts say in the same turn of the event loop goes together: a message costs both
        ends more than what is in it.
        """
        await self._ready.wait()
        await asyncio.sleep(0)
        self._ready.clear()
        if len(self._waiting) > LIMIT:
            raise MasterDoesNotRead
        batch, self._waiting = self._waiting, []
        return batch
