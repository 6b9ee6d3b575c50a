"""What the use cases answer, as protobuf."""

from collections.abc import Sequence

from ffrtmp.domain.event import JobEvent
from ffrtmp.domain.log import AttemptLog
from ffrtmp.domain.waiting import Explanation
from ffrtmp.master.views import JobView, Watched, WorkerView, results_in
from ffrtmp.rpc.convert_figures import figures_to_pb
from ffrtmp.rpc.convert_job import event_to_pb, job_to_pb, progress_to_pb
from ffrtmp.rpc.convert_page import attempt_to_pb
from ffrtmp.rpc.convert_worker import capabilities_to_pb, load_to_pb
from ffrtmp.rpc.enums import OBSTACLES, WAIT_REASONS, WORKER_STATES
from ffrtmp.rpc.times import to_timestamp
from ffrtmp.store.records import JobRecord
from ffrtmp.v1 import admin_service_pb2 as admin_pb
from ffrtmp.v1 import job_pb2, job_service_pb2

MOST_RESULTS = 20
"""Told of one job: a live push may have a thousand attempts, a message one MiB."""


def pack_job(record: JobRecord) -> job_pb2.Job:
    return job_to_pb(record.job, record.spec)


def pack_told(record: JobRecord, told: Sequence[JobEvent]) -> job_pb2.Job:
    """With what came of it."""
    job = pack_job(record)
    if told:
        job.result.CopyFrom(_pack_figures(told[-1]))
    return job


def _pack_figures(event: JobEvent) -> job_pb2.AttemptResult:
    assert event.figures is not None
    return figures_to_pb(event.figures, fence=event.fence, worker=event.worker)


def _pack_waiting(view: JobView, told: Sequence[JobEvent]) -> job_pb2.Job:
    job = pack_told(view.record, told)
    job.unschedulable_reason = job.unschedulable_reason or view.waits_for
    return job


def pack_view(view: JobView) -> job_service_pb2.GetJobResponse:
    told = results_in(view.events)
    return job_service_pb2.GetJobResponse(
        job=_pack_waiting(view, told),
        results=[_pack_figures(event) for event in told[-MOST_RESULTS:]],
        events=[event_to_pb(event) for event in view.events],
        progress=progress_to_pb(view.progress) if view.progress else None,
    )


def pack_watched(watched: Watched) -> job_service_pb2.WatchJobResponse:
    return job_service_pb2.WatchJobResponse(
        event=event_to_pb(watched.event) if watched.event else None,
        progress=progress_to_pb(watched.progress) if watched.progress else None,
        job=pack_told(watched.record, watched.told) if watched.record else None,
    )


def pack_explanation(found: Explanation) -> job_service_pb2.ExplainJobResponse:
    place = found.place
    return job_service_pb2.ExplainJobResponse(
        reason=WAIT_REASONS.to_wire(found.reason),  # type: ignore[arg-type]
        detail=found.detail,
        jobs_ahead=place.ahead if place else None,
        jobs_ahead_in_class=place.ahead_in_class if place else None,
        workers=[
            job_service_pb2.WorkerVerdict(
                worker=each.worker,
                obstacle=OBSTACLES.to_wire(each.obstacle),  # type: ignore[arg-type]
                detail=each.detail,
            )
            for each in found.verdicts
        ],
    )


def pack_log(log: AttemptLog) -> job_service_pb2.ReadJobLogResponse:
    return job_service_pb2.ReadJobLogResponse(
        fence=log.key.fence,
        worker=log.worker,
        line_number=log.lines.first,
        lines=log.lines.texts,
    )


def pack_worker(view: WorkerView) -> admin_pb.Worker:
    record = view.record
    return admin_pb.Worker(
        name=record.name,
        state=WORKER_STATES.to_wire(view.state),  # type: ignore[arg-type]
        incarnation=record.incarnation,
        epoch=record.epoch,
        address=record.address,
        heartbeat_time=to_timestamp(view.heartbeat_at),
        slots=view.slots,
        free_slots=view.free_slots,
        attempts=[attempt_to_pb(each.key, each.state, each.phase) for each in view.attempts],
        capabilities=capabilities_to_pb(record.capabilities),
        load=load_to_pb(view.load),
        refused_roots=[
            admin_pb.RefusedRoot(name=name, reason=reason)
            for name, reason in sorted(view.refused_roots.items())
        ],
        draining=record.standing.draining,
        master=view.master,
        certificate_end_time=to_timestamp(view.certificate_end),
        quarantine_end_time=to_timestamp(view.quarantined_until),
        losses=[
            admin_pb.WorkerLoss(
                job_id=loss.key.job_id,
                fence=loss.key.fence,
                lost_time=to_timestamp(loss.lost_at),
                reason=loss.why,
            )
            for loss in record.standing.losses
        ],
    )
