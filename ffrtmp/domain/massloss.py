"""Whether so many workers are lost at once that the fault is not theirs: a switch, a power line.

What they held is then not charged, and comes back slowly: most of them return by themselves. All
spans follow from the lease: with 15 s, "at once" is within 5 s, a fleet is who renewed in the last
minute, and calm is 30 s without a further loss.
"""

from collections import deque
from datetime import timedelta

FEWEST = 3
SHARE = 0.3
RETURNS_A_SECOND = 5


class MassLoss:
    """Times are in seconds of the reader's CLOCK_BOOTTIME."""

    def __init__(self, lease_ttl: timedelta) -> None:
        ttl = lease_ttl.total_seconds()
        self.at_once = ttl / 3
        self.fleet_within = 4 * ttl
        self._calm = 2 * ttl
        self._lost: deque[tuple[float, int]] = deque()
        self._until = float("-inf")
        self._allowance = float(RETURNS_A_SECOND)
        self._allowed_at = float("-inf")

    def note(self, lost: int, *, failing: int, fleet: int, at: float) -> bool:
        """Takes how many sessions ran out just now; says whether that is a mass loss.

        `failing`: those that will run out within `at_once` unless they speak, so that the first of
        many is not charged. `fleet`: who renewed within `fleet_within`, the lost ones included.
        """
        while self._lost and at - self._lost[0][0] > self.at_once:
            self._lost.popleft()
        before = sum(count for _, count in self._lost)
        self._lost.append((at, lost))
        together = before + lost + failing
        if self.is_on(at) or (together >= FEWEST and together > SHARE * (fleet + before)):
            self._until = at + self._calm
        return self.is_on(at)

    def is_on(self, at: float) -> bool:
        return at < self._until

    def returns(self, at: float) -> int:
        """How many jobs may come back now; 0: wait. Call it once for each pass, and use it up."""
        waited = max(0.0, at - self._allowed_at)
        self._allowance = min(RETURNS_A_SECOND, self._allowance + RETURNS_A_SECOND * waited)
        self._allowed_at = at
        whole = int(self._allowance)
        self._allowance -= whole
        return whole
