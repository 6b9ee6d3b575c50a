"""How many jobs may be on their way into the store at once: what comes above that is refused as a
whole, before it costs memory or anybody's time."""

from collections.abc import Iterator
from contextlib import contextmanager

from ffrtmp.domain.errors import Overloaded

MOST_SUBMITTED = 10_000


class Gate:
    def __init__(self, most: int = MOST_SUBMITTED) -> None:
        self._most = most
        self._inside = 0

    @contextmanager
    def entered(self, jobs: int) -> Iterator[None]:
        """Raises Overloaded. A single call is taken whatever its size, when nobody is before it."""
        if self._inside and self._inside + jobs > self._most:
            raise Overloaded(self._inside + jobs - self._most, self._most)
        self._inside += jobs
        try:
            yield
        finally:
            self._inside -= jobs
