"""Every event and command of the worker stream, there and back, with every field set."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, get_args

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message
from hypothesis import given
from hypothesis import strategies as st

from ffrtmp.domain.errors import DomainError, InvalidSpec, ProtocolViolation
from ffrtmp.domain.figures import (
    AudioFacts,
    Figures,
    MediaFacts,
    OutputFigures,
    QualityScore,
    VideoFacts,
)
from ffrtmp.domain.job import Failure, FileRecord, Manifest
from ffrtmp.domain.log import Lines
from ffrtmp.domain.messages import (
    Cancel,
    CapabilitiesChanged,
    Command,
    Event,
    Failed,
    Goodbye,
    Heartbeat,
    HeartbeatAck,
    Hello,
    LogPart,
    LogReport,
    Numbered,
    Offer,
    OfferAck,
    OfferReply,
    Progress,
    ProgressReport,
    Published,
    Reconnect,
    Reject,
    ResultAck,
    ResultOutcome,
    ResultStep,
    Staged,
    Welcome,
)
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.roots import RootReport
from ffrtmp.domain.session import AttemptKey, AttemptReport, Phase, Verdict, VerdictKind
from ffrtmp.domain.spec import FrameRate, Input, JobSpec, MediaPath, Metric, Output, TestSource
from ffrtmp.domain.timers import Timers
from ffrtmp.domain.worker import AttemptLimits, Capabilities, LimitWay, Load
from ffrtmp.rpc.convert_stream import (
    command_from_pb,
    command_to_pb,
    event_from_pb,
    event_to_pb,
    offer_key,
)
from ffrtmp.v1 import admin_service_pb2 as admin_pb
from ffrtmp.v1 import job_pb2
from ffrtmp.v1 import worker_service_pb2 as pb

KEY = AttemptKey("01JDXV4Q5W2N0A8M3B7K9C6E1T", 7)
FILES = (FileRecord("m:a.mp4", 2**40, "ab" * 32), FileRecord("m:b.mp4", 0, "cd" * 32))
MANIFEST = Manifest(FILES, 6)
LOAD = Load(cpu_load=1.5, memory_free=2**34, disk_free={"m": 2**41, "n": 0})
CAPABLE = Capabilities(
    version="0.1.0",
    spec_version=1,
    ffmpeg_version="9.0",
    codecs=frozenset({"h264", "aac"}),
    encoders=("libx264", "aac"),
    roots=(
        RootReport(name="m", nonce="n1", sees=frozenset({"n1", "n2"})),
        RootReport(name="n", empty=True, problem="is read-only"),
    ),
    cpu_count=8,
    memory_bytes=2**35,
    limits=AttemptLimits(
        memory=2**32, cores=1.5, memory_way=LimitWay.CGROUP, cpu_way=LimitWay.AFFINITY
    ),
    labels={"zone": "eu", "gpu": "none"},
)
REPORTS = (
    *(AttemptReport(key=KEY, phase=phase) for phase in Phase),
    AttemptReport(key=AttemptKey("01K", 1), phase=Phase.PUBLISH, journalled=True),
)
FAILURE = Failure(
    reason=Reason.FFMPEG_FAILED, message="it broke", exit_code=-11, log_tail=("a", "b")
)
PROGRESS = Progress(
    key=KEY,
    phase=Phase.ENCODE,
    position=timedelta(seconds=1, microseconds=1),
    total=timedelta(hours=30),
    frames=31,
    frames_per_second=59.94,
    speed=2.5,
    size=2**33,
)
MEDIA = MediaFacts(
    format_name="matroska,webm",
    size=2**41,
    duration=timedelta(hours=2, microseconds=1),
    bitrate=2_000_000,
    video=VideoFacts(
        codec="h264",
        width=1920,
        height=1080,
        pixel_format="yuv420p",
        frames=2**20,
        frame_rate=FrameRate(30000, 1001),
    ),
    audio=AudioFacts(codec="aac", channels=6, sample_rate=48000),
)
FIGURES = Figures(
    ffmpeg_version="9.0",
    argv=("ffmpeg", "-i", "file:m:a.mkv"),
    source=MEDIA,
    outputs=(
        OutputFigures(path="m:a.mp4", media=replace(MEDIA, audio=None), sha256="ab" * 32),
        OutputFigures(
            path="m:b.mp4",
            media=replace(MEDIA, video=replace(MEDIA.video, frame_rate=None)),
            video_encoder="libx264",
            audio_encoder="copy",
            ratio=0.25,
            quality=QualityScore(metric=Metric.VMAF, score=93.5, frames=500, least=90.0),
        ),
        OutputFigures(
            path="m:c.mp4",
            media=replace(MEDIA, video=None),
            quality=QualityScore(metric=Metric.SSIM, score=0.98, frames=1),
        ),
    ),
    probing=timedelta(seconds=0.25),
    encoding=timedelta(minutes=61),
    verifying=timedelta(seconds=2),
    comparing=timedelta(seconds=3),
    cpu=timedelta(hours=3),
    peak_memory=2**33,
    speed=1.97,
)
MASTERS_OWN = {"ffrtmp.v1.AttemptResult.fence", "ffrtmp.v1.AttemptResult.worker"}
"""The attempt's key, and the certificate, say them."""
EVENTS: list[Event] = [
    Hello(
        incarnation="f" * 32,
        previous="e" * 32,
        capabilities=CAPABLE,
        attempts=REPORTS,
        slots=3,
        load=LOAD,
        dial=7,
    ),
    Heartbeat(number=2**40, seen=9, slots=3, attempts=REPORTS, load=LOAD),
    Heartbeat(number=1, seen=0, slots=0),
    CapabilitiesChanged(CAPABLE),
    OfferReply(KEY),
    OfferReply(KEY, "no encoder"),
    OfferReply(KEY, "drains", passing=True),
    OfferReply(KEY, "no room", passing=True, crowded=True),
    ProgressReport((PROGRESS, Progress(key=AttemptKey("01K", 1), phase=Phase.PROBE))),
    ProgressReport(()),
    LogReport(
        (LogPart(KEY, Lines(7, ("[info] a", "é\x1b\0"))), LogPart(AttemptKey("01K", 1), Lines()))
    ),
    LogReport(()),
    Staged(KEY, MANIFEST),
    Staged(KEY, MANIFEST, FIGURES),
    Published(KEY),
    Published(KEY, Figures(ffmpeg_version="9.0")),
    Failed(KEY, FAILURE, FIGURES),
    *(Failed(KEY, Failure(reason=reason, message="")) for reason in Reason),
    Failed(KEY, FAILURE),
    Failed(KEY, Failure(reason=Reason.FFMPEG_FAILED, message="", exit_code=0)),
    Goodbye(),
]
TIMERS = Timers(
    heartbeat_interval=timedelta(seconds=0.7),
    missed_heartbeats=4,
    offer_ttl=timedelta(seconds=3),
    progress_interval=timedelta(seconds=2),
    drain_timeout=timedelta(minutes=3),
)
VERDICTS = tuple(Verdict(KEY, kind) for kind in VerdictKind)
SPEC = JobSpec(
    input=Input(test_source=TestSource()), outputs=(Output(path=MediaPath("m", "o.mp4")),)
)
COMMANDS: list[Command] = [
    Welcome(epoch=5, timers=TIMERS, reconnect_spread=timedelta(seconds=1.5), verdicts=VERDICTS),
    Welcome(epoch=1, timers=TIMERS, reconnect_spread=timedelta(seconds=1), draining=True),
    HeartbeatAck(number=4, remaining=timedelta(seconds=14.2), verdicts=VERDICTS),
    HeartbeatAck(number=5, remaining=timedelta(seconds=15), draining=True),
    HeartbeatAck(number=4, remaining=timedelta(0)),
    Offer(key=KEY, spec=SPEC),
    Offer(key=KEY, spec=SPEC, publish_only=MANIFEST),
    OfferAck(KEY),
    Cancel(KEY),
    *(ResultAck(KEY, step, outcome) for step in ResultStep for outcome in ResultOutcome),
    Reconnect(timedelta(seconds=2)),
    Reject("another one is alive"),
]


