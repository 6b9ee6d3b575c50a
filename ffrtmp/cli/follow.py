"""Follows a job to its end and shows it: a bar on a terminal, lines elsewhere, or JSON."""

import asyncio
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from typing import Protocol

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.progress import BarColumn, Progress, TextColumn

from ffrtmp.cli.attempts import Attempts
from ffrtmp.cli.errors import Exit
from ffrtmp.cli.result import NO_PICTURE, score_line, without_picture
from ffrtmp.cli.shown import show_line, show_size, show_time
from ffrtmp.cli.waits import Wait, waits_later
from ffrtmp.client import Client
from ffrtmp.clock import utc_now
from ffrtmp.domain.job import Cause, JobState
from ffrtmp.domain.session import Phase
from ffrtmp.rpc.enums import CAUSES, JOB_STATES, PHASES, REASONS
from ffrtmp.rpc.times import from_duration
from ffrtmp.v1 import job_pb2
from ffrtmp.v1.job_service_pb2 import WatchJobResponse

EXITS = {
    JobState.SUCCEEDED: Exit.DONE,
    JobState.FAILED: Exit.JOB_FAILED,
    JobState.CANCELLED: Exit.CANCELLED,
}
ENCODED = frozenset({JobState.PUBLISHING, JobState.SUCCEEDED})
LINE_EVERY_PERCENT = 10
WHOLE_FROM = 10
"""Frames a second; fewer are shown with a decimal, so that few are not none."""
ECHO = "^C"
BAR_FROM = 72
"""Columns of the terminal; below, there is no room for a bar beside the figures."""


async def follow(
    client: Client, job_id: str, *, as_json: bool, after: int = 0, detaches: bool = False
) -> int:
    """Returns the exit code that the job's end means.

    `detaches`: when this is cancelled the job goes on, and a line says how to see the rest.
    """
    job: job_pb2.Job | None = None
    wait = Wait(is_told=not as_json)
    try:
        with _display(as_json=as_json) as display:
            async with asyncio.TaskGroup() as tasks:
                telling = tasks.create_task(wait.tell(client, job_id))
                async for news in client.watch(job_id, after=after):
                    display.show(news)
                    wait.note(news)
                    after = news.event.number or after
                    if news.HasField("job"):
                        job = news.job
                telling.cancel()
    except asyncio.CancelledError:
        if detaches:
            print(f"the job goes on: ffrtmp jobs watch {job_id} --after {after}", file=sys.stderr)
        raise
    if job is None:  # it had ended before, and every event was seen
        job = (await client.get(job_id)).job
    if not as_json:
        _say_end(job)
    state = JOB_STATES.from_wire(job.state)
    return EXITS.get(state, Exit.JOB_FAILED) if state else Exit.JOB_FAILED


def print_json(message: Message) -> None:
    """One object a line: the protobuf JSON mapping, names as in the protos."""
    print_object(as_object(message))


def as_object(message: Message) -> dict[str, object]:
    """Names as in the protos."""
    found: dict[str, object] = MessageToDict(message, preserving_proto_field_name=True)
    return found


def print_object(fields: Mapping[str, object]) -> None:
    """One object a line."""
    print(json.dumps(fields, ensure_ascii=False), flush=True)


@dataclass(frozen=True, slots=True)
class _Margin:
    """Leaves room for what a terminal echoes of a Ctrl-C: it would break a full line in two, of
    which only one is wiped."""

    inside: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        narrower = options.update_width(max(1, options.max_width - len(ECHO)))
        yield from console.render(self.inside, narrower)


class _Narrow(Progress):
    def get_renderable(self) -> RenderableType:
        return _Margin(super().get_renderable())


class _Display(Protocol):
    def show(self, news: WatchJobResponse) -> None: ...


@contextmanager
def _display(*, as_json: bool) -> Iterator[_Display]:
    if as_json:
        yield _Json()
    elif sys.stderr.isatty():
        console = Console(stderr=True)
        bar = [BarColumn()] if console.width >= BAR_FROM else []
        with _Narrow(
            TextColumn("{task.description:9}"),
            *bar,
            TextColumn("{task.percentage:>5.1f} %"),
            TextColumn("{task.fields[detail]}"),
            console=console,
            transient=True,
        ) as progress:
            yield _Bar(progress, brief=not bar)
    else:
        yield _Lines()


class _Json:
    def show(self, news: WatchJobResponse) -> None:
        print_json(news)


class _Bar:
    def __init__(self, progress: Progress, *, brief: bool) -> None:
        self._brief = brief
        self._progress = progress
        self._task = progress.add_task("", total=100, detail="", visible=False)

    def show(self, news: WatchJobResponse) -> None:
        self._progress.update(self._task, visible=True)
        if news.HasField("event"):
            encoded = JOB_STATES.from_wire(news.event.state) in ENCODED
            self._progress.update(
                self._task,
                description=_state(news.event.state),
                completed=100 if encoded else 0,
                detail="",
            )
            return
        percent = percent_of(news.progress)
        self._progress.update(
            self._task,
            description=_phase(news.progress.phase),
            completed=percent if percent is not None else 0,
            detail=speed_of(news.progress, brief=self._brief),
        )


