"""How long each statement took, told by its name. There are as many names as there are queries in
the code: no value is in one."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ffrtmp.domain.facts import Fact, StatementTook
from ffrtmp.store import queries

COMMIT = "commit"
OTHER = "other"

Observe = Callable[[Fact], None]


def names_in(module: Mapping[str, Any]) -> dict[str, str]:
    """The queries among a module's constants, and what each is called."""
    found: dict[str, str] = {}
    for name, value in module.items():
        texts = value if isinstance(value, tuple) else (value,)
        if name.isupper() and all(isinstance(text, str) and " " in text for text in texts):
            found |= dict.fromkeys(texts, name.strip("_").lower())
    return found


def unheard(_fact: Fact) -> None:
    """For a store that nobody measures."""


class Stopwatch:
    def __init__(self, observe: Observe = unheard, names: Mapping[str, str] | None = None) -> None:
        """`names`: of queries that are the adapter's own."""
        self._observe = observe
        self._names = names_in(vars(queries)) | dict(names or {})

    @contextmanager
    def query(self, text: str) -> Iterator[None]:
        name = self._names.get(text)
        with self.named(name or ("find" if text.startswith(queries.FIND) else OTHER)):
            yield

    @contextmanager
    def named(self, name: str) -> Iterator[None]:
        """One that failed is told too: it took its time."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            yield
        finally:
            self._observe(StatementTook(name, loop.time() - began))
