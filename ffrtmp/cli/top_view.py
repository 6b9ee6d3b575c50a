"""What `ffrtmp top` shows: asked of the master, and drawn as lines that fit a terminal."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rich.cells import set_cell_size
from rich.text import Text

from ffrtmp.cli.follow import as_object, clock, percent_of, targets_of
from ffrtmp.cli.shown import show_span, show_time
from ffrtmp.client import Client, state_of
from ffrtmp.domain.errors import JobNotFound, NotAllowed
from ffrtmp.domain.job import TERMINAL_STATES, JobState
from ffrtmp.groups import one_error
from ffrtmp.rpc.enums import JOB_STATES, PHASES, WORKER_STATES
from ffrtmp.rpc.times import from_duration
from ffrtmp.v1 import admin_service_pb2 as admin_pb
from ffrtmp.v1 import job_pb2

HELD = tuple(sorted({JobState.LEASED, JobState.RUNNING, JobState.PUBLISHING}))
MOST_HELD = 100
MOST_WAITING = 1000
ENDED_SHOWN = 5
NARROW = 72
WIDE = 100
ROW = 82  # of a running job, up to its output
CLOCK = 10
BAR = 6  # with it the longest row has 80 cells
_DONE = f"{'done':{BAR + 6}}  {'speed':>6}  ETA"
STYLES: Mapping[str, str] = {
    JobState.SUCCEEDED: "green",
    JobState.FAILED: "red",
    JobState.CANCELLED: "yellow",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """`workers` is None where this identity may not see them. Of those that wait and those that are
    paused at most MOST_WAITING."""

    workers: Sequence[admin_pb.Worker] | None
    held: Sequence[job_pb2.Job]
    progress: Mapping[str, job_pb2.AttemptProgress] = field(default_factory=dict)
    waiting: Sequence[job_pb2.Job] = ()
    paused: Sequence[job_pb2.Job] = ()
    ended: Sequence[job_pb2.Job] = ()


async def look(client: Client) -> View:
    """Raises Unreachable, Unavailable."""
    held = [job async for job in client.list(states=HELD, limit=MOST_HELD)]
    return View(
        workers=await _workers(client),
        held=sorted(held, key=lambda job: job.job_id),
        progress=await _progress(client, held),
        waiting=await _waiting(client, JobState.QUEUED),
        paused=await _waiting(client, JobState.PAUSED),
        ended=[job async for job in client.list(states=sorted(TERMINAL_STATES), limit=ENDED_SHOWN)],
    )


async def _waiting(client: Client, state: JobState) -> list[job_pb2.Job]:
    return [job async for job in client.list(states=[state], limit=MOST_WAITING)]


async def _workers(client: Client) -> list[admin_pb.Worker] | None:
    try:
        return [worker async for worker in client.workers()]
    except NotAllowed:
        return None


async def _progress(
    client: Client, jobs: Sequence[job_pb2.Job]
) -> dict[str, job_pb2.AttemptProgress]:
    found: dict[str, job_pb2.AttemptProgress] = {}

    async def one(job_id: str) -> None:
        try:
            response = await client.get(job_id)
        except JobNotFound:
            return
        if response.HasField("progress"):
            found[job_id] = response.progress

    with one_error(Exception):
        async with asyncio.TaskGroup() as tasks:
            for job in jobs:
                tasks.create_task(one(job.job_id))
    return found


def as_json(view: View) -> dict[str, object]:
    return {
        "workers": list(map(as_object, view.workers or ())),
        "held": list(map(as_object, view.held)),
        "progress": list(map(as_object, view.progress.values())),
        "waiting": len(view.waiting),
        "paused": len(view.paused),
        "ended": list(map(as_object, view.ended)),
    }


def draw(view: View, address: str, now: datetime, *, width: int, height: int | None) -> list[Text]:
    """Lines of at most `width` cells, at most `height` of them."""
    lines = [
        *_head(view, address, now, width),
        *_workers_block(view, now, width),
        *_held_block(view, width),
        *_ended_block(view, now, width),
    ]
    if height is not None and len(lines) > height:
        left = len(lines) - height + 1
        lines[height - 1 :] = [Text(f"... {left} lines more")]
    for line in lines:
        line.truncate(width)
    return lines


def _head(view: View, address: str, now: datetime, width: int) -> Iterator[Text]:
    jobs = f"{len(view.held)} running, {_count(view.waiting)} waiting"
    if view.paused:
        jobs += f", {_count(view.paused)} paused"
    workers = view.workers
    if workers is not None:
        slots = sum(worker.slots for worker in workers)
        free = sum(worker.free_slots for worker in workers)
        present = sum(worker.state != admin_pb.WORKER_STATE_GONE for worker in workers)
        many = "" if present == 1 else "s"
        jobs = f"{present} worker{many}, {slots - free}/{slots} slots busy, {jobs}"
    moment = show_time(now, now)
    left = f"ffrtmp {address}  {jobs}"
    if width < NARROW or len(left) > width - CLOCK:
        yield Text(f"{address}  {moment}", style="bold")
        yield from _wrapped(jobs, width)
        return
    yield Text(f"{set_cell_size(left, width - CLOCK)}  {moment}", style="bold")


def _count(jobs: Sequence[job_pb2.Job]) -> str:
    return f"{len(jobs)}{'+' if len(jobs) >= MOST_WAITING else ''}"


def _wrapped(text: str, width: int) -> Iterator[Text]:
    line = ""
    for part in text.split(", "):
        joined = f"{line}, {part}" if line else part
        if len(joined) > width:
            yield Text(line)
            joined = part
        line = joined
    yield Text(line)


def _workers_block(view: View, now: datetime, width: int) -> Iterator[Text]:
    yield Text()
    if view.workers is None:
        yield Text("workers are shown to an admin's identity only", style="dim")
        return
    names = max((len(worker.name) for worker in view.workers), default=0)
    size = min(max(names, 6), 20)
    yield Text(f"{'worker':{size}}  {'state':9}  {'busy':>5}  {'load':>7}  beat", style="dim")
    for worker in view.workers:
        state = WORKER_STATES.shown(worker.state)
        busy = f"{worker.slots - worker.free_slots}/{worker.slots}"
        load = f"{worker.load.cpu_load:.1f}/{worker.capabilities.cpu_count}"
        line = Text(f"{set_cell_size(worker.name, size)}  ")
        line.append(f"{state:9}", style="green" if state == "connected" else "yellow")
        line.append(f"  {busy:>5}  {load:>7}  {_beat(worker, now)}")
        if worker.refused_roots and width >= NARROW:
            line.append(f"  no work in {', '.join(root.name for root in worker.refused_roots)}")
        yield line


def _beat(worker: admin_pb.Worker, now: datetime) -> str:
    if not worker.HasField("heartbeat_time"):
        return ""
    return show_span(now - worker.heartbeat_time.ToDatetime(tzinfo=UTC))


def _held_block(view: View, width: int) -> Iterator[Text]:
    if not view.held:
        return
    yield Text()
    if width >= NARROW:
        head = f"{'job':26}  {'worker':8}  {'phase':8}  {_DONE}"
        yield Text(f"{head:{ROW}}output" if width >= WIDE else head, style="dim")
    for job in view.held:
        progress = view.progress.get(job.job_id)
        where = set_cell_size(job.worker, 8)
        if width >= NARROW:
            row = f"{job.job_id:26}  {where}  {_phase(job, progress):8}  {_done(progress)}"
            if width >= WIDE:
                row = set_cell_size(f"{set_cell_size(row, ROW)}{targets_of(job)}", width)
            yield Text(row.rstrip())
        else:
            yield Text(f"{job.job_id}  {where}")
            yield Text(f"  {_phase(job, progress):8}  {_done(progress, bar=False)}")


def _phase(job: job_pb2.Job, progress: job_pb2.AttemptProgress | None) -> str:
    state = state_of(job)
    phase = PHASES.from_wire(progress.phase) if progress is not None else None
    return phase.value if phase and state is JobState.RUNNING else JOB_STATES.shown(job.state)


def _done(progress: job_pb2.AttemptProgress | None, *, bar: bool = True) -> str:
    if progress is None or (percent := percent_of(progress)) is None:
        return ""
    filled = round(BAR * percent / 100)
    done = f"{'━' * filled}{'─' * (BAR - filled)} " if bar else ""
    done += f"{percent:3.0f} %"
    if progress.speed <= 0:
        return done
    total = from_duration(progress.total, "total")
    left = (total - from_duration(progress.position, "position")) / progress.speed
    return f"{done}  {progress.speed:5.1f}x  {clock(max(0.0, left.total_seconds()))}"


def _ended_block(view: View, now: datetime, width: int) -> Iterator[Text]:
    if not view.ended:
        return
    yield Text()
    yield Text("newest that have ended", style="dim")
    for job in view.ended:
        state = JOB_STATES.shown(job.state)
        line = Text(f"{job.job_id:26}  ")
        line.append(f"{state:9}", style=STYLES.get(state, ""))
        if width >= NARROW:
            moment = show_time(job.end_time.ToDatetime(tzinfo=UTC), now)
            outputs = targets_of(job)
            line.append(f"  {moment}  {outputs}")
        yield line
