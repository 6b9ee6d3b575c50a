"""What FFmpeg writes about an attempt: its last lines, numbered from 1 within the attempt.

A number makes a line the same line wherever it is seen: what is sent twice counts once, a reader
goes on where it was, and what was lost on the way shows as a gap.
"""

from collections import deque
from dataclasses import dataclass

from ffrtmp.domain.session import AttemptKey

KEPT_LINES = 200
"""Of one attempt: the newest."""
LINE_BYTES = 2048
MOST_LINES = 1 << 53
"""No attempt writes as many."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Consecutive lines; `first` is the number of the first of them."""

    first: int = 1
    texts: tuple[str, ...] = ()

    @property
    def last(self) -> int:
        return self.first + len(self.texts) - 1

    @property
    def size(self) -> int:
        """In characters, about."""
        return sum(map(len, self.texts))

    def after(self, number: int) -> "Lines":
        """Those above `number`."""
        known = max(0, number + 1 - self.first)
        return Lines(self.first + known, self.texts[known:]) if known else self

    def followed_by(self, more: "Lines") -> "Lines":
        """The newest of both. Lines that are known already count once; behind a gap the older ones
        are given up."""
        if not more.texts or more.last <= self.last:
            return self
        if more.first > self.last + 1:
            return more.newest()
        return Lines(self.first, self.texts + more.after(self.last).texts).newest()

    def newest(self) -> "Lines":
        return self.after(self.last - KEPT_LINES)


@dataclass(frozen=True, slots=True)
class AttemptLog:
    """As much of an attempt's log as is kept, or a part of it."""

    key: AttemptKey
    worker: str
    lines: Lines


@dataclass(frozen=True, slots=True, order=True)
class LogPlace:
    """Up to where a reader has read. Before everything by default."""

    fence: int = 0
    line: int = 0


class LogRing:
    """Where lines are written: it never grows, however much there is."""

    def __init__(self) -> None:
        self._texts: deque[str] = deque(maxlen=KEPT_LINES)
        self._count = 0

    def write(self, text: str) -> None:
        self._texts.append(text)
        self._count += 1

    @property
    def last(self) -> int:
        """Number of the newest line; 0: none yet."""
        return self._count

    def after(self, number: int, most: int) -> Lines:
        """The lines above `number` that are still there, oldest first, about `most` characters of
        them."""
        found = Lines(self._count - len(self._texts) + 1, tuple(self._texts)).after(number)
        size = 0
        for index, text in enumerate(found.texts):
            size += len(text)
            if size > most:
                return Lines(found.first, found.texts[: max(1, index)])
        return found
