"""Jobs, events, progress and failures, to and from the wire."""

from collections.abc import Iterable

from ffrtmp.domain.errors import ProtocolViolation
from ffrtmp.domain.event import JobEvent
from ffrtmp.domain.job import Failure, FileRecord, Job, JobState, Manifest
from ffrtmp.domain.messages import Progress
from ffrtmp.domain.session import AttemptKey, Phase
from ffrtmp.domain.spec import JobSpec
from ffrtmp.rpc.convert_spec import spec_to_pb
from ffrtmp.rpc.enums import (
    CAUSES,
    JOB_STATES,
    PHASES,
    PRIORITIES,
    PURPOSES,
    REASONS,
    SLA_BREACHES,
    SLA_VERDICTS,
)
from ffrtmp.rpc.times import from_duration, to_duration, to_timestamp
from ffrtmp.v1 import job_pb2 as pb


def job_to_pb(job: Job, spec: JobSpec) -> pb.Job:
    published = job.state is JobState.SUCCEEDED and job.manifest is not None
    return pb.Job(
        job_id=job.job_id,
        spec=spec_to_pb(spec.shown),
        state=JOB_STATES.to_wire(job.state),  # type: ignore[arg-type]
        fence=job.fence,
        attempts=job.attempts,
        charged=job.charged,
        worker=job.last_holder.worker if job.last_holder else "",
        submit_time=to_timestamp(job.submit_at),
        eligible_time=to_timestamp(job.eligible_at),
        start_time=to_timestamp(job.start_at),
        end_time=to_timestamp(job.end_at),
        failure=failure_to_pb(job.failure) if job.failure else None,
        files=files_to_pb(job.manifest) if published and job.manifest else [],
        event_number=job.version,
        blocked_by=job.blocked_by.worker if job.blocked_by else "",
        unschedulable_reason=job.detail if job.is_unschedulable else "",
        priority=PRIORITIES.to_wire(job.priority or spec.priority),  # type: ignore[arg-type]
        purpose=PURPOSES.to_wire(job.purpose),  # type: ignore[arg-type]
        service=_service_to_pb(job),
    )


def _service_to_pb(job: Job) -> pb.Service:
    evidence, sla = job.evidence, job.sla
    return pb.Service(
        queue_wait_duration=to_duration(evidence.queue_wait),
        start_delay_duration=to_duration(evidence.start_delay),
        platform_failures=evidence.failures,
        verdict=SLA_VERDICTS.to_wire(sla.verdict) if sla else None,  # type: ignore[arg-type]
        breaches=[SLA_BREACHES.to_wire(each) for each in sla.breaches] if sla else [],  # type: ignore[misc]
    )


def failure_to_pb(failure: Failure) -> pb.Failure:
    return pb.Failure(
        reason=REASONS.to_wire(failure.reason),  # type: ignore[arg-type]
        message=failure.message,
        exit_code=failure.exit_code,
        log_tail=failure.log_tail,
    )


def failure_from_pb(failure: pb.Failure) -> Failure:
    """Raises ProtocolViolation for a reason that this build does not know."""
    reason = REASONS.from_wire(failure.reason)
    if reason is None:
        raise ProtocolViolation(f"failure reason {failure.reason} is not known")
    return Failure(
        reason=reason,
        message=failure.message,
        exit_code=failure.exit_code if failure.HasField("exit_code") else None,
        log_tail=tuple(failure.log_tail),
    )


def files_to_pb(manifest: Manifest) -> list[pb.PublishedFile]:
    return [
        pb.PublishedFile(path=file.path, size=file.size, sha256=file.sha256)
        for file in manifest.files
    ]


def files_from_pb(files: Iterable[pb.PublishedFile]) -> tuple[FileRecord, ...]:
    return tuple(FileRecord(file.path, file.size, file.sha256) for file in files)


def event_to_pb(event: JobEvent) -> pb.JobEvent:
    return pb.JobEvent(
        number=event.number,
        event_time=to_timestamp(event.event_at),
        actor=event.actor,
        cause=CAUSES.to_wire(event.cause),  # type: ignore[arg-type]
        state=JOB_STATES.to_wire(event.state),  # type: ignore[arg-type]
        fence=event.fence,
        worker=event.worker,
        reason=REASONS.to_wire(event.reason) if event.reason else None,  # type: ignore[arg-type]
        detail=event.detail,
        charged=event.charged,
        blocked_by=event.blocked_by,
        eligible_time=to_timestamp(event.eligible_at),
    )


def progress_to_pb(progress: Progress) -> pb.AttemptProgress:
    return pb.AttemptProgress(
        job_id=progress.key.job_id,
        fence=progress.key.fence,
        phase=PHASES.to_wire(progress.phase),  # type: ignore[arg-type]
        position=to_duration(progress.position),
        total=to_duration(progress.total),
        frames=progress.frames,
        frames_per_second=progress.frames_per_second,
        speed=progress.speed,
        size=progress.size,
    )


def progress_from_pb(progress: pb.AttemptProgress) -> Progress:
    return Progress(
        key=AttemptKey(progress.job_id, progress.fence),
        phase=PHASES.from_wire(progress.phase) or Phase.ENCODE,
        position=from_duration(progress.position, "position"),
        total=from_duration(progress.total, "total") if progress.HasField("total") else None,
        frames=progress.frames,
        frames_per_second=progress.frames_per_second,
        speed=progress.speed,
        size=progress.size,
    )
