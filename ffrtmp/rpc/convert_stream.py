"""The worker stream: the oneofs of the wire become the unions of `domain/messages.py`, and back.

A member of the envelope that this build does not know converts to None: it is counted and ignored.
"""

from collections.abc import Iterable
from typing import assert_never

from ffrtmp.domain.errors import ProtocolViolation
from ffrtmp.domain.job import Manifest
from ffrtmp.domain.log import KEPT_LINES, LINE_BYTES, MOST_LINES, Lines
from ffrtmp.domain.messages import (
    MOST_ATTEMPTS,
    MOST_EVENTS,
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
    ProgressReport,
    Published,
    Reconnect,
    Reject,
    Result,
    ResultAck,
    Staged,
    Welcome,
)
from ffrtmp.domain.session import AttemptKey, AttemptReport, Phase, Verdict, VerdictKind
from ffrtmp.domain.timers import Timers
from ffrtmp.rpc.convert_job import (
    failure_from_pb,
    failure_to_pb,
    files_from_pb,
    files_to_pb,
    progress_from_pb,
    progress_to_pb,
)
from ffrtmp.rpc.convert_spec import spec_from_pb, spec_to_pb
from ffrtmp.rpc.convert_worker import (
    capabilities_from_pb,
    capabilities_to_pb,
    load_from_pb,
    load_to_pb,
)
from ffrtmp.rpc.enums import PHASES, RESULT_OUTCOMES, RESULT_STEPS, VERDICTS
from ffrtmp.rpc.times import from_duration, to_duration
from ffrtmp.v1 import worker_service_pb2 as pb

# -- worker to master -----------------------------------------------------------------------


def event_to_pb(event: Event) -> pb.WorkerEvent:
    match event:
        case Hello():
            return pb.WorkerEvent(hello=_hello_to_pb(event))
        case Heartbeat():
            return pb.WorkerEvent(heartbeat=_heartbeat_to_pb(event))
        case CapabilitiesChanged(capabilities):
            return pb.WorkerEvent(capabilities=capabilities_to_pb(capabilities))
        case OfferReply(key, rejection, passing):
            reply = pb.OfferReply(key=_key_to_pb(key), rejection=rejection, passing=passing)
            return pb.WorkerEvent(offer_reply=reply)
        case ProgressReport(attempts):
            progress = pb.Progress(attempts=[progress_to_pb(attempt) for attempt in attempts])
            return pb.WorkerEvent(progress=progress)
        case LogReport(parts):
            return pb.WorkerEvent(log=pb.Log(attempts=map(_log_to_pb, parts)))
        case Staged() | Published() | Failed():
            return pb.WorkerEvent(result=_result_to_pb(event))
        case Goodbye():
            return pb.WorkerEvent(goodbye=pb.Goodbye())
        case _:
            assert_never(event)


def _hello_to_pb(hello: Hello) -> pb.Hello:
    return pb.Hello(
        incarnation=hello.incarnation,
        previous_incarnation=hello.previous,
        capabilities=capabilities_to_pb(hello.capabilities),
        attempts=[_report_to_pb(report) for report in hello.attempts],
        slots=hello.slots,
        load=load_to_pb(hello.load),
    )


def _heartbeat_to_pb(beat: Heartbeat) -> pb.Heartbeat:
    return pb.Heartbeat(
        number=beat.number,
        seen=beat.seen,
        slots=beat.slots,
        attempts=[_report_to_pb(report) for report in beat.attempts],
        load=load_to_pb(beat.load),
    )


def _result_to_pb(result: Result) -> pb.Result:
    key = _key_to_pb(result.key)
    match result:
        case Staged(_, manifest):
            return pb.Result(key=key, staged=_manifest_to_pb(manifest))
        case Published():
            return pb.Result(key=key, published=pb.Published())
        case Failed(_, failure):
            return pb.Result(key=key, failure=failure_to_pb(failure))
        case _:
            assert_never(result)


def events_from_pb(request: pb.ConnectRequest) -> list[Event | None]:
    """Raises ProtocolViolation for a message that no worker of ours would send."""
    _at_most(MOST_EVENTS, len(request.events), "events in a message")
    return [event_from_pb(event) for event in request.events]


def _at_most(limit: int, found: int, what: str) -> None:
    if found > limit:
        raise ProtocolViolation(f"{found} {what}: at most {limit}")


def event_from_pb(event: pb.WorkerEvent) -> Event | None:
    """Raises ProtocolViolation for a known event that makes no sense."""
    match event.WhichOneof("kind"):
        case "hello":
            return _hello_from_pb(event.hello)
        case "heartbeat":
            return _heartbeat_from_pb(event.heartbeat)
        case "capabilities":
            return CapabilitiesChanged(capabilities_from_pb(event.capabilities))
        case "offer_reply":
            reply = event.offer_reply
            return OfferReply(_key_from_pb(reply.key), reply.rejection, reply.passing)
        case "progress":
            _at_most(MOST_ATTEMPTS, len(event.progress.attempts), "attempts in a progress report")
            return ProgressReport(tuple(progress_from_pb(each) for each in event.progress.attempts))
        case "log":
            _at_most(MOST_ATTEMPTS, len(event.log.attempts), "attempts in a log report")
            return LogReport(tuple(map(_log_from_pb, event.log.attempts)))
        case "result":
            return _result_from_pb(event.result)
        case "goodbye":
            return Goodbye()
        case _:
            return None


