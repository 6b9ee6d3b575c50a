"""This worker's roots: tried when it starts, and again and again, since a folder may be mounted
late, or go away; what the master is told of them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from ffrtmp.domain.roots import RootReport
from ffrtmp.storage.roots import Roots
from ffrtmp.worker.journal import Journal
from ffrtmp.worker.threads import in_thread

_log = logging.getLogger("ffrtmp.worker")

FIRST_PAUSE = 2.0
LONGEST_PAUSE = 60.0

Tell = Callable[[tuple[RootReport, ...]], None]


@asynccontextmanager
async def registered(
    roots: Roots, name: str, incarnation: str, journal: Journal
) -> AsyncIterator[tuple[RootReport, ...]]:
    """Each root is tried, and nothing of that remains afterwards; but while results wait in the
    journal, the proofs say to other workers that what lies staged there is not theirs to sweep."""
    reports = await in_thread(roots.report, name, incarnation)
    for report in reports:
        if report.problem:
            _say(report.name, report.problem)
    try:
        yield reports
    finally:
        if not await in_thread(journal.entries):
            await in_thread(roots.withdraw)


async def keep_proving(roots: Roots, *, worker: str, nonce: str, tell: Tell) -> None:
    """Tries the roots again and again, less often the longer nothing changes; tells when one became
    good or bad. Runs until cancelled."""
    known, pause = _problems(roots.reports), FIRST_PAUSE
    while True:
        await asyncio.sleep(pause)
        reports = await in_thread(roots.report_again, worker, nonce)
        found = _problems(reports)
        if found == known:
            pause = min(2 * pause, LONGEST_PAUSE)
            continue
        for name in sorted(name for name in found if found[name] != known[name]):
            _say(name, found[name])
        await in_thread(roots.remove_older_proofs)
        tell(reports)
        known, pause = found, FIRST_PAUSE


def _problems(reports: Iterable[RootReport]) -> dict[str, str]:
    return {report.name: report.problem for report in reports}


def _say(name: str, problem: str) -> None:
    if problem:
        _log.warning("root %s gets no work: %s", name, problem)
    else:
        _log.info("root %s can be used now", name)
