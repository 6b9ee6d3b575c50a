"""Tells the dispatcher that something may be possible now, and remembers since when it knows."""

import asyncio
from collections.abc import Callable


class Wake:
    def __init__(self, boot: Callable[[], float]) -> None:
        self._boot = boot
        self._event = asyncio.Event()
        self._since: float | None = None

    def set(self) -> None:
        if self._since is None:
            self._since = self._boot()
        self._event.set()

    def take(self) -> float | None:
        """Since when there was news that nobody has taken yet, by `boot`; None: there was none."""
        since, self._since = self._since, None
        self._event.clear()
        return since

    async def wait(self) -> None:
        """Returns when there is news; it is still to be taken."""
        await self._event.wait()
