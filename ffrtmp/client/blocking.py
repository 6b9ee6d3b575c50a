"""The same without asyncio: a thread runs the loop, each call waits for its answer.

It works where a loop runs already (a notebook) and from several threads at once.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from ffrtmp.client.aio import PATIENCE_SECONDS, Client
from ffrtmp.domain.job import JobState
from ffrtmp.domain.log import LogPlace
from ffrtmp.domain.promises import LATELY
from ffrtmp.domain.spec import JobSpec, Priority, Purpose
from ffrtmp.v1 import admin_service_pb2 as admin_pb
from ffrtmp.v1 import job_pb2
from ffrtmp.v1 import job_service_pb2 as pb

T = TypeVar("T")


class BlockingClient:
    """`Client` for programs without asyncio; arguments, answers and errors are the same.

    with ffrtmp.BlockingClient("master:7443", "certs/client-ann") as client:
        job = client.submit(ffrtmp.job("media:in.mov", "media:out.mp4"))
        done = client.result(job.job_id)
    """

    def __init__(
        self,
        address: str | Sequence[str],
        certs: str | Path,
        *,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._client = Client(address, certs, patience=patience)
        self._loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> Self:
        started = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._live(started)), name="ffrtmp-client", daemon=True
        )
        self._thread.start()
        started.wait()
        try:
            self._do(self._client.__aenter__())
        except BaseException:
            self._stop()
            raise
        return self

    async def _live(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._told = asyncio.Event()
        started.set()
        await self._told.wait()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._do(self._client.__aexit__(kind, error, traceback))
        finally:
            self._stop()

    def _stop(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._told.set)
        self._thread.join()
        self._loop = None

    def _do(self, call: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            call.close()
            raise RuntimeError("this client is not open: use it within `with`")
        future = asyncio.run_coroutine_threadsafe(call, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C ends the call too
            raise

    def _each(self, items: AsyncIterator[T]) -> Iterator[T]:
        """Fetched one by one, as they are asked for."""
        end = object()

        async def following() -> T | object:
            return await anext(items, end)

        while (item := self._do(following())) is not end:
            yield item  # type: ignore[misc]

    def submit(
        self,
        spec: JobSpec | job_pb2.JobSpec,
        *,
        key: str | None = None,
        purpose: Purpose = Purpose.PRODUCTION,
    ) -> job_pb2.Job:
        """As `Client.submit`."""
        return self._do(self._client.submit(spec, key=key, purpose=purpose))

    def submit_many(
        self,
        specs: Iterable[JobSpec | job_pb2.JobSpec],
        *,
        key: str | None = None,
        purpose: Purpose = Purpose.PRODUCTION,
    ) -> list[job_pb2.Job]:
        """As `Client.submit_many`."""
        return self._do(self._client.submit_many(specs, key=key, purpose=purpose))

    def retry(self, job_id: str) -> job_pb2.Job:
        """As `Client.retry`."""
        return self._do(self._client.retry(job_id))

    def get(self, job_id: str) -> pb.GetJobResponse:
        """As `Client.get`."""
        return self._do(self._client.get(job_id))

    def explain(self, job_id: str) -> pb.ExplainJobResponse:
        """As `Client.explain`."""
        return self._do(self._client.explain(job_id))

    def list(
        self,
        *,
        states: Sequence[JobState] = (),
        worker: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
    ) -> Iterator[job_pb2.Job]:
        """As `Client.list`."""
        found = self._client.list(
            states=states, worker=worker, since=since, until=until, limit=limit
        )
        return self._each(found)

    def watch(self, job_id: str, *, after: int = 0) -> Iterator[pb.WatchJobResponse]:
        """As `Client.watch`."""
        return self._each(self._client.watch(job_id, after=after))

    def wait(self, job_id: str) -> job_pb2.Job:
        """As `Client.wait`."""
        return self._do(self._client.wait(job_id))

    def result(self, job_id: str) -> job_pb2.Job:
        """As `Client.result`."""
        return self._do(self._client.result(job_id))

    def results(self, job_ids: Iterable[str]) -> Sequence[job_pb2.Job]:
        """As `Client.results`."""
        return self._do(self._client.results(job_ids))

    def cancel(self, job_id: str, *, force: bool = False) -> job_pb2.Job:
        """As `Client.cancel`."""
        return self._do(self._client.cancel(job_id, force=force))

    def pause(self, job_id: str) -> job_pb2.Job:
        """As `Client.pause`."""
        return self._do(self._client.pause(job_id))

    def resume(self, job_id: str) -> job_pb2.Job:
        """As `Client.resume`."""
        return self._do(self._client.resume(job_id))

    def reprioritise(self, job_id: str, priority: Priority) -> job_pb2.Job:
        """As `Client.reprioritise`."""
        return self._do(self._client.reprioritise(job_id, priority))

    def log(
        self, job_id: str, *, follow: bool = False, after: LogPlace | None = None
    ) -> Iterator[pb.ReadJobLogResponse]:
        """As `Client.log`."""
        return self._each(self._client.log(job_id, follow=follow, after=after))

    def workers(self) -> Iterator[admin_pb.Worker]:
        """As `Client.workers`."""
        return self._each(self._client.workers())

    def worker(self, name: str) -> admin_pb.Worker:
        """As `Client.worker`."""
        return self._do(self._client.worker(name))

    def drain_worker(self, name: str) -> admin_pb.Worker:
        """As `Client.drain_worker`."""
        return self._do(self._client.drain_worker(name))

    def remove_worker(self, name: str) -> None:
        """As `Client.remove_worker`."""
        self._do(self._client.remove_worker(name))

    def resume_worker(self, name: str) -> admin_pb.Worker:
        """As `Client.resume_worker`."""
        return self._do(self._client.resume_worker(name))

    def release_worker(self, name: str) -> admin_pb.Worker:
        """As `Client.release_worker`."""
        return self._do(self._client.release_worker(name))

    def overview(self) -> admin_pb.GetOverviewResponse:
        """As `Client.overview`."""
        return self._do(self._client.overview())

    def queues(self) -> Sequence[admin_pb.QueueBacklog]:
        """As `Client.queues`."""
        return self._do(self._client.queues())

    def sla(self, window: timedelta = LATELY) -> admin_pb.GetSlaResponse:
        """As `Client.sla`."""
        return self._do(self._client.sla(window))

    def store(self) -> admin_pb.GetStoreResponse:
        """As `Client.store`."""
        return self._do(self._client.store())

    def settings(self) -> Sequence[admin_pb.Setting]:
        """As `Client.settings`."""
        return self._do(self._client.settings())