def named(value: object) -> str:
    return type(value).__name__


@pytest.mark.parametrize("event", EVENTS, ids=named)
def test_an_event_survives_the_wire(event):
    sent = event_to_pb(event).SerializeToString()
    assert event_from_pb(pb.WorkerEvent.FromString(sent)) == event


@pytest.mark.parametrize("command", COMMANDS, ids=named)
def test_a_command_survives_the_wire_with_its_number(command):
    sent = command_to_pb(Numbered(2**40, command)).SerializeToString()
    assert command_from_pb(pb.MasterCommand.FromString(sent)) == Numbered(2**40, command)


def members(union: Any) -> set[type]:
    """Of a union of unions."""
    parts = get_args(union)
    return set().union(*map(members, parts)) if parts else {union}


def test_every_member_of_both_unions_is_among_the_samples():
    assert {type(event) for event in EVENTS} == members(Event)
    assert {type(command) for command in COMMANDS} == members(Command)


def fields_of(message: Descriptor, *, seen: set[str]) -> Iterator[str]:
    """Every field below a message; those of the spec are walked in test_spec_fields.py."""
    if message.full_name in seen or message.full_name == "ffrtmp.v1.JobSpec":
        return
    seen.add(message.full_name)
    for field in message.fields:
        yield field.full_name
        if field.message_type is not None:
            yield from fields_of(field.message_type, seen=seen)


