"""What was read of one worker's stream and not yet taken.

What its attempts said while the store was busy is taken together: a message costs both ends more
than what is in it, and so one change makes one answer.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

from ffrtmp.domain.messages import AttemptEvent, Event, LogReport

LIMIT = 256
"""Messages that may wait. A worker that fills it loses its stream; nothing is dropped."""
AT_ONCE = 64
"""Events, from so many on no more messages are added to them: others have their turn."""

Message = tuple[Sequence[Event], float]
"""A batch and when it was read, in seconds of CLOCK_BOOTTIME."""


class Inbox:
    def __init__(self) -> None:
        self._waiting: deque[Message] = deque()
        self._ready = asyncio.Event()
        self._ended = False

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= LIMIT

    def put(self, batch: Sequence[Event], arrived: float) -> None:
        self._waiting.append((batch, arrived))
        self._ready.set()

    def end(self) -> None:
        """The worker hung up: what waits is still taken."""
        self._ended = True
        self._ready.set()

    async def take(self) -> Message | None:
        """The next message, and those behind it as long as all before them only speak of attempts:
        whatever else comes, a heartbeat with its list above all, is the last that is taken with
        them. None at the end."""
        while not self._waiting:
            if self._ended:
                return None
            self._ready.clear()
            await self._ready.wait()
        newest, arrived = self._waiting.popleft()
        batch = list(newest)
        while self._waiting and len(batch) < AT_ONCE and _is_of_attempts(newest):
            newest, arrived = self._waiting.popleft()
            batch += newest
        return batch, arrived


def _is_of_attempts(batch: Sequence[Event]) -> bool:
    return all(isinstance(event, AttemptEvent | LogReport) for event in batch)
