"""The asyncio face: submit, look, follow, wait, cancel; a broken connection is tried again.

Answers are the messages of `ffrtmp.v1`; errors those of `ffrtmp.domain.errors` and of
`client.errors`.
"""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import grpc
import grpc.aio

from ffrtmp.client.errors import JobFailed, NotEnded, NothingToRetry, Unreachable
from ffrtmp.client.masters import Masters, Way
from ffrtmp.clock import utc_now
from ffrtmp.domain.addresses import split_addresses
from ffrtmp.domain.identity import Role
from ffrtmp.domain.job import RETRIABLE_STATES, TERMINAL_STATES, JobState
from ffrtmp.domain.log import LogPlace
from ffrtmp.domain.promises import LATELY
from ffrtmp.domain.spec import JobSpec, Priority, Purpose
from ffrtmp.groups import one_error
from ffrtmp.pki.live import LiveIdentity
from ffrtmp.rpc.convert_spec import spec_to_pb
from ffrtmp.rpc.enums import JOB_STATES, PRIORITIES, PURPOSES
from ffrtmp.rpc.status import error_from_rpc
from ffrtmp.rpc.times import to_duration, to_timestamp
from ffrtmp.v1 import admin_service_pb2 as admin_pb
from ffrtmp.v1 import job_pb2
from ffrtmp.v1 import job_service_pb2 as pb

if TYPE_CHECKING:  # they are in the stubs only
    from ffrtmp.v1.admin_service_pb2_grpc import AdminServiceAsyncStub
    from ffrtmp.v1.job_service_pb2_grpc import JobServiceAsyncStub

T = TypeVar("T")

CALL_SECONDS = 10.0
PATIENCE_SECONDS = 10.0
BACKOFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
PAGE = 1000
WATCHES = 64
ENDED = frozenset(JOB_STATES.to_wire(state) for state in TERMINAL_STATES)


