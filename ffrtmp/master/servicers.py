"""The gRPC face of the master: unpack, delegate, pack. No decision is made here."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import grpc.aio
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from ffrtmp.config import Option
from ffrtmp.domain.errors import ProtocolViolation, WorkerDoesNotRead
from ffrtmp.domain.facts import EnvelopeUnknown, Fact
from ffrtmp.domain.log import LogPlace
from ffrtmp.domain.messages import Event, Numbered
from ffrtmp.domain.promises import LATELY
from ffrtmp.master.census import Check
from ffrtmp.master.master import Master
from ffrtmp.master.packing import (
    pack_explanation,
    pack_job,
    pack_log,
    pack_view,
    pack_watched,
    pack_worker,
)
from ffrtmp.master.packing_admin import (
    pack_option,
    pack_overview,
    pack_queue,
    pack_sla,
    pack_store,
)
from ffrtmp.master.turns import in_turns
from ffrtmp.master.views import Submission
from ffrtmp.rpc.convert_page import (
    number_from_pb,
    priority_from_pb,
    states_from_pb,
    submissions_from_pb,
)
from ffrtmp.rpc.convert_stream import command_to_pb, events_from_pb
from ffrtmp.rpc.roles import Context, certificate_end_of, peer_of
from ffrtmp.rpc.times import from_duration, from_timestamp
from ffrtmp.store.records import JobFilter, JobRecord
from ffrtmp.v1 import admin_service_pb2 as admin_pb
from ffrtmp.v1 import job_service_pb2 as pb
from ffrtmp.v1 import worker_service_pb2 as worker_pb
from ffrtmp.v1.admin_service_pb2_grpc import AdminServiceServicer
from ffrtmp.v1.job_service_pb2_grpc import JobServiceServicer
from ffrtmp.v1.worker_service_pb2_grpc import WorkerServiceServicer


class JobServicer(JobServiceServicer):
    def __init__(self, master: Master) -> None:
        self._master = master

    async def SubmitJob(
        self, request: pb.SubmitJobRequest, context: Context
    ) -> pb.SubmitJobResponse:
        [record] = await self._submit([request], context)
        return pb.SubmitJobResponse(job=pack_job(record))

    async def SubmitJobs(
        self, request: pb.SubmitJobsRequest, context: Context
    ) -> pb.SubmitJobsResponse:
        records = await self._submit(request.jobs, context)
        return pb.SubmitJobsResponse(jobs=await in_turns(records, pack_job))

    async def _submit(
        self, requests: Sequence[pb.SubmitJobRequest], context: Context
    ) -> list[JobRecord]:
        return await self._master.submit(_Asked(requests), actor=peer_of(context).actor)

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.GetJobResponse:
        return pack_view(await self._master.get(request.job_id))

    async def ExplainJob(
        self, request: pb.ExplainJobRequest, context: Context
    ) -> pb.ExplainJobResponse:
        return pack_explanation(await self._master.explain(request.job_id))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        records, token = await self._master.find(
            _filter(request), size=request.page_size, page_token=request.page_token
        )
        return pb.ListJobsResponse(
            jobs=[pack_job(record) for record in records], next_page_token=token
        )

    async def WatchJob(
        self, request: pb.WatchJobRequest, context: Context
    ) -> AsyncIterator[pb.WatchJobResponse]:
        after = number_from_pb(request.after_event_number)
        async for watched in self._master.watch(request.job_id, after):
            yield pack_watched(watched)

    async def ReadJobLog(
        self, request: pb.ReadJobLogRequest, context: Context
    ) -> AsyncIterator[pb.ReadJobLogResponse]:
        after = LogPlace(
            number_from_pb(request.after_fence), number_from_pb(request.after_line_number)
        )
        async for log in self._master.log(request.job_id, after, follow=request.follow):
            yield pack_log(log)

    async def CancelJob(
        self, request: pb.CancelJobRequest, context: Context
    ) -> pb.CancelJobResponse:
        actor = peer_of(context).actor
        record = await self._master.cancel(request.job_id, actor=actor, force=request.force)
        return pb.CancelJobResponse(job=pack_job(record))

    async def PauseJob(self, request: pb.PauseJobRequest, context: Context) -> pb.PauseJobResponse:
        record = await self._master.pause(request.job_id, actor=peer_of(context).actor)
        return pb.PauseJobResponse(job=pack_job(record))

    async def ResumeJob(
        self, request: pb.ResumeJobRequest, context: Context
    ) -> pb.ResumeJobResponse:
        record = await self._master.resume_job(request.job_id, actor=peer_of(context).actor)
        return pb.ResumeJobResponse(job=pack_job(record))

    async def ReprioritiseJob(
        self, request: pb.ReprioritiseJobRequest, context: Context
    ) -> pb.ReprioritiseJobResponse:
        record = await self._master.reprioritise(
            request.job_id, priority_from_pb(request.priority), actor=peer_of(context).actor
        )
        return pb.ReprioritiseJobResponse(job=pack_job(record))


class _Asked:
    """Implements `views.Submissions`. Iterating raises InvalidSpec."""

    def __init__(self, requests: Sequence[pb.SubmitJobRequest]) -> None:
        self._requests = requests

    def __len__(self) -> int:
        return len(self._requests)

    def __iter__(self) -> Iterator[Submission]:
        return (Submission(*each) for each in submissions_from_pb(self._requests))


@dataclass(frozen=True, slots=True)
class About:
    """What an operator may know of this process; `check` as the census wants it."""

    options: Sequence[Option]
    location: str
    check: Check


class AdminServicer(AdminServiceServicer):
    def __init__(self, master: Master, about: About) -> None:
        self._master = master
        self._about = about

    async def GetOverview(
        self, request: admin_pb.GetOverviewRequest, context: Context
    ) -> admin_pb.GetOverviewResponse:
        return pack_overview(await self._master.census.overview())

    async def ListQueues(
        self, request: admin_pb.ListQueuesRequest, context: Context
    ) -> admin_pb.ListQueuesResponse:
        views = await self._master.census.queues()
        return admin_pb.ListQueuesResponse(backlogs=[pack_queue(view) for view in views])

    async def GetSla(
        self, request: admin_pb.GetSlaRequest, context: Context
    ) -> admin_pb.GetSlaResponse:
        asked = request.HasField("window_duration")
        window = from_duration(request.window_duration, "window_duration") if asked else LATELY
        return pack_sla(await self._master.sla.accounts(window))

    async def GetStore(
        self, request: admin_pb.GetStoreRequest, context: Context
    ) -> admin_pb.GetStoreResponse:
        return pack_store(await self._master.census.store(self._about.check), self._about.location)

    async def ListSettings(
        self, request: admin_pb.ListSettingsRequest, context: Context
    ) -> admin_pb.ListSettingsResponse:
        return admin_pb.ListSettingsResponse(settings=map(pack_option, self._about.options))

    async def ReleaseWorker(
        self, request: admin_pb.ReleaseWorkerRequest, context: Context
    ) -> admin_pb.ReleaseWorkerResponse:
        view = await self._master.release(request.name, actor=peer_of(context).actor)
        return admin_pb.ReleaseWorkerResponse(worker=pack_worker(view))

    async def ListWorkers(
        self, request: admin_pb.ListWorkersRequest, context: Context
    ) -> admin_pb.ListWorkersResponse:
        views, token = await self._master.workers(
            size=request.page_size, page_token=request.page_token
        )
        return admin_pb.ListWorkersResponse(
            workers=[pack_worker(view) for view in views], next_page_token=token
        )

    async def GetWorker(
        self, request: admin_pb.GetWorkerRequest, context: Context
    ) -> admin_pb.GetWorkerResponse:
        return admin_pb.GetWorkerResponse(
            worker=pack_worker(await self._master.worker(request.name))
        )

    async def DrainWorker(
        self, request: admin_pb.DrainWorkerRequest, context: Context
    ) -> admin_pb.DrainWorkerResponse:
        view = await self._master.drain(request.name, actor=peer_of(context).actor)
        return admin_pb.DrainWorkerResponse(worker=pack_worker(view))

    async def ResumeWorker(
        self, request: admin_pb.ResumeWorkerRequest, context: Context
    ) -> admin_pb.ResumeWorkerResponse:
        view = await self._master.resume(request.name, actor=peer_of(context).actor)
        return admin_pb.ResumeWorkerResponse(worker=pack_worker(view))

    async def RemoveWorker(
        self, request: admin_pb.RemoveWorkerRequest, context: Context
    ) -> admin_pb.RemoveWorkerResponse:
        await self._master.remove_worker(request.name, actor=peer_of(context).actor)
        return admin_pb.RemoveWorkerResponse()


class WorkerServicer(WorkerServiceServicer):
    def __init__(self, master: Master, observe: Callable[[Fact], None]) -> None:
        self._master = master
        self._observe = observe

    async def Connect(  # type: ignore[override]  # a coroutine that writes, see style: no yield in a scope
        self, request_iterator: AsyncIterator[worker_pb.ConnectRequest], context: Context
    ) -> None:
        worker = peer_of(context).name

        async def send(commands: Sequence[Numbered]) -> None:
            response = worker_pb.ConnectResponse(
                commands=[command_to_pb(each) for each in commands]
            )
            self._master.traffic.note_sent(len(commands))
            try:
                await context.write(response)
            except grpc.aio.InternalError:  # the connection broke in the middle of it
                raise WorkerDoesNotRead(worker) from None

        events = _events(
            request_iterator,
            heard=self._master.traffic.note_received,
            ignored=lambda n: self._observe(EnvelopeUnknown(worker, n)),
        )
        await self._master.serve(
            worker=worker,
            address=context.peer(),
            certificate_end=certificate_end_of(context),
            events=events,
            send=send,
        )


async def _events(
    requests: AsyncIterator[worker_pb.ConnectRequest],
    *,
    heard: Callable[[int], None],
    ignored: Callable[[int], None],
) -> AsyncIterator[Sequence[Event]]:
    async for request in _readable(requests):
        found = events_from_pb(request)
        heard(len(found))
        known = [event for event in found if event is not None]
        if len(known) < len(found):
            ignored(len(found) - len(known))
        yield known


async def _readable(
    requests: AsyncIterator[worker_pb.ConnectRequest],
) -> AsyncIterator[worker_pb.ConnectRequest]:
    """Raises ProtocolViolation: what came is no message of this service."""
    try:
        async for request in requests:
            yield request
    except DecodeError:
        raise ProtocolViolation("a message that is no ConnectRequest") from None


def _filter(request: pb.ListJobsRequest) -> JobFilter:
    return JobFilter(
        states=states_from_pb(request.states),
        worker=request.worker,
        submitted_after=_moment(request, "submitted_after_time"),
        submitted_before=_moment(request, "submitted_before_time"),
    )


def _moment(request: pb.ListJobsRequest, field: Any) -> datetime | None:
    if not request.HasField(field):
        return None
    stamp: Timestamp = getattr(request, field)
    return from_timestamp(stamp, field)
