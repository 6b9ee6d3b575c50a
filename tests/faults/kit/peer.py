"""A worker's end of a real gRPC stream, in the test's hands; and a master in this very process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import grpc.aio

from ffrtmp.client import Client
from ffrtmp.clock import utc_now
from ffrtmp.config import MasterSettings
from ffrtmp.domain.job import FileRecord, Manifest
from ffrtmp.domain.messages import (
    Command,
    Event,
    Goodbye,
    Heartbeat,
    HeartbeatAck,
    Hello,
    Numbered,
    Offer,
    OfferReply,
    Published,
    ResultAck,
    ResultOutcome,
    Staged,
    Welcome,
)
from ffrtmp.domain.roots import RootReport
from ffrtmp.domain.session import AttemptKey, AttemptReport, Phase, VerdictKind
from ffrtmp.domain.worker import Capabilities
from ffrtmp.master.server import run_master
from ffrtmp.pki.identity import load_identity
from ffrtmp.rpc.channel import open_channel
from ffrtmp.rpc.convert_stream import command_from_pb, event_to_pb
from ffrtmp.rpc.credentials import channel_credentials
from ffrtmp.storage.roots import PREFIX
from ffrtmp.v1 import worker_service_pb2 as pb
from ffrtmp.v1.worker_service_pb2_grpc import WorkerServiceStub
from tests.faults.kit.history import History
from tests.faults.kit.stores import StoreUnderTest
from tests.faults.kit.waiting import until

C = TypeVar("C", bound=Command)
PATIENCE = 8.0
NONCE = "n"
CAPABLE = Capabilities(
    spec_version=1,
    ffmpeg_version="9",
    codecs=frozenset({"h264", "aac"}),
    roots=(RootReport(name="media", nonce=NONCE, sees=frozenset({NONCE})),),
)


def running(key: AttemptKey, *, journalled: bool = False) -> AttemptReport:
    phase = Phase.PUBLISH if journalled else Phase.ENCODE
    return AttemptReport(key=key, phase=phase, journalled=journalled)


def manifest(key: AttemptKey) -> Manifest:
    return Manifest((FileRecord("media:out.mkv", 3, "ab" * 32),), key.fence)


def prove(peer: "Peer", media: Path) -> None:
    """Leaves the proof of a root that is the worker's alone: a newcomer has to see it."""
    media.joinpath(f"{PREFIX}{peer.name}.{NONCE}").write_text(NONCE)


