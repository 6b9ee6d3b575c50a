"""One attempt, from the spec to verified files: probe, FFmpeg, verification, checksums."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from ffrtmp.domain.job import Failure, FileRecord, Manifest
from ffrtmp.domain.messages import Progress
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.session import AttemptKey, Phase
from ffrtmp.domain.spec import JobSpec
from ffrtmp.ffmpeg.command import build_argv
from ffrtmp.ffmpeg.failure import TAIL_LINES, classify
from ffrtmp.ffmpeg.media import MediaInfo
from ffrtmp.ffmpeg.plan import Plan, plan
from ffrtmp.ffmpeg.progress import ProgressParser, Reading
from ffrtmp.ffmpeg.verify import judge_run, judge_source, verify
from ffrtmp.storage.staging import Hashing, make_durable
from ffrtmp.worker.failures import AttemptFailed, named
from ffrtmp.worker.hardware import Tools
from ffrtmp.worker.place import Place
from ffrtmp.worker.probe import ProbeRefused, probe
from ffrtmp.worker.process import Exit, run_guarded
from ffrtmp.worker.threads import in_thread

ReportFn = Callable[[Progress], None]
REPORT_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Encode:
    """`deadline`: on the event loop's clock; None: no limit."""

    key: AttemptKey
    spec: JobSpec
    place: Place
    tools: Tools
    report: ReportFn
    deadline: float | None

    async def run(self) -> Manifest:
        """Raises AttemptFailed."""
        with named():
            async with self._limited():
                self.report(Progress(key=self.key, phase=Phase.PROBE))
                planned = self._plan(await self._probe_source())
            await self._transcode(planned)
            async with self._limited():
                self.report(self._at_end(planned))
                await in_thread(self.place.check_input)
                await self._verify(planned)
                return Manifest(await self._records(), self.key.fence)

    def _limited(self) -> "_Limit":
        return _Limit(self.deadline, self._out_of_time())

    def _out_of_time(self) -> AttemptFailed:
        return AttemptFailed.because(
            Reason.TIMED_OUT,
            f"the job's time-out of {self.spec.timeout} is over; give it more, or ask for less",
        )

    async def _probe_source(self) -> MediaInfo | None:
        if self.place.source is None:
            return None
        name = f"input {self.spec.input.path}"
        [found] = await probe([self.place.source], [name])
        if problem := judge_source(found):
            raise AttemptFailed.because(Reason.INPUT_BAD, f"{name} is not whole: {problem}")
        return found

    def _plan(self, source: MediaInfo | None) -> Plan:
        try:
            return plan(self.spec, source, self.tools.encoders)
        except KeyError as error:
            raise AttemptFailed.because(
                Reason.CAPABILITY_MISMATCH, f"this worker has no encoder for {error.args[0]}"
            ) from error

    async def _transcode(self, planned: Plan) -> None:
        argv = build_argv(
            planned,
            ffmpeg=self.tools.ffmpeg,
            source=str(self.place.source) if self.place.source else None,
            targets=[str(path) for path in self.place.staged],
        )
        meter = _Meter(self.key, planned, self.report)
        end = await run_guarded(argv, feed=meter.feed, timeout=self._remaining())
        if end.timed_out:
            raise self._out_of_time()
        if failure := _judge(end, said_end=meter.said_end):
            if failure.reason not in {Reason.RESOURCE, Reason.RESOURCE_MEMORY}:
                await in_thread(self.place.check_input)  # a lost input explains it better
            raise AttemptFailed(failure)

    def _remaining(self) -> float | None:
        if self.deadline is None:
            return None
        return max(0.0, self.deadline - asyncio.get_running_loop().time())

    def _at_end(self, planned: Plan) -> Progress:
        length = timedelta(seconds=planned.duration)
        return Progress(key=self.key, phase=Phase.VERIFY, position=length, total=length)

    async def _verify(self, planned: Plan) -> None:
        names = [f"output {target}" for target in self.spec.targets]
        try:
            found = await probe(self.place.staged, names)
        except ProbeRefused as error:
            raise await self._unverified(str(error)) from error
        for output, media, name in zip(planned.outputs, found, names, strict=True):
            if problems := verify(output, media):
                listed = "; ".join(map(str, problems))
                raise await self._unverified(f"{name} is not what was planned: {listed}")

    async def _unverified(self, message: str) -> AttemptFailed:
        """A full disk is the likelier reason, where there is one: not every muxer says so."""
        await in_thread(self.place.check_room)
        return AttemptFailed.because(Reason.VERIFY_FAILED, message)

    async def _records(self) -> tuple[FileRecord, ...]:
        records = []
        for path, target in zip(self.place.staged, self.spec.targets, strict=True):
            await in_thread(make_durable, path, target)
            hashing = Hashing(path, target)
            try:
                while await in_thread(hashing.step):
                    pass
            finally:
                hashing.close()
            records.append(hashing.record)
        return tuple(records)


class _Limit:
    """asyncio.timeout_at that says what ran out."""

    def __init__(self, deadline: float | None, failure: AttemptFailed) -> None:
        self._timeout = asyncio.timeout_at(deadline)
        self._failure = failure

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, *details: object) -> None:
        try:
            await self._timeout.__aexit__(*details)  # type: ignore[arg-type]
        except TimeoutError:
            raise self._failure from None


class _Meter:
    """FFmpeg's progress, passed on at most once a second."""

    def __init__(self, key: AttemptKey, planned: Plan, report: ReportFn) -> None:
        self._key = key
        self._length = timedelta(seconds=planned.duration) if planned.duration else None
        self._report = report
        self._parser = ProgressParser()
        self._clock = asyncio.get_running_loop().time
        self._due = 0.0
        self.said_end = False

    def feed(self, chunk: bytes) -> None:
        for reading in self._parser.feed(chunk):
            self.said_end = reading.ended
            if reading.ended or self._clock() >= self._due:
                self._due = self._clock() + REPORT_SECONDS
                self._report(self._progress(reading))

    def _progress(self, reading: Reading) -> Progress:
        return Progress(
            key=self._key,
            phase=Phase.ENCODE,
            position=timedelta(seconds=reading.position),
            total=self._length,
            frames=reading.frames,
            frames_per_second=reading.frames_per_second,
            speed=reading.speed,
            size=reading.size,
        )


def _judge(end: Exit, *, said_end: bool) -> Failure | None:
    """V0."""
    if end.code != 0:
        return classify(end.code, end.stderr)
    problems = judge_run(end.stderr, said_end=said_end)
    if not problems:
        return None
    full = any("No space left" in str(problem) for problem in problems)
    return Failure(
        reason=Reason.RESOURCE if full else Reason.VERIFY_FAILED,
        message="; ".join(map(str, problems)),
        exit_code=end.code,
        log_tail=end.stderr[-TAIL_LINES:],
    )
