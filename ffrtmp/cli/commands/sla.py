"""`ffrtmp sla`: its options."""

from typing import Annotated

from cyclopts import Parameter

from ffrtmp.config import ClientSettings, Duration
from ffrtmp.domain.promises import LATELY


def sla(
    *,
    since: Annotated[Duration, Parameter(show_default=lambda _: "1d")] = LATELY,
    settings: ClientSettings | None = None,
) -> int:
    """Say to how many jobs the cluster kept its promises, by queue and purpose. Needs an admin's
    identity.

    Counted are long waits, slow starts and attempts that failed for no fault of the job's; a bad
    input is not, nor a cancel by itself: a wait that was too long by then is. What is promised are
    settings of the master: --sla-wait and others.

    Parameters
    ----------
    since
        Of jobs that ended in this last time, for example 12h or 30d.
    """
    from ffrtmp.cli import sla as work

    return work.sla(since=since, settings=settings or ClientSettings())
