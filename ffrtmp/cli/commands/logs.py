"""`ffrtmp jobs logs`: its options."""

from typing import Annotated

from cyclopts import Parameter

from ffrtmp.config import ClientSettings


def logs(
    job: Annotated[str, Parameter(name="JOB")],
    /,
    *,
    follow: Annotated[bool, Parameter(negative=())] = False,
    attempt: int = 0,
    after: str = "",
    settings: ClientSettings | None = None,
) -> int:
    """Show the last 200 lines that FFmpeg wrote in each attempt at a job.

    Lines go to standard output as FFmpeg wrote them; which attempt they are of, and what is missing
    between them, is said on standard error.

    Parameters
    ----------
    job
        The job's id.
    follow
        Go on with new lines, over all attempts, until the job has ended or Ctrl-C.
    attempt
        Only the attempt with this number, as `ffrtmp jobs get` counts them.
    after
        Go on behind this line, ATTEMPT/LINE, as Ctrl-C said it.
    """
    from ffrtmp.cli import logs as work

    return work.logs(
        job, follow=follow, attempt=attempt, after=after, settings=settings or ClientSettings()
    )
