"""Carries out attempts on this machine: encode, take over, publish, push, discard.

Knows files and FFmpeg; knows nothing of masters, sessions and the wire.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ffrtmp.domain.figures import Figures
from ffrtmp.domain.job import Manifest
from ffrtmp.domain.live import scheme_of
from ffrtmp.domain.session import AttemptKey
from ffrtmp.domain.spec import JobSpec
from ffrtmp.ffmpeg.estimate import output_bytes
from ffrtmp.ffmpeg.plan import NothingToEncode, plan
from ffrtmp.storage import publishing
from ffrtmp.storage.errors import StagedLost, TargetConflict
from ffrtmp.storage.handles import Proof, remove_folders
from ffrtmp.storage.roots import Roots
from ffrtmp.storage.space import Space
from ffrtmp.worker.encode import Encode
from ffrtmp.worker.failures import AttemptFailed, named
from ffrtmp.worker.hardware import Tools
from ffrtmp.worker.place import Place, prepare, remove_staged
from ffrtmp.worker.process import Deadline
from ffrtmp.worker.push import Push
from ffrtmp.worker.steps import HearFn, ReportFn
from ffrtmp.worker.tally import Tally
from ffrtmp.worker.threads import in_thread
from ffrtmp.worker.watchdog import USUAL, Patience

__all__ = ["AttemptFailed", "ReportFn", "Runner"]


UNKNOWN_BYTES = 64 << 20
"""Kept free for an output of a source that was not read yet."""


def _to_nobody(_line: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _Known:
    """Of an attempt that this process encoded: folders made for it, and what it staged."""

    made: tuple[Path, ...] = ()
    proofs: tuple[Proof, ...] = ()


class Runner:
    """All methods may run at once, for different attempts. `links`: a folder that is only ours.
    `raw_arguments`: whether jobs may have them here."""

    def __init__(
        self,
        *,
        roots: Roots,
        tools: Tools,
        patience: Patience = USUAL,
        links: Path | None = None,
        raw_arguments: bool = False,
    ) -> None:
        self._patience = patience
        self._roots = roots
        self._space = Space(roots.folders)
        self._tools = tools
        self._links = links
        self._raw_arguments = raw_arguments
        self._known: dict[AttemptKey, _Known] = {}
        self._tallies: dict[AttemptKey, Tally] = {}

    def measured(self, key: AttemptKey) -> Figures | None:
        """What the attempt was and cost, once it has ended. Can be asked once."""
        tally = self._tallies.pop(key, None)
        return tally.figures() if tally is not None else None

    def look(self) -> dict[str, int]:
        """Free bytes by root. Blocks on the disks: call it in a thread, now and then."""
        return self._space.look()

    def admit(self, key: AttemptKey, spec: JobSpec) -> str:
        """Keeps the disk free that the spec alone asks for; or says why it cannot now."""
        return self._space.book(key, early_needs(spec, self._tools.encoders))

    def forget(self, key: AttemptKey) -> None:
        """The attempt is over, whatever came of it."""
        self._space.release(key)
        self._tallies.pop(key, None)
        self._known.pop(key, None)

    def _tally(self, key: AttemptKey, spec: JobSpec) -> Tally:
        clock = asyncio.get_running_loop().time
        return self._tallies.setdefault(key, Tally(spec, self._tools.version, clock))

    def objection(self, spec: JobSpec) -> str:
        """Why this machine cannot do it at all; empty: it can. What the master's report does not
        tell: not every FFmpeg is built with SRT, not every worker allows raw arguments."""
        if not self._raw_arguments and any(output.raw_arguments for output in spec.outputs):
            return "raw arguments are off on this worker: start it with --allow-raw-arguments"
        for scheme in (scheme_of(output.url) for output in spec.outputs if output.url):
            if scheme not in self._tools.protocols:
                return f"the FFmpeg of this worker was built without {scheme}"
        for metric in (output.quality.metric for output in spec.outputs if output.quality):
            if metric not in self._tools.metrics:
                return f"the FFmpeg of this worker cannot measure {metric.upper()}"
        return ""

    async def encode(
        self, key: AttemptKey, spec: JobSpec, report: ReportFn, hear: HearFn = _to_nobody
    ) -> Manifest:
        """Probes, encodes, verifies, makes durable and hashes: the outputs are staged afterwards.

        Raises AttemptFailed. On that and on CancelledError, which is raised again, FFmpeg is gone
        and nothing staged is left.
        """
        deadline = _deadline(spec)
        try:
            async with self._prepared(key, spec) as place:
                self._known[key] = _Known(place.made)
                manifest, proofs = await Encode(
                    key=key,
                    spec=spec,
                    place=place,
                    tools=self._tools,
                    report=report,
                    hear=hear,
                    deadline=deadline,
                    patience=self._patience,
                    tally=self._tally(key, spec),
                    space=self._space,
                ).run()
                self._known[key] = _Known(place.made, proofs)
        except BaseException:
            await self.discard(key, spec)
            raise
        finally:
            self._space.release(key)
        return manifest

    async def push(
        self,
        key: AttemptKey,
        spec: JobSpec,
        report: ReportFn,
        lease: Deadline,
        hear: HearFn = _to_nobody,
    ) -> None:
        """Sends the source to the server of a live job, to its end.

        Raises AttemptFailed, also when `lease` ran out. On that and on CancelledError, which is
        raised again, FFmpeg is gone.
        """
        deadline = _deadline(spec)
        async with self._prepared(key, spec) as place:
            await Push(
                key=key,
                spec=spec,
                place=place,
                tools=self._tools,
                report=report,
                hear=hear,
                deadline=deadline,
                lease=lease,
                tally=self._tally(key, spec),
            ).run()

    @asynccontextmanager
    async def _prepared(self, key: AttemptKey, spec: JobSpec) -> AsyncIterator[Place]:
        """What the place holds is closed at the end, in a thread too."""
        held = ExitStack()
        try:
            with named():
                place = await in_thread(prepare, held, self._roots, key, spec, self._links)
            yield place
        finally:
            await in_thread(held.close)

    async def take_over(self, key: AttemptKey, spec: JobSpec, manifest: Manifest) -> Manifest:
        """Makes staged files of another attempt this one's, or finds them published.

        Returns the manifest as it is to be published by this attempt. Raises AttemptFailed when
        the bytes are nowhere; then nothing of them is left.
        """
        try:
            with named():
                await in_thread(self._take_over, key, spec, manifest)
        except AttemptFailed as error:
            if isinstance(error.__cause__, StagedLost):
                await self.discard(key, spec)
            raise
        return Manifest(manifest.files, key.fence)

    async def publish(self, key: AttemptKey, spec: JobSpec, manifest: Manifest) -> None:
        """Puts the staged files under their final names, and makes that durable.

        Idempotent: a target that has the manifest's bytes is done. Raises AttemptFailed; after
        TARGET_EXISTS nothing of the attempt is left.
        """
        try:
            with named():
                await in_thread(self._publish, key, spec, manifest)
        except AttemptFailed as error:
            if isinstance(error.__cause__, TargetConflict):
                await self.discard(key, spec)
            raise
        self._known.pop(key, None)

    async def discard(self, key: AttemptKey, spec: JobSpec) -> None:
        """Removes what the attempt staged, and the folders made for it. Never fails."""
        await in_thread(remove_staged, self._roots, key, spec)
        await in_thread(remove_folders, self._known.pop(key, _Known()).made)

    def _take_over(self, key: AttemptKey, spec: JobSpec, manifest: Manifest) -> None:
        with self._parcels(key, spec, manifest) as parcels:
            publishing.take_over(parcels, key)

    def _publish(self, key: AttemptKey, spec: JobSpec, manifest: Manifest) -> None:
        with self._parcels(key, spec, manifest) as parcels:
            publishing.publish(parcels, overwrite=spec.overwrite)

    @contextmanager
    def _parcels(
        self, key: AttemptKey, spec: JobSpec, manifest: Manifest
    ) -> Iterator[tuple[publishing.Delivery, ...]]:
        """Their folders are held meanwhile. Raises StagedLost when one is gone."""
        with ExitStack() as stack:
            targets = []
            for media in spec.paths:
                try:
                    folder = self._roots.open_folder(media, make=False).handle
                except FileNotFoundError as error:
                    raise StagedLost(media) from error
                stack.callback(folder.close)
                targets.append(folder.path / Path(media.path).name)
            proofs = self._known.get(key, _Known()).proofs
            yield publishing.deliveries(manifest, targets, key.job_id, proofs)


def early_needs(spec: JobSpec, encoders: Mapping[str, str]) -> dict[str, int]:
    """Bytes by root, before a source is touched: of one that is a file nothing is known yet."""
    if not spec.paths:
        return {}
    needs = dict.fromkeys((path.root for path in spec.paths), 0)
    if spec.input.test_source is None:
        planned = [UNKNOWN_BYTES] * len(spec.paths)
    else:
        try:
            planned = [output_bytes(each, None) for each in plan(spec, None, encoders).outputs]
        except (KeyError, NothingToEncode):  # the attempt will say it
            return {}
    for path, size in zip(spec.paths, planned, strict=True):
        needs[path.root] += size
    return needs


def _deadline(spec: JobSpec) -> float | None:
    """Of one attempt, on the event loop's clock."""
    if spec.timeout is None:
        return None
    return asyncio.get_running_loop().time() + spec.timeout.total_seconds()
