"""`ffrtmp up`: its options."""

from ffrtmp.config import UpSettings


def up(settings: UpSettings | None = None) -> int:
    """Run a master and workers on this machine until Ctrl-C. Jobs survive until the next time."""
    from ffrtmp.cli import up as work

    return work.up(settings or UpSettings())
