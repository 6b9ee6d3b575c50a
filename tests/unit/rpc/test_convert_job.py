"""Jobs, events, pages and enums: what clients read is what the store says."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from ffrtmp.domain.errors import InvalidArgument, InvalidSpec, ProtocolViolation
from ffrtmp.domain.event import JobEvent
from ffrtmp.domain.job import Cause, Failure, FileRecord, Holder, Job, JobState, Manifest
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.session import AttemptKey, Phase
from ffrtmp.domain.spec import Input, JobSpec, MediaPath, Output, Purpose, TestSource
from ffrtmp.rpc import enums
from ffrtmp.rpc.convert_job import event_to_pb, failure_from_pb, failure_to_pb, job_to_pb
from ffrtmp.rpc.convert_page import attempt_to_pb, states_from_pb, submissions_from_pb
from ffrtmp.rpc.convert_spec import spec_to_pb
from ffrtmp.rpc.enums import Twins
from ffrtmp.rpc.times import from_duration, from_timestamp, to_duration, to_timestamp
from ffrtmp.v1 import admin_service_pb2, job_pb2, job_service_pb2, worker_service_pb2

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
SPEC = JobSpec(
    input=Input(test_source=TestSource()), outputs=(Output(path=MediaPath("m", "o.mp4")),)
)
JOB = Job(
    job_id="01J",
    state=JobState.SUCCEEDED,
    job_class="c",
    rank=1,
    submit_at=NOW,
    eligible_at=NOW + timedelta(seconds=1),
    changed_at=NOW,
    version=9,
    fence=4,
    attempts=3,
    charged=2,
    last_holder=Holder("w1", "i"),
    start_at=NOW + timedelta(seconds=2),
    end_at=NOW + timedelta(seconds=3),
    manifest=Manifest((FileRecord("m:o.mp4", 5, "ab" * 32),), 4),
    failure=Failure(reason=Reason.STALLED, message="it stood", exit_code=3, log_tail=("x",)),
)
TWINS = {name: value for name, value in vars(enums).items() if isinstance(value, Twins)}


def test_a_job_is_shown_with_all_there_is_to_know():
    shown = job_to_pb(JOB, SPEC)
    waiting = {"blocked_by", "unschedulable_reason"}
    waiting |= {"result"}  # is in the job's events: master/packing.py adds it
    assert {field.name for field, _ in shown.ListFields()} == {
        field.name for field in job_pb2.Job.DESCRIPTOR.fields if field.name not in waiting
    }
    assert shown.job_id == "01J"
    assert shown.spec == spec_to_pb(SPEC)
    assert shown.state == job_pb2.JOB_STATE_SUCCEEDED
    assert (shown.fence, shown.attempts, shown.charged, shown.event_number) == (4, 3, 2, 9)
    assert shown.worker == "w1"
    assert from_timestamp(shown.submit_time, "") == NOW
    assert from_timestamp(shown.eligible_time, "") == NOW + timedelta(seconds=1)
    assert from_timestamp(shown.start_time, "") == NOW + timedelta(seconds=2)
    assert from_timestamp(shown.end_time, "") == NOW + timedelta(seconds=3)
    assert failure_from_pb(shown.failure) == JOB.failure
    assert [(f.path, f.size, f.sha256) for f in shown.files] == [("m:o.mp4", 5, "ab" * 32)]


def test_a_job_that_waits_says_for_whom_or_why():
    waiting = replace(
        JOB,
        state=JobState.QUEUED,
        blocked_by=Holder("w2", "i"),
        rejects=20,
        detail="no room anywhere",
    )
    shown = job_to_pb(waiting, SPEC)
    assert (shown.blocked_by, shown.unschedulable_reason) == ("w2", "no room anywhere")
    eager = job_to_pb(replace(waiting, rejects=19, blocked_by=None), SPEC)
    assert (eager.blocked_by, eager.unschedulable_reason) == ("", "")


def test_what_a_job_does_not_have_is_absent():
    bare = replace(
        JOB, state=JobState.QUEUED, last_holder=None, start_at=None, end_at=None, failure=None
    )
    shown = job_to_pb(bare, SPEC)
    assert shown.worker == ""
    for field in ("start_time", "end_time", "failure"):
        assert not shown.HasField(field)


@pytest.mark.parametrize("state", [s for s in JobState if s is not JobState.SUCCEEDED])
def test_files_are_named_only_once_they_are_published(state):
    assert not job_to_pb(replace(JOB, state=state), SPEC).files


@pytest.mark.parametrize("reason", Reason)
def test_a_failure_survives_the_wire(reason):
    for code in (None, 0, 255, -9):
        failure = Failure(reason=reason, message="m", exit_code=code, log_tail=("a", "b"))
        assert failure_from_pb(failure_to_pb(failure)) == failure


def test_a_failure_without_a_reason_breaks_the_rules():
    with pytest.raises(ProtocolViolation):
        failure_from_pb(job_pb2.Failure())


def test_an_event_is_shown_with_all_there_is_to_know():
    event = JobEvent(
        job_id="01J",
        number=7,
        event_at=NOW,
        actor="worker/w1",
        cause=Cause.FAILED,
        state=JobState.QUEUED,
        fence=4,
        worker="w1",
        reason=Reason.TRANSPORT,
        detail="it broke",
        charged=2,
        blocked_by="w2",
        eligible_at=NOW + timedelta(seconds=5),
    )
    shown = event_to_pb(event)
    assert {field.name for field, _ in shown.ListFields()} == {
        field.name for field in job_pb2.JobEvent.DESCRIPTOR.fields
    }
    assert (shown.number, shown.actor, shown.worker) == (7, "worker/w1", "w1")
    assert (shown.cause, shown.state) == (job_pb2.JOB_CAUSE_FAILED, job_pb2.JOB_STATE_QUEUED)
    assert (shown.fence, shown.charged, shown.detail) == (4, 2, "it broke")
    assert shown.reason == job_pb2.FAILURE_REASON_TRANSPORT
    assert shown.blocked_by == "w2"
    assert from_timestamp(shown.event_time, "") == NOW
    assert from_timestamp(shown.eligible_time, "") == NOW + timedelta(seconds=5)
    plain = event_to_pb(replace(event, reason=None, eligible_at=None))
    assert plain.reason == 0
    assert not plain.HasField("eligible_time")


# -- enums --------------------------------------------------------------------------------------


@pytest.mark.parametrize("twins", TWINS.values(), ids=TWINS.keys())
def test_every_member_has_its_twin_on_the_wire_and_back(twins):
    for member, number in twins.table.items():
        assert number > 0
        assert twins.to_wire(member) == number
        assert twins.from_wire(number) is member
        assert twins.required(number, "f") is member
        assert twins.chosen(number, "f") is member
    assert len(set(twins.table.values())) == len(twins.table)
    assert set(twins.table) == set(type(next(iter(twins.table))))


@pytest.mark.parametrize("twins", TWINS.values(), ids=TWINS.keys())
def test_what_has_no_twin_is_refused_by_name_or_left_open(twins):
    assert (twins.from_wire(0), twins.from_wire(99)) == (None, None)
    assert twins.chosen(0, "f") is None
    for act, number in ((twins.required, 0), (twins.required, 99), (twins.chosen, 99)):
        with pytest.raises(InvalidSpec, match=r"f: .*one of [A-Z]"):
            act(number, "f")


def test_every_enum_of_the_protos_is_known_in_full():
    wire = {
        enum.name: enum
        for module in (job_pb2, job_service_pb2, worker_service_pb2, admin_service_pb2)
        for enum in module.DESCRIPTOR.enum_types_by_name.values()
    }
    known = [{member.name for member in twins.table} for twins in TWINS.values()]
    for name, described in wire.items():
        prefix = "".join(f"_{c}" if c.isupper() else c.upper() for c in name).lstrip("_")
        members = {value.name.removeprefix(f"{prefix}_") for value in described.values}
        assert members - {"UNSPECIFIED"} in known, f"{name} and the domain know different members"


# -- pages and submissions ----------------------------------------------------------------------


def test_states_of_a_filter_are_known_or_refused():
    assert states_from_pb([1, 5, 5]) == {JobState.QUEUED, JobState.SUCCEEDED}
    assert states_from_pb([]) == frozenset()
    with pytest.raises(InvalidArgument, match="states: 99") as refused:
        states_from_pb([1, 99])
    assert not isinstance(refused.value, InvalidSpec)


def request(key: str, path: str = "m:o.mp4") -> job_service_pb2.SubmitJobRequest:
    spec = spec_to_pb(SPEC)
    spec.outputs[0].path = path
    return job_service_pb2.SubmitJobRequest(spec=spec, idempotency_key=key)


def test_a_submission_is_spec_key_and_a_digest_of_the_body():
    [(spec, key, digest, purpose)] = submissions_from_pb([request("k")])
    assert (spec, key, purpose) == (SPEC, "k", Purpose.PRODUCTION)
    body = request("other").spec.SerializeToString(deterministic=True)
    assert digest == hashlib.sha256(body).hexdigest()
    assert next(submissions_from_pb([request("k", "m:p.mp4")]))[2] != digest


def test_the_purpose_is_part_of_the_body_unless_it_is_the_usual():
    """A key that was used before there were purposes still names its job."""
    unsaid, said, other = request("k"), request("k"), request("k")
    said.purpose, other.purpose = job_pb2.PURPOSE_PRODUCTION, job_pb2.PURPOSE_DEBUG
    first, second, third = submissions_from_pb([unsaid, said, other])
    assert first == second
    assert third[2] != first[2]
    assert third[3] is Purpose.DEBUG
    other.purpose = 99  # type: ignore[assignment]
    with pytest.raises(InvalidSpec, match="purpose: 99"):
        list(submissions_from_pb([other]))


def test_what_is_wrong_in_a_batch_is_named_with_its_place_and_alone_without():
    with pytest.raises(InvalidSpec) as refused:
        list(submissions_from_pb([request("a"), request("b", "nowhere")]))
    assert refused.value.field == "jobs[1].outputs[0].path"
    with pytest.raises(InvalidSpec) as refused:
        list(submissions_from_pb([request("b", "nowhere")]))
    assert refused.value.field == "outputs[0].path"


def test_an_attempt_is_shown_with_its_phase_once_that_is_known():
    shown = attempt_to_pb(AttemptKey("01J", 3), JobState.RUNNING, Phase.VERIFY)
    assert (shown.job_id, shown.fence) == ("01J", 3)
    assert shown.state == job_pb2.JOB_STATE_RUNNING
    assert shown.phase == job_pb2.ATTEMPT_PHASE_VERIFY
    assert attempt_to_pb(AttemptKey("01J", 3), JobState.LEASED, None).phase == 0


# -- times --------------------------------------------------------------------------------------


def test_times_and_spans_survive_the_wire_to_the_microsecond():
    assert from_timestamp(to_timestamp(NOW), "t") == NOW
    span = timedelta(days=3, microseconds=-1)
    assert from_duration(to_duration(span), "d") == span
    assert (to_timestamp(None), to_duration(None)) == (None, None)


def test_a_time_or_span_that_python_cannot_hold_is_refused_by_field():
    for stamp in (Timestamp(seconds=2**60), Timestamp(seconds=-(2**60))):
        with pytest.raises(InvalidArgument, match=r"since: .*years 1 and 9999"):
            from_timestamp(stamp, "since")
    with pytest.raises(InvalidArgument, match=r"timeout: .*a shorter time"):
        from_duration(Duration(seconds=2**60), "timeout")
