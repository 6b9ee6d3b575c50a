"""`ffrtmp simulate`: workers that encode nothing, for load tests and CI."""

import asyncio

from ffrtmp.cli.errors import Exit, UserError
from ffrtmp.config import SimulateSettings
from ffrtmp.sim.fleet import run_fleet
from ffrtmp.telemetry import lines


def simulate(settings: SimulateSettings) -> int:
    lines.set_up(settings.log_format)
    return _hold_trial(settings) if settings.jobs else asyncio.run(run_fleet(settings))


def _hold_trial(settings: SimulateSettings) -> int:
    from ffrtmp.sim.trial import TrialFailed, run_trial  # noqa: PLC0415  # only with --jobs

    try:
        is_good, report = asyncio.run(run_trial(settings))
    except TrialFailed as error:
        raise UserError(str(error)) from None
    print("\n".join(report))
    return Exit.DONE if is_good else Exit.JOB_FAILED
