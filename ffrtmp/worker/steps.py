"""The steps that an encode and a live push share: probe, plan, the job's time, progress, V0."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from ffrtmp.domain.job import Failure
from ffrtmp.domain.messages import Progress
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.session import AttemptKey, Phase
from ffrtmp.domain.spec import JobSpec
from ffrtmp.ffmpeg.failure import classify, telling_lines
from ffrtmp.ffmpeg.media import MediaInfo
from ffrtmp.ffmpeg.plan import Plan, plan
from ffrtmp.ffmpeg.progress import ProgressParser, Reading
from ffrtmp.ffmpeg.verify import judge_reading, judge_run, judge_source
from ffrtmp.worker.failures import AttemptFailed
from ffrtmp.worker.hardware import Tools
from ffrtmp.worker.place import Place
from ffrtmp.worker.process import Exit
from ffrtmp.worker.tally import Tally

ReportFn = Callable[[Progress], None]
HearFn = Callable[[str], None]
"""Gets each line that FFmpeg writes, without secrets."""
REPORT_SECONDS = 1.0


async def plan_attempt(spec: JobSpec, place: Place, tools: Tools, tally: Tally) -> Plan:
    """Raises AttemptFailed, and what `failures.named` knows."""
    tally.source = source = await _probe_source(spec, place, tools)
    try:
        tally.plan = planned = plan(spec, source, tools.encoders)
    except KeyError as error:
        raise AttemptFailed.because(
            Reason.CAPABILITY_MISMATCH, f"this worker has no encoder for {error.args[0]}"
        ) from error
    return planned


async def _probe_source(spec: JobSpec, place: Place, tools: Tools) -> MediaInfo | None:
    if place.source is None:
        return None
    name = f"input {spec.input.path}"
    [found] = await tools.probe([place.source], [name])
    problem = judge_source(found)
    if problem is not None and not (spec.accept_truncated and found.duration):
        raise AttemptFailed.because(Reason.INPUT_BAD, f"{name} is not whole: {problem}")
    return found


class TimeLeft:
    """Of the job's own limit for one attempt. `deadline`: on the event loop's clock; None: none."""

    def __init__(self, spec: JobSpec, deadline: float | None) -> None:
        self._deadline = deadline
        self.failure = AttemptFailed.because(
            Reason.TIMED_OUT,
            f"the job's time-out of {spec.timeout} is over; give it more, or ask for less",
        )

    def limit(self) -> "Limit":
        return Limit(self._deadline, self.failure)

    def seconds(self) -> float | None:
        if self._deadline is None:
            return None
        return max(0.0, self._deadline - asyncio.get_running_loop().time())


class Limit:
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


class Meter:
    """FFmpeg's progress, passed on at most once a second."""

    def __init__(self, key: AttemptKey, planned: Plan, report: ReportFn) -> None:
        self._key = key
        self._length = timedelta(seconds=planned.duration) if planned.duration else None
        self._report = report
        self._parser = ProgressParser()
        self._clock = asyncio.get_running_loop().time
        self._due = 0.0
        self.said_end = False
        self.position = 0.0
        self.frames = 0

    def feed(self, chunk: bytes) -> None:
        for reading in self._parser.feed(chunk):
            self.said_end = reading.ended
            self.position = max(self.position, reading.position)
            self.frames = max(self.frames, reading.frames)
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


def judge_exit(end: Exit, *, said_end: bool, lenient: bool = False) -> Failure | None:
    """V0. `lenient`: the input may be damaged."""
    if end.code != 0:
        return classify(end.code, end.stderr)
    if not lenient and (lost := judge_reading(end.stderr)) is not None:
        message = f"the input is damaged: {lost}"
        tail = telling_lines(end.stderr)
        return Failure(reason=Reason.INPUT_BAD, message=message, exit_code=0, log_tail=tail)
    problems = judge_run(end.stderr, said_end=said_end)
    if not problems:
        return None
    full = any("No space left" in str(problem) for problem in problems)
    return Failure(
        reason=Reason.RESOURCE if full else Reason.VERIFY_FAILED,
        message="; ".join(map(str, problems)),
        exit_code=end.code,
        log_tail=telling_lines(end.stderr),
    )
