"""`ffrtmp simulate`: workers that encode nothing, for load tests and CI."""

import asyncio

from ffrtmp.cli.errors import Exit, UserError
from ffrtmp.config import SimulateSettings
from ffrtmp.telemetry import logs


def simulate(settings: SimulateSettings | None = None) -> int:
    """Run simulated workers: real streams, leases and journals, encodes that only take time.

    With --jobs the master and the jobs too, to the end: then the report is printed, and the exit
    code is 0 when no job is lost, done twice or failed but as it was meant to.
    """
    from ffrtmp.sim.fleet import run_fleet  # noqa: PLC0415  # --help needs none of it

    settings = settings or SimulateSettings()
    logs.set_up(settings.log_format)
    return _hold_trial(settings) if settings.jobs else asyncio.run(run_fleet(settings))


def _hold_trial(settings: SimulateSettings) -> int:
    from ffrtmp.sim.trial import TrialFailed, run_trial  # noqa: PLC0415

    try:
        is_good, report = asyncio.run(run_trial(settings))
    except TrialFailed as error:
        raise UserError(str(error)) from None
    print("\n".join(report))
    return Exit.DONE if is_good else Exit.JOB_FAILED
