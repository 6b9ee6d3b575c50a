"""Opens streams to a master over gRPC, and says what an error on one means."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio

from ffrtmp.domain.errors import InvalidArgument, InvalidSpec, ProtocolViolation
from ffrtmp.domain.messages import Event, Numbered, OfferReply
from ffrtmp.pki.identity import Identity
from ffrtmp.rpc.channel import explain_rpc_error, is_distrust, open_channel
from ffrtmp.rpc.convert_stream import command_from_pb, event_to_pb, offer_key
from ffrtmp.v1 import worker_service_pb2 as pb
from ffrtmp.v1.worker_service_pb2_grpc import WorkerServiceStub
from ffrtmp.worker.stream import CannotTrust, Refused, StreamBroken

_log = logging.getLogger("ffrtmp.worker")

FATAL = frozenset(
    {
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
"""A worker that is refused for good; everything else means: dial again."""


class GrpcStream:
    """Implements `stream.Stream`."""

    def __init__(self, call: Any, address: str) -> None:
        self._call = call
        self._address = address

    async def read(self) -> Sequence[Numbered]:
        try:
            response = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise _meaning(error, self._address) from None
        if response is grpc.aio.EOF:
            raise await self._end()
        commands = []
        for message in response.commands:
            try:
                numbered = command_from_pb(message)
            except InvalidSpec as error:
                await self._reject(message, error)
                continue
            except (InvalidArgument, ProtocolViolation) as error:
                raise StreamBroken(str(error)) from error
            if numbered is None:
                _log.warning("the master said something this build does not know; ignored")
            else:
                commands.append(numbered)
        return commands

    async def _reject(self, message: pb.MasterCommand, error: InvalidSpec) -> None:
        """A spec is never half-understood."""
        await self.write([OfferReply(offer_key(message.offer), f"unsupported spec: {error}")])

    async def write(self, events: Sequence[Event]) -> None:
        try:
            await self._call.write(pb.ConnectRequest(events=[event_to_pb(e) for e in events]))
        except grpc.aio.AioRpcError as error:
            raise _meaning(error, self._address) from None
        except asyncio.InvalidStateError:  # the call ended before it was written to
            raise await self._end() from None

    async def _end(self) -> Exception:
        """Why a call that is over has ended."""
        code = await self._call.code()
        if code is grpc.StatusCode.OK:
            return StreamBroken("the master hung up")
        error = grpc.aio.AioRpcError(
            code,
            await self._call.initial_metadata(),
            await self._call.trailing_metadata(),
            await self._call.details(),
        )
        return _meaning(error, self._address)


class Link:
    """Opens streams, each with the identity as it is then; `used` is that of the newest."""

    def __init__(self, newest: Callable[[], Identity]) -> None:
        self._newest = newest
        self.used = newest()

    @asynccontextmanager
    async def dial(self, address: str) -> AsyncIterator[GrpcStream]:
        """Implements `session.Dial`."""
        self.used = self._newest()
        async with open_channel(address, self.used) as channel:
            call = WorkerServiceStub(channel).Connect()
            try:
                yield GrpcStream(call, address)
            finally:
                call.cancel()


def _meaning(error: grpc.aio.AioRpcError, address: str) -> Exception:
    sentence = explain_rpc_error(error, address)
    if error.code() in FATAL:
        return Refused(sentence)
    if is_distrust(error):
        return CannotTrust(sentence)
    return StreamBroken(sentence)
