"""A runner that takes time and makes nothing: as long as the job's source would last."""

import asyncio
import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from ffrtmp.clock import boot_seconds
from ffrtmp.domain.figures import Figures
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
FAILS = ".fails."
_LENGTH = re.compile(r"(\d+(?:\.\d+)?)s\.\w+$")


class SimRunner:
    """Implements `attempts.Runs`. `pace`: real seconds for a second of source; 0 takes no time.

    A source that is a file lasts as long as its name says (`sim:take-2.5s.mkv`), or a second. What
    has `.fails.` in its target's name fails as an FFmpeg does.
    """

    def __init__(
        self,
        worker: str,
        ledger: Ledger,
        *,
        pace: float,
        boot: Callable[[], float] = boot_seconds,
    ) -> None:
        self._worker = worker
        self._ledger = ledger
        self._pace = pace
        self._boot = boot

    def objection(self, spec: JobSpec) -> str:
        """None ever."""
        return ""

    def admit(self, key: AttemptKey, spec: JobSpec) -> str:
        """Nothing is written: there is room."""
        self._ledger.note(self._worker, "offered", key)
        return ""

    def forget(self, key: AttemptKey) -> None:
        """Nothing is kept."""

    def measured(self, key: AttemptKey) -> Figures | None:
        """Nothing was."""
        return None

    async def encode(
        self,
        key: AttemptKey,
        spec: JobSpec,
        report: Callable[[Progress], None],
        hear: Callable[[str], None],
    ) -> Manifest:
        """Reports progress as an encode would; of FFmpeg there is nothing to be heard."""
        with self._run(key):
            await self._spend(key, spec, report)
        if any(FAILS in str(target) for target in spec.targets):
            self._ledger.note(self._worker, "failed", key)
            raise AttemptFailed.because(Reason.FFMPEG_FAILED, "it was meant to fail")
        files = tuple(
            FileRecord(
                path=str(target),
                size=MIB,
                sha256=hashlib.sha256(f"{key.job_id}/{key.fence}/{target}".encode()).hexdigest(),
            )
            for target in spec.targets
        )
        self._ledger.note(self._worker, "staged", key, sha256=_digest(files))
        return Manifest(files, key.fence)

    @contextmanager
    def _run(self, key: AttemptKey) -> Iterator[None]:
        """From here to its end the attempt writes. Stopped in between, that is noted too."""
        self._ledger.note(self._worker, "began", key)
        try:
            yield
        except BaseException:
            self._ledger.note(self._worker, "stopped", key)
            raise

    async def _spend(
        self, key: AttemptKey, spec: JobSpec, report: Callable[[Progress], None]
    ) -> None:
        length = _length(spec)
        left = length.total_seconds() * self._pace
        while left > 0:
            done = length - timedelta(seconds=left / self._pace)
            report(Progress(key=key, phase=Phase.ENCODE, position=done, total=length))
            await asyncio.sleep(min(left, REPORT_SECONDS))
            left -= REPORT_SECONDS

    async def push(
        self,
        key: AttemptKey,
        spec: JobSpec,
        report: Callable[[Progress], None],
        lease: Deadline,
        hear: Callable[[str], None],
    ) -> None:
        """Ends with the lease, as its guard would end an FFmpeg."""
        try:
            with self._run(key):
                await self._send(key, spec, report, lease)
        except TimeoutError:
            self._ledger.note(self._worker, "fenced", key, until=lease.at)
            raise AttemptFailed.because(Reason.STOPPED, "the lease ran out") from None
        self._ledger.note(self._worker, "sent", key)

    async def _send(
        self, key: AttemptKey, spec: JobSpec, report: Callable[[Progress], None], lease: Deadline
    ) -> None:
        clock = asyncio.get_running_loop().time
        async with asyncio.timeout(None) as limit:

            def move(at: float) -> None:
                if not limit.expired():
                    limit.reschedule(clock() + at - self._boot())

            with lease.followed(move):
                await self._spend(key, spec, report)

    async def take_over(self, key: AttemptKey, spec: JobSpec, manifest: Manifest) -> Manifest:
        """Simulated files lie where everybody can reach them."""
        self._ledger.note(self._worker, "took over", key, sha256=_digest(manifest.files))
        return Manifest(manifest.files, key.fence)

    async def publish(self, key: AttemptKey, spec: JobSpec, manifest: Manifest) -> None:
        self._ledger.note(self._worker, "published", key, sha256=_digest(manifest.files))

    async def discard(self, key: AttemptKey, spec: JobSpec) -> None:
        self._ledger.note(self._worker, "discarded", key)


def _length(spec: JobSpec) -> timedelta:
    if spec.input.test_source is not None:
        return spec.input.test_source.duration
    said = _LENGTH.search(str(spec.input.path))
    return timedelta(seconds=float(said[1]) if said else 1.0)


def _digest(files: tuple[FileRecord, ...]) -> str:
    return " ".join(file.sha256 for file in files)
