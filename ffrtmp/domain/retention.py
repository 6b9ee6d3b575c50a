"""How long jobs are kept that have ended."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_FIRST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """`age`: after their end; `count`: so many, those that ended last. None: no bound."""

    age: timedelta | None = None
    count: int | None = None

    def ended_by(self, now: datetime, beyond_count: datetime | None) -> datetime | None:
        """Jobs that ended by then may go; None: none may. `beyond_count`: when the newest job ended
        of those that are more than `count`."""
        ends = [beyond_count] if beyond_count is not None else []
        if self.age is not None and now - _FIRST > self.age:
            ends.append(now - self.age)
        return max(ends, default=None)
