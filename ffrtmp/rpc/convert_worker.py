"""What a worker can do and how busy it is, to and from the wire."""

from ffrtmp.domain.errors import InvalidArgument, ProtocolViolation
from ffrtmp.domain.labels import check_labels
from ffrtmp.domain.roots import RootReport
from ffrtmp.domain.worker import AttemptLimits, Capabilities, LimitWay, Load
from ffrtmp.rpc.enums import LIMIT_WAYS
from ffrtmp.v1 import admin_service_pb2 as pb


def capabilities_to_pb(capabilities: Capabilities) -> pb.WorkerCapabilities:
    return pb.WorkerCapabilities(
        version=capabilities.version,
        spec_version=capabilities.spec_version,
        ffmpeg_version=capabilities.ffmpeg_version,
        codecs=sorted(capabilities.codecs),
        encoders=capabilities.encoders,
        roots=[_root_to_pb(root) for root in capabilities.roots],
        cpu_count=capabilities.cpu_count,
        memory=capabilities.memory_bytes,
        limits=_limits_to_pb(capabilities.limits) if capabilities.limits else None,
        labels=capabilities.labels,
    )


def _limits_to_pb(limits: AttemptLimits) -> pb.AttemptLimits:
    return pb.AttemptLimits(
        memory=limits.memory,
        cores=limits.cores,
        memory_way=LIMIT_WAYS.to_wire(limits.memory_way),  # type: ignore[arg-type]
        cpu_way=LIMIT_WAYS.to_wire(limits.cpu_way),  # type: ignore[arg-type]
    )


def _limits_from_pb(limits: pb.AttemptLimits) -> AttemptLimits:
    return AttemptLimits(
        memory=limits.memory,
        cores=limits.cores,
        memory_way=LIMIT_WAYS.from_wire(limits.memory_way) or LimitWay.RLIMIT,
        cpu_way=LIMIT_WAYS.from_wire(limits.cpu_way) or LimitWay.AFFINITY,
    )


def capabilities_from_pb(capabilities: pb.WorkerCapabilities) -> Capabilities:
    """Raises ProtocolViolation for labels that no worker of ours would report."""
    return Capabilities(
        version=capabilities.version,
        spec_version=capabilities.spec_version,
        ffmpeg_version=capabilities.ffmpeg_version,
        codecs=frozenset(capabilities.codecs),
        encoders=tuple(capabilities.encoders),
        roots=tuple(_root_from_pb(root) for root in capabilities.roots),
        cpu_count=capabilities.cpu_count,
        memory_bytes=capabilities.memory,
        limits=_limits_from_pb(capabilities.limits) if capabilities.HasField("limits") else None,
        labels=_labels_from_pb(capabilities),
    )


def _labels_from_pb(capabilities: pb.WorkerCapabilities) -> dict[str, str]:
    labels = dict(capabilities.labels)
    try:
        check_labels(labels, "labels")
    except InvalidArgument as error:
        raise ProtocolViolation(str(error)) from None
    return labels


def _root_to_pb(root: RootReport) -> pb.WorkerRoot:
    return pb.WorkerRoot(
        name=root.name,
        nonce=root.nonce,
        seen_nonces=sorted(root.sees),
        empty=root.empty,
        problem=root.problem,
    )


def _root_from_pb(root: pb.WorkerRoot) -> RootReport:
    return RootReport(
        name=root.name,
        nonce=root.nonce,
        sees=frozenset(root.seen_nonces),
        empty=root.empty,
        problem=root.problem,
    )


def load_to_pb(load: Load) -> pb.WorkerLoad:
    return pb.WorkerLoad(
        cpu_load=load.cpu_load, memory_free=load.memory_free, disk_free=dict(load.disk_free)
    )


def load_from_pb(load: pb.WorkerLoad) -> Load:
    return Load(
        cpu_load=load.cpu_load, memory_free=load.memory_free, disk_free=dict(load.disk_free)
    )
