"""What operators are answered, as protobuf."""

from ffrtmp.config import Option
from ffrtmp.domain.job import JobState
from ffrtmp.domain.judgement import Breach, Verdict
from ffrtmp.domain.sla import Account
from ffrtmp.domain.spec import Purpose, Queue
from ffrtmp.master.views import ClusterView, MasterView, QueueView, SlaView, StoreView
from ffrtmp.rpc.enums import JOB_STATES, ORIGINS, PURPOSES, QUEUES, WORKER_STATES
from ffrtmp.rpc.times import to_duration, to_timestamp
from ffrtmp.store.records import PoolUse
from ffrtmp.v1 import admin_service_pb2 as pb


def pack_overview(view: ClusterView) -> pb.GetOverviewResponse:
    return pb.GetOverviewResponse(
        masters=map(_master_to_pb, view.masters),
        workers=[
            pb.WorkerCount(state=WORKER_STATES.to_wire(state), workers=count)  # type: ignore[arg-type]
            for state, count in sorted(view.workers.items())
        ],
        jobs=[
            pb.JobCount(state=JOB_STATES.to_wire(state), jobs=count)  # type: ignore[arg-type]
            for state, count in sorted(view.jobs.items())
        ],
        slots=view.slots,
        free_slots=view.free_slots,
        oldest_eligible_time=to_timestamp(view.oldest_eligible_at),
        read_time=to_timestamp(view.read_at),
    )


def _master_to_pb(view: MasterView) -> pb.Master:
    report = view.record.report
    return pb.Master(
        name=report.name,
        address=report.address,
        version=report.version,
        start_time=to_timestamp(report.started_at),
        seen_time=to_timestamp(view.record.seen_at),
        serving=view.is_serving,
        workers=len(report.workers),
        answering=view.is_this,
    )


def pack_queue(view: QueueView) -> pb.QueueBacklog:
    return pb.QueueBacklog(
        queue=QUEUES.to_wire(view.queue),  # type: ignore[arg-type]
        job_class=view.job_class,
        codecs=sorted(view.needs.codecs) if view.needs else [],
        roots=sorted(view.needs.roots) if view.needs else [],
        queued=view.queued,
        retrying=view.retrying,
        paused=view.paused,
        held=view.held,
        oldest_eligible_time=to_timestamp(view.oldest_eligible_at),
        able_workers=view.able_workers,
        labels=view.needs.labels if view.needs else {},
    )


def pack_sla(view: SlaView) -> pb.GetSlaResponse:
    return pb.GetSlaResponse(
        accounts=[_account_to_pb(*kind, each) for kind, each in view.accounts.items()],
        targets=[
            pb.SlaTarget(
                queue=QUEUES.to_wire(queue),  # type: ignore[arg-type]
                wait_duration=to_duration(view.targets.wait_in(queue)),
            )
            for queue in Queue
        ],
        start_delay_duration=to_duration(view.targets.start_delay),
        since_time=to_timestamp(view.since),
        read_time=to_timestamp(view.read_at),
    )


def _account_to_pb(queue: Queue, purpose: Purpose, account: Account) -> pb.SlaAccount:
    ended, verdicts, breaches = account.ended, account.verdicts, account.breaches
    return pb.SlaAccount(
        queue=QUEUES.to_wire(queue),  # type: ignore[arg-type]
        purpose=PURPOSES.to_wire(purpose),  # type: ignore[arg-type]
        jobs=ended.total(),
        succeeded=ended[JobState.SUCCEEDED],
        failed=ended[JobState.FAILED],
        cancelled=ended[JobState.CANCELLED],
        met=verdicts[Verdict.MET],
        missed=verdicts[Verdict.MISSED],
        withdrawn=verdicts[Verdict.WITHDRAWN],
        missed_queue_wait=breaches[Breach.QUEUE_WAIT],
        missed_start_delay=breaches[Breach.START_DELAY],
        missed_platform_failure=breaches[Breach.PLATFORM_FAILURE],
    )


def pack_store(view: StoreView, location: str) -> pb.GetStoreResponse:
    return pb.GetStoreResponse(
        kind=view.facts.kind,
        schema_version=view.facts.schema,
        size=view.facts.size,
        location=location,
        pools=map(_pool_to_pb, view.pools),
        commits=view.commits,
        commit_duration=to_duration(view.commit_took),
        ready=not view.problems,
        problems=view.problems,
    )


def _pool_to_pb(pool: PoolUse) -> pb.StorePool:
    return pb.StorePool(
        name=pool.name, size=pool.size, used=pool.used, waiting=pool.waiting, refused=pool.refused
    )


def pack_option(option: Option) -> pb.Setting:
    return pb.Setting(
        name=option.name,
        value=option.value,
        origin=ORIGINS.to_wire(option.found.origin),  # type: ignore[arg-type]
        source=option.found.source,
    )
