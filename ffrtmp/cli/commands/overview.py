"""`ffrtmp overview`: its options."""

from ffrtmp.config import ClientSettings


def overview(*, settings: ClientSettings | None = None) -> int:
    """Show masters, workers, jobs, queues and the store, through any master. Needs an admin's
    identity."""
    from ffrtmp.cli import overview as work

    return work.overview(settings=settings or ClientSettings())
