"""What a worker does beside its attempts: it keeps its roots proved, and sweeps what crashed runs
left in them."""

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ffrtmp.clock import utc_now
from ffrtmp.domain.labels import Labels
from ffrtmp.storage.roots import Roots
from ffrtmp.storage.staging import sweep_orphans
from ffrtmp.worker.attempts import Attempts
from ffrtmp.worker.hardware import Tools, capabilities
from ffrtmp.worker.registration import keep_proving
from ffrtmp.worker.session import Session
from ffrtmp.worker.threads import in_thread

_log = logging.getLogger("ffrtmp.worker")


class LastRun:
    """The incarnation that a master welcomed last, in the state folder; the journal's lock says
    that its run has ended."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self) -> str:
        """Empty when there was none."""
        try:
            return self._file.read_text()
        except OSError:
            return ""

    def write(self, incarnation: str) -> None:
        try:
            self._file.write_text(incarnation)
        except OSError as error:  # no more than a slower return after the next crash
            _log.warning("cannot write %s: %s", self._file, error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """Of one run of the worker, `incarnation`."""

    name: str
    incarnation: str
    last: LastRun
    roots: Roots
    labels: Labels
    tools: Tools
    attempts: Attempts
    session: Session

    async def run(self) -> None:
        """Runs until cancelled."""
        await self.session.first_welcome()
        await in_thread(self.last.write, self.incarnation)
        await in_thread(self.roots.remove_older_proofs)
        proving = keep_proving(
            self.roots,
            worker=self.name,
            nonce=self.incarnation,
            tell=lambda found: self.session.report(capabilities(self.tools, found, self.labels)),
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(proving)
            tasks.create_task(_sweep(self.roots, self.attempts))


async def _sweep(roots: Roots, attempts: Attempts) -> None:
    """Removes what crashed runs staged, in roots that are this worker's alone: what another one has
    staged may wait for its master. Own attempts are cleaned up after by the journal; this is for
    those whose entry a power cut took. Whoever stops the worker waits for no walk."""
    wanted = True
    loop = asyncio.get_running_loop()
    walk = partial(
        sweep_orphans,
        roots.unshared,
        keep=attempts.keys,
        now=utc_now().timestamp(),
        goes_on=lambda: wanted,
    )
    try:
        for path in await asyncio.shield(loop.run_in_executor(None, walk)):
            _log.info("removed %s, which an earlier run had left", path)
    finally:
        wanted = False
