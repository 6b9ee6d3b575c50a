"""The commands of the worker stream, member by member: what a master says to its worker."""

from ffrtmp.domain.errors import ProtocolViolation
from ffrtmp.domain.messages import HeartbeatAck, Offer, ResultAck, Welcome
from ffrtmp.domain.timers import Timers
from ffrtmp.rpc.convert_attempt import (
    key_from_pb,
    key_to_pb,
    manifest_from_pb,
    manifest_to_pb,
    verdict_to_pb,
    verdicts_from_pb,
)
from ffrtmp.rpc.convert_spec import spec_from_pb, spec_to_pb
from ffrtmp.rpc.enums import RESULT_OUTCOMES, RESULT_STEPS
from ffrtmp.rpc.times import from_duration, to_duration
from ffrtmp.v1 import worker_service_pb2 as pb


def welcome_to_pb(welcome: Welcome) -> pb.Welcome:
    return pb.Welcome(
        epoch=welcome.epoch,
        timers=_timers_to_pb(welcome.timers),
        reconnect_spread_duration=to_duration(welcome.reconnect_spread),
        verdicts=[verdict_to_pb(verdict) for verdict in welcome.verdicts],
        draining=welcome.draining,
        acknowledges_offers=welcome.acknowledges_offers,
    )


def welcome_from_pb(welcome: pb.Welcome) -> Welcome:
    return Welcome(
        epoch=welcome.epoch,
        timers=_timers_from_pb(welcome.timers),
        reconnect_spread=from_duration(welcome.reconnect_spread_duration, "reconnect_spread"),
        verdicts=verdicts_from_pb(welcome.verdicts),
        draining=welcome.draining,
        acknowledges_offers=welcome.acknowledges_offers,
    )


def _timers_to_pb(timers: Timers) -> pb.Timers:
    return pb.Timers(
        heartbeat_interval_duration=to_duration(timers.heartbeat_interval),
        missed_heartbeats=timers.missed_heartbeats,
        offer_timeout=to_duration(timers.offer_ttl),
        progress_interval_duration=to_duration(timers.progress_interval),
        drain_timeout=to_duration(timers.drain_timeout),
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


def heartbeat_ack_to_pb(ack: HeartbeatAck) -> pb.HeartbeatAck:
    return pb.HeartbeatAck(
        number=ack.number,
        remaining_duration=to_duration(ack.remaining),
        verdicts=[verdict_to_pb(verdict) for verdict in ack.verdicts],
        draining=ack.draining,
    )


def heartbeat_ack_from_pb(ack: pb.HeartbeatAck) -> HeartbeatAck:
    return HeartbeatAck(
        number=ack.number,
        remaining=from_duration(ack.remaining_duration, "remaining"),
        verdicts=verdicts_from_pb(ack.verdicts),
        draining=ack.draining,
    )


def offer_to_pb(offer: Offer) -> pb.Offer:
    return pb.Offer(
        key=key_to_pb(offer.key),
        spec=spec_to_pb(offer.spec),
        publish_only=manifest_to_pb(offer.publish_only) if offer.publish_only else None,
    )


def offer_from_pb(offer: pb.Offer) -> Offer:
    manifest = manifest_from_pb(offer.publish_only) if offer.HasField("publish_only") else None
    return Offer(key=key_from_pb(offer.key), spec=spec_from_pb(offer.spec), publish_only=manifest)


def result_ack_to_pb(ack: ResultAck) -> pb.ResultAck:
    return pb.ResultAck(
        key=key_to_pb(ack.key),
        step=RESULT_STEPS.to_wire(ack.step),  # type: ignore[arg-type]
        outcome=RESULT_OUTCOMES.to_wire(ack.outcome),  # type: ignore[arg-type]
    )


def result_ack_from_pb(ack: pb.ResultAck) -> ResultAck | None:
    step = RESULT_STEPS.from_wire(ack.step)
    outcome = RESULT_OUTCOMES.from_wire(ack.outcome)
    if step is None or outcome is None:
        return None
    return ResultAck(key_from_pb(ack.key), step, outcome)