def _hello_from_pb(hello: pb.Hello) -> Hello:
    if not hello.incarnation:
        raise ProtocolViolation("hello names no incarnation")
    _check_presence(hello)
    return Hello(
        incarnation=hello.incarnation,
        previous=hello.previous_incarnation,
        capabilities=capabilities_from_pb(hello.capabilities),
        attempts=tuple(_report_from_pb(report) for report in hello.attempts),
        slots=hello.slots,
        load=load_from_pb(hello.load),
    )


def _check_presence(said: pb.Hello | pb.Heartbeat) -> None:
    _at_most(MOST_ATTEMPTS, len(said.attempts), "attempts listed")
    _at_most(MOST_ATTEMPTS, said.slots, "slots")


def _heartbeat_from_pb(beat: pb.Heartbeat) -> Heartbeat:
    _check_presence(beat)
    return Heartbeat(
        number=beat.number,
        seen=beat.seen,
        slots=beat.slots,
        attempts=tuple(_report_from_pb(report) for report in beat.attempts),
        load=load_from_pb(beat.load),
    )


def _result_from_pb(result: pb.Result) -> Result:
    key = _key_from_pb(result.key)
    match result.WhichOneof("outcome"):
        case "staged":
            return Staged(key, _manifest_from_pb(result.staged))
        case "published":
            return Published(key)
        case "failure":
            return Failed(key, failure_from_pb(result.failure))
        case _:
            raise ProtocolViolation("a result says neither staged, published nor failed")


def _log_to_pb(part: LogPart) -> pb.AttemptLog:
    return pb.AttemptLog(
        key=_key_to_pb(part.key), line_number=part.lines.first, lines=part.lines.texts
    )


def _log_from_pb(log: pb.AttemptLog) -> LogPart:
    _at_most(KEPT_LINES, len(log.lines), "log lines of an attempt in a message")
    _at_most(MOST_LINES, log.line_number, "for the number of a log line")
    texts = tuple(line[:LINE_BYTES] for line in log.lines)
    return LogPart(_key_from_pb(log.key), Lines(log.line_number, texts))


# -- master to worker -----------------------------------------------------------------------


def command_to_pb(numbered: Numbered) -> pb.MasterCommand:
    message = _command_to_pb(numbered.command)
    message.number = numbered.number
    return message


def _command_to_pb(command: Command) -> pb.MasterCommand:
    match command:
        case Welcome():
            return pb.MasterCommand(welcome=_welcome_to_pb(command))
        case HeartbeatAck():
            return pb.MasterCommand(heartbeat_ack=_ack_to_pb(command))
        case Offer(key=key, spec=spec, publish_only=manifest):
            offer = pb.Offer(
                key=_key_to_pb(key),
                spec=spec_to_pb(spec),
                publish_only=_manifest_to_pb(manifest) if manifest else None,
            )
            return pb.MasterCommand(offer=offer)
        case OfferAck(key):
            return pb.MasterCommand(offer_ack=pb.OfferAck(key=_key_to_pb(key)))
        case Cancel(key):
            return pb.MasterCommand(cancel=pb.Cancel(key=_key_to_pb(key)))
        case ResultAck(key, step, outcome):
            result_ack = pb.ResultAck(
                key=_key_to_pb(key),
                step=RESULT_STEPS.to_wire(step),  # type: ignore[arg-type]
                outcome=RESULT_OUTCOMES.to_wire(outcome),  # type: ignore[arg-type]
            )
            return pb.MasterCommand(result_ack=result_ack)
        case Reconnect(after):
            reconnect = pb.Reconnect(after_duration=to_duration(after))
            return pb.MasterCommand(reconnect=reconnect)
        case Reject(why):
            return pb.MasterCommand(reject=pb.Reject(reason=why))
        case _:
            assert_never(command)


def _welcome_to_pb(welcome: Welcome) -> pb.Welcome:
    timers = welcome.timers
    return pb.Welcome(
        epoch=welcome.epoch,
        timers=pb.Timers(
            heartbeat_interval_duration=to_duration(timers.heartbeat_interval),
            missed_heartbeats=timers.missed_heartbeats,
            offer_timeout=to_duration(timers.offer_ttl),
            progress_interval_duration=to_duration(timers.progress_interval),
            drain_timeout=to_duration(timers.drain_timeout),
        ),
        reconnect_spread_duration=to_duration(welcome.reconnect_spread),
        verdicts=[_verdict_to_pb(verdict) for verdict in welcome.verdicts],
        draining=welcome.draining,
        acknowledges_offers=welcome.acknowledges_offers,
    )


def _ack_to_pb(ack: HeartbeatAck) -> pb.HeartbeatAck:
    return pb.HeartbeatAck(
        number=ack.number,
        remaining_duration=to_duration(ack.remaining),
        verdicts=[_verdict_to_pb(verdict) for verdict in ack.verdicts],
        draining=ack.draining,
    )


