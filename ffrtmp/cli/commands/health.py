"""`ffrtmp health`: its options."""

from typing import Annotated

from cyclopts import Parameter


def health(
    *, http: str = "127.0.0.1:7480", json: Annotated[bool, Parameter(negative=())] = False
) -> int:
    """Exit code 0 when a worker of this state folder runs, or a master here is ready.

    With --http on the command line only the master is asked.

    Parameters
    ----------
    http
        HOST:PORT of the master's HTTP port.
    json
        Print one object a line.
    """
    from ffrtmp.cli import health as work

    return work.health(http=http, json=json)
