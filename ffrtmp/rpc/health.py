"""gRPC's own health service on both ends. The master tells its wall clock with every answer: no
lease depends on it, but certificates do, and people who read its history."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import aio as health_aio

TIME_TRAILER: Final = "ffrtmp-time"
CALL_SECONDS: Final = 5.0


class Health(health_aio.HealthServicer):  # type: ignore[misc]  # untyped
    def __init__(self, now: Callable[[], datetime]) -> None:
        super().__init__()
        self._now = now

    async def Check(
        self, request: pb.HealthCheckRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> pb.HealthCheckResponse:
        context.set_trailing_metadata(((TIME_TRAILER, self._now().isoformat()),))
        return await super().Check(request, context)


@dataclass(frozen=True, slots=True)
class Answer:
    """`ahead`: how far the master's clock is ahead of ours, to within half of `round_trip`; None
    when it does not tell."""

    serving: bool
    round_trip: timedelta
    ahead: timedelta | None


async def ask(channel: grpc.aio.Channel, *, now: Callable[[], datetime]) -> Answer:
    """Any member of the cluster may. Raises AioRpcError."""
    stub = health_pb2_grpc.HealthStub(channel)
    sent = now()
    call = stub.Check(pb.HealthCheckRequest(), timeout=CALL_SECONDS)
    response = await call
    received = now()
    told = dict(await call.trailing_metadata() or ()).get(TIME_TRAILER)
    return Answer(
        serving=response.status == pb.HealthCheckResponse.SERVING,
        round_trip=received - sent,
        ahead=_ahead(told, sent + (received - sent) / 2),
    )


def _ahead(told: str | bytes | None, here: datetime) -> timedelta | None:
    try:
        return datetime.fromisoformat(str(told)) - here
    except ValueError:
        return None
