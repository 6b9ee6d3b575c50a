"""What the API asks with and answers with besides jobs: filters, submissions, workers."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from ffrtmp.domain.errors import InvalidArgument, InvalidSpec
from ffrtmp.domain.job import JobState
from ffrtmp.domain.session import AttemptKey, Phase
from ffrtmp.domain.spec import JobSpec, Priority, Purpose
from ffrtmp.rpc.convert_spec import spec_from_pb
from ffrtmp.rpc.enums import JOB_STATES, PHASES, PRIORITIES, PURPOSES
from ffrtmp.v1 import admin_service_pb2 as admin_pb
from ffrtmp.v1 import job_pb2
from ffrtmp.v1 import job_service_pb2 as pb

HIGHEST = 2**63 - 1
LARGEST_SPEC_BYTES = 64 * 1024


def states_from_pb(numbers: Iterable[int]) -> frozenset[JobState]:
    """Raises InvalidArgument for a state that does not exist."""
    try:
        return frozenset(JOB_STATES.required(number, "states") for number in numbers)
    except InvalidSpec as error:
        raise InvalidArgument(error.field, error.value, error.expected) from None


def number_from_pb(number: int) -> int:
    """Of an event, a line, an attempt: a store's numbers are signed, and none is ever as high."""
    return min(number, HIGHEST)


def priority_from_pb(number: int) -> Priority:
    """Raises InvalidArgument: it is required."""
    try:
        return PRIORITIES.required(number, "priority")
    except InvalidSpec as error:
        raise InvalidArgument(error.field, error.value, error.expected) from None


def submissions_from_pb(
    requests: Sequence[pb.SubmitJobRequest],
) -> Iterator[tuple[JobSpec, str, str, Purpose]]:
    """Spec, idempotency key, digest of the body and purpose of each. Raises InvalidSpec."""
    for number, request in enumerate(requests):
        try:
            _check_size(request.spec)
            spec = spec_from_pb(request.spec)
            purpose = PURPOSES.chosen(request.purpose, "purpose") or Purpose.PRODUCTION
        except InvalidSpec as error:
            raise error.within(f"jobs[{number}]") if len(requests) > 1 else error from None
        body = request.spec.SerializeToString(deterministic=True)
        if purpose is not Purpose.PRODUCTION:  # of those the digest is what it always was
            body += f"purpose {purpose}".encode()
        yield spec, request.idempotency_key, hashlib.sha256(body).hexdigest(), purpose


def _check_size(spec: job_pb2.JobSpec) -> None:
    """Its paths and URLs have limits of their own: many long ones make a spec that is too large to
    be sent to a worker among others, or listed."""
    if (size := spec.ByteSize()) > LARGEST_SPEC_BYTES:
        raise InvalidSpec("spec", f"{size} bytes", f"at most {LARGEST_SPEC_BYTES} bytes")


def attempt_to_pb(key: AttemptKey, state: JobState, phase: Phase | None) -> admin_pb.WorkerAttempt:
    return admin_pb.WorkerAttempt(
        job_id=key.job_id,
        fence=key.fence,
        state=JOB_STATES.to_wire(state),  # type: ignore[arg-type]
        phase=PHASES.to_wire(phase) if phase else None,  # type: ignore[arg-type]
    )
