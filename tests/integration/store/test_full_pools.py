"""Sixty workers and five thousand jobs on pools of five: everybody waits, nothing is lost."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from ffrtmp.clock import boot_seconds, utc_now
from ffrtmp.domain.errors import Unavailable
from ffrtmp.domain.job import TERMINAL_STATES, JobState
from ffrtmp.domain.messages import (
    Command,
    Heartbeat,
    Hello,
    Offer,
    OfferReply,
    Published,
    ResultAck,
    ResultOutcome,
    ResultStep,
    Staged,
)
from ffrtmp.domain.session import AttemptKey, AttemptReport, Phase
from ffrtmp.domain.timers import Timers
from ffrtmp.master.master import Master
from ffrtmp.master.sources import _pool_load
from ffrtmp.master.views import Submission
from ffrtmp.rpc.status import DETAILS_TRAILER, RETRY_AFTER_MS, status_of, trailers_of
from ffrtmp.store.base import Store
from ffrtmp.store.postgres import PostgresStore
from ffrtmp.store.records import JobFilter
from ffrtmp.telemetry.gauges import Fleet, Sources, StoreUse
from ffrtmp.telemetry.metrics import Metrics
from tests.integration.store.conftest import CAPABLE, manifest
from tests.integration.test_master_core import spec

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

WORKERS, JOBS, POOL, SLOTS, CLIENTS, READERS = 60, 5000, 5, 4, 250, 30
PATIENT = Timers(offer_ttl=timedelta(seconds=60), heartbeat_interval=timedelta(seconds=10))
NOBODY = Fleet(connected=0, silent=0, slots=0, slots_free=0, oldest_heartbeat_seconds=0.0)


class Worker:
    """A worker's end of its stream: takes every offer, and publishes at once."""

    def __init__(self, master: Master, name: str, ran: Counter[str]) -> None:
        self._master = master
        self._name = name
        self._ran = ran
        self._up: asyncio.Queue = asyncio.Queue()
        self._running: set[AttemptKey] = set()
        self._beats = itertools.count(1)
        self._seen = 0

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._beat())
            while True:
                await self._serve()
                await asyncio.sleep(0.2)  # and dials again

    async def _serve(self) -> None:
        self._up = asyncio.Queue()
        self._up.put_nowait(
            [Hello(incarnation="i", capabilities=CAPABLE, slots=SLOTS, attempts=self._reports())]
        )
        try:
            await self._master.serve(
                worker=self._name, address="here", events=self._events(), send=self._take
            )
        except* Unavailable:
            pass

    def _reports(self) -> tuple[AttemptReport, ...]:
        return tuple(AttemptReport(key=key, phase=Phase.ENCODE) for key in self._running)

    async def _events(self):
        while True:
            yield await self._up.get()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(2)  # on a slow machine the store may stand still for many of them
            beat = Heartbeat(
                number=next(self._beats),
                seen=self._seen,
                slots=SLOTS,
                attempts=self._reports(),
            )
            self._up.put_nowait([beat])

    async def _take(self, commands) -> None:
        self._seen = commands[-1].number
        if said := [event for each in commands for event in self._reply(each.command)]:
            self._up.put_nowait(said)

    def _reply(self, command: Command) -> list:
        match command:
            case Offer(key=key):
                self._ran[key.job_id] += 1
                self._running.add(key)
                return [OfferReply(key), Staged(key, manifest(key.fence))]
            case ResultAck(key=key, step=step, outcome=ResultOutcome.RETRY_LATER):
                staged = step is ResultStep.STAGED
                again = Staged(key, manifest(key.fence)) if staged else Published(key)
                asyncio.get_running_loop().call_later(1, self._up.put_nowait, [again])
            case ResultAck(
                key=key,
                step=ResultStep.STAGED,
                outcome=ResultOutcome.COMMITTED | ResultOutcome.ALREADY,
            ):
                return [Published(key)]
            case ResultAck(key=key):
                self._running.discard(key)
        return []


@asynccontextmanager
async def cluster(store: Store, ran: Counter[str]) -> AsyncIterator[Master]:
    ids = (f"{number:026d}" for number in itertools.count(1))
    master = Master(
        store,
        PATIENT,
        clocks=(utc_now, boot_seconds),
        chance=lambda: 0.5,
        new_id=lambda: next(ids),
        observe=lambda _: None,
    )
    async with asyncio.TaskGroup() as tasks:
        loops = [tasks.create_task(master.run())]
        loops += [
            tasks.create_task(Worker(master, f"w{number}", ran).run()) for number in range(WORKERS)
        ]
        yield master
        for loop in loops:
            loop.cancel()


