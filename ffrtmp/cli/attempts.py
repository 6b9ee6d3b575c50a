"""Attempts at a job as people count them: 1 for the first that a worker took up.

On the wire an attempt is named by its fence, the number of its grant, which rises also with an
offer that comes back. `--json` has both.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Self

from ffrtmp.client import Client
from ffrtmp.domain.errors import JobNotFound
from ffrtmp.domain.job import Cause
from ffrtmp.rpc.enums import CAUSES
from ffrtmp.v1 import job_pb2

TAKEN_UP = frozenset(
    {
        Cause.ACCEPTED,
        Cause.ADOPTED,
        Cause.INHERITED,
        Cause.STAGED,
        Cause.PUBLISHED,
        Cause.FAILED,
        Cause.RETURNED,
    }
)
"""What tells that a worker runs, or ran, an attempt; an acceptance may be lost on its way."""


class Attempts:
    """The numbers of one job's attempts, by fence and back. `are_known`: the job's history is."""

    def __init__(self, numbers: Mapping[int, int], *, are_known: bool = True) -> None:
        self._numbers = numbers
        self._are_known = are_known

    @classmethod
    def of(cls, events: Iterable[job_pb2.JobEvent]) -> Self:
        numbers: dict[int, int] = {}
        for event in events:
            if CAUSES.from_wire(event.cause) in TAKEN_UP:
                numbers.setdefault(event.fence, len(numbers) + 1)
        return cls(numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, fence: int) -> int | None:
        """None for a grant that no worker is known to have taken up."""
        return self._numbers.get(fence)

    def fence(self, number: int) -> int | None:
        """None where there was none of that number."""
        return next((fence for fence, each in self._numbers.items() if each == number), None)

    def name(self, fence: int) -> str:
        """`attempt 2`, for people."""
        if not self._are_known:
            return f"fence {fence}"
        number = self.number(fence)
        return "an offer" if number is None else f"attempt {number}"


async def attempts_of(client: Client, job_ids: Collection[str]) -> dict[str, Attempts]:
    """Of each of the jobs; of one that is forgotten they are not known."""
    found = {}
    for job_id in dict.fromkeys(job_ids):
        try:
            found[job_id] = Attempts.of((await client.get(job_id)).events)
        except JobNotFound:
            found[job_id] = Attempts({}, are_known=False)
    return found
