"""Holds the pictures of an attempt against the source's, where the job asked for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from ffrtmp.domain.figures import QualityScore
from ffrtmp.domain.messages import Progress
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.session import AttemptKey, Phase
from ffrtmp.domain.spec import Output
from ffrtmp.ffmpeg.media import MediaInfo
from ffrtmp.ffmpeg.plan import Plan
from ffrtmp.ffmpeg.quality import (
    TICK_SECONDS,
    Compared,
    Comparison,
    compare_argv,
    comparison,
    read_scores,
)
from ffrtmp.worker.failures import AttemptFailed
from ffrtmp.worker.hardware import Tools
from ffrtmp.worker.process import Exit
from ffrtmp.worker.steps import HearFn, Meter, ReportFn, TimeLeft, judge_exit
from ffrtmp.worker.tail import Tail
from ffrtmp.worker.watchdog import Patience, run_watched


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparing:
    """`ran` hears of each FFmpeg's end; `hear` each line it writes, marked: to a reader of the log
    they would look like those of the encode."""

    key: AttemptKey
    plan: Plan
    tools: Tools
    source: str | None
    report: ReportFn
    hear: HearFn
    time: TimeLeft
    patience: Patience
    ran: Callable[[Exit], None]

    async def score(self, number: int, output: Output, found: MediaInfo, path: str) -> Compared:
        """Of one output. Raises AttemptFailed: it could not be measured."""
        video = self.plan.outputs[number].video
        assert output.quality is not None
        wanted = comparison(output.quality, video, found) if video is not None else None
        if wanted is None:
            what = f"output {output.name} has no picture to compare"
            raise AttemptFailed.because(Reason.INVALID_SPEC, f"{what}; leave its quality out")
        return await self._measure(wanted, found, path, f"output {output.name}")

    async def _measure(
        self, wanted: Comparison, found: MediaInfo, path: str, name: str
    ) -> Compared:
        argv = compare_argv(
            self.plan, wanted, found, ffmpeg=self.tools.ffmpeg, source=self.source, output=path
        )
        length = timedelta(seconds=wanted.frames * TICK_SECONDS)

        def report(progress: Progress) -> None:
            self.report(replace(progress, phase=Phase.QUALITY, total=length))

        meter = Meter(self.key, self.plan, report)
        end = await run_watched(
            argv,
            meter,
            timeout=self.time.seconds(),
            patience=self.patience,
            log=Tail(hear=lambda line: self.hear(f"quality of {name}: {line}")),
            confines=self.tools.confines,
        )
        self.ran(end)
        if end.timed_out:
            raise self.time.failure
        failure = judge_exit(end, said_end=meter.said_end, lenient=self.plan.lenient)
        if failure is not None:
            message = f"{name} could not be compared with the input: {failure.message}"
            raise AttemptFailed(replace(failure, message=message))
        compared = read_scores(end.stderr, wanted)
        if compared is None:
            what = f"{name} could not be compared with the input: FFmpeg named no score"
            raise AttemptFailed.because(Reason.FFMPEG_FAILED, what)
        return compared


def judge(compared: Compared, output: Output) -> AttemptFailed | None:
    """Off by a frame, or under the bar."""
    score = compared.score
    if compared.shift:
        when = "early" if compared.shift > 0 else "late"
        return AttemptFailed.because(
            Reason.VERIFY_FAILED,
            f"output {output.name} is misaligned: its picture is a frame too {when} "
            f"({compared.detail}); {shown(score)} says nothing then",
        )
    if score.least is not None and score.score < score.least:
        return AttemptFailed.because(
            Reason.QUALITY_FAILED,
            f"output {output.name} has {shown(score)}: at least {score.least:g} was asked for; "
            "lower its crf or raise its bitrate",
        )
    return None


def shown(score: QualityScore) -> str:
    return f"{score.metric.upper()} {score.score:.4g} on {score.frames} frames"


def asked(outputs: Sequence[Output]) -> list[int]:
    """The numbers of the outputs to compare."""
    return [number for number, output in enumerate(outputs) if output.quality is not None]
