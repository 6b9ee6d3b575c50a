"""The Python client: submit, look, follow, cancel. Retries what a broken connection breaks.

    async with Client.open("master:7443", Path("certs/client-ann")) as client:
        job = await client.submit(spec)
        async for news in client.watch(job.job_id):
            ...

Answers are the messages of `ffrtmp.v1`; errors those of `ffrtmp.domain.errors`, and Unreachable.
"""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import grpc
import grpc.aio

from ffrtmp.clock import utc_now
from ffrtmp.domain.identity import Role
from ffrtmp.domain.job import TERMINAL_STATES, JobState
from ffrtmp.domain.spec import JobSpec
from ffrtmp.pki.identity import load_identity
from ffrtmp.rpc.channel import explain_rpc_error, is_distrust, open_channel
from ffrtmp.rpc.convert_spec import spec_to_pb
from ffrtmp.rpc.enums import JOB_STATES
from ffrtmp.rpc.status import error_from_rpc
from ffrtmp.v1 import admin_service_pb2 as admin_pb
from ffrtmp.v1 import job_pb2
from ffrtmp.v1 import job_service_pb2 as pb
from ffrtmp.v1.admin_service_pb2_grpc import AdminServiceStub
from ffrtmp.v1.job_service_pb2_grpc import JobServiceStub

T = TypeVar("T")

CALL_SECONDS = 10.0
PATIENCE_SECONDS = 10.0
BACKOFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
PAGE = 1000
ENDED = frozenset(JOB_STATES.to_wire(state) for state in TERMINAL_STATES)


class Unreachable(Exception):
    """No master answers, or it cannot be trusted. One sentence that says what to do."""


