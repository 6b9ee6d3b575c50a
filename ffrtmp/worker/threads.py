"""Work that nobody walks away from: in a thread, or to be done whole."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Like asyncio.to_thread; but a cancelled caller waits until the thread is done, so that no
    file appears behind its back while it cleans up."""
    future = asyncio.get_running_loop().run_in_executor(None, partial(work, *args, **kwargs))
    return await _to_its_end(future)


async def whole(work: Coroutine[object, object, T]) -> T:
    """A cancelled caller waits until it is done."""
    return await _to_its_end(asyncio.get_running_loop().create_task(work))


async def _to_its_end(future: "asyncio.Future[T]") -> T:
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            with suppress(asyncio.CancelledError):  # a second one does not walk away either
                await asyncio.wait([future])
        if not future.cancelled():
            future.exception()  # seen: the cancellation is what counts
        raise