def command_from_pb(message: pb.MasterCommand) -> Numbered | None:
    """Raises InvalidSpec for an offer whose spec this build does not understand, ProtocolViolation
    for timers that cannot work.
    """
    command = _command_from_pb(message)
    return Numbered(message.number, command) if command is not None else None


def _command_from_pb(message: pb.MasterCommand) -> Command | None:
    match message.WhichOneof("kind"):
        case "welcome":
            return _welcome_from_pb(message.welcome)
        case "heartbeat_ack":
            return _ack_from_pb(message.heartbeat_ack)
        case "offer":
            return _offer_from_pb(message.offer)
        case "offer_ack":
            return OfferAck(_key_from_pb(message.offer_ack.key))
        case "cancel":
            return Cancel(_key_from_pb(message.cancel.key))
        case "result_ack":
            return _result_ack_from_pb(message.result_ack)
        case "reconnect":
            return Reconnect(from_duration(message.reconnect.after_duration, "after"))
        case "reject":
            return Reject(message.reject.reason)
        case _:
            return None


def _welcome_from_pb(welcome: pb.Welcome) -> Welcome:
    return Welcome(
        epoch=welcome.epoch,
        timers=_timers_from_pb(welcome.timers),
        reconnect_spread=from_duration(welcome.reconnect_spread_duration, "reconnect_spread"),
        verdicts=_verdicts_from_pb(welcome.verdicts),
        draining=welcome.draining,
        acknowledges_offers=welcome.acknowledges_offers,
    )


def _timers_from_pb(timers: pb.Timers) -> Timers:
    interval = from_duration(timers.heartbeat_interval_duration, "heartbeat_interval")
    try:
        return Timers(
            heartbeat_interval=interval,
            missed_heartbeats=timers.missed_heartbeats,
            offer_ttl=from_duration(timers.offer_timeout, "offer_timeout"),
            progress_interval=from_duration(timers.progress_interval_duration, "progress"),
            drain_timeout=from_duration(timers.drain_timeout, "drain_timeout"),
        )
    except ValueError as error:
        raise ProtocolViolation(f"the master's timers cannot work: {error}") from None


def _ack_from_pb(ack: pb.HeartbeatAck) -> HeartbeatAck:
    return HeartbeatAck(
        number=ack.number,
        remaining=from_duration(ack.remaining_duration, "remaining"),
        verdicts=_verdicts_from_pb(ack.verdicts),
        draining=ack.draining,
    )


def _offer_from_pb(offer: pb.Offer) -> Offer:
    manifest = _manifest_from_pb(offer.publish_only) if offer.HasField("publish_only") else None
    return Offer(key=_key_from_pb(offer.key), spec=spec_from_pb(offer.spec), publish_only=manifest)


def _result_ack_from_pb(ack: pb.ResultAck) -> ResultAck | None:
    step = RESULT_STEPS.from_wire(ack.step)
    outcome = RESULT_OUTCOMES.from_wire(ack.outcome)
    if step is None or outcome is None:
        return None
    return ResultAck(_key_from_pb(ack.key), step, outcome)


# -- parts ----------------------------------------------------------------------------------


def _key_to_pb(key: AttemptKey) -> pb.AttemptKey:
    return pb.AttemptKey(job_id=key.job_id, fence=key.fence)


def _key_from_pb(key: pb.AttemptKey) -> AttemptKey:
    return AttemptKey(key.job_id, key.fence)


def offer_key(offer: pb.Offer) -> AttemptKey:
    """Whose offer it is, even where its spec is not understood."""
    return _key_from_pb(offer.key)


def _report_to_pb(report: AttemptReport) -> pb.AttemptReport:
    return pb.AttemptReport(
        key=_key_to_pb(report.key),
        phase=PHASES.to_wire(report.phase),  # type: ignore[arg-type]
        journalled=report.journalled,
    )


def _report_from_pb(report: pb.AttemptReport) -> AttemptReport:
    return AttemptReport(
        key=_key_from_pb(report.key),
        phase=PHASES.from_wire(report.phase) or Phase.ENCODE,
        journalled=report.journalled,
    )


def _verdict_to_pb(verdict: Verdict) -> pb.Verdict:
    return pb.Verdict(key=_key_to_pb(verdict.key), kind=VERDICTS.to_wire(verdict.kind))  # type: ignore[arg-type]


def _verdicts_from_pb(verdicts: Iterable[pb.Verdict]) -> tuple[Verdict, ...]:
    """A kind that this build does not know means: go on."""
    return tuple(
        Verdict(_key_from_pb(each.key), VERDICTS.from_wire(each.kind) or VerdictKind.KEEP)
        for each in verdicts
    )


def _manifest_to_pb(manifest: Manifest) -> pb.Manifest:
    return pb.Manifest(files=files_to_pb(manifest), fence=manifest.fence)


def _manifest_from_pb(manifest: pb.Manifest) -> Manifest:
    return Manifest(files_from_pb(manifest.files), manifest.fence)
