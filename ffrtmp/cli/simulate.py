"""`ffrtmp simulate`: workers that encode nothing, for load tests and CI."""

import asyncio

from ffrtmp.config import SimulateSettings
from ffrtmp.telemetry import logs


def simulate(settings: SimulateSettings) -> int:
    """Run simulated workers: real streams, leases and journals, encodes that only take time."""
    from ffrtmp.sim.fleet import run_fleet  # noqa: PLC0415  # --help needs none of it

    logs.set_up(settings.log_format)
    return asyncio.run(run_fleet(settings))
