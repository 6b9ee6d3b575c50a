"""The one interceptor of the master: who may call, and what a raised error becomes.

Every handler is wrapped as a coroutine, async generators included: so both kinds of stream handler
end the same way, and a generator is closed when its reader goes, not when it is collected.
"""

import inspect
import logging
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from datetime import datetime
from typing import Any, Final, NoReturn, TypeAlias

import grpc

from ffrtmp.domain.errors import DomainError
from ffrtmp.rpc.roles import Context, authorise, peer_of, refuse_ended
from ffrtmp.rpc.status import details_of, status_of, trailers_of

_log: Final = logging.getLogger(__name__)

# What gRPC calls, with a request or an iterator of them: its four kinds are one to us.
_Behaviour = Callable[[Any, Context], Awaitable[Any]]
# Generic for the type checker alone.
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]]"


class Gatekeeper(grpc.aio.ServerInterceptor):
    """Authorises by `rpc.roles` and answers errors by `rpc.status`."""

    def __init__(self, cluster: str, *, now: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._now = now

    async def intercept_service(
        self, continuation: _Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "_Handler | None":
        handler = await continuation(handler_call_details)
        if handler is None:
            return None  # gRPC answers UNIMPLEMENTED
        return self._guarded(handler, handler_call_details.method)

    def _guarded(self, handler: _Handler, method: str) -> _Handler:
        behaviour = _behaviour_of(handler)

        async def guarded(request: Any, context: Context) -> Any:
            try:
                peer = peer_of(context)
                authorise(peer, method, cluster=self._cluster)
                refuse_ended(peer, context, now=self._now())
                return await behaviour(request, context)
            except Exception as error:  # noqa: BLE001 - the last place that can answer the caller
                await _answer(error, method, context)

        return _handler_like(handler, guarded)


async def _answer(raised: Exception, method: str, context: Context) -> NoReturn:
    error = opened(raised)
    if isinstance(error, grpc.aio.AbortError):
        raise error  # the handler has answered already
    if isinstance(error, DomainError):
        await context.abort(status_of(error), details_of(error), trailers_of(error))
    reference = secrets.token_hex(4)
    _log.error("%s failed unexpectedly, reference %s", method, reference, exc_info=raised)
    await context.abort(
        grpc.StatusCode.INTERNAL,
        f"the master failed unexpectedly: its log has the reason under reference {reference}",
    )


def opened(error: Exception) -> Exception:
    """What a TaskGroup wrapped: the first domain error in it, else the first error."""
    leaves = list(_leaves(error))
    return next((leaf for leaf in leaves if isinstance(leaf, DomainError)), leaves[0])


def _leaves(error: Exception) -> Iterator[Exception]:
    if not isinstance(error, ExceptionGroup):
        yield error
        return
    for inner in error.exceptions:
        yield from _leaves(inner)


def _behaviour_of(handler: _Handler) -> _Behaviour:
    behaviour: Any = (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )
    return _writing(behaviour) if inspect.isasyncgenfunction(behaviour) else behaviour


def _writing(generate: Callable[[Any, Context], AsyncGenerator[Any, None]]) -> _Behaviour:
    async def write_all(request: Any, context: Context) -> None:
        async with aclosing(generate(request, context)) as responses:
            async for response in responses:
                await context.write(response)

    return write_all


def _handler_like(handler: _Handler, behaviour: _Behaviour) -> _Handler:
    make: Any = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[handler.request_streaming, handler.response_streaming]
    guarded: _Handler = make(behaviour, handler.request_deserializer, handler.response_serializer)
    return guarded
