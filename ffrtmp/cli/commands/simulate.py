"""`ffrtmp simulate`: its options."""

from ffrtmp.config import SimulateSettings


def simulate(settings: SimulateSettings | None = None) -> int:
    """Run simulated workers: real streams, leases and journals, encodes that only take time.

    With --jobs the master and the jobs too, to the end: then the report is printed, and the exit
    code is 0 when no job is lost, done twice or failed but as it was meant to.
    """
    from ffrtmp.cli import simulate as work

    return work.simulate(settings or SimulateSettings())
