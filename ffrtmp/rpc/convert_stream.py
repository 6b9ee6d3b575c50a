"""The worker stream: the oneofs of the wire become the unions of `domain/messages.py`, and back.

Their members are in `convert_events.py` and `convert_commands.py`. A member of the envelope that
this build does not know converts to None: it is counted and ignored.
"""

from typing import assert_never

from ffrtmp.domain.messages import (
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
    LogReport,
    Numbered,
    Offer,
    OfferAck,
    OfferReply,
    ProgressReport,
    Published,
    Reconnect,
    Reject,
    ResultAck,
    Staged,
    Welcome,
)
from ffrtmp.domain.session import AttemptKey
from ffrtmp.rpc import convert_commands as commands
from ffrtmp.rpc import convert_events as events
from ffrtmp.rpc.convert_attempt import key_from_pb, key_to_pb
from ffrtmp.rpc.convert_worker import capabilities_from_pb, capabilities_to_pb
from ffrtmp.rpc.times import from_duration, to_duration
from ffrtmp.v1 import worker_service_pb2 as pb

# -- worker to master -----------------------------------------------------------------------


def event_to_pb(event: Event) -> pb.WorkerEvent:
    match event:
        case Hello():
            return pb.WorkerEvent(hello=events.hello_to_pb(event))
        case Heartbeat():
            return pb.WorkerEvent(heartbeat=events.heartbeat_to_pb(event))
        case CapabilitiesChanged(capabilities):
            return pb.WorkerEvent(capabilities=capabilities_to_pb(capabilities))
        case OfferReply():
            return pb.WorkerEvent(offer_reply=events.offer_reply_to_pb(event))
        case ProgressReport():
            return pb.WorkerEvent(progress=events.progress_report_to_pb(event))
        case LogReport():
            return pb.WorkerEvent(log=events.log_report_to_pb(event))
        case Staged() | Published() | Failed():
            return pb.WorkerEvent(result=events.result_to_pb(event))
        case Goodbye():
            return pb.WorkerEvent(goodbye=pb.Goodbye())
        case _:
            assert_never(event)


def events_from_pb(request: pb.ConnectRequest) -> list[Event | None]:
    """Raises ProtocolViolation for a message that no worker of ours would send."""
    events.at_most(MOST_EVENTS, len(request.events), "events in a message")
    return [event_from_pb(event) for event in request.events]


def event_from_pb(event: pb.WorkerEvent) -> Event | None:
    """Raises ProtocolViolation for a known event that makes no sense."""
    match event.WhichOneof("kind"):
        case "hello":
            return events.hello_from_pb(event.hello)
        case "heartbeat":
            return events.heartbeat_from_pb(event.heartbeat)
        case "capabilities":
            return CapabilitiesChanged(capabilities_from_pb(event.capabilities))
        case "offer_reply":
            return events.offer_reply_from_pb(event.offer_reply)
        case "progress":
            return events.progress_report_from_pb(event.progress)
        case "log":
            return events.log_report_from_pb(event.log)
        case "result":
            return events.result_from_pb(event.result)
        case "goodbye":
            return Goodbye()
        case _:
            return None


# -- master to worker -----------------------------------------------------------------------


def command_to_pb(numbered: Numbered) -> pb.MasterCommand:
    message = _command_to_pb(numbered.command)
    message.number = numbered.number
    return message


def _command_to_pb(command: Command) -> pb.MasterCommand:
    match command:
        case Welcome():
            return pb.MasterCommand(welcome=commands.welcome_to_pb(command))
        case HeartbeatAck():
            return pb.MasterCommand(heartbeat_ack=commands.heartbeat_ack_to_pb(command))
        case Offer():
            return pb.MasterCommand(offer=commands.offer_to_pb(command))
        case OfferAck(key):
            return pb.MasterCommand(offer_ack=pb.OfferAck(key=key_to_pb(key)))
        case Cancel(key):
            return pb.MasterCommand(cancel=pb.Cancel(key=key_to_pb(key)))
        case ResultAck():
            return pb.MasterCommand(result_ack=commands.result_ack_to_pb(command))
        case Reconnect(after):
            return pb.MasterCommand(reconnect=pb.Reconnect(after_duration=to_duration(after)))
        case Reject(why):
            return pb.MasterCommand(reject=pb.Reject(reason=why))
        case _:
            assert_never(command)


def command_from_pb(message: pb.MasterCommand) -> Numbered | None:
    """Raises InvalidSpec for an offer whose spec this build does not understand, ProtocolViolation
    for timers that cannot work.
    """
    command = _command_from_pb(message)
    return Numbered(message.number, command) if command is not None else None


def _command_from_pb(message: pb.MasterCommand) -> Command | None:
    match message.WhichOneof("kind"):
        case "welcome":
            return commands.welcome_from_pb(message.welcome)
        case "heartbeat_ack":
            return commands.heartbeat_ack_from_pb(message.heartbeat_ack)
        case "offer":
            return commands.offer_from_pb(message.offer)
        case "offer_ack":
            return OfferAck(key_from_pb(message.offer_ack.key))
        case "cancel":
            return Cancel(key_from_pb(message.cancel.key))
        case "result_ack":
            return commands.result_ack_from_pb(message.result_ack)
        case "reconnect":
            return Reconnect(from_duration(message.reconnect.after_duration, "after"))
        case "reject":
            return Reject(message.reject.reason)
        case _:
            return None


def offer_key(offer: pb.Offer) -> AttemptKey:
    """Whose offer it is, even where its spec is not understood."""
    return key_from_pb(offer.key)
