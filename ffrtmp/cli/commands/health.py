"""`ffrtmp health`: its options."""

from typing import Annotated

from cyclopts import Parameter


def health(
    *, http: str = "127.0.0.1:7480", json: Annotated[bool, Parameter(negative=())] = False
) -> int:
    """Exit code 0 when a worker of this state folder runs, or a master here is ready.

    Only this machine is looked at, whatever FFRTMP_MASTER says. With --http on the command line
    only the master is asked.

    Parameters
    ----------
    http
        HOST:PORT of the HTTP port of a master here, or of a running `ffrtmp up`, if it has another.
    json
        Print one object a line.
    """
    from ffrtmp.cli import health as work

    return work.health(http=http, json=json)
