"""What is done to many jobs, one after the other; chosen ones are confirmed first."""

import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ffrtmp.cli.choice import Choice
from ffrtmp.cli.connect import at
from ffrtmp.cli.errors import Exit, UserError, sentence_of
from ffrtmp.cli.target import require_target
from ffrtmp.client import Client, NotEnded, NothingToRetry, state_of
from ffrtmp.clock import utc_now
from ffrtmp.config import ClientSettings
from ffrtmp.domain.errors import DomainError
from ffrtmp.domain.job import JobState
from ffrtmp.v1 import job_pb2


def start_of(span: timedelta | None) -> datetime | None:
    """Of the last `span`. Raises UserError when that is before all time."""
    try:
        return None if span is None else utc_now() - span
    except OverflowError:
        raise UserError(f"since {span}: use a shorter time, such as 12h") from None


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that is done to jobs. `possible`: the states in which it can be. `oldest_first`:
    else those that wait go before those that run, so that none of them takes a freed slot."""

    verb: str
    done: str
    possible: frozenset[JobState]
    act: Callable[[Client, str], Awaitable[None]]
    oldest_first: bool = False


def to_each(ids: Sequence[str], choice: Choice, settings: ClientSettings, deed: Deed) -> int:
    """One that cannot be done does not keep the others from it; the exit code tells."""
    choice.check(ids, deed.verb)
    cluster = require_target(settings)
    if not ids:
        found: list[job_pb2.Job] = []

        async def look(client: Client) -> int:
            found.extend(await _find(choice, client, deed.possible, deed.done))
            return Exit.DONE

        at(cluster, look)
        if not _confirm(choice, found, deed.verb):
            raise UserError(f"nothing was {deed.done}")
        ids = sorted((job.job_id for job in found), reverse=not deed.oldest_first)

    async def work(client: Client) -> int:
        code = Exit.DONE
        for job_id in ids:
            try:
                await deed.act(client, job_id)
            except (DomainError, NotEnded, NothingToRetry) as error:
                said = sentence_of(error)
                which = "" if job_id in said else f"{job_id}: "
                print(f"ffrtmp: {which}{said}", file=sys.stderr, flush=True)
                code = Exit.USAGE
        if not ids:
            print(f"no job to be {deed.done}", file=sys.stderr)
        return code

    return at(cluster, work)


async def _find(
    choice: Choice, client: Client, possible: Collection[JobState], verb: str
) -> list[job_pb2.Job]:
    """Raises UserError for a state in which nothing can be done."""
    for state in choice.state:
        if state not in possible:
            those = ", ".join(sorted(possible))
            raise UserError(f"state {state}: such jobs cannot be {verb}; possible are {those}")
    states = choice.state or tuple(possible)
    found = client.list(states=states, worker=choice.worker, since=start_of(choice.since))
    return [job async for job in found]


def _confirm(choice: Choice, jobs: Sequence[job_pb2.Job], verb: str) -> bool:
    """Asks on a terminal. Raises UserError where nobody can be asked."""
    if choice.yes or not jobs:
        return True
    counts = Counter(str(state_of(job)) for job in jobs)
    listed = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    what = f"{verb} {len(jobs)} job{'s' if len(jobs) > 1 else ''} ({listed})"
    if not sys.stdin.isatty():
        raise UserError(f"this would {what}: give --yes if it is meant")
    print(f"{what}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
