"""`ffrtmp jobs pause`, `resume` and `priority`: their options."""

from typing import Annotated

from cyclopts import Parameter

from ffrtmp.cli.choice import Choice
from ffrtmp.config import ClientSettings
from ffrtmp.domain.spec import Priority

JobId = Annotated[str, Parameter(name="JOB")]


def pause(*ids: JobId, choice: Choice | None = None, settings: ClientSettings | None = None) -> int:
    """Pause jobs that wait: no worker gets them until they are resumed.

    A job that a worker has already goes on: cancel it, or let it end.

    Parameters
    ----------
    ids
        Ids of jobs.
    """
    from ffrtmp.cli import orders as work

    return work.pause(ids, choice=choice or Choice(), settings=settings or ClientSettings())


def resume(
    *ids: JobId, choice: Choice | None = None, settings: ClientSettings | None = None
) -> int:
    """Put paused jobs back into the queue, each to its old place.

    Parameters
    ----------
    ids
        Ids of jobs.
    """
    from ffrtmp.cli import orders as work

    return work.resume(ids, choice=choice or Choice(), settings=settings or ClientSettings())


def priority(
    level: Annotated[Priority, Parameter(name="PRIORITY")],
    /,
    *ids: JobId,
    choice: Choice | None = None,
    settings: ClientSettings | None = None,
) -> int:
    """Give jobs that wait another priority: high, normal or low.

    Their place in the queue is counted anew from when they were submitted.

    Parameters
    ----------
    level
        high is a head start of an hour over normal, low an hour behind it.
    ids
        Ids of jobs.
    """
    from ffrtmp.cli import orders as work

    return work.priority(
        level, ids, choice=choice or Choice(), settings=settings or ClientSettings()
    )