def fields_set(message: Message) -> Iterator[str]:
    for field, value in message.ListFields():
        yield field.full_name
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            yield from (f"{field.message_type.full_name}.{part}" for part in ("key", "value"))
            continue
        for part in value if field.is_repeated else [value]:
            yield from fields_set(part)


@pytest.mark.parametrize(
    ("root", "samples"),
    [
        (pb.WorkerEvent, [event_to_pb(event) for event in EVENTS]),
        (pb.MasterCommand, [command_to_pb(Numbered(1, command)) for command in COMMANDS]),
    ],
    ids=["events", "commands"],
)
def test_every_field_of_the_stream_is_written_by_some_sample(root, samples):
    """With the tests above: no field is lost on the way, in either direction."""
    written = {name for sample in samples for name in fields_set(sample)}
    everything = set(fields_of(root.DESCRIPTOR, seen=set()))
    ours = {name for name in everything if name.startswith("ffrtmp.")} - MASTERS_OWN
    assert ours <= written, f"add a sample that sets {sorted(ours - written)}"


# -- what a newer or a broken peer may say ------------------------------------------------------

UNKNOWN_FIELD = b"\xfa\x06\x02hi"  # number 111, two bytes


def test_a_kind_of_event_or_command_that_we_do_not_know_is_nothing():
    assert event_from_pb(pb.WorkerEvent.FromString(UNKNOWN_FIELD)) is None
    assert command_from_pb(pb.MasterCommand.FromString(b"\x08\x05" + UNKNOWN_FIELD)) is None


def test_a_field_of_the_envelope_that_we_do_not_know_changes_nothing():
    sent = event_to_pb(OfferReply(KEY)).offer_reply.SerializeToString() + UNKNOWN_FIELD
    event = pb.WorkerEvent(offer_reply=pb.OfferReply.FromString(sent))
    assert event_from_pb(event) == OfferReply(KEY)


def test_an_unknown_phase_counts_as_encoding_and_an_unknown_verdict_means_go_on():
    report = pb.AttemptReport(key=pb.AttemptKey(job_id="j", fence=1), phase=99)
    beat = event_from_pb(pb.WorkerEvent(heartbeat=pb.Heartbeat(attempts=[report])))
    assert beat.attempts[0].phase is Phase.ENCODE
    verdict = pb.Verdict(key=pb.AttemptKey(job_id="j", fence=1), kind=99)
    told = command_from_pb(pb.MasterCommand(heartbeat_ack=pb.HeartbeatAck(verdicts=[verdict])))
    assert told.command.verdicts[0].kind is VerdictKind.KEEP
    progress = job_pb2.AttemptProgress(job_id="j", phase=99)
    event = pb.WorkerEvent(progress=pb.Progress(attempts=[progress]))
    assert event_from_pb(event).attempts[0].phase is Phase.ENCODE


