"""`ffrtmp docs`: its commands."""

from cyclopts import App

docs = App(name="docs", help="Print tables of the documentation.", help_on_error=False)


@docs.command
def retries() -> int:
    """Print what follows when an attempt ends badly. The first reason that fits decides."""
    from ffrtmp.cli import docs as work

    return work.retries()


@docs.command
def config() -> int:
    """Print every option of every process, with its flag, its variable and its default."""
    from ffrtmp.cli import docs as work

    return work.config()


@docs.command
def errors() -> int:
    """Print what a call can fail with: gRPC code, error, when it comes, what to do."""
    from ffrtmp.cli import docs as work

    return work.errors()


@docs.command
def metrics() -> int:
    """Print every metric on a master's /metrics, with its type, its labels and what it means."""
    from ffrtmp.cli import docs as work

    return work.metrics()
