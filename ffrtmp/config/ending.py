"""`--stop-at-eof`: a process ends with whoever started it."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


@asynccontextmanager
async def at_end_of_input(call: Callable[[], None]) -> AsyncIterator[None]:
    """Calls once when standard input is closed, as long as the block lasts."""

    class Watch(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            call()

    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(Watch, sys.stdin)
    try:
        yield
    finally:
        transport.close()
