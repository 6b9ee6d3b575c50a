"""`ffrtmp jobs`: get, explain, list, watch, cancel, retry; the rest in modules of its own."""

import sys
from collections.abc import AsyncIterator, Awaitable, Sequence
from datetime import timedelta

from ffrtmp.cli.attempts import Attempts
from ffrtmp.cli.choice import Choice
from ffrtmp.cli.connect import with_client
from ffrtmp.cli.deeds import Deed, start_of, to_each
from ffrtmp.cli.errors import Exit, UserError
from ffrtmp.cli.explain import show_explanation
from ffrtmp.cli.follow import event_line, follow, percent_of, print_json, shown_state, speed_of
from ffrtmp.cli.job_page import show_job
from ffrtmp.cli.job_table import show_jobs
from ffrtmp.cli.submit import say_submitted
from ffrtmp.cli.table import tell
from ffrtmp.client import Client, state_of
from ffrtmp.config import ClientSettings
from ffrtmp.domain.job import RETRIABLE_STATES, TERMINAL_STATES, TRANSITIONS, JobState
from ffrtmp.v1 import job_pb2


def get(job: str, settings: ClientSettings) -> int:
    async def work(client: Client) -> int:
        response = await client.get(job)
        if settings.json:
            print_json(response)
            return Exit.DONE
        attempts = Attempts.of(response.events)
        show_job(response.job, response.events, attempts)
        for event in response.events:
            tell(f"  {event_line(event, attempts)}")
        if response.HasField("progress") and (done := percent_of(response.progress)) is not None:
            tell(f"  {done:.0f} %  {speed_of(response.progress)}")
        return Exit.DONE

    return with_client(settings, work)


def explain(job: str, settings: ClientSettings) -> int:
    async def work(client: Client) -> int:
        found = await client.explain(job)
        if settings.json:
            print_json(found)
        else:
            show_explanation(job, found)
        return Exit.DONE

    return with_client(settings, work)


def list_jobs(
    ids: Sequence[str],
    *,
    state: tuple[JobState, ...],
    worker: str,
    since: timedelta | None,
    limit: int,
    settings: ClientSettings,
) -> int:
    if limit < 1:
        raise UserError(f"limit {limit}: at least 1")
    if ids and (state or worker or since):
        raise UserError("name jobs, or choose them by --state, --worker or --since: not both")
    start = start_of(since)

    async def work(client: Client) -> int:
        listed = client.list(states=state, worker=worker, since=start, limit=limit)
        await show_jobs(_named(client, ids) if ids else listed, as_json=settings.json)
        return Exit.DONE

    return with_client(settings, work)


async def _named(client: Client, ids: Sequence[str]) -> AsyncIterator[job_pb2.Job]:
    for job_id in ids:
        yield (await client.get(job_id)).job


def watch(job: str, *, after: int, settings: ClientSettings) -> int:
    if not 0 <= after <= LAST_EVENT:
        raise UserError(f"after {after}: the number of an event, 0 or more")

    def work(client: Client) -> Awaitable[int]:
        return follow(client, job, as_json=settings.json, after=after, detaches=True)

    return with_client(settings, work)


def cancel(ids: Sequence[str], *, force: bool, choice: Choice, settings: ClientSettings) -> int:

    async def act(client: Client, job_id: str) -> None:
        job = await client.cancel(job_id, force=force)
        if settings.json:
            print_json(job)
        else:
            print(f"job {job_id} is {shown_state(job)}", flush=True)

    return to_each(ids, choice, settings, Deed("cancel", "cancelled", CANCELLABLE, act))


def retry(ids: Sequence[str], *, choice: Choice, settings: ClientSettings) -> int:
    is_one = len(ids) == 1  # named by somebody, perhaps a script, that knows which

    async def act(client: Client, job_id: str) -> None:
        job = await client.retry(job_id)
        say_submitted(job, as_json=settings.json, instead_of="" if is_one else job_id)
        if state_of(job) in TERMINAL_STATES:
            verb = "was" if state_of(job) is JobState.CANCELLED else "has"
            say = f"it was retried before and {verb} {shown_state(job)}: see {job.job_id}"
            print(f"job {job_id}: {say}", file=sys.stderr)

    deed = Deed("retry", "retried", RETRIABLE_STATES, act, oldest_first=True)
    return to_each(ids, choice, settings, deed)


LAST_EVENT = 2**63 - 1
CANCELLABLE = frozenset(
    state for state, following in TRANSITIONS.items() if JobState.CANCELLED in following
)
