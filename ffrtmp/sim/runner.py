"""A runner that takes time and makes nothing: as long as the job's generated source lasts."""

import asyncio
import hashlib
from collections.abc import Callable
from datetime import timedelta

from ffrtmp.domain.job import FileRecord, Manifest
from ffrtmp.domain.messages import Progress
from ffrtmp.domain.session import AttemptKey, Phase
from ffrtmp.domain.spec import JobSpec
from ffrtmp.sim.ledger import Ledger

REPORT_SECONDS = 1.0
MIB = 1 << 20


class SimRunner:
    """Implements `attempts.Runs`. `pace`: real seconds for a second of source; 0 takes no time."""

    def __init__(self, worker: str, ledger: Ledger, *, pace: float) -> None:
        self._worker = worker
        self._ledger = ledger
        self._pace = pace

    async def encode(
        self, key: AttemptKey, spec: JobSpec, report: Callable[[Progress], None]
    ) -> Manifest:
        """Reports progress as an encode would."""
        self._ledger.note(self._worker, "began", key)
        source = spec.input.test_source
        length = source.duration if source is not None else timedelta(seconds=1)
        left = length.total_seconds() * self._pace
        while left > 0:
            done = length - timedelta(seconds=left / self._pace)
            report(Progress(key=key, phase=Phase.ENCODE, position=done, total=length))
            await asyncio.sleep(min(left, REPORT_SECONDS))
            left -= REPORT_SECONDS
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

    async def take_over(self, key: AttemptKey, spec: JobSpec, manifest: Manifest) -> Manifest:
        """Simulated files lie where everybody can reach them."""
        self._ledger.note(self._worker, "took over", key)
        return Manifest(manifest.files, key.fence)

    async def publish(self, key: AttemptKey, spec: JobSpec, manifest: Manifest) -> None:
        self._ledger.note(self._worker, "published", key)

    async def discard(self, key: AttemptKey, spec: JobSpec) -> None:
        self._ledger.note(self._worker, "discarded", key)
