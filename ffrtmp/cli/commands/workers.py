"""`ffrtmp workers`: its commands and their options."""

from typing import Annotated

from cyclopts import App, Parameter

from ffrtmp.config import ClientSettings

workers = App(name="workers", help="Look at the workers, drain them.", help_on_error=False)
WorkerName = Annotated[str, Parameter(name="WORKER")]


@workers.command(name="list")
def list_workers(*, settings: ClientSettings | None = None) -> int:
    """List every worker that ever connected. Needs an admin's identity."""
    from ffrtmp.cli import workers as work

    return work.list_workers(settings=settings or ClientSettings())


@workers.command
def get(name: WorkerName, /, settings: ClientSettings | None = None) -> int:
    """Show one worker: what it can do, what it runs, and which roots get no work there.

    Parameters
    ----------
    name
        The name in its certificate.
    """
    from ffrtmp.cli import workers as work

    return work.get(name, settings or ClientSettings())


@workers.command
def drain(name: WorkerName, /, settings: ClientSettings | None = None) -> int:
    """Give a worker no new work; what it runs goes on. Stays so across restarts.

    Parameters
    ----------
    name
        The name in its certificate.
    """
    from ffrtmp.cli import workers as work

    return work.drain(name, settings or ClientSettings())


@workers.command
def resume(name: WorkerName, /, settings: ClientSettings | None = None) -> int:
    """Give a worker work again: ends its drain and its quarantine.

    Parameters
    ----------
    name
        The name in its certificate.
    """
    from ffrtmp.cli import workers as work

    return work.resume(name, settings or ClientSettings())


@workers.command
def remove(name: WorkerName, /, settings: ClientSettings | None = None) -> int:
    """Forget a worker that is gone. One that is connected, or has a job, stays.

    Parameters
    ----------
    name
        The name in its certificate.
    """
    from ffrtmp.cli import workers as work

    return work.remove(name, settings or ClientSettings())


@workers.command
def release(name: WorkerName, /, settings: ClientSettings | None = None) -> int:
    """End a worker's quarantine and forget its losses; one that drains goes on draining.

    Parameters
    ----------
    name
        The name in its certificate.
    """
    from ffrtmp.cli import workers as work

    return work.release(name, settings or ClientSettings())
