"""`ffrtmp overview`: the cluster at a glance, once; `ffrtmp top` is the view that lives."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from ffrtmp.cli.connect import with_client
from ffrtmp.cli.errors import Exit
from ffrtmp.cli.follow import as_object, print_object
from ffrtmp.cli.shown import show_count, show_size, show_span
from ffrtmp.cli.table import Table, tell
from ffrtmp.client import Client
from ffrtmp.config import ClientSettings
from ffrtmp.domain.labels import written
from ffrtmp.rpc.enums import JOB_STATES, QUEUES, WORKER_STATES
from ffrtmp.rpc.times import from_duration
from ffrtmp.v1 import admin_service_pb2 as pb


def overview(*, settings: ClientSettings) -> int:
    async def work(client: Client) -> int:
        seen, queues, store = await client.overview(), await client.queues(), await client.store()
        if settings.json:
            print_object(_as_object(seen, queues, store))
            return Exit.DONE
        for line in _lines(seen, store):
            tell(line)
        if queues:
            print()
            _print_queues(queues, seen.read_time.ToDatetime(tzinfo=UTC))
        return Exit.DONE

    return with_client(settings, work)


def _as_object(
    seen: pb.GetOverviewResponse, queues: Sequence[pb.QueueBacklog], store: pb.GetStoreResponse
) -> dict[str, object]:
    backlogs = [as_object(each) for each in queues]
    return as_object(seen) | {"backlogs": backlogs, "store": as_object(store)}


def _lines(seen: pb.GetOverviewResponse, store: pb.GetStoreResponse) -> Iterator[str]:
    now = seen.read_time.ToDatetime(tzinfo=UTC)
    for master in seen.masters:
        since = show_span(now - master.start_time.ToDatetime(tzinfo=UTC))
        state = f"since {since}, {show_count(master.workers, 'worker')}"
        if not master.serving:
            state = f"vanished {_ago(master.seen_time, now)} ago"
        yield f"master   {master.name} at {master.address}, {master.version}, {state}"
    states = ((each.workers, WORKER_STATES.shown(each.state)) for each in seen.workers)
    workers = ", ".join(f"{count} {state}" for count, state in states)
    yield f"workers  {workers or 'none'}"
    yield f"slots    {seen.slots - seen.free_slots} of {seen.slots} busy"
    jobs = ", ".join(f"{each.jobs} {JOB_STATES.shown(each.state)}" for each in seen.jobs)
    yield f"jobs     {jobs or 'none'}"
    if seen.HasField("oldest_eligible_time"):
        yield f"waits    the oldest for {_ago(seen.oldest_eligible_time, now)}"
    yield f"store    {_store(store)}"
    for problem in store.problems:
        yield f"PROBLEM  {problem}"


def _store(store: pb.GetStoreResponse) -> str:
    commit = "no commit"
    if store.HasField("commit_duration"):
        took = from_duration(store.commit_duration, "commit_duration").total_seconds()
        commit = f"a commit takes {took * 1000:.0f} ms"
    pools = ", ".join(
        f"{each.used} of {show_count(each.size, 'connection')} ({each.name}) in use, "
        f"{each.waiting} waiting"
        for each in store.pools
    )
    return f"{store.kind} at {store.location}, {show_size(store.size)}, {commit}; {pools}"


def _print_queues(queues: Sequence[pb.QueueBacklog], now: datetime) -> None:
    columns = ("queue", "queued", "retrying", "paused", "held", "oldest", "workers", "needs")
    table = Table(*columns, flexible={"needs"}, spare=("paused", "retrying"))
    for each in queues:
        counts = (each.queued, each.retrying, each.paused, each.held)
        waits = each.HasField("oldest_eligible_time")
        table.add(
            QUEUES.shown(each.queue),
            *map(str, counts),
            _ago(each.oldest_eligible_time, now) if waits else "",
            str(each.able_workers) if each.able_workers else "NONE",
            ", ".join((*each.codecs, *each.roots, *written(each.labels))),
        )
    table.print()


def _ago(stamp: Timestamp, now: datetime) -> str:
    return show_span(now - stamp.ToDatetime(tzinfo=UTC))
