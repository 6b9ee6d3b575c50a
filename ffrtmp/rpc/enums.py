"""Every enum of the wire and its twin in the domain: one table each, made by name."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Generic, TypeVar

from ffrtmp.domain.errors import InvalidSpec
from ffrtmp.domain.job import Cause, JobState
from ffrtmp.domain.judgement import Breach, Verdict
from ffrtmp.domain.messages import ResultOutcome, ResultStep
from ffrtmp.domain.origin import Origin
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.session import Phase, VerdictKind
from ffrtmp.domain.spec import (
    AudioCodec,
    Container,
    Metric,
    Priority,
    Purpose,
    Queue,
    Speed,
    Verification,
    VideoCodec,
)
from ffrtmp.domain.waiting import Obstacle, WaitReason
from ffrtmp.domain.worker import LimitWay, WorkerState
from ffrtmp.v1 import admin_service_pb2, job_pb2, job_service_pb2, worker_service_pb2

T = TypeVar("T", bound=StrEnum)


UNKNOWN = "unknown"


class Twins(Generic[T]):
    """`JOB_STATE_QUEUED` is the twin of `JobState.QUEUED`; 0 is never a member."""

    def __init__(self, wire: Any, members: type[T], prefix: str) -> None:
        self._to_wire = {member: int(wire.Value(f"{prefix}_{member.name}")) for member in members}
        self._from_wire = {number: member for member, number in self._to_wire.items()}
        self._name = members.__name__

    @property
    def table(self) -> Mapping[T, int]:
        return self._to_wire

    def to_wire(self, member: T) -> int:
        return self._to_wire[member]

    def from_wire(self, number: int) -> T | None:
        """None for 0 and for a member that this build does not know."""
        return self._from_wire.get(number)

    def shown(self, number: int) -> str:
        """For people; `unknown` for 0 and for what a newer peer knows."""
        member = self._from_wire.get(number)
        return UNKNOWN if member is None else member.value

    def required(self, number: int, field: str) -> T:
        """Raises InvalidSpec for 0 and for what this build does not know."""
        member = self._from_wire.get(number)
        if member is None:
            names = ", ".join(member.name for member in self._to_wire)
            raise InvalidSpec(field, number, f"one of {names}")
        return member

    def chosen(self, number: int, field: str) -> T | None:
        """None for 0; raises InvalidSpec for what this build does not know."""
        return self.required(number, field) if number else None


JOB_STATES = Twins(job_pb2.JobState, JobState, "JOB_STATE")
REASONS = Twins(job_pb2.FailureReason, Reason, "FAILURE_REASON")
CAUSES = Twins(job_pb2.JobCause, Cause, "JOB_CAUSE")
PHASES = Twins(job_pb2.AttemptPhase, Phase, "ATTEMPT_PHASE")
QUEUES = Twins(job_pb2.Queue, Queue, "QUEUE")
PURPOSES = Twins(job_pb2.Purpose, Purpose, "PURPOSE")
SLA_VERDICTS = Twins(job_pb2.SlaVerdict, Verdict, "SLA_VERDICT")
SLA_BREACHES = Twins(job_pb2.SlaBreach, Breach, "SLA_BREACH")
PRIORITIES = Twins(job_pb2.Priority, Priority, "PRIORITY")
VERIFICATIONS = Twins(job_pb2.Verification, Verification, "VERIFICATION")
CONTAINERS = Twins(job_pb2.Container, Container, "CONTAINER")
VIDEO_CODECS = Twins(job_pb2.VideoCodec, VideoCodec, "VIDEO_CODEC")
AUDIO_CODECS = Twins(job_pb2.AudioCodec, AudioCodec, "AUDIO_CODEC")
METRICS = Twins(job_pb2.QualityMetric, Metric, "QUALITY_METRIC")
SPEEDS = Twins(job_pb2.Speed, Speed, "SPEED")
WAIT_REASONS = Twins(job_service_pb2.WaitReason, WaitReason, "WAIT_REASON")
OBSTACLES = Twins(job_service_pb2.Obstacle, Obstacle, "OBSTACLE")
VERDICTS = Twins(worker_service_pb2.VerdictKind, VerdictKind, "VERDICT_KIND")
WORKER_STATES = Twins(admin_service_pb2.WorkerState, WorkerState, "WORKER_STATE")
ORIGINS = Twins(admin_service_pb2.SettingOrigin, Origin, "SETTING_ORIGIN")
LIMIT_WAYS = Twins(admin_service_pb2.LimitWay, LimitWay, "LIMIT_WAY")
RESULT_STEPS = Twins(worker_service_pb2.ResultStep, ResultStep, "RESULT_STEP")
RESULT_OUTCOMES = Twins(worker_service_pb2.ResultOutcome, ResultOutcome, "RESULT_OUTCOME")
