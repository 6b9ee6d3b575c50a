"""What an attempt is and costs, collected while it goes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from ffrtmp.domain.figures import Figures, OutputFigures, QualityScore
from ffrtmp.domain.job import FileRecord
from ffrtmp.domain.session import Phase
from ffrtmp.domain.spec import JobSpec
from ffrtmp.ffmpeg.command import build_argv
from ffrtmp.ffmpeg.media import MediaInfo, facts_of
from ffrtmp.ffmpeg.plan import OutputPlan, Plan
from ffrtmp.worker.process import Exit


class Tally:
    """`clock` in seconds."""

    def __init__(self, spec: JobSpec, ffmpeg_version: str, clock: Callable[[], float]) -> None:
        self._spec = spec
        self._version = ffmpeg_version
        self._clock = clock
        self._walls = dict.fromkeys(Phase, 0.0)
        self._cpu = 0.0
        self._peak = 0
        self._position = 0.0
        self.source: MediaInfo | None = None
        self.plan: Plan | None = None
        self.found: Sequence[MediaInfo] = ()
        self.files: Sequence[FileRecord] = ()
        self.scores: dict[int, QualityScore] = {}
        """By the output's number."""

    @contextmanager
    def phase(self, phase: Phase) -> Iterator[None]:
        began = self._clock()
        try:
            yield
        finally:
            self._walls[phase] += self._clock() - began

    def ran(self, end: Exit) -> None:
        """An FFmpeg of the attempt came to its end."""
        self._cpu += end.cpu_seconds
        self._peak = max(self._peak, end.max_rss)

    def reached(self, position: float) -> None:
        """So many seconds of the media were encoded."""
        self._position = position

    def figures(self) -> Figures:
        encoding = self._walls[Phase.ENCODE]
        return Figures(
            ffmpeg_version=self._version,
            argv=self._argv() if self.plan is not None else (),
            source=facts_of(self.source) if self.source is not None else None,
            outputs=tuple(self._outputs()),
            probing=timedelta(seconds=self._walls[Phase.PROBE]),
            encoding=timedelta(seconds=encoding),
            verifying=timedelta(seconds=self._walls[Phase.VERIFY]),
            comparing=timedelta(seconds=self._walls[Phase.QUALITY]),
            cpu=timedelta(seconds=self._cpu),
            peak_memory=self._peak,
            speed=self._position / encoding if encoding else 0.0,
        )

    def _argv(self) -> tuple[str, ...]:
        """As it was run, but for the names of files, and keys."""
        assert self.plan is not None
        source = str(self._spec.input.path) if self._spec.input.path is not None else None
        targets = [output.name for output in self._spec.outputs]
        told = build_argv(
            self.plan, ffmpeg="ffmpeg", version=self._version, source=source, targets=targets
        )
        return tuple(told)

    def _outputs(self) -> Iterator[OutputFigures]:
        if self.plan is None:
            return
        size = self.source.size if self.source is not None else 0
        planned = zip(self.plan.outputs, self.found, self._spec.outputs, strict=False)
        for number, (output, media, asked) in enumerate(planned):
            yield OutputFigures(
                path=asked.name,
                media=facts_of(media),
                sha256=self.files[number].sha256 if number < len(self.files) else "",
                **_encoders(output),
                ratio=media.size / size if size else 0.0,
                quality=self.scores.get(number),
            )


def _encoders(output: OutputPlan) -> dict[str, str]:
    video, audio = output.video, output.audio
    return {
        "video_encoder": video.encoder or "copy" if video is not None else "",
        "audio_encoder": audio.encoder or "copy" if audio is not None else "",
    }
