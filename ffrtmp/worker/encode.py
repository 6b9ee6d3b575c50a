"""One attempt, from the spec to verified files: probe, FFmpeg, verification, checksums."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from ffrtmp.domain.job import FileRecord, Manifest
from ffrtmp.domain.messages import Progress
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.session import AttemptKey, Phase
from ffrtmp.domain.spec import JobSpec, Verification
from ffrtmp.ffmpeg.command import build_argv, decode_argv
from ffrtmp.ffmpeg.estimate import output_bytes
from ffrtmp.ffmpeg.formats import reader
from ffrtmp.ffmpeg.media import MediaInfo
from ffrtmp.ffmpeg.plan import Plan
from ffrtmp.ffmpeg.verify import judge_decoding, verify
from ffrtmp.storage.handles import Proof
from ffrtmp.storage.space import Space
from ffrtmp.storage.staging import Hashing, make_durable
from ffrtmp.worker.compare import Comparing, asked, judge
from ffrtmp.worker.failures import AttemptFailed, named
from ffrtmp.worker.hardware import Tools
from ffrtmp.worker.place import Place
from ffrtmp.worker.probe import ProbeRefused
from ffrtmp.worker.process import Exit
from ffrtmp.worker.steps import HearFn, Meter, ReportFn, TimeLeft, judge_exit, plan_attempt
from ffrtmp.worker.tail import Tail
from ffrtmp.worker.tally import Tally
from ffrtmp.worker.threads import in_thread
from ffrtmp.worker.watchdog import Patience, run_watched


@dataclass(frozen=True, slots=True, kw_only=True)
class Encode:
    """`deadline`: on the event loop's clock; None: no limit."""

    key: AttemptKey
    spec: JobSpec
    place: Place
    tools: Tools
    report: ReportFn
    hear: HearFn
    deadline: float | None
    patience: Patience
    tally: Tally
    space: Space

    async def run(self) -> tuple[Manifest, tuple[Proof, ...]]:
        """What is staged, and proofs of the files as they were before they were hashed. Raises
        AttemptFailed."""
        try:
            return await self._run_all()
        except AttemptFailed as error:
            failure = error.failure
            shown = replace(
                failure,
                message=self.place.shown(failure.message),
                log_tail=tuple(map(self.place.shown, failure.log_tail)),
            )
            raise AttemptFailed(shown) from error.__cause__

    async def _run_all(self) -> tuple[Manifest, tuple[Proof, ...]]:
        time = TimeLeft(self.spec, self.deadline)
        with named():
            async with time.limit():
                with self.tally.phase(Phase.PROBE):
                    self.report(Progress(key=self.key, phase=Phase.PROBE))
                    planned = await plan_attempt(self.spec, self.place, self.tools, self.tally)
                    await in_thread(self._keep_room, planned)
            with self.tally.phase(Phase.ENCODE):
                await self._transcode(planned, time)
            async with time.limit():
                await self._check(planned, time)
                with self.tally.phase(Phase.VERIFY):
                    records, proofs = await self._records()
                    self.tally.files = records
                    await in_thread(self.place.check_staged)
            return Manifest(records, self.key.fence), proofs

    def _keep_room(self, planned: Plan) -> None:
        """Raises NoSpace."""
        source = self.tally.source
        paths = [entry.path for entry in self.place.reservations]
        sizes = [output_bytes(output, source) for output in planned.outputs]
        names = dict(zip(paths, map(str, self.spec.paths), strict=True))
        self.space.promise(self.key, dict(zip(paths, sizes, strict=True)), names)

    async def _check(self, planned: Plan, time: TimeLeft) -> None:
        with self.tally.phase(Phase.VERIFY):
            self.report(self._at_end(planned))
            await in_thread(self.place.check_input)
            self.tally.found = found = await self._verify(planned)
            await self._decode(planned, found, time)
        if asked(self.spec.outputs):
            with self.tally.phase(Phase.QUALITY):
                await self._compare(planned, found, time)
            with self.tally.phase(Phase.VERIFY):
                await in_thread(self.place.check_input)  # it was read once more

    async def _transcode(self, planned: Plan, time: TimeLeft) -> None:
        argv = build_argv(
            planned,
            ffmpeg=self.tools.ffmpeg,
            version=self.tools.version,
            source=self.place.source_name,
            targets=[str(path) for path in self.place.staged],
        )
        meter = Meter(self.key, planned, self.report)
        derived = planned.duration if self.spec.timeout is None else 0.0
        end = await self._run(argv, meter, time, length=derived)
        self.tally.reached(meter.position)
        if end.timed_out:
            raise time.failure
        if failure := judge_exit(end, said_end=meter.said_end, lenient=planned.lenient):
            if failure.reason not in {Reason.RESOURCE, Reason.RESOURCE_MEMORY}:
                await in_thread(self.place.check_input)  # a lost input explains it better
            raise AttemptFailed(failure)

    async def _run(
        self, argv: Sequence[str], meter: Meter, time: TimeLeft, length: float = 0.0
    ) -> Exit:
        end = await run_watched(
            argv,
            meter,
            timeout=time.seconds(),
            patience=self.patience,
            log=Tail(hear=self._hear),
            confines=self.tools.confines,
            length=length,
        )
        self.tally.ran(end)
        return end

    def _hear(self, line: str) -> None:
        self.hear(self.place.shown(line))

    def _at_end(self, planned: Plan) -> Progress:
        length = timedelta(seconds=planned.duration)
        return Progress(key=self.key, phase=Phase.VERIFY, position=length, total=length)

    async def _verify(self, planned: Plan) -> list[MediaInfo]:
        names = [f"output {target}" for target in self.spec.paths]
        try:
            found = await self.tools.probe(self.place.staged, names)
        except ProbeRefused as error:
            raise await self._unverified(str(error)) from error
        for output, media, name in zip(planned.outputs, found, names, strict=True):
            if problems := verify(output, media, lenient=planned.lenient):
                listed = "; ".join(map(str, problems))
                raise await self._unverified(f"{name} is not what was planned: {listed}")
        return found

    async def _decode(self, planned: Plan, found: Sequence[MediaInfo], time: TimeLeft) -> None:
        """V4: on request, and where errors were let pass."""
        if self.spec.verification is not Verification.FULL and not planned.lenient:
            return
        for path, media, target in zip(self.place.staged, found, self.spec.paths, strict=True):
            argv = decode_argv(self.tools.ffmpeg, str(path), reader(media.format_name))
            meter = Meter(self.key, planned, self._still_verifying)
            end = await self._run(argv, meter, time)
            if end.timed_out:
                raise time.failure
            if problem := judge_decoding(end.stderr, name=f"output {target}", code=end.code):
                raise await self._unverified(str(problem))

    async def _compare(self, planned: Plan, found: Sequence[MediaInfo], time: TimeLeft) -> None:
        """V6, on request."""
        comparing = Comparing(
            key=self.key,
            plan=planned,
            tools=self.tools,
            source=self.place.source_name,
            report=self.report,
            hear=self._hear,
            time=time,
            patience=self.patience,
            ran=self.tally.ran,
        )
        for number in asked(self.spec.outputs):
            output, path = self.spec.outputs[number], str(self.place.staged[number])
            compared = await comparing.score(number, output, found[number], path)
            self.tally.scores[number] = compared.score
            if failed := judge(compared, output):
                raise failed

    def _still_verifying(self, progress: Progress) -> None:
        self.report(replace(progress, phase=Phase.VERIFY))

    async def _unverified(self, message: str) -> AttemptFailed:
        """A full disk is the likelier reason, where there is one: not every muxer says so."""
        await in_thread(self.place.check_room)
        return AttemptFailed.because(Reason.VERIFY_FAILED, message)

    async def _records(self) -> tuple[tuple[FileRecord, ...], tuple[Proof, ...]]:
        """A proof is older than the hash: what is written meanwhile is seen when it is published,
        and hashed again."""
        records, proofs = [], []
        for entry, target in zip(self.place.reservations, self.spec.paths, strict=True):
            await in_thread(make_durable, entry, target)
            proofs.append(entry.file.proof)
            hashing = Hashing(entry.file.path, target)
            try:
                while await in_thread(hashing.step):
                    pass
            finally:
                hashing.close()
            records.append(hashing.record)
        return tuple(records), tuple(proofs)
