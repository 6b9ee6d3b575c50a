"""`ffrtmp sla`: did the cluster keep its promises, whatever became of the jobs?"""

from collections.abc import Iterator
from datetime import timedelta

from ffrtmp.cli.connect import with_client
from ffrtmp.cli.errors import Exit, UserError
from ffrtmp.cli.follow import print_json
from ffrtmp.cli.shown import show_span
from ffrtmp.cli.table import Table, tell
from ffrtmp.client import Client
from ffrtmp.config import ClientSettings, show_duration
from ffrtmp.domain.promises import LONGEST
from ffrtmp.domain.sla import compliance
from ffrtmp.rpc.enums import PURPOSES, QUEUES
from ffrtmp.rpc.times import from_duration
from ffrtmp.v1 import admin_service_pb2 as pb


def sla(*, since: timedelta, settings: ClientSettings) -> int:
    if not timedelta(0) < since <= LONGEST:
        raise UserError(f"since {show_duration(since)}: more than 0s, at most {LONGEST.days}d")

    async def work(client: Client) -> int:
        found = await client.sla(since)
        if settings.json:
            print_json(found)
            return Exit.DONE
        for line in _promises(found):
            tell(line)
        if not found.accounts:
            tell(f"no job has ended within {show_span(since)}")
            return Exit.DONE
        print()
        _print_accounts(found)
        return Exit.DONE

    return with_client(settings, work)


def _promises(found: pb.GetSlaResponse) -> Iterator[str]:
    waits = [
        f"{show_span(from_duration(each.wait_duration, 'wait_duration'))} in "
        f"{QUEUES.shown(each.queue)}"
        for each in found.targets
    ]
    yield f"waits    at most {', '.join(waits)}"
    delay = from_duration(found.start_delay_duration, "start_delay_duration")
    yield f"starts   within {show_span(delay)} of the first offer, all offers together"
    yield "attempts none fails for want of a worker, disk, memory or storage"


def _print_accounts(found: pb.GetSlaResponse) -> None:
    columns = ("queue", "purpose", "kept", "missed", "wait", "start", "platform", "jobs", "ended")
    table = Table(*columns, flexible={"ended"}, spare=("start", "wait"))
    for each in found.accounts:
        part = compliance(each.met, each.missed)
        table.add(
            QUEUES.shown(each.queue),
            PURPOSES.shown(each.purpose),
            "-" if part is None else f"{100 * part:.2f} %",
            str(each.missed),
            str(each.missed_queue_wait),
            str(each.missed_start_delay),
            str(each.missed_platform_failure),
            str(each.jobs),
            _ended(each),
        )
    table.print()


def _ended(each: pb.SlaAccount) -> str:
    words = {"succeeded": each.succeeded, "failed": each.failed, "cancelled": each.cancelled}
    return ", ".join(f"{count} {word}" for word, count in words.items() if count)
