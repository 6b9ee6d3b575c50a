"""`ffrtmp config`: its commands and their options."""

from typing import Annotated

from cyclopts import App, Parameter

from ffrtmp.config import ClientSettings

config = App(
    name="config", help="Settings, and files for this machine and monitoring.", help_on_error=False
)


@config.command(help="Show each option and its origin.")
def show(
    section: Annotated[str, Parameter(name="SECTION")] = "",
    /,
    *,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Show what each option would be here without flags, and where that comes from.

    Passwords are left out. `ffrtmp config running` asks a master for its own.

    Parameters
    ----------
    section
        master, worker, client, up or simulate. Default: all of them.
    json
        Print one object a line.
    """
    from ffrtmp.cli import settings as work

    return work.show(section, json=json)


@config.command(help="Show the options of a running master.")
def running(*, settings: ClientSettings | None = None) -> int:
    """Show every option of the running master, and where it came from. Needs an admin's
    identity."""
    from ffrtmp.cli import settings as work

    return work.running(settings=settings or ClientSettings())


@config.command
def recommend() -> None:
    """Print a configuration file for this hardware, to be looked at, completed and kept.

    Containers are taken at their limits, not at the size of the host.
    """
    from ffrtmp.cli import recommend as work

    work.recommend()


@config.command
def alerts() -> None:
    """Print alerting rules for Prometheus, which scrapes the masters as the job "ffrtmp"."""
    from ffrtmp.cli import recommend as work

    work.alerts()


@config.command
def dashboard() -> None:
    """Print a Grafana dashboard, to be imported."""
    from ffrtmp.cli import recommend as work

    work.dashboard()
