"""A runner that follows a script, and the file system that all simulated workers share.

Files are as `storage.publishing` leaves them: staged under the name of their attempt, renamed by
who takes them over, renamed once more to be published.
"""

import asyncio
from collections.abc import Callable
from random import Random

from ffrtmp.domain.job import FileRecord, Manifest
from ffrtmp.domain.messages import Progress
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.session import AttemptKey
from ffrtmp.domain.spec import JobSpec
from ffrtmp.sim.ledger import Ledger
from ffrtmp.sim.runner import SimRunner
from ffrtmp.sim.schedules.loop import require_alive
from ffrtmp.storage.errors import StagedLost
from ffrtmp.worker.failures import AttemptFailed
from ffrtmp.worker.process import Deadline

FAILURES = (
    Reason.FFMPEG_FAILED,
    Reason.INPUT_BAD,
    Reason.TRANSPORT,
    Reason.TRANSPORT,
    Reason.RESOURCE,
    Reason.RESOURCE_MEMORY,
    Reason.STALLED,
    Reason.VERIFY_FAILED,
)


class Memory(Ledger):
    """Lines in a list. What a killed process does is not in it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(None, clock=clock)
        self.lines: list[dict[str, str | float]] = []

    def _keep(self, line: dict[str, str | float]) -> None:
        require_alive()
        self.lines.append(line)


class Files:
    """By path: what is staged there, by attempt, and what is published."""

    def __init__(self) -> None:
        self.staged: dict[tuple[str, int], str] = {}
        self.published: dict[str, str] = {}
        self._taken_by: dict[str, int] = {}

    def stage(self, file: FileRecord, fence: int) -> None:
        self.staged[file.path, fence] = file.sha256
        self._taken_by[file.path] = fence

    def take_over(self, file: FileRecord, before: int, fence: int) -> bool:
        """Whether the bytes are this attempt's now, or lie under their final name."""
        if (sha256 := self.staged.pop((file.path, before), None)) is not None:
            self.staged[file.path, fence] = sha256
        found = self.staged.get((file.path, fence)) == file.sha256
        if found or self.published.get(file.path) == file.sha256:
            self._taken_by[file.path] = fence
            return True
        return False

    def publish(self, file: FileRecord, fence: int) -> str:
        """`published`, by this attempt; `found`: another had done it; empty: nothing is there."""
        if (sha256 := self.staged.pop((file.path, fence), None)) is not None:
            self.published[file.path] = sha256
            return "published"
        if self.published.get(file.path) != file.sha256:
            return ""
        return "published" if self._taken_by[file.path] == fence else "found"

    def discard(self, path: str, fence: int) -> None:
        self.staged.pop((path, fence), None)


class ScriptedRunner(SimRunner):
    """Implements `attempts.Runs`. `failing`: the share of attempts that fail. What an attempt comes
    to depends on its name and the seed alone."""

    def __init__(
        self, worker: str, ledger: Ledger, files: Files, *, seed: int, failing: float
    ) -> None:
        boot = asyncio.get_running_loop().time
        super().__init__(worker, ledger, pace=1.0, boot=boot)
        self._files = files
        self._seed = seed
        self._failing = failing

    def _chance(self, key: AttemptKey, what: str) -> Random:
        return Random(f"{self._seed} {what} {key.job_id}/{key.fence}")  # noqa: S311

    async def encode(
        self,
        key: AttemptKey,
        spec: JobSpec,
        report: Callable[[Progress], None],
        hear: Callable[[str], None],
    ) -> Manifest:
        """Raises AttemptFailed. On that and on CancelledError nothing staged is left."""
        try:
            manifest = await super().encode(key, spec, report, hear)
            for file in manifest.files:
                self._files.stage(file, key.fence)
            await self._touch_disk(key)
        except BaseException:
            await self.discard(key, spec)
            raise
        return manifest

    async def _spend(
        self, key: AttemptKey, spec: JobSpec, report: Callable[[Progress], None]
    ) -> None:
        chance = self._chance(key, "encode")
        fails = chance.random() < self._failing
        if fails and chance.random() < 0.5:  # noqa: PLR2004
            self._fail(chance)
        await super()._spend(key, spec, report)
        if fails:
            self._fail(chance)

    def _fail(self, chance: Random) -> None:
        raise AttemptFailed.because(chance.choice(FAILURES), "as the script says")

    async def push(
        self,
        key: AttemptKey,
        spec: JobSpec,
        report: Callable[[Progress], None],
        lease: Deadline,
        hear: Callable[[str], None],
    ) -> None:
        await self._touch_disk(key)
        await super().push(key, spec, report, lease, hear)

    async def take_over(self, key: AttemptKey, spec: JobSpec, manifest: Manifest) -> Manifest:
        await self._touch_disk(key)
        for file in manifest.files:
            if not self._files.take_over(file, manifest.fence, key.fence):
                raise _lost(file)
        taken = await super().take_over(key, spec, manifest)
        await self._touch_disk(key)
        return taken

    async def publish(self, key: AttemptKey, spec: JobSpec, manifest: Manifest) -> None:
        await self._touch_disk(key)
        for file in manifest.files:
            if not (did := self._files.publish(file, key.fence)):
                raise _lost(file)
            self._ledger.note(self._worker, did, key, sha256=file.sha256)
        await self._touch_disk(key)

    async def discard(self, key: AttemptKey, spec: JobSpec) -> None:
        await self._touch_disk(key)
        for path in spec.paths:
            self._files.discard(str(path), key.fence)
        await super().discard(key, spec)

    async def _touch_disk(self, key: AttemptKey) -> None:
        """A moment in which everything may happen."""
        await asyncio.sleep(self._chance(key, "disk").choice((0.0, 0.001, 0.02, 0.3)))
        require_alive()


def _lost(file: FileRecord) -> AttemptFailed:
    lost = AttemptFailed.because(Reason.TRANSPORT, "what was staged is gone")
    lost.__cause__ = StagedLost(file.path)
    return lost
