"""`ffrtmp jobs pause`, `resume` and `priority`: what people may do to jobs that wait."""

from collections.abc import Awaitable, Callable, Sequence

from ffrtmp.cli.choice import Choice
from ffrtmp.cli.deeds import Deed, to_each
from ffrtmp.cli.follow import print_json, shown_state
from ffrtmp.client import Client
from ffrtmp.config import ClientSettings
from ffrtmp.domain.job import WAITING_STATES, JobState
from ffrtmp.domain.spec import Priority
from ffrtmp.rpc.enums import PRIORITIES
from ffrtmp.v1 import job_pb2

Call = Callable[[Client, str], Awaitable[job_pb2.Job]]
Tell = Callable[[job_pb2.Job], str]


def pause(ids: Sequence[str], *, choice: Choice, settings: ClientSettings) -> int:
    act = _act(lambda client, job_id: client.pause(job_id), _told_state, settings)
    deed = Deed("pause", "paused", frozenset({JobState.QUEUED}), act)
    return to_each(ids, choice, settings, deed)


def resume(ids: Sequence[str], *, choice: Choice, settings: ClientSettings) -> int:
    act = _act(lambda client, job_id: client.resume(job_id), _told_state, settings)
    deed = Deed("resume", "resumed", frozenset({JobState.PAUSED}), act, oldest_first=True)
    return to_each(ids, choice, settings, deed)


def priority(
    level: Priority, ids: Sequence[str], *, choice: Choice, settings: ClientSettings
) -> int:
    act = _act(lambda client, job_id: client.reprioritise(job_id, level), _told_place, settings)
    deed = Deed("reprioritise", "reprioritised", WAITING_STATES, act, oldest_first=True)
    return to_each(ids, choice, settings, deed)


def _act(
    call: Call, tell: Tell, settings: ClientSettings
) -> Callable[[Client, str], Awaitable[None]]:
    async def act(client: Client, job_id: str) -> None:
        job = await call(client, job_id)
        if settings.json:
            print_json(job)
        else:
            print(tell(job), flush=True)

    return act


def _told_state(job: job_pb2.Job) -> str:
    return f"job {job.job_id} is {shown_state(job)}"


def _told_place(job: job_pb2.Job) -> str:
    return f"job {job.job_id} has priority {PRIORITIES.shown(job.priority)}"
