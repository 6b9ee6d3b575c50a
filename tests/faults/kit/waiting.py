"""Waiting for conditions, never for times."""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

POLL_SECONDS = 0.02
LONGEST_SECONDS = 0.3
SHARE = 4
"""A condition that takes long to ask for is asked for in a fourth of the time, at most."""


async def until(condition: Callable[[], Any], seconds: float, what: str = "") -> Any:
    """The first true answer of a function or coroutine function. Fails after `seconds`."""
    give_up_at = time.monotonic() + seconds
    while (began := time.monotonic()) < give_up_at:
        answer = condition()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        took = time.monotonic() - began
        await asyncio.sleep(min(max(POLL_SECONDS, (SHARE - 1) * took), LONGEST_SECONDS))
    raise AssertionError(
        f"not within {seconds:g} s: {what or inspect.getsource(condition).strip()}"
    )
