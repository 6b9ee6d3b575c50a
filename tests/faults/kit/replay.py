"""A run of a fault test as evidence for the judge of chaos: clients and workers keep ledgers, the
API is asked in the end, and all of it is replayed against I1 to I16."""

import asyncio
import hashlib
import itertools
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ffrtmp.client import Unreachable
from ffrtmp.clock import boot_seconds
from ffrtmp.domain.errors import Unavailable
from ffrtmp.sim.chaos import checker, evidence
from ffrtmp.sim.chaos.clients import Asker
from ffrtmp.sim.chaos.evidence import Line, Notes
from ffrtmp.sim.chaos.plan import LIVE, REAL, SIMULATED, STREAMS, Submission
from ffrtmp.sim.chaos.run import ENDED, table
from tests.faults.kit.cluster import Cluster
from tests.faults.kit.waiting import until

PAUSE = 0.2
END_SECONDS = 120.0


class Replay:
    """Made by `recording`. Every job of the cluster must be asked for through it."""

    def __init__(self, cluster: Cluster, notes: Notes) -> None:
        self._cluster = cluster
        self._folder = cluster.folder / "evidence"
        self._stop = asyncio.Event()
        self._asker = Asker("c", cluster.client, notes, self._stop)
        self._began_at = boot_seconds()

    def said(self, did: str) -> list[Line]:
        """By the clients, in order."""
        return [each for each in evidence.read_clients(self._folder) if each["did"] == did]

    def ids(self, kind: str) -> list[str]:
        return [
            each["job_id"] for each in self.said("acknowledged") if each["key"].startswith(kind)
        ]

    async def ask_for(self, count: int, seconds: float) -> None:
        """Real encodes of that length; returns when they are acknowledged."""
        for number in range(count):
            await self._asker.carry_out(_submission(REAL, number, seconds))

    async def keep_asking(self, done: asyncio.Event) -> None:
        """Small simulated jobs and pushes, some asked for twice, watched or cancelled, until
        `done`; returns when every client has what it wants."""
        async with asyncio.TaskGroup() as tasks:
            for number in itertools.count():
                if done.is_set():
                    return
                kind = LIVE if number % 10 == 9 else SIMULATED
                tasks.create_task(self._asker.carry_out(_submission(kind, number, 0.5)))
                await asyncio.sleep(PAUSE)  # the load itself

    async def violations(self, members: Mapping[str, int]) -> list[str]:
        """`members`: the slots of each worker. Waits for the end of every job, and starts a master
        again, which must change nothing."""
        cluster, folder = self._cluster, self._folder
        await until(self._all_ended, END_SECONDS, "every job ended")
        evidence.write(folder / evidence.JOBS, await table(cluster.client))
        files = (path for path in cluster.media.iterdir() if not path.name.startswith("."))
        evidence.write(folder / evidence.FILES, map(_digest, files))
        for process in cluster.processes:
            if process not in [master.process for master in cluster.masters]:
                process.end()
        shutil.copy(cluster.folder / "fleet.jsonl", folder / "fleet-sim.jsonl")
        await cluster.restart_master()
        evidence.write(folder / evidence.AFTER_RESTART, await table(cluster.client))
        about = {
            "began_at": self._began_at,
            "ended_at": boot_seconds(),
            "members": {name: [name] for name in members},
            "slots": members,
        }
        (folder / evidence.RUN).write_text(json.dumps(about))
        return [str(each) for each in checker.check(evidence.read(folder))]

    async def _all_ended(self) -> bool:
        try:
            jobs = [job async for job in self._cluster.client.list()]
        except (Unreachable, Unavailable):
            return False
        return all(job.state in ENDED and not job.blocked_by for job in jobs)


@contextmanager
def recording(cluster: Cluster) -> Iterator[Replay]:
    folder = cluster.folder / "evidence"
    folder.mkdir()
    with Notes.open(folder / evidence.CLIENTS) as notes:
        yield Replay(cluster, notes)


def _submission(kind: str, number: int, seconds: float) -> Submission:
    key = f"{kind}-{number}"
    targets = {
        REAL: f"media:{key}.mkv",
        LIVE: STREAMS[number // 10 % len(STREAMS)],
        SIMULATED: f"sim:{key}.mkv",
    }
    return Submission(
        at=0.0,
        client="c",
        key=key,
        kind=kind,
        target=targets[kind],
        seconds=seconds,
        again=number % 10 == 2,
        watched=number % 10 == 4 and kind == SIMULATED,
        cancel_after=0.3 if number % 10 == 6 and kind == SIMULATED else None,
    )


def _digest(path) -> Line:
    return {
        "path": f"media:{path.name}",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