class Client:
    """A cluster, as a client or an admin of it sees it.

        async with ffrtmp.Client("master:7443", "certs/client-ann") as client:
            job = await client.submit(ffrtmp.job("media:in.mov", "media:out.mp4"))
            done = await client.result(job.job_id)

    `address` names a master, or several: a sequence, or with commas between. Any of them serves;
    when one does not answer, the call, or a watch from where it was, moves on to the next.
    `certs` is an identity's folder made by `ffrtmp certs issue`; entering raises PkiError when it
    cannot be used; what is renewed in it is shown by the next connection. `patience`: seconds to
    try again while no master answers; then a call raises Unreachable. Every call is idempotent, and
    may be repeated by the caller too. It connects when first used.
    """

    def __init__(
        self,
        address: str | Sequence[str],
        certs: str | Path,
        *,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        """Raises ValueError when no master is named."""
        self._addresses = split_addresses(address)
        if not self._addresses:
            raise ValueError("no master is named: give HOST:PORT")
        self._certs = Path(certs)
        self._patience = patience
        self._open: Masters | None = None

    async def __aenter__(self) -> Self:
        roles = frozenset({Role.CLIENT, Role.ADMIN})
        live = await asyncio.to_thread(LiveIdentity.load, self._certs, now=utc_now(), roles=roles)
        self._open = Masters(self._addresses, live)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._open is not None:
            opened, self._open = self._open, None
            await opened.close()

    @property
    def _masters(self) -> Masters:
        if self._open is None:
            raise RuntimeError("this client is not open: use it within `with` or `async with`")
        return self._open

    @property
    def _jobs(self) -> "JobServiceAsyncStub":
        return self._masters.now.jobs

    @property
    def _admin(self) -> "AdminServiceAsyncStub":
        return self._masters.now.admin

    async def submit(
        self,
        spec: JobSpec | job_pb2.JobSpec,
        *,
        key: str | None = None,
        purpose: Purpose = Purpose.PRODUCTION,
    ) -> job_pb2.Job:
        """Submits one job; sent twice with one `key`, it is one job. Accounts of service are kept
        by `purpose`.

        Raises InvalidSpec, whose `field`, `value` and `expected` say what is wrong, TargetTaken,
        IdempotencyMismatch.
        """
        request = _request(spec, key or _new_key(), purpose)
        return (await self._call(lambda: self._jobs.SubmitJob(request, timeout=CALL_SECONDS))).job

    async def submit_many(
        self,
        specs: Iterable[JobSpec | job_pb2.JobSpec],
        *,
        key: str | None = None,
        purpose: Purpose = Purpose.PRODUCTION,
    ) -> list[job_pb2.Job]:
        """1 to 1,000 jobs, all or none. `key` names the batch; each job's key is made from it.

        Raises as `submit` does; the field begins with `jobs[N]`.
        """
        batch = key or _new_key()
        request = pb.SubmitJobsRequest(
            jobs=[_request(spec, f"{batch}-{number}", purpose) for number, spec in enumerate(specs)]
        )
        response = await self._call(lambda: self._jobs.SubmitJobs(request, timeout=CALL_SECONDS))
        return list(response.jobs)

    async def retry(self, job_id: str) -> job_pb2.Job:
        """Submits a job that FAILED or was CANCELLED once more, as a new one whose key names the
        old one.

        Called again it returns that same new job. Raises JobNotFound, NotEnded, NothingToRetry, and
        what `submit` raises.
        """
        old = (await self.get(job_id)).job
        if old.state not in ENDED:
            raise NotEnded(job_id)
        if state_of(old) not in RETRIABLE_STATES:
            raise NothingToRetry(job_id)
        purpose = PURPOSES.from_wire(old.purpose) or Purpose.PRODUCTION
        return await self.submit(old.spec, key=f"retry-of-{job_id}", purpose=purpose)

    async def get(self, job_id: str) -> pb.GetJobResponse:
        """The job with its history. Raises JobNotFound."""
        request = pb.GetJobRequest(job_id=job_id)
        return await self._call(lambda: self._jobs.GetJob(request, timeout=CALL_SECONDS))

    async def explain(self, job_id: str) -> pb.ExplainJobResponse:
        """Why it waits, and for each worker why that one does not get it. Raises JobNotFound."""
        request = pb.ExplainJobRequest(job_id=job_id)
        return await self._call(lambda: self._jobs.ExplainJob(request, timeout=CALL_SECONDS))

    async def list(
        self,
        *,
        states: Sequence[JobState] = (),
        worker: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[job_pb2.Job]:
        """Newest first, at most `limit`; submitted at or after `since`, and before `until`."""
        token, left = "", limit
        while left is None or left > 0:
            request = pb.ListJobsRequest(
                states=[JOB_STATES.to_wire(state) for state in states],  # type: ignore[misc]
                worker=worker,
                submitted_after_time=to_timestamp(since),
                submitted_before_time=to_timestamp(until),
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
        delays = self._delays()
        while True:
            await self._masters.refresh()
            way = self._masters.now
            request = pb.WatchJobRequest(job_id=job_id, after_event_number=after)
            try:
                with way:
                    async for news in way.jobs.WatchJob(request):
                        if news.HasField("event"):
                            after = news.event.number
                        delays = self._delays()
                        yield news
            except grpc.aio.AioRpcError as error:
                await self._pause_after(way, error, next(delays, None))
            else:
                return

    async def wait(self, job_id: str) -> job_pb2.Job:
        """The job as it ended, however it ended. Raises JobNotFound."""
        job = None
        async for news in self.watch(job_id):
            if news.HasField("job"):
                job = news.job
        return job or (await self.get(job_id)).job

    async def result(self, job_id: str) -> job_pb2.Job:
        """Waits for the job's end; its `files` lie there, verified. Raises JobFailed for any other
        end, JobNotFound."""
        job = await self.wait(job_id)
        if state_of(job) is not JobState.SUCCEEDED:
            raise JobFailed(job)
        return job

    async def results(self, job_ids: Iterable[str]) -> Sequence[job_pb2.Job]:
        """Waits for the end of all; each as it ended, in the order of the ids: a failure among
        them is data. Raises JobNotFound."""
        room = asyncio.Semaphore(WATCHES)

        async def one(job_id: str) -> job_pb2.Job:
            async with room:
                return await self.wait(job_id)

        with one_error(Exception):
            async with asyncio.TaskGroup() as tasks:
                waiting = [tasks.create_task(one(job_id)) for job_id in job_ids]
        return [task.result() for task in waiting]

    async def cancel(self, job_id: str, *, force: bool = False) -> job_pb2.Job:
        """Raises JobNotFound, or IllegalTransition when it is too late. `force`: also a job that
        waits for its lost worker to publish it; its outputs may be there already."""
        request = pb.CancelJobRequest(job_id=job_id, force=force)
        return (await self._call(lambda: self._jobs.CancelJob(request, timeout=CALL_SECONDS))).job

    async def pause(self, job_id: str) -> job_pb2.Job:
        """No worker gets it until `resume`. Raises JobNotFound, or IllegalTransition unless it
        waits."""
        request = pb.PauseJobRequest(job_id=job_id)
        return (await self._call(lambda: self._jobs.PauseJob(request, timeout=CALL_SECONDS))).job

    async def resume(self, job_id: str) -> job_pb2.Job:
        """Raises JobNotFound, or IllegalTransition when it has ended."""
        request = pb.ResumeJobRequest(job_id=job_id)
        return (await self._call(lambda: self._jobs.ResumeJob(request, timeout=CALL_SECONDS))).job

    async def reprioritise(self, job_id: str, priority: Priority) -> job_pb2.Job:
        """Raises JobNotFound, or IllegalTransition unless it waits."""
        request = pb.ReprioritiseJobRequest(
            job_id=job_id,
            priority=PRIORITIES.to_wire(priority),  # type: ignore[arg-type]
        )
        response = await self._call(
            lambda: self._jobs.ReprioritiseJob(request, timeout=CALL_SECONDS)
        )
        return response.job

    async def log(
        self, job_id: str, *, follow: bool = False, after: LogPlace | None = None
    ) -> AsyncIterator[pb.ReadJobLogResponse]:
        """What FFmpeg wrote behind `after`, attempt by attempt; with `follow` to the end of the
        job. A broken stream is resumed where it broke. Raises JobNotFound."""
        place = after or LogPlace()
        delays = self._delays()
        while True:
            await self._masters.refresh()
            way = self._masters.now
            request = pb.ReadJobLogRequest(
                job_id=job_id,
                follow=follow,
                after_fence=place.fence,
                after_line_number=place.line,
            )
            try:
                with way:
                    async for part in way.jobs.ReadJobLog(request):
                        place = LogPlace(part.fence, part.line_number + len(part.lines) - 1)
                        delays = self._delays()
                        yield part
            except grpc.aio.AioRpcError as error:
                await self._pause_after(way, error, next(delays, None))
            else:
                return

    async def _pause_after(
        self, way: Way, error: grpc.aio.AioRpcError, delay: float | None
    ) -> None:
        """Before a broken stream is opened again, to the next master. Raises what the error means
        where that is of no use."""
        untried = delay is not None and not delay
        if not await self._masters.may_pass(way, error, untried=untried) or delay is None:
            raise self._meaning(error) from None
        self._masters.move_on(way)
        await asyncio.sleep(delay * random.uniform(0.5, 1))  # noqa: S311

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

    async def remove_worker(self, name: str) -> None:
        """Forgets a worker that is gone. Raises WorkerNotFound, or WorkerInUse."""
        request = admin_pb.RemoveWorkerRequest(name=name)
        await self._call(lambda: self._admin.RemoveWorker(request, timeout=CALL_SECONDS))

    async def resume_worker(self, name: str) -> admin_pb.Worker:
        """Ends drain and quarantine. Idempotent. Raises WorkerNotFound."""
        request = admin_pb.ResumeWorkerRequest(name=name)
        response = await self._call(lambda: self._admin.ResumeWorker(request, timeout=CALL_SECONDS))
        return response.worker

    async def release_worker(self, name: str) -> admin_pb.Worker:
        """Ends its quarantine, not its drain. Idempotent. Raises WorkerNotFound."""
        request = admin_pb.ReleaseWorkerRequest(name=name)
        response = await self._call(
            lambda: self._admin.ReleaseWorker(request, timeout=CALL_SECONDS)
        )
        return response.worker

    async def overview(self) -> admin_pb.GetOverviewResponse:
        """Masters, workers, jobs and slots of the whole cluster. Raises NotAllowed."""
        request = admin_pb.GetOverviewRequest()
        return await self._call(lambda: self._admin.GetOverview(request, timeout=CALL_SECONDS))

    async def queues(self) -> Sequence[admin_pb.QueueBacklog]:
        """What has not ended, by queue and class. Raises NotAllowed."""
        request = admin_pb.ListQueuesRequest()
        response = await self._call(lambda: self._admin.ListQueues(request, timeout=CALL_SECONDS))
        return response.backlogs

    async def sla(self, window: timedelta = LATELY) -> admin_pb.GetSlaResponse:
        """What became of the platform's promises to jobs that ended in this last time, by queue and
        purpose. Raises InvalidArgument, NotAllowed."""
        request = admin_pb.GetSlaRequest(window_duration=to_duration(window))
        return await self._call(lambda: self._admin.GetSla(request, timeout=CALL_SECONDS))

    async def store(self) -> admin_pb.GetStoreResponse:
        """The store of the master that answers. Raises NotAllowed."""
        request = admin_pb.GetStoreRequest()
        return await self._call(lambda: self._admin.GetStore(request, timeout=CALL_SECONDS))

    async def settings(self) -> Sequence[admin_pb.Setting]:
        """Of the master that answers. Raises NotAllowed."""
        request = admin_pb.ListSettingsRequest()
        response = await self._call(lambda: self._admin.ListSettings(request, timeout=CALL_SECONDS))
        return response.settings

    async def _call(self, call: Callable[[], Awaitable[T]]) -> T:
        """Tries again while no master can be reached; every call here is idempotent. Each master
        is tried once before patience counts."""
        masters, loop = self._masters, asyncio.get_running_loop()
        give_up_at = loop.time() + self._patience
        delays, untried = self._delays(), len(masters)
        while True:
            await masters.refresh()
            way = masters.now
            try:
                with way:
                    return await call()
            except grpc.aio.AioRpcError as error:
                untried -= 1
                delay = next(delays, BACKOFF_SECONDS[-1])
                out_of_time = untried <= 0 and loop.time() + delay > give_up_at
                passes = await masters.may_pass(way, error, untried=untried > 0)
                if not passes or out_of_time:
                    raise self._meaning(error) from None
            masters.move_on(way)
            await asyncio.sleep(delay * random.uniform(0.5, 1))  # noqa: S311

    def _delays(self) -> Iterator[float]:
        """None before another master is tried for the first time."""
        return chain([0.0] * (len(self._masters) - 1), BACKOFF_SECONDS)

    def _meaning(self, error: grpc.aio.AioRpcError) -> Exception:
        return error_from_rpc(error) or Unreachable(self._masters.explain(error))


def state_of(job: job_pb2.Job) -> JobState | None:
    """None: a state that this build does not know."""
    return JOB_STATES.from_wire(job.state)


def _message(spec: JobSpec | job_pb2.JobSpec) -> job_pb2.JobSpec:
    return spec if isinstance(spec, job_pb2.JobSpec) else spec_to_pb(spec)


def _request(spec: JobSpec | job_pb2.JobSpec, key: str, purpose: Purpose) -> pb.SubmitJobRequest:
    return pb.SubmitJobRequest(
        spec=_message(spec),
        idempotency_key=key,
        purpose=PURPOSES.to_wire(purpose),  # type: ignore[arg-type]
    )


def _new_key() -> str:
    return secrets.token_hex(16)
