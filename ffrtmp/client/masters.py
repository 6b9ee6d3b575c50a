"""The masters of one cluster, as a client reaches them: any serves, one is used at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from ffrtmp.domain.errors import CertificateEnded, Overloaded
from ffrtmp.rpc.channel import explain_rpc_error, is_distrust, open_channel
from ffrtmp.rpc.credentials import KeyPair
from ffrtmp.rpc.status import error_from_rpc
from ffrtmp.v1.admin_service_pb2_grpc import AdminServiceStub
from ffrtmp.v1.job_service_pb2_grpc import JobServiceStub

if TYPE_CHECKING:  # they are in the stubs only
    from ffrtmp.v1.admin_service_pb2_grpc import AdminServiceAsyncStub
    from ffrtmp.v1.job_service_pb2_grpc import JobServiceAsyncStub


@dataclass(frozen=True, slots=True)
class Way:
    """An open channel to one master."""

    address: str
    channel: grpc.aio.Channel
    jobs: "JobServiceAsyncStub"
    admin: "AdminServiceAsyncStub"


def _way_to(address: str, identity: KeyPair) -> Way:
    channel = open_channel(address, identity)
    return Way(address, channel, JobServiceStub(channel), AdminServiceStub(channel))


class Masters:
    """Channels connect when first used. `now` is the one in use."""

    def __init__(self, addresses: Sequence[str], identity: KeyPair) -> None:
        self._ways = [_way_to(address, identity) for address in addresses]
        self._turn = 0

    @property
    def now(self) -> Way:
        return self._ways[self._turn]

    def __len__(self) -> int:
        return len(self._ways)

    def move_on(self, way: Way) -> None:
        """That one did not answer: the next one is used, unless another call moved on already."""
        if way is self.now:
            self._turn = (self._turn + 1) % len(self._ways)

    def may_pass(self, error: grpc.aio.AioRpcError) -> bool:
        """Whether the same call may go through later, or at another master."""
        if is_distrust(error) or isinstance(error_from_rpc(error), CertificateEnded):
            return False
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
        for way in self._ways:
            await way.channel.close()
