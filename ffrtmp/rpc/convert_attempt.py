"""What is said of an attempt in either direction: its key, its manifest, reports and verdicts."""

from collections.abc import Iterable

from ffrtmp.domain.job import Manifest
from ffrtmp.domain.session import AttemptKey, AttemptReport, Phase, Verdict, VerdictKind
from ffrtmp.rpc.convert_job import files_from_pb, files_to_pb
from ffrtmp.rpc.enums import PHASES, VERDICTS
from ffrtmp.v1 import worker_service_pb2 as pb


def key_to_pb(key: AttemptKey) -> pb.AttemptKey:
    return pb.AttemptKey(job_id=key.job_id, fence=key.fence)


def key_from_pb(key: pb.AttemptKey) -> AttemptKey:
    return AttemptKey(key.job_id, key.fence)


def manifest_to_pb(manifest: Manifest) -> pb.Manifest:
    return pb.Manifest(files=files_to_pb(manifest), fence=manifest.fence)


def manifest_from_pb(manifest: pb.Manifest) -> Manifest:
    return Manifest(files_from_pb(manifest.files), manifest.fence)


def report_to_pb(report: AttemptReport) -> pb.AttemptReport:
    return pb.AttemptReport(
        key=key_to_pb(report.key),
        phase=PHASES.to_wire(report.phase),  # type: ignore[arg-type]
        journalled=report.journalled,
    )


def report_from_pb(report: pb.AttemptReport) -> AttemptReport:
    return AttemptReport(
        key=key_from_pb(report.key),
        phase=PHASES.from_wire(report.phase) or Phase.ENCODE,
        journalled=report.journalled,
    )


def verdict_to_pb(verdict: Verdict) -> pb.Verdict:
    return pb.Verdict(key=key_to_pb(verdict.key), kind=VERDICTS.to_wire(verdict.kind))  # type: ignore[arg-type]


def verdicts_from_pb(verdicts: Iterable[pb.Verdict]) -> tuple[Verdict, ...]:
    """A kind that this build does not know means: go on."""
    return tuple(
        Verdict(key_from_pb(each.key), VERDICTS.from_wire(each.kind) or VerdictKind.KEEP)
        for each in verdicts
    )
