"""What is written down of one schedule, and its digest: two runs of a seed write the same."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterable
from itertools import chain
from typing import Any

from ffrtmp.domain.errors import DomainError
from ffrtmp.domain.facts import Fact
from ffrtmp.rpc.interceptors import opened
from ffrtmp.sim.chaos.evidence import Line, Notes


class MemoryNotes(Notes):
    """Lines in a list."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def note(self, at: float, did: str, **more: Any) -> None:
        self.lines.append({"at": round(at, 6), "did": did, **more})


class Record:
    """`injections`: what was done to processes, as the judge of chaos reads it. `unexpected`: what
    no fault explains."""

    def __init__(self) -> None:
        self.facts: list[str] = []
        self.injections = MemoryNotes()
        self.clients = MemoryNotes()
        self.unexpected: list[str] = []
        self.counts: Counter[str] = Counter()

    def inject(self, did: str, who: str, **more: Any) -> None:
        self.counts[did] += 1
        self.injections.note(_now(), did, who=who, **more)

    def observe(self, master: str, fact: Fact) -> None:
        self.counts[type(fact).__name__] += 1
        self.facts.append(f"{_now():.6f} {master} {type(fact).__name__}")

    def fail(self, who: str, error: BaseException) -> None:
        """A domain error is an answer; anything else is a bug."""
        cause = opened(error) if isinstance(error, Exception) else error
        if not isinstance(cause, DomainError):
            self.unexpected.append(f"process {who} failed: {cause!r}")

    def complain(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Of the event loop."""
        self.unexpected.append(f"process {context['message']}: {context.get('exception')!r}")

    def digest(self, *more: Iterable[object]) -> str:
        digest = hashlib.sha256()
        for line in chain(self.facts, self.injections.lines, self.clients.lines, *more):
            digest.update(f"{line}\n".encode())
        return digest.hexdigest()[:16]


def _now() -> float:
    return asyncio.get_running_loop().time()
