"""Fences that workers speak of and the store has never granted: a database that failed over to an
older copy has forgotten them. The next grant of such a job goes above, so that no two attempts of
it ever have one name.

The word of a worker moves nothing else: its attempt is stopped, the job's holder goes on.
"""

from ffrtmp.domain.job import Job

FURTHEST = 1000
"""More grants than that are not forgotten in a fail-over: it is a lie."""
MOST = 10_000


class Fences:
    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def note(self, job_id: str, *, said: int, stored: int) -> None:
        if stored < said <= stored + FURTHEST and len(self._known) < MOST:
            self._known[job_id] = max(said, self._known.get(job_id, 0))

    def above(self, job_id: str) -> int:
        """The next fence is higher than this."""
        return self._known.get(job_id, 0)

    def forget(self, _before: Job | None, after: Job) -> None:
        """A job moved; once it was granted above, what was said of it is history."""
        if self._known.get(after.job_id, after.granted + 1) <= after.granted:
            del self._known[after.job_id]
