"""What simulated workers did, a line each, written by them alone: evidence beside the master's."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import msgspec

from ffrtmp.clock import boot_seconds
from ffrtmp.domain.session import AttemptKey


class Ledger:
    """Lines of JSON: `at` (seconds of CLOCK_BOOTTIME), `worker`, `did`, `job_id`, `fence`; with
    files also `sha256`, of all of them in order, and of an attempt whose lease ran out `until`, its
    deadline."""

    def __init__(self, file: TextIO | None, *, clock: Callable[[], float] = boot_seconds) -> None:
        self._file = file
        self._clock = clock

    @classmethod
    @contextmanager
    def open(cls, path: Path | None) -> "Iterator[Ledger]":
        """Appends to the file; without one nothing is kept. Each line goes to the OS at once."""
        if path is None:
            yield cls(None)
            return
        with path.open("a", buffering=1) as file:
            yield cls(file)

    def note(self, worker: str, did: str, key: AttemptKey, **more: str | float) -> None:
        line = {
            "at": round(self._clock(), 6),
            "worker": worker,
            "did": did,
            "job_id": key.job_id,
            "fence": key.fence,
            **more,
        }
        self._keep(line)

    def _keep(self, line: dict[str, str | float]) -> None:
        if self._file is not None:
            self._file.write(msgspec.json.encode(line).decode() + "\n")
