"""A cluster at rest: what it shows, and what must not be left in it."""

import asyncio
from collections.abc import Iterator, Mapping

from google.protobuf.json_format import MessageToDict

from ffrtmp.client import Unreachable
from ffrtmp.domain.errors import Unavailable
from ffrtmp.master.packing import pack_view
from ffrtmp.master.views import JobView
from ffrtmp.sim.chaos.evidence import Line
from ffrtmp.sim.schedules.database import Database
from ffrtmp.sim.schedules.masters import MasterHost
from ffrtmp.sim.schedules.workers import WorkerHost

TRIES = 100


async def table(host: MasterHost, database: Database) -> dict[str, Line]:
    """Every job with its events, as the API shows it."""
    found = {}
    for job_id in database.job_ids():
        view = await _insist(host, job_id)
        line: Line = MessageToDict(pack_view(view), preserving_proto_field_name=True)
        line.pop("progress", None)
        found[job_id] = line
    return found


async def _insist(host: MasterHost, job_id: str) -> JobView:
    """It may just be starting."""
    for _ in range(TRIES):
        try:
            return await host.ask(lambda master: master.get(job_id))
        except (Unreachable, Unavailable):
            await asyncio.sleep(0.1)
    raise Unreachable(f"{host.name} does not come back")


def leftovers(
    workers: Mapping[str, WorkerHost], masters: Mapping[str, MasterHost]
) -> Iterator[str]:
    """When every job has ended, nobody holds or lists an attempt, and no journal has one."""
    for name, worker in workers.items():
        if worker.attempts is not None and (held := worker.attempts.reports):
            yield f"rest {name} still holds {held}"
        elif worker.journalled:
            yield f"rest {name} still has a journal: {worker.journalled}"
    for name, host in masters.items():
        for presence in host.master.roster if host.master else ():
            connected = presence.outbox is not None
            if connected and (presence.held or presence.listed or presence.blocks):
                what = f"{[*presence.held]} {[*presence.listed]} {presence.blocks}"
                yield f"rest {name} thinks {presence.holder.worker} holds {what}"
