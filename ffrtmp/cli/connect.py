"""A client of the master that is configured or runs, as long as one piece of work lasts."""

import asyncio
from collections.abc import Awaitable, Callable

from ffrtmp.cli.target import Target, require_target
from ffrtmp.client import Client
from ffrtmp.config import ClientSettings


def with_client(settings: ClientSettings, work: Callable[[Client], Awaitable[int]]) -> int:
    """Returns the exit code that `work` returns. Raises UserError."""
    return at(require_target(settings), work)


def at(target: Target, work: Callable[[Client], Awaitable[int]]) -> int:
    async def run() -> int:
        async with Client(target.address, target.certs) as client:
            return await work(client)

    return asyncio.run(run())