@pytest.mark.parametrize(("step", "outcome"), [(99, 1), (1, 99), (0, 1), (1, 0)])
def test_an_acknowledgement_that_we_do_not_understand_is_none(step, outcome):
    assert (
        command_from_pb(pb.MasterCommand(result_ack=pb.ResultAck(step=step, outcome=outcome)))
        is None
    )


def labelled(labels: dict[str, str]) -> pb.WorkerEvent:
    can = admin_pb.WorkerCapabilities(labels=labels)
    return pb.WorkerEvent(hello=pb.Hello(incarnation="i", capabilities=can))


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (pb.WorkerEvent(hello=pb.Hello()), "names no incarnation"),
        (pb.WorkerEvent(hello=pb.Hello(incarnation="a\0b")), "32 hexadecimal digits"),
        (
            pb.WorkerEvent(hello=pb.Hello(incarnation="a", previous_incarnation="b" * 65)),
            "32 hexadecimal digits",
        ),
        (
            pb.WorkerEvent(hello=pb.Hello(incarnation="a", dial=1 << 63)),
            "for the number of a dial",
        ),
        (pb.WorkerEvent(result=pb.Result()), "neither staged, published nor failed"),
        (
            pb.WorkerEvent(result=pb.Result(failure=job_pb2.Failure(reason=99))),
            "failure reason 99 is not known",
        ),
        (
            pb.WorkerEvent(log=pb.Log(attempts=[pb.AttemptLog(lines=["x"] * 201)])),
            "201 log lines of an attempt",
        ),
        (
            pb.WorkerEvent(log=pb.Log(attempts=[pb.AttemptLog(line_number=1 << 63)])),
            "for the number of a log line",
        ),
        (labelled({f"k{number}": "v" for number in range(65)}), "labels: 65 is not valid"),
        (labelled({"zone": "e u"}), r"labels\.zone: 'e u' is not valid"),
        (
            pb.WorkerEvent(capabilities=admin_pb.WorkerCapabilities(labels={"ffrtmp.x": "1"})),
            "'ffrtmp.x' is not valid: keys that begin with ffrtmp",
        ),
    ],
)
def test_an_event_that_makes_no_sense_breaks_the_rules(event, why):
    with pytest.raises(ProtocolViolation, match=why):
        event_from_pb(event)


def test_timers_that_cannot_work_break_the_rules():
    with pytest.raises(ProtocolViolation, match="heartbeat_interval must be at least"):
        command_from_pb(pb.MasterCommand(welcome=pb.Welcome()))


def test_an_offer_with_a_spec_that_we_do_not_understand_is_still_named():
    message = command_to_pb(Numbered(1, Offer(key=KEY, spec=SPEC)))
    message.offer.spec.MergeFromString(UNKNOWN_FIELD)
    with pytest.raises(InvalidSpec, match="field number 111"):
        command_from_pb(message)
    assert offer_key(message.offer) == KEY


def broken(sample: bytes, cuts: list[tuple[int, int]]) -> bytes:
    found = bytearray(sample)
    for place, byte in cuts:
        found[place % len(found)] = byte
    return bytes(found)


changes = st.lists(st.tuples(st.integers(0, 10**4), st.integers(0, 255)), min_size=1, max_size=4)


@given(sample=st.sampled_from(EVENTS), cuts=changes)
def test_a_broken_event_is_refused_or_understood_but_never_makes_us_fail(sample, cuts):
    data = event_to_pb(sample).SerializeToString()
    with suppress(DecodeError, DomainError):
        event_from_pb(pb.WorkerEvent.FromString(broken(data, cuts)))


@given(sample=st.sampled_from(COMMANDS), cuts=changes)
def test_a_broken_command_is_refused_or_understood_but_never_makes_us_fail(sample, cuts):
    data = command_to_pb(Numbered(1, sample)).SerializeToString()
    with suppress(DecodeError, DomainError):
        command_from_pb(pb.MasterCommand.FromString(broken(data, cuts)))
