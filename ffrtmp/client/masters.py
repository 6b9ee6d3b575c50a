"""The masters of one cluster, as a client reaches them: any serves, one is used at a time.

A certificate or CA that is renewed on disk is shown and trusted by new connections; what is under
way on the older ones goes on there, and the last one out closes the door.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

import grpc
import grpc.aio

from ffrtmp.clock import utc_now
from ffrtmp.domain.errors import CertificateEnded, Overloaded
from ffrtmp.pki.live import LOOK_SECONDS, LiveIdentity
from ffrtmp.rpc.channel import explain_rpc_error, is_distrust, open_channel
from ffrtmp.rpc.credentials import KeyPair
from ffrtmp.rpc.status import error_from_rpc
from ffrtmp.v1.admin_service_pb2_grpc import AdminServiceStub
from ffrtmp.v1.job_service_pb2_grpc import JobServiceStub

if TYPE_CHECKING:  # they are in the stubs only
    from ffrtmp.v1.admin_service_pb2_grpc import AdminServiceAsyncStub
    from ffrtmp.v1.job_service_pb2_grpc import JobServiceAsyncStub


@dataclass(slots=True, eq=False)
class Way:
    """An open channel to one master; `with` it a call is under way there."""

    address: str
    channel: grpc.aio.Channel
    jobs: "JobServiceAsyncStub"
    admin: "AdminServiceAsyncStub"
    calls: int = 0

    def __enter__(self) -> Self:
        self.calls += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.calls -= 1


def _way_to(address: str, identity: KeyPair) -> Way:
    channel = open_channel(address, identity)
    return Way(address, channel, JobServiceStub(channel), AdminServiceStub(channel))


class Masters:
    """Channels connect when first used. `now` is the one in use."""

    def __init__(self, addresses: Sequence[str], identity: LiveIdentity) -> None:
        self._addresses = addresses
        self._identity = identity
        self._news = identity.news()
        self._ways = [_way_to(address, identity.current) for address in addresses]
        self._older: list[Way] = []
        self._turn = 0
        self._look_at = 0.0

    async def refresh(self) -> None:
        """Looks, now and then, whether the certificate or the CA was renewed on disk."""
        now = asyncio.get_running_loop().time()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        await asyncio.to_thread(self._identity.look, utc_now())
        if (identity := self._news()) is not None:
            self._older += self._ways
            self._ways = [_way_to(address, identity) for address in self._addresses]
        await self._close_idle()

    async def _close_idle(self) -> None:
        idle = [way for way in self._older if not way.calls]
        self._older = [way for way in self._older if way.calls]
        for way in idle:
            await way.channel.close()

    @property
    def now(self) -> Way:
        return self._ways[self._turn]

    def __len__(self) -> int:
        return len(self._ways)

    def move_on(self, way: Way) -> None:
        """That one did not answer: the next one is used, unless another call moved on already."""
        if way is self.now:
            self._turn = (self._turn + 1) % len(self._ways)

    async def may_pass(self, way: Way, error: grpc.aio.AioRpcError, *, untried: bool) -> bool:
        """Whether the same call may go through later, at another master, or with a certificate or
        CA that is newer than that way's. `untried`: there is a master that was not tried yet; while
        a CA is rolled, it may have the folder that this one waits for."""
        if is_distrust(error) or isinstance(error_from_rpc(error), CertificateEnded):
            await self.refresh()
            return untried or way not in self._ways
        code = error.code()
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            return isinstance(error_from_rpc(error), Overloaded)
        frozen = code is grpc.StatusCode.DEADLINE_EXCEEDED and len(self._ways) > 1
        # A master that goes down cancels what it still serves; our own cancel is no such error.
        return frozen or code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}

    def explain(self, error: grpc.aio.AioRpcError) -> str:
        """Why none of them served the call, in a sentence for a person."""
        return explain_rpc_error(error, " or ".join(way.address for way in self._ways))

    async def close(self) -> None:
        for way in (*self._ways, *self._older):
            await way.channel.close()
