"""A whole master as `run_master` puts it together, and certificates of every role."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
import pytest

from ffrtmp.clock import utc_now
from ffrtmp.config import MasterSettings
from ffrtmp.domain.messages import Command, Event, Hello, Welcome
from ffrtmp.domain.roots import RootReport
from ffrtmp.domain.spec import Input, JobSpec, MediaPath, Output, TestSource
from ffrtmp.domain.worker import Capabilities
from ffrtmp.master.server import run_master
from ffrtmp.pki import authority
from ffrtmp.pki.identity import load_identity
from ffrtmp.rpc.channel import open_channel
from ffrtmp.rpc.convert_spec import spec_to_pb
from ffrtmp.rpc.convert_stream import command_from_pb, event_to_pb
from ffrtmp.v1 import job_service_pb2 as job_pb
from ffrtmp.v1 import worker_service_pb2 as pb
from ffrtmp.v1.worker_service_pb2_grpc import WorkerServiceStub


@pytest.fixture(scope="session")
def certs(tmp_path_factory) -> Path:
    """A CA's folder: master-m, worker-w1, worker-w2, client-c, admin-a."""
    folder = tmp_path_factory.mktemp("certs")
    authority.init(folder, now=utc_now())
    workers = (("worker", "w1"), ("worker", "w2"))
    for role, name in (("master", "m"), *workers, ("client", "c"), ("admin", "a")):
        authority.issue(folder, role, name, now=utc_now())
    return folder


@pytest.fixture
def dial(certs) -> Callable[[str, str], grpc.aio.Channel]:
    """Opens a channel to an address, as one of the identities."""
    return lambda address, name: open_channel(address, load_identity(certs / name, now=utc_now()))


@dataclass(frozen=True)
class Running:
    """`address` of the gRPC port, `http` of the other; `certs` as in the fixture."""

    address: str
    http: str
    certs: Path
    store: str

    def dial(self, identity: str) -> grpc.aio.Channel:
        return open_channel(self.address, load_identity(self.certs / identity, now=utc_now()))


RunMaster = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
def run(certs, tmp_path) -> RunMaster:
    """Runs a master on free ports; leaving the block stops it as a signal would."""

    @asynccontextmanager
    async def running(**options) -> AsyncIterator[Running]:
        told: asyncio.Future[tuple[str, str]] = asyncio.get_running_loop().create_future()
        settings = MasterSettings(
            **{
                "certs": certs / "master-m",
                "listen": "127.0.0.1:0",
                "http": "127.0.0.1:0",
                "store": str(tmp_path / "master.db"),
                **options,
            }
        )
        async with asyncio.TaskGroup() as tasks, asyncio.timeout(30):
            master = tasks.create_task(
                run_master(settings, ready=lambda *addresses: told.set_result(addresses))
            )
            master.add_done_callback(lambda _: told.cancel())
            address, http = await told
            yield Running(address, http, certs, settings.store)
            master.cancel()

    return running


CAPABLE = Capabilities(
    spec_version=1,
    ffmpeg_version="9",
    codecs=frozenset({"h264", "aac"}),
    roots=(RootReport(name="m", nonce="n", sees=frozenset({"n"})),),
)


class Stream:
    """A worker's end of the gRPC stream, in the test's hands."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.call = WorkerServiceStub(channel).Connect()

    async def say(self, *events: Event) -> None:
        await self.call.write(pb.ConnectRequest(events=[event_to_pb(each) for each in events]))

    async def hello(self, *, slots: int = 1, incarnation: str = "i1") -> Welcome:
        await self.say(Hello(incarnation=incarnation, capabilities=CAPABLE, slots=slots))
        return await self.hear(Welcome)

    async def hear(self, kind: type[Command]):
        """The next command of a kind; others are passed over."""
        async for response in self.call:
            for message in response.commands:
                command = command_from_pb(message).command
                if isinstance(command, kind):
                    return command
        raise AssertionError(f"the stream ended before a {kind.__name__} came")


@pytest.fixture
def stream() -> type[Stream]:
    return Stream


def job_request(target: str = "out.mp4", key: str = "k") -> job_pb.SubmitJobRequest:
    spec = JobSpec(
        input=Input(test_source=TestSource()), outputs=(Output(path=MediaPath("m", target)),)
    )
    return job_pb.SubmitJobRequest(spec=spec_to_pb(spec), idempotency_key=key)


@pytest.fixture
def request_for() -> Callable[..., job_pb.SubmitJobRequest]:
    return job_request