def waiting_in(metrics: Metrics) -> Counter[str]:
    found: Counter[str] = Counter()
    for line in metrics.text().decode().splitlines():
        name, _, value = line.rpartition(" ")
        if name.startswith("ffrtmp_store_waiting"):
            found[name] = int(float(value))
    return found


async def patiently(call: Callable[[], Awaitable], seen: list[Unavailable]):
    """As clients do: the same again after the time they were told, spread a little."""
    while True:
        try:
            return await call()
        except Unavailable as error:
            seen.append(error)
            await asyncio.sleep(RETRY_AFTER_MS / 1000 * (0.5 + random.random()))


@pytest.mark.parametrize("store_address", ["postgres"], indirect=True)
@pytest.mark.requirement("G8")
async def test_five_thousand_jobs_on_pools_of_five_all_wait_and_none_is_lost(  # noqa: C901, PLR0915 - one story
    store_address, stranger, capsys
):
    ran: Counter[str] = Counter()
    refusals: list[Unavailable] = []
    most_waiting: Counter[str] = Counter()
    async with (
        PostgresStore.open(store_address, connections=POOL, api_connections=POOL) as store,
        cluster(store, ran) as master,
    ):
        metrics = Metrics(
            Sources(
                fleet=lambda: NOBODY,
                store=lambda: StoreUse(store.commits, [_pool_load(use) for use in store.pools()]),
            )
        )

        async def submit(number: int) -> str:
            submission = Submission(spec(f"{number}.mp4"), f"k{number}", "d")
            [record] = await patiently(
                lambda: master.submit([submission], actor="client/c"), refusals
            )
            return record.job.job_id

        async def look(job_ids: list[str]) -> None:
            """What a page that shows jobs does."""
            for job_id in itertools.cycle(job_ids):
                await patiently(lambda job_id=job_id: master.get(job_id), refusals)
                await asyncio.sleep(0.02)

        async def all_ended() -> None:
            wanted = JobFilter(states=frozenset(JobState) - TERMINAL_STATES)
            while await patiently(lambda: store.find(wanted, size=1, after=None), refusals):
                await asyncio.sleep(0.2)

        async def submit_some(numbers: range) -> list[str]:
            return [await submit(number) for number in numbers]

        async def disturb() -> str:
            """The database is busy with something else for a while, in the midst of it."""
            while ran.total() < JOBS // 5:
                await asyncio.sleep(0.01)
            late = Submission(spec("late.mp4"), "late", "d")
            async with stranger():
                with pytest.raises(Unavailable) as caught:
                    await master.submit([late], actor="client/c")
                refusals.append(caught.value)
            [record] = await patiently(lambda: master.submit([late], actor="client/c"), refusals)
            return record.job.job_id

        async def watch_metrics() -> None:
            while True:
                for name, value in waiting_in(metrics).items():
                    most_waiting[name] = max(most_waiting[name], value)
                await asyncio.sleep(0.05)

        while len(list(master.roster)) < WORKERS:
            await asyncio.sleep(0.01)
        began = boot_seconds()
        async with asyncio.timeout(300), asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(watch_metrics())
            disturbing = tasks.create_task(disturb())
            some = await asyncio.gather(
                *(submit_some(range(n, JOBS, CLIENTS)) for n in range(CLIENTS))
            )
            job_ids = [job_id for each in some for job_id in each]
            readers = [tasks.create_task(look(job_ids[n::READERS])) for n in range(READERS)]
            job_ids.append(await disturbing)
            await all_ended()
            for task in (watching, *readers):
                task.cancel()
        took = boot_seconds() - began

        assert len(set(job_ids)) == JOBS + 1
        done = JobFilter(states=frozenset({JobState.SUCCEEDED}))
        assert len(await store.find(done, size=2 * JOBS, after=None)) == JOBS + 1
        assert ran == dict.fromkeys(job_ids, 1)
        assert {name: value > 0 for name, value in most_waiting.items()} == {
            'ffrtmp_store_waiting{pool="hot"}': True,
            'ffrtmp_store_waiting{pool="api"}': True,
        }
        assert refusals
        for error in refusals:
            assert status_of(error) is StatusCode.UNAVAILABLE
            status = Status.FromString(dict(trailers_of(error))[DETAILS_TRAILER])
            assert status.details[0].Is(RetryInfo.DESCRIPTOR)
        async with asyncio.timeout(3 * 5):  # normal again
            await submit(JOBS)
            while waiting_in(metrics).total():
                await asyncio.sleep(0.01)
    with capsys.disabled():
        print(  # noqa: T201
            f"\n{JOBS} jobs in {took:.1f} s; most waiting {dict(most_waiting)};"
            f" refused with retry info {len(refusals)}"
        )
