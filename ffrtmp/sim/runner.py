"""A runner that takes time and makes nothing: as long as the job's generated source lasts."""

import asyncio
import hashlib
from collections.abc import Callable
from datetime import timedelta

from ffrtmp.clock import boot_seconds
from ffrtmp.domain.job import FileRecord, Manifest
from ffrtmp.domain.messages import Progress
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.session import AttemptKey, Phase
from ffrtmp.domain.spec import JobSpec
from ffrtmp.sim.ledger import Ledger
from ffrtmp.worker.failures import AttemptFailed
from ffrtmp.worker.process import Deadline

REPORT_SECONDS = 1.0
MIB = 1 << 20


class SimRunner:
    """Implements `attempts.Runs`. `pace`: real seconds for a second of source; 0 takes no time."""

    def __init__(self, worker: str, ledger: Ledger, *, pace: float) -> None:
        self._worker = worker
        self._ledger = ledger
        self._pace = pace

    def objection(self, spec: JobSpec) -> str:
        """None ever."""
        return ""

    async def encode(
        self, key: AttemptKey, spec: JobSpec, report: Callable[[Progress], None]
    ) -> Manifest:
        """Reports progress as an encode would."""
        await self._spend(key, spec, report)
        self._ledger.note(self._worker, "staged", key)
        files = tuple(
            FileRecord(
                path=str(target),
                size=MIB,
                sha256=hashlib.sha256(f"{key.job_id}/{key.fence}/{target}".encode()).hexdigest(),
            )
            for target in spec.targets
        )
        return Manifest(files, key.fence)

    async def _spend(
        self, key: AttemptKey, spec: JobSpec, report: Callable[[Progress], None]
    ) -> None:
        self._ledger.note(self._worker, "began", key)
        source = spec.input.test_source
        length = source.duration if source is not None else timedelta(seconds=1)
        left = length.total_seconds() * self._pace
        while left > 0:
            done = length - timedelta(seconds=left / self._pace)
            report(Progress(key=key, phase=Phase.ENCODE, position=done, total=length))
            await asyncio.sleep(min(left, REPORT_SECONDS))
            left -= REPORT_SECONDS

    async def push(
        self, key: AttemptKey, spec: JobSpec, report: Callable[[Progress], None], lease: Deadline
    ) -> None:
        """Ends with the lease, as its guard would end an FFmpeg."""
        clock = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(None) as limit:

                def move(at: float) -> None:
                    if not limit.expired():
                        limit.reschedule(clock() + at - boot_seconds())

                with lease.followed(move):
                    await self._spend(key, spec, report)
        except TimeoutError:
            self._ledger.note(self._worker, "fenced", key)
            raise AttemptFailed.because(Reason.STOPPED, "the lease ran out") from None
        self._ledger.note(self._worker, "published", key)

    async def take_over(self, key: AttemptKey, spec: JobSpec, manifest: Manifest) -> Manifest:
        """Simulated files lie where everybody can reach them."""
        self._ledger.note(self._worker, "took over", key)
        return Manifest(manifest.files, key.fence)

    async def publish(self, key: AttemptKey, spec: JobSpec, manifest: Manifest) -> None:
        self._ledger.note(self._worker, "published", key)

    async def discard(self, key: AttemptKey, spec: JobSpec) -> None:
        self._ledger.note(self._worker, "discarded", key)
