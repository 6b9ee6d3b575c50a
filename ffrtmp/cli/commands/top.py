"""`ffrtmp top`: its options."""

from ffrtmp.config import ClientSettings


def top(*, settings: ClientSettings | None = None) -> int:
    """Show workers, running jobs and what waits, renewed each second. q or Ctrl-C ends it.

    Without a terminal it prints the view once. The workers need an admin's identity.
    """
    from ffrtmp.cli import top as work

    return work.top(settings=settings or ClientSettings())
