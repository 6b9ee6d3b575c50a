"""Which jobs a command is about: named one by one, or chosen by what they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from ffrtmp.cli.errors import UserError
from ffrtmp.config import Duration
from ffrtmp.domain.job import JobState

WAYS = "--all, --state, --worker or --since"
Switch = Annotated[bool, Parameter(negative=())]


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Instead of naming jobs."""

    all: Switch = False
    """Every job that this can be done to."""
    state: Annotated[tuple[JobState, ...], Parameter(negative=())] = ()
    """Every job in this state; give it again for more."""
    worker: str = ""
    """Only jobs held, or held last, by this worker."""
    since: Annotated[Duration | None, Parameter(show_default=False)] = None
    """Only jobs submitted in this last time, for example 12h."""
    yes: Switch = False
    """Do not ask."""

    @property
    def is_made(self) -> bool:
        return self.all or bool(self.state or self.worker or self.since)

    def check(self, ids: Sequence[str], verb: str) -> None:
        """Raises UserError unless the jobs are either named or chosen."""
        if ids and self.is_made:
            raise UserError(f"name jobs, or choose them by {WAYS}: not both")
        if not ids and not self.is_made:
            raise UserError(f"which job? Name one, or {verb} by {WAYS}")
