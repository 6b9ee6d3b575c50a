"""Long work in short turns: a batch of a thousand must not hold up the heartbeats."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

TURN = 50


def shares(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """In order, so many at a time."""
    for first in range(0, len(items), size):
        yield items[first : first + size]


async def in_turns(items: Iterable[T], make: Callable[[T], R]) -> list[R]:
    """One of each, in order; after every fifty of them others have their turn."""
    made = []
    for number, item in enumerate(items, 1):
        made.append(make(item))
        if number % TURN == 0:
            await asyncio.sleep(0)
    return made
