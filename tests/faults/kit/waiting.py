"""Waiting for conditions, never for times."""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

POLL_SECONDS = 0.02


async def until(condition: Callable[[], Any], seconds: float, what: str = "") -> Any:
    """The first true answer of a function or coroutine function. Fails after `seconds`."""
    give_up_at = time.monotonic() + seconds
    while time.monotonic() < give_up_at:
        answer = condition()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        await asyncio.sleep(POLL_SECONDS)
    raise AssertionError(
        f"not within {seconds:g} s: {what or inspect.getsource(condition).strip()}"
    )