class Client:
    """Open it with `Client.open`. `patience`: seconds to try again while no master answers."""

    def __init__(self, channel: grpc.aio.Channel, address: str, patience: float) -> None:
        self._jobs = JobServiceStub(channel)
        self._admin = AdminServiceStub(channel)
        self._address = address
        self._patience = patience

    @classmethod
    @asynccontextmanager
    async def open(
        cls, address: str, certs: Path, *, patience: float = PATIENCE_SECONDS
    ) -> "AsyncIterator[Client]":
        """`certs`: a client's or admin's folder made by `ffrtmp certs issue`. Raises PkiError."""
        roles = frozenset({Role.CLIENT, Role.ADMIN})
        identity = await asyncio.to_thread(load_identity, certs, now=utc_now(), roles=roles)
        async with open_channel(address, identity) as channel:
            yield cls(channel, address, patience)

    async def submit(self, spec: JobSpec, *, key: str | None = None) -> job_pb2.Job:
        """Submits one job; sent twice with one `key`, it is one job. Raises InvalidSpec,
        TargetTaken, IdempotencyMismatch."""
        return await self.submit_message(spec_to_pb(spec), key=key)

    async def submit_message(self, spec: job_pb2.JobSpec, *, key: str | None = None) -> job_pb2.Job:
        """As `submit`, of a spec as it travels."""
        request = pb.SubmitJobRequest(spec=spec, idempotency_key=key or secrets.token_hex(16))
        return (await self._call(lambda: self._jobs.SubmitJob(request, timeout=CALL_SECONDS))).job

    async def submit_many(
        self, specs: Sequence[job_pb2.JobSpec], *, key: str | None = None
    ) -> list[job_pb2.Job]:
        """All or none. `key` names the batch; each job's key is made from it."""
        batch = key or secrets.token_hex(16)
        request = pb.SubmitJobsRequest(
            jobs=[
                pb.SubmitJobRequest(spec=spec, idempotency_key=f"{batch}-{number}")
                for number, spec in enumerate(specs)
            ]
        )
        response = await self._call(lambda: self._jobs.SubmitJobs(request, timeout=CALL_SECONDS))
        return list(response.jobs)

    async def get(self, job_id: str) -> pb.GetJobResponse:
        """The job with its history. Raises JobNotFound."""
        request = pb.GetJobRequest(job_id=job_id)
        return await self._call(lambda: self._jobs.GetJob(request, timeout=CALL_SECONDS))

    async def list(
        self, *, states: Sequence[JobState] = (), worker: str = "", limit: int | None = None
    ) -> AsyncIterator[job_pb2.Job]:
        """Newest first, at most `limit`."""
        token, left = "", limit
        while left is None or left > 0:
            request = pb.ListJobsRequest(
                states=[JOB_STATES.to_wire(state) for state in states],  # type: ignore[misc]
                worker=worker,
                page_size=PAGE if left is None else min(PAGE, left),
                page_token=token,
            )
            page = await self._call(lambda r=request: self._jobs.ListJobs(r, timeout=CALL_SECONDS))  # type: ignore[misc]
            for job in page.jobs:
                yield job
            token = page.next_page_token
            left = None if left is None else left - len(page.jobs)
            if not token:
                return

    async def watch(self, job_id: str, *, after: int = 0) -> AsyncIterator[pb.WatchJobResponse]:
        """Every event above `after`, and progress; ends with the job. A broken stream is resumed
        where it broke. Raises JobNotFound."""
        delays = iter(BACKOFF_SECONDS)
        while True:
            request = pb.WatchJobRequest(job_id=job_id, after_event_number=after)
            try:
                async for news in self._jobs.WatchJob(request):
                    if news.HasField("event"):
                        after = news.event.number
                    delays = iter(BACKOFF_SECONDS)
                    yield news
            except grpc.aio.AioRpcError as error:
                delay = next(delays, None)
                if not _is_passing(error) or delay is None:
                    raise self._meaning(error) from None
                await asyncio.sleep(delay * random.uniform(0.5, 1))  # noqa: S311
            else:
                return

    async def cancel(self, job_id: str) -> job_pb2.Job:
        """Raises JobNotFound, or IllegalTransition when it is too late."""
        request = pb.CancelJobRequest(job_id=job_id)
        return (await self._call(lambda: self._jobs.CancelJob(request, timeout=CALL_SECONDS))).job

    async def workers(self) -> AsyncIterator[admin_pb.Worker]:
        """By name. Needs an admin's identity, else raises NotAllowed."""
        token = ""
        while True:
            request = admin_pb.ListWorkersRequest(page_size=PAGE, page_token=token)
            page = await self._call(
                lambda r=request: self._admin.ListWorkers(r, timeout=CALL_SECONDS)  # type: ignore[misc]
            )
            for worker in page.workers:
                yield worker
            token = page.next_page_token
            if not token:
                return

    async def worker(self, name: str) -> admin_pb.Worker:
        """Raises WorkerNotFound, NotAllowed."""
        request = admin_pb.GetWorkerRequest(name=name)
        response = await self._call(lambda: self._admin.GetWorker(request, timeout=CALL_SECONDS))
        return response.worker

    async def drain_worker(self, name: str) -> admin_pb.Worker:
        """No new work for it, until `resume_worker`. Idempotent. Raises WorkerNotFound."""
        request = admin_pb.DrainWorkerRequest(name=name)
        response = await self._call(lambda: self._admin.DrainWorker(request, timeout=CALL_SECONDS))
        return response.worker

    async def resume_worker(self, name: str) -> admin_pb.Worker:
        """Ends drain and quarantine. Idempotent. Raises WorkerNotFound."""
        request = admin_pb.ResumeWorkerRequest(name=name)
        response = await self._call(lambda: self._admin.ResumeWorker(request, timeout=CALL_SECONDS))
        return response.worker

    async def _call(self, call: Callable[[], Awaitable[T]]) -> T:
        """Tries again while the master cannot be reached; every call here is idempotent."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._patience
        delays = iter(BACKOFF_SECONDS)
        while True:
            try:
                return await call()
            except grpc.aio.AioRpcError as error:
                delay = next(delays, BACKOFF_SECONDS[-1])
                if not _is_passing(error) or loop.time() + delay > give_up_at:
                    raise self._meaning(error) from None
            await asyncio.sleep(delay * random.uniform(0.5, 1))  # noqa: S311

    def _meaning(self, error: grpc.aio.AioRpcError) -> Exception:
        return error_from_rpc(error) or Unreachable(explain_rpc_error(error, self._address))


def _is_passing(error: grpc.aio.AioRpcError) -> bool:
    """Whether the same call may go through later."""
    if is_distrust(error):
        return False
    return error.code() is grpc.StatusCode.UNAVAILABLE
