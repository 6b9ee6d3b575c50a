"""The events of the worker stream, member by member: what a worker says to its master, within the
limits of `domain/messages.py`.
"""

from typing import assert_never

from ffrtmp.domain.errors import ProtocolViolation
from ffrtmp.domain.log import KEPT_LINES, LINE_BYTES, MOST_LINES, Lines
from ffrtmp.domain.messages import (
    MOST_ATTEMPTS,
    Failed,
    Heartbeat,
    Hello,
    LogPart,
    LogReport,
    OfferReply,
    ProgressReport,
    Published,
    Result,
    Staged,
)
from ffrtmp.rpc.convert_attempt import (
    key_from_pb,
    key_to_pb,
    manifest_from_pb,
    manifest_to_pb,
    report_from_pb,
    report_to_pb,
)
from ffrtmp.rpc.convert_figures import figures_from_pb, figures_to_pb
from ffrtmp.rpc.convert_job import (
    failure_from_pb,
    failure_to_pb,
    progress_from_pb,
    progress_to_pb,
)
from ffrtmp.rpc.convert_worker import (
    capabilities_from_pb,
    capabilities_to_pb,
    load_from_pb,
    load_to_pb,
)
from ffrtmp.v1 import worker_service_pb2 as pb

LONGEST_INCARNATION = 64
MOST_DIALS = (1 << 63) - 1


def at_most(limit: int, found: int, what: str) -> None:
    if found > limit:
        raise ProtocolViolation(f"{found} {what}: at most {limit}")


def hello_to_pb(hello: Hello) -> pb.Hello:
    return pb.Hello(
        incarnation=hello.incarnation,
        previous_incarnation=hello.previous,
        capabilities=capabilities_to_pb(hello.capabilities),
        attempts=[report_to_pb(report) for report in hello.attempts],
        slots=hello.slots,
        load=load_to_pb(hello.load),
        dial=hello.dial,
    )


def hello_from_pb(hello: pb.Hello) -> Hello:
    if not hello.incarnation:
        raise ProtocolViolation("hello names no incarnation")
    for name in (hello.incarnation, hello.previous_incarnation):
        if len(name) > LONGEST_INCARNATION or not (name.isascii() and name.isprintable()):
            raise ProtocolViolation(f"an incarnation is 32 hexadecimal digits, not {name[:80]!r}")
    at_most(MOST_DIALS, hello.dial, "for the number of a dial")
    _check_presence(hello)
    return Hello(
        incarnation=hello.incarnation,
        previous=hello.previous_incarnation,
        capabilities=capabilities_from_pb(hello.capabilities),
        attempts=tuple(report_from_pb(report) for report in hello.attempts),
        slots=hello.slots,
        load=load_from_pb(hello.load),
        dial=hello.dial,
    )


def _check_presence(said: pb.Hello | pb.Heartbeat) -> None:
    at_most(MOST_ATTEMPTS, len(said.attempts), "attempts listed")
    at_most(MOST_ATTEMPTS, said.slots, "slots")


def heartbeat_to_pb(beat: Heartbeat) -> pb.Heartbeat:
    return pb.Heartbeat(
        number=beat.number,
        seen=beat.seen,
        slots=beat.slots,
        attempts=[report_to_pb(report) for report in beat.attempts],
        load=load_to_pb(beat.load),
    )


def heartbeat_from_pb(beat: pb.Heartbeat) -> Heartbeat:
    _check_presence(beat)
    return Heartbeat(
        number=beat.number,
        seen=beat.seen,
        slots=beat.slots,
        attempts=tuple(report_from_pb(report) for report in beat.attempts),
        load=load_from_pb(beat.load),
    )


def offer_reply_to_pb(reply: OfferReply) -> pb.OfferReply:
    return pb.OfferReply(
        key=key_to_pb(reply.key),
        rejection=reply.rejection,
        passing=reply.passing,
        crowded=reply.crowded,
    )


def offer_reply_from_pb(reply: pb.OfferReply) -> OfferReply:
    return OfferReply(key_from_pb(reply.key), reply.rejection, reply.passing, reply.crowded)


def progress_report_to_pb(report: ProgressReport) -> pb.Progress:
    return pb.Progress(attempts=map(progress_to_pb, report.attempts))


def progress_report_from_pb(progress: pb.Progress) -> ProgressReport:
    at_most(MOST_ATTEMPTS, len(progress.attempts), "attempts in a progress report")
    return ProgressReport(tuple(map(progress_from_pb, progress.attempts)))


def log_report_to_pb(report: LogReport) -> pb.Log:
    return pb.Log(attempts=map(_log_to_pb, report.parts))


def log_report_from_pb(log: pb.Log) -> LogReport:
    at_most(MOST_ATTEMPTS, len(log.attempts), "attempts in a log report")
    return LogReport(tuple(map(_log_from_pb, log.attempts)))


def _log_to_pb(part: LogPart) -> pb.AttemptLog:
    return pb.AttemptLog(
        key=key_to_pb(part.key), line_number=part.lines.first, lines=part.lines.texts
    )


def _log_from_pb(log: pb.AttemptLog) -> LogPart:
    at_most(KEPT_LINES, len(log.lines), "log lines of an attempt in a message")
    at_most(MOST_LINES, log.line_number, "for the number of a log line")
    texts = tuple(line[:LINE_BYTES] for line in log.lines)
    return LogPart(key_from_pb(log.key), Lines(log.line_number, texts))


def result_to_pb(result: Result) -> pb.Result:
    key = key_to_pb(result.key)
    figures = figures_to_pb(result.figures) if result.figures else None
    match result:
        case Staged(_, manifest):
            return pb.Result(key=key, staged=manifest_to_pb(manifest), figures=figures)
        case Published():
            return pb.Result(key=key, published=pb.Published(), figures=figures)
        case Failed(_, failure):
            return pb.Result(key=key, failure=failure_to_pb(failure), figures=figures)
        case _:
            assert_never(result)


def result_from_pb(result: pb.Result) -> Result:
    key = key_from_pb(result.key)
    figures = figures_from_pb(result.figures) if result.HasField("figures") else None
    match result.WhichOneof("outcome"):
        case "staged":
            return Staged(key, manifest_from_pb(result.staged), figures)
        case "published":
            return Published(key, figures)
        case "failure":
            return Failed(key, failure_from_pb(result.failure), figures)
        case _:
            raise ProtocolViolation("a result says neither staged, published nor failed")