class Peer:
    """Every command that comes is kept until it is heard."""

    def __init__(self, channel: grpc.aio.Channel, name: str, incarnation: str) -> None:
        self.name = name
        self.incarnation = incarnation
        self.call = WorkerServiceStub(channel).Connect()
        self.slots = 1
        self._seen = 0
        self._beats = 0
        self._heard: list[Numbered] = []

    async def say(self, *events: Event) -> None:
        await self.call.write(pb.ConnectRequest(events=[event_to_pb(each) for each in events]))

    async def hello(self, *attempts: AttemptReport, slots: int = 1) -> Welcome:
        self.slots = slots
        await self.say(
            Hello(
                incarnation=self.incarnation, capabilities=CAPABLE, attempts=attempts, slots=slots
            )
        )
        return await self.hear(Welcome)

    async def beat(
        self, *attempts: AttemptReport, slots: int | None = None, seen: int | None = None
    ) -> HeartbeatAck:
        """Says that these are its attempts, and returns the answer to that. `seen`: an older one
        than the last command that came, as if the two crossed."""
        self._beats += 1
        number = self._beats
        await self.say(
            Heartbeat(
                number=number,
                seen=self._seen if seen is None else seen,
                slots=self.slots if slots is None else slots,
                attempts=attempts,
            )
        )
        return await self.hear(HeartbeatAck, lambda ack: ack.number == number)

    async def verdict(self, report: AttemptReport) -> VerdictKind | None:
        """On one attempt, by a heartbeat that lists nothing else."""
        found = {each.key: each.kind for each in (await self.beat(report)).verdicts}
        return found.get(report.key)

    async def hear(self, kind: type[C], fits: Callable[[C], bool] = lambda _: True) -> C:
        """The next command of a kind; others wait for whoever asks for them."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for numbered in self._heard:
                    command = numbered.command
                    if isinstance(command, kind) and fits(command):
                        self._heard.remove(numbered)
                        return command
                await self._read()

    def has(self, kind: type[Command]) -> bool:
        """Whether one has come; only what was read while something else was waited for."""
        return any(isinstance(numbered.command, kind) for numbered in self._heard)

    async def _read(self) -> None:
        response = await self.call.read()
        assert response is not grpc.aio.EOF, f"the stream of {self.name} ended"
        for message in response.commands:
            numbered = command_from_pb(message)
            assert numbered is not None
            self._seen = numbered.number
            self._heard.append(numbered)

    async def accept(self) -> AttemptKey:
        offer = await self.hear(Offer)
        await self.say(OfferReply(offer.key))
        return offer.key

    async def stage(self, key: AttemptKey) -> ResultOutcome:
        await self.say(Staged(key, manifest(key)))
        return (await self.hear(ResultAck)).outcome

    async def publish(self, key: AttemptKey) -> ResultOutcome:
        await self.say(Published(key))
        return (await self.hear(ResultAck)).outcome

    async def hang_up(self) -> None:
        await self.say(Goodbye())
        assert await self.ends() is grpc.StatusCode.OK

    async def ends(self) -> grpc.StatusCode:
        """How the master ended the stream."""
        async with asyncio.timeout(PATIENCE):
            try:
                while await self.call.read() is not grpc.aio.EOF:
                    pass
            except grpc.aio.AioRpcError as error:
                return error.code()
            return await self.call.code()


class Floor:
    """A master, a client of it, and as many peers as wanted."""

    def __init__(self, address: str, certs: Path, client: Client) -> None:
        self.address = address
        self.client = client
        self._certs = certs
        self._channels: list[grpc.aio.Channel] = []

    def channel(self, name: str) -> grpc.aio.Channel:
        identity = load_identity(self._certs / f"worker-{name}", now=utc_now())
        self._channels.append(open_channel(self.address, identity))
        return self._channels[-1]

    def peer(self, name: str = "w1", incarnation: str = "i1") -> Peer:
        """A stream of its own connection; the test says hello."""
        return Peer(self.channel(name), name, incarnation)

    def narrow_peer(self, name: str) -> Peer:
        """One for which gRPC keeps no more than 64 KiB that were not read."""
        identity = load_identity(self._certs / f"worker-{name}", now=utc_now())
        options = [("grpc.http2.bdp_probe", 0)]
        credentials = channel_credentials(identity)
        self._channels.append(grpc.aio.secure_channel(self.address, credentials, options=options))
        return Peer(self._channels[-1], name, "i1")

    async def history(self, job_id: str) -> History:
        return History(await self.client.get(job_id))

    async def reaches(self, job_id: str, *states: str, seconds: float = PATIENCE) -> History:
        async def there() -> History | None:
            history = await self.history(job_id)
            return history if history.state in states else None

        return await until(there, seconds, f"{job_id} to {states}")

    async def happens(self, job_id: str, cause: str, seconds: float = PATIENCE) -> History:
        async def there() -> History | None:
            history = await self.history(job_id)
            return history if cause in history.causes else None

        return await until(there, seconds, f"{job_id} {cause}")

    async def hang_up(self) -> None:
        for channel in self._channels:
            await channel.close()
        self._channels.clear()


@asynccontextmanager
async def floor_of(
    certs: Path, store: StoreUnderTest, *, heartbeat: float = 5.0, offer_ttl: float = 5.0
) -> AsyncIterator[Floor]:
    """A master in this process, put together as `ffrtmp master` does it."""
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    settings = MasterSettings(
        certs=certs / "master-m1",
        listen="127.0.0.1:0",
        http="127.0.0.1:0",
        heartbeat_interval=timedelta(seconds=heartbeat),
        offer_ttl=timedelta(seconds=offer_ttl),
        store=store.address,
    )
    async with asyncio.TaskGroup() as tasks, asyncio.timeout(60):
        master = tasks.create_task(
            run_master(settings, ready=lambda address, _: told.set_result(address))
        )
        master.add_done_callback(lambda _: told.cancel())
        async with floor_at(await told, certs) as floor:
            yield floor
        master.cancel()


@asynccontextmanager
async def floor_at(address: str, certs: Path) -> AsyncIterator[Floor]:
    """Peers of a master that runs elsewhere."""
    async with Client(address, certs / "admin-me") as client:
        floor = Floor(address, certs, client)
        try:
            yield floor
        finally:
            await floor.hang_up()


async def refused(call: Awaitable[object], kind: type[Exception]) -> bool:
    """Whether the call was refused with this error; whatever else it raises is raised."""
    try:
        await call
    except kind:
        return True
    return False
