"""Calls of clients into simulated masters: what gRPC would carry, without it. An answer may be lost
on its way, and a master may be gone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from random import Random
from typing import TypeVar

from ffrtmp.client import Unreachable
from ffrtmp.master.master import Master
from ffrtmp.master.packing import pack_job, pack_view, pack_watched
from ffrtmp.master.views import Submission
from ffrtmp.rpc.convert_page import submissions_from_pb
from ffrtmp.sim.schedules.masters import MasterHost
from ffrtmp.v1 import job_pb2
from ffrtmp.v1 import job_service_pb2 as pb

T = TypeVar("T")

CALL_SECONDS = 10.0
LOST = 0.05
"""The share of answers that are lost: the caller must ask again."""


class Caller:
    """Stands for `client.Client`, as far as `chaos.clients.Asker` uses it."""

    def __init__(self, name: str, hosts: Sequence[MasterHost], chance: Random) -> None:
        self._actor = f"client/{name}"
        self._hosts = hosts
        self._chance = chance

    async def submit(self, spec: job_pb2.JobSpec, *, key: str) -> job_pb2.Job:
        request = pb.SubmitJobRequest(spec=spec, idempotency_key=key)
        [parts] = submissions_from_pb([request])

        async def use(master: Master) -> job_pb2.Job:
            [record] = await master.submit([Submission(*parts)], actor=self._actor)
            return pack_job(record)

        return await self._call(use)

    async def get(self, job_id: str) -> pb.GetJobResponse:
        async def use(master: Master) -> pb.GetJobResponse:
            return pack_view(await master.get(job_id))

        return await self._call(use)

    async def cancel(self, job_id: str) -> job_pb2.Job:
        async def use(master: Master) -> job_pb2.Job:
            return pack_job(await master.cancel(job_id, actor=self._actor))

        return await self._call(use)

    async def watch(self, job_id: str, *, after: int) -> AsyncIterator[pb.WatchJobResponse]:
        news: asyncio.Queue[pb.WatchJobResponse | Exception | None] = asyncio.Queue()
        host = self._chance.choice(self._hosts)

        async def use(master: Master) -> None:
            async for watched in master.watch(job_id, after):
                news.put_nowait(pack_watched(watched))

        async def pump() -> None:
            try:
                await host.ask(use)
            except Exception as error:  # noqa: BLE001  # the reader's
                news.put_nowait(error)
            else:
                news.put_nowait(None)

        task = asyncio.get_running_loop().create_task(pump())
        try:
            while (item := await news.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            task.cancel()

    async def _call(self, use: Callable[[Master], Awaitable[T]]) -> T:
        await asyncio.sleep(self._chance.random() * 0.01)
        host = self._chance.choice(self._hosts)
        try:
            async with asyncio.timeout(CALL_SECONDS):
                answer = await host.ask(use)
        except TimeoutError:
            raise Unreachable(f"{host.name} is silent") from None
        await asyncio.sleep(self._chance.random() * 0.01)
        if self._chance.random() < LOST:
            raise Unreachable(f"the answer of {host.name} was lost")
        return answer