class _Lines:
    """A line an event, and one for each tenth of the way."""

    def __init__(self) -> None:
        self._shown = -1

    def show(self, news: WatchJobResponse) -> None:
        if news.HasField("event"):
            print(event_line(news.event), file=sys.stderr)
            self._shown = -1
            return
        percent = percent_of(news.progress)
        if percent is not None and percent // LINE_EVERY_PERCENT > self._shown:
            self._shown = int(percent // LINE_EVERY_PERCENT)
            line = f"{_phase(news.progress.phase)} {percent:.0f} %  {speed_of(news.progress)}"
            print(line.rstrip(), file=sys.stderr)


def event_line(event: job_pb2.JobEvent, attempts: Attempts | None = None) -> str:
    """One step of a job's life, for people. `attempts`: where all of that life is known."""
    moment = _time(event.event_time)
    where = f" on {event.worker}" if event.worker else ""
    cause = CAUSES.shown(event.cause)
    why = "".join(f", {part}" for part in _reasons(event))
    number = attempts.number(event.fence) if attempts and event.cause in STARTS else None
    which = f", attempt {number}" if number else ""
    detail = f": {event.detail}" if event.detail else ""
    return f"{moment} {_state(event.state)}{where} ({cause} by {event.actor}{which}{why}){detail}"


STARTS = frozenset(map(CAUSES.to_wire, (Cause.ACCEPTED, Cause.ADOPTED, Cause.INHERITED)))


def _reasons(event: job_pb2.JobEvent) -> Iterator[str]:
    """Why an attempt was given up, whether that counts, and when the job is tried again."""
    if reason := REASONS.from_wire(event.reason):
        yield reason.value
        yield f"{event.charged} charged"
    if event.HasField("eligible_time"):
        yield f"tried again from {_time(event.eligible_time)}"
    if event.blocked_by:
        yield f"waits until {event.blocked_by} has stopped"


def _time(stamp: Timestamp) -> str:
    return show_time(stamp.ToDatetime(tzinfo=UTC), utc_now())


def percent_of(progress: job_pb2.AttemptProgress) -> float | None:
    """None when the total is unknown."""
    total = from_duration(progress.total, "total").total_seconds()
    if total <= 0:
        return None
    done = from_duration(progress.position, "position").total_seconds()
    return min(100.0, 100 * done / total)


def speed_of(progress: job_pb2.AttemptProgress, *, brief: bool = False) -> str:
    """Where it is, frames a second where they are known, speed, and how long it will take; or
    only the last two."""
    if progress.speed <= 0:
        return ""
    position = from_duration(progress.position, "position").total_seconds()
    left = from_duration(progress.total, "total").total_seconds() - position
    eta = max(0.0, left / progress.speed)
    if brief:
        return f"{progress.speed:.2f}x  ETA {clock(eta)}"
    rate = progress.frames_per_second  # 0: FFmpeg does not know it yet
    frames = f"{rate:.{0 if rate >= WHOLE_FROM else 1}f} fps  " if rate > 0 else ""
    return f"at {clock(position)}  {frames}{progress.speed:.2f}x  ETA {clock(eta)}"


def clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def targets_of(job: job_pb2.Job) -> str:
    return ", ".join(output.path or output.url for output in job.spec.outputs)


def _say_end(job: job_pb2.Job) -> None:
    state = JOB_STATES.from_wire(job.state)
    if state is JobState.SUCCEEDED:
        for file in job.files:
            print(f"{file.path}  {show_size(file.size)}  sha256 {file.sha256[:16]}...")
        for output in job.result.outputs:
            if output.HasField("quality"):
                print(f"{output.path}  {score_line(output.quality)}")
        for path in without_picture(job):
            print(f"{path}  {NO_PICTURE}")
        if not job.files:
            print(f"all was sent to {targets_of(job)}")
        return
    if job.HasField("failure"):
        for line in job.failure.log_tail:
            print(f"  {show_line(line)}", file=sys.stderr)
        end = f"{_state(job.state)}: {job.failure.message}"
        print(f"ffrtmp: job {job.job_id} {end}", file=sys.stderr)
    else:
        print(f"ffrtmp: job {job.job_id} was {_state(job.state)}", file=sys.stderr)


def shown_state(job: job_pb2.Job) -> str:
    """Its state in a word; `retrying` where it waits for its next try."""
    return "retrying" if job.attempts and waits_later(job) else _state(job.state)


def _state(number: int) -> str:
    return JOB_STATES.shown(number)


def _phase(number: int) -> str:
    phase = PHASES.from_wire(number)
    return phase.value if phase else Phase.ENCODE.value
