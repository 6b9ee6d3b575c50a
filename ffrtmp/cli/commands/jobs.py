"""`ffrtmp jobs`: its commands and their options; some have modules of their own."""

from typing import Annotated

from cyclopts import App, Parameter

from ffrtmp.cli.choice import Choice
from ffrtmp.cli.commands.logs import logs
from ffrtmp.cli.commands.orders import pause, priority, resume
from ffrtmp.cli.commands.submit import submit
from ffrtmp.config import ClientSettings, Duration
from ffrtmp.domain.job import JobState

jobs = App(name="jobs", help="Submit, look at, follow and change jobs.", help_on_error=False)
for command in (submit, pause, resume, priority, logs):
    jobs.command(command)
JobId = Annotated[str, Parameter(name="JOB")]


@jobs.command
def get(job: JobId, /, settings: ClientSettings | None = None) -> int:
    """Show one job with its history.

    Parameters
    ----------
    job
        The job's id.
    """
    from ffrtmp.cli import jobs as work

    return work.get(job, settings or ClientSettings())


@jobs.command
def explain(job: JobId, /, settings: ClientSettings | None = None) -> int:
    """Say why a job waits: what it waits for, and why each worker does not get it.

    Parameters
    ----------
    job
        The job's id.
    """
    from ffrtmp.cli import jobs as work

    return work.explain(job, settings or ClientSettings())


@jobs.command(name="list")
def list_jobs(
    *ids: JobId,
    state: Annotated[tuple[JobState, ...], Parameter(negative=())] = (),
    worker: str = "",
    since: Annotated[Duration | None, Parameter(show_default=False)] = None,
    limit: int = 100,
    settings: ClientSettings | None = None,
) -> int:
    """List jobs, newest first; or those that are named, in that order.

    Parameters
    ----------
    ids
        Ids of jobs.
    state
        Only jobs in this state; give it again for more.
    worker
        Only jobs held, or held last, by this worker.
    since
        Only jobs submitted in this last time, for example 12h.
    limit
        At most this many.
    """
    from ffrtmp.cli import jobs as work

    return work.list_jobs(
        ids,
        state=state,
        worker=worker,
        since=since,
        limit=limit,
        settings=settings or ClientSettings(),
    )


@jobs.command
def watch(job: JobId, /, *, after: int = 0, settings: ClientSettings | None = None) -> int:
    """Follow a job to its end; the exit code says how it ended.

    Ctrl-C ends the watching, not the job, and says how to go on where it was.

    Parameters
    ----------
    job
        The job's id.
    after
        Number of the last event already seen.
    """
    from ffrtmp.cli import jobs as work

    return work.watch(job, after=after, settings=settings or ClientSettings())


@jobs.command
def cancel(
    *ids: JobId,
    force: Annotated[bool, Parameter(negative=())] = False,
    choice: Choice | None = None,
    settings: ClientSettings | None = None,
) -> int:
    """Cancel jobs; what they had made is thrown away.

    Parameters
    ----------
    ids
        Ids of jobs.
    force
        Also a job that was lost while it was published and waits for its worker: its outputs may be
        there already, and stay.
    """
    from ffrtmp.cli import jobs as work

    return work.cancel(
        ids, force=force, choice=choice or Choice(), settings=settings or ClientSettings()
    )


@jobs.command
def retry(*ids: JobId, choice: Choice | None = None, settings: ClientSettings | None = None) -> int:
    """Submit failed or cancelled jobs once more, as they were.

    Prints the new job's id where one job is named, else OLD -> NEW for each.
    A job is retried once: again it answers with the same new job, which can be retried in turn.

    Parameters
    ----------
    ids
        Ids of jobs that have failed or were cancelled.
    """
    from ffrtmp.cli import jobs as work

    return work.retry(ids, choice=choice or Choice(), settings=settings or ClientSettings())
