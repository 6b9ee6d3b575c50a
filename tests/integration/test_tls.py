"""Real servers with mTLS: who gets in, who may call what, and how errors arrive."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from grpc import StatusCode

from ffrtmp.clock import utc_now
from ffrtmp.domain.errors import InvalidSpec, JobNotFound, StoreBusy
from ffrtmp.domain.identity import Peer, Role
from ffrtmp.pki import authority
from ffrtmp.pki.certificates import key_to_pem, new_key, sign_member
from ffrtmp.pki.identity import Identity, load_identity
from ffrtmp.rpc.channel import SERVER_OPTIONS, explain_rpc_error, is_distrust, open_channel
from ffrtmp.rpc.credentials import channel_credentials, server_credentials
from ffrtmp.rpc.interceptors import Gatekeeper
from ffrtmp.rpc.roles import ROLES_OF, peer_of
from ffrtmp.rpc.status import RETRY_TRAILER, error_from_rpc

NOW = datetime.now(UTC)
JOBS = "ffrtmp.v1.JobService"


class Authority:
    """A CA in a folder, from which a test takes identities of any age."""

    def __init__(self, folder: Path, cluster: str = "ffrtmp") -> None:
        self.folder = folder
        authority.init(folder, cluster, now=NOW - timedelta(days=30))

    def identity(self, role: str, name: str = "n", *, ended: bool = False) -> Identity:
        lifetime = timedelta(days=1 if ended else 365)
        issued = NOW - timedelta(days=2)
        folder = authority.issue(self.folder, role, name, now=issued, lifetime=lifetime, renew=True)
        return load_identity(folder, now=issued)


@pytest.fixture(scope="module")
def ours(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("theirs"))


class Stop(Exception):
    """What no handler should raise."""


@dataclass
class Service:
    """One method of each kind. A request is the name of an error to raise, or empty."""

    peers: list[Peer] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    @staticmethod
    def _raise(name: bytes) -> None:
        known = {
            b"spec": InvalidSpec("outputs[0].path", "Ünïcode 日本", "a relative path"),
            b"busy": StoreBusy(2),
            b"bug": Stop("the password is 1234"),
        }
        if name:
            raise known[name]

    async def unary(self, request: bytes, context) -> bytes:
        self.peers.append(peer_of(context))
        self._raise(request)
        return b"done"

    async def generated(self, request: bytes, context) -> AsyncIterator[bytes]:
        yield b"1"
        self._raise(request)
        yield b"2"

    async def written(self, request: bytes, context) -> None:
        await context.write(b"1")
        self._raise(request)
        await context.write(b"2")

    async def grouped(self, requests: AsyncIterator[bytes], context) -> None:
        async def read() -> None:
            async for request in requests:
                await context.write(b"1")
                self._raise(request)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(read())

    async def summed(self, requests: AsyncIterator[bytes], context) -> bytes:
        async for request in requests:
            self._raise(request)
        return b"done"

    async def endless(self, request: bytes, context) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 1000
        finally:
            self.left.set()

    async def patient(self, request: bytes, context) -> None:
        await context.write(b"here")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.left.set()
            raise

    async def aborted(self, request: bytes, context) -> bytes:
        await context.abort(StatusCode.DATA_LOSS, "said by the handler")
        return b""

    def handlers(self, service: str = JOBS) -> grpc.GenericRpcHandler:
        methods = {
            "Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "Generated": grpc.unary_stream_rpc_method_handler(self.generated),
            "Written": grpc.unary_stream_rpc_method_handler(self.written),
            "Grouped": grpc.stream_stream_rpc_method_handler(self.grouped),
            "Summed": grpc.stream_unary_rpc_method_handler(self.summed),
            "Endless": grpc.unary_stream_rpc_method_handler(self.endless),
            "Patient": grpc.unary_stream_rpc_method_handler(self.patient),
            "Aborted": grpc.unary_unary_rpc_method_handler(self.aborted),
        }
        return grpc.method_handlers_generic_handler(service, methods)


@asynccontextmanager
async def serving(
    identity: Identity, *, service: Service | None = None, host: str = "127.0.0.1", **options
) -> AsyncIterator[int]:
    """A server for every service of the table, and for one that nobody listed. Gives its port."""
    server = grpc.aio.server(
        interceptors=[Gatekeeper("ffrtmp", now=utc_now)], options=SERVER_OPTIONS
    )
    handlers = (service or Service()).handlers
    server.add_generic_rpc_handlers([handlers(name) for name in (*ROLES_OF, "other.Service")])
    port = server.add_secure_port(f"{host}:0", server_credentials(identity, **options))
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)


async def ask(channel: grpc.aio.Channel, request: bytes = b"", method: str = f"{JOBS}/Unary"):
    return await channel.unary_unary(f"/{method}")(request, timeout=10)


async def failure_of(
    channel: grpc.aio.Channel, method: str, request: bytes
) -> grpc.aio.AioRpcError:
    """Calls a method of any kind, reads to the end, and returns the error it ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await read_all(channel, method, request)
    return raised.value


async def read_all(channel: grpc.aio.Channel, method: str, request: bytes) -> None:
    path = f"/{JOBS}/{method}"
    if method == "Summed":
        await channel.stream_unary(path)(iter([request]), timeout=10)
    elif method == "Grouped":
        call = channel.stream_stream(path)(iter([request]), timeout=10)
        assert [each async for each in call] == [b"1"]
    elif method in ("Generated", "Written"):
        call = channel.unary_stream(path)(request, timeout=10)
        assert [each async for each in call] == [b"1"]
    else:
        await channel.unary_unary(path)(request, timeout=10)


@pytest.fixture
async def client(ours) -> AsyncIterator[grpc.aio.Channel]:
    """A client of a server that runs as long as the test."""
    async with (
        serving(ours.identity("master")) as port,
        open_channel(f"127.0.0.1:{port}", ours.identity("client")) as channel,
    ):
        yield channel


# --- who gets in ---


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.requirement("G1")
async def test_a_certificate_of_the_cluster_gets_in_and_names_its_bearer(ours, host):
    service = Service()
    async with (
        serving(ours.identity("master"), service=service) as port,
        open_channel(f"{host}:{port}", ours.identity("client", "ann")) as channel,
    ):
        assert await ask(channel) == b"done"
    assert service.peers == [Peer("ffrtmp", Role.CLIENT, "ann")]


@dataclass(frozen=True)
class Mixed:
    """One CA's trust with another CA's certificate."""

    ca_pem: bytes
    certificate_pem: bytes
    key_pem: bytes


def credentials_of(who: str, ours: Authority, theirs: Authority) -> grpc.ChannelCredentials:
    good, strange = ours.identity("client"), theirs.identity("client")
    if who == "nobody":
        return grpc.ssl_channel_credentials(good.ca_pem)
    if who == "ended":
        return channel_credentials(ours.identity("client", ended=True))
    return channel_credentials(Mixed(good.ca_pem, strange.certificate_pem, strange.key_pem))


@pytest.mark.parametrize("who", ["nobody", "ended", "stranger"])
@pytest.mark.requirement("P9")
async def test_who_has_no_good_certificate_reaches_no_handler(ours, theirs, who):
    service = Service()
    async with serving(ours.identity("master"), service=service) as port:
        address = f"127.0.0.1:{port}"
        credentials = credentials_of(who, ours, theirs)
        async with grpc.aio.secure_channel(address, credentials) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await ask(channel)
    assert refused.value.code() is StatusCode.UNAVAILABLE
    assert "refused the certificate" in explain_rpc_error(refused.value, address)
    assert service.peers == []


async def test_plain_text_reaches_no_handler(ours):
    service = Service()
    async with (
        serving(ours.identity("master"), service=service) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError):
            await ask(channel)
    assert service.peers == []


# --- whom a client trusts, and what it tells its user ---


@pytest.mark.parametrize(
    ("server", "host", "sentence"),
    [
        (lambda theirs, _: theirs.identity("master"), "127.0.0.1", "made by another CA"),
        (lambda theirs, _: theirs.identity("master"), "127.0.0.1", "copy your folder anew"),
        (lambda _, ours: ours.identity("master", ended=True), "127.0.0.1", "has ended: renew it"),
        (lambda _, ours: ours.identity("worker"), "127.0.0.1", "no master's certificate"),
        (lambda _, ours: ours.identity("master"), "127.0.0.2", "does not name this host"),
    ],
    ids=["stranger", "rolled", "ended", "worker", "host"],
)
async def test_a_client_trusts_no_other_server_and_says_why(ours, theirs, server, host, sentence):
    service = Service()
    async with serving(server(theirs, ours), service=service, host="0.0.0.0") as port:
        address = f"{host}:{port}"
        async with open_channel(address, ours.identity("client")) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await ask(channel)
    assert sentence in explain_rpc_error(refused.value, address)
    assert address in explain_rpc_error(refused.value, address)
    assert is_distrust(refused.value)
    assert service.peers == []


async def test_an_address_where_nobody_listens_is_explained(ours):
    async with serving(ours.identity("master")) as port:
        pass
    for address, sentence in (
        (f"127.0.0.1:{port}", "no master answers"),
        ("no-such-host.invalid:7443", "is not known"),
    ):
        async with open_channel(address, ours.identity("client")) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as unreachable:
                await ask(channel)
        assert sentence in explain_rpc_error(unreachable.value, address)
        assert not is_distrust(unreachable.value)


async def test_a_port_that_speaks_no_tls_is_explained(ours):
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with open_channel(address, ours.identity("client")) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await ask(channel)
    assert "does not speak TLS" in explain_rpc_error(refused.value, address)


async def test_a_method_that_the_master_does_not_have_is_explained(client):
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await ask(client, method=f"{JOBS}/NotYet")
    assert unknown.value.code() is StatusCode.UNIMPLEMENTED
    assert "no master, or an older one" in explain_rpc_error(unknown.value, "a:1")


@pytest.mark.requirement("P9")
async def test_a_renewed_certificate_serves_without_a_restart(ours, theirs):
    renewed: list[Identity] = []
    reload = lambda: renewed[-1] if renewed else None  # noqa: E731
    async with serving(ours.identity("master"), reload=reload) as port:
        async with open_channel(f"127.0.0.1:{port}", ours.identity("client")) as channel:
            assert await ask(channel) == b"done"
        renewed.append(theirs.identity("master"))
        async with open_channel(f"127.0.0.1:{port}", theirs.identity("client")) as channel:
            assert await ask(channel) == b"done"


async def test_a_port_is_not_shared_between_two_masters(ours):
    async with serving(ours.identity("master")) as port:
        second = grpc.aio.server(options=SERVER_OPTIONS)
        with pytest.raises(RuntimeError):
            second.add_secure_port(f"127.0.0.1:{port}", server_credentials(ours.identity("master")))


# --- who may call what ---

ALLOWED = {
    "ffrtmp.v1.JobService": {"client", "admin"},
    "ffrtmp.v1.WorkerService": {"worker"},
    "ffrtmp.v1.AdminService": {"admin"},
    "grpc.health.v1.Health": {"master", "worker", "client", "admin"},
    "grpc.reflection.v1.ServerReflection": {"master", "worker", "client", "admin"},
    "grpc.reflection.v1alpha.ServerReflection": {"master", "worker", "client", "admin"},
    "other.Service": set(),
}


@pytest.mark.parametrize("role", ["master", "worker", "client", "admin"])
async def test_each_role_may_call_what_is_meant_for_it_and_nothing_else(ours, role):
    answers = {}
    async with (
        serving(ours.identity("master")) as port,
        open_channel(f"127.0.0.1:{port}", ours.identity(role)) as channel,
    ):
        for service in ALLOWED:
            call = channel.unary_unary(f"/{service}/Unary")(b"", timeout=10)
            answers[service] = await call.code()
    assert answers == {
        service: StatusCode.OK if role in roles else StatusCode.PERMISSION_DENIED
        for service, roles in ALLOWED.items()
    }


async def test_a_refusal_names_the_role_that_is_needed(ours):
    async with (
        serving(ours.identity("master")) as port,
        open_channel(f"127.0.0.1:{port}", ours.identity("worker", "w1")) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ask(channel, method="ffrtmp.v1.AdminService/Unary")
    assert refused.value.details() == (
        "Unary is for the role admin: the certificate is of worker/w1"
    )
    assert "does not allow this: Unary is for" in explain_rpc_error(refused.value, "a:1")


async def test_a_member_of_another_cluster_is_refused(tmp_path):
    other = Authority(tmp_path / "other", "studio")
    async with (
        serving(other.identity("master")) as port,
        open_channel(f"127.0.0.1:{port}", other.identity("admin")) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError, match="this is cluster 'ffrtmp'") as refused:
            await ask(channel)
    assert refused.value.code() is StatusCode.PERMISSION_DENIED


async def test_a_certificate_of_our_ca_that_names_nobody_is_refused(ours):
    key = new_key()
    ca = authority.load_authority(ours.folder)
    certificate = sign_member(
        Peer("ffrtmp", Role.ADMIN, "no/such"),
        key.public_key(),
        authority=ca.certificate,
        authority_key=ca.key,
        hosts=(),
        now=NOW,
        not_after=NOW + timedelta(days=1),
    )
    nobody = Mixed(ours.identity("client").ca_pem, certificate, key_to_pem(key))
    async with (
        serving(ours.identity("master")) as port,
        open_channel(f"127.0.0.1:{port}", nobody) as channel,
    ):
        error = await failure_of(channel, "Unary", b"")
    assert error.code() is StatusCode.PERMISSION_DENIED
    assert "does not name a member of a cluster" in str(error.details())


# --- how errors arrive ---

KINDS = ["Unary", "Generated", "Written", "Grouped", "Summed"]


@pytest.mark.parametrize("method", KINDS)
async def test_a_domain_error_arrives_as_itself_from_every_kind_of_handler(client, method):
    error = await failure_of(client, method, b"spec")
    assert error.code() is StatusCode.INVALID_ARGUMENT
    assert error.details() == str(InvalidSpec("outputs[0].path", "Ünïcode 日本", "a relative path"))
    rebuilt = error_from_rpc(error)
    assert isinstance(rebuilt, InvalidSpec)
    assert (rebuilt.field, rebuilt.value) == ("outputs[0].path", "Ünïcode 日本")


async def test_a_busy_store_is_unavailable_and_says_when_to_try_again(client):
    error = await failure_of(client, "Unary", b"busy")
    assert error.code() is StatusCode.UNAVAILABLE
    assert dict(error.trailing_metadata())[RETRY_TRAILER] == "1000"
    assert isinstance(error_from_rpc(error), StoreBusy)
    assert "the store is busy" in explain_rpc_error(error, "a:1")


@pytest.mark.parametrize("method", KINDS)
async def test_a_bug_is_logged_once_and_tells_the_caller_nothing(client, caplog, method):
    with caplog.at_level(logging.ERROR):
        error = await failure_of(client, method, b"bug")
    assert error.code() is StatusCode.INTERNAL
    assert "1234" not in str(error.details())
    [record] = caplog.records
    assert record.exc_info is not None
    assert str(error.details()).rpartition(" ")[2] in record.getMessage()
    assert method in record.getMessage()


async def test_an_answer_that_the_handler_gave_itself_stands(client, caplog):
    error = await failure_of(client, "Aborted", b"")
    assert (error.code(), error.details()) == (StatusCode.DATA_LOSS, "said by the handler")
    assert caplog.records == []


async def test_the_longest_error_arrives(ours):
    class Verbose(Service):
        async def unary(self, request: bytes, context) -> bytes:
            raise InvalidSpec("日" * 50_000, "🎬" * 50_000, "ü" * 50_000)

    async with (
        serving(ours.identity("master"), service=Verbose()) as port,
        open_channel(f"127.0.0.1:{port}", ours.identity("client")) as channel,
    ):
        error = await failure_of(channel, "Unary", b"")
    assert error.code() is StatusCode.INVALID_ARGUMENT
    assert isinstance(error_from_rpc(error), InvalidSpec)


@pytest.mark.parametrize("method", ["Endless", "Patient"])
async def test_a_stream_handler_ends_when_its_reader_goes(ours, caplog, method):
    service = Service()
    async with (
        serving(ours.identity("master"), service=service) as port,
        open_channel(f"127.0.0.1:{port}", ours.identity("client")) as channel,
    ):
        call = channel.unary_stream(f"/{JOBS}/{method}")(b"")
        assert await call.read()
        call.cancel()
        async with asyncio.timeout(5):
            await service.left.wait()
    assert caplog.records == []


async def test_streams_that_end_well_deliver_everything(client):
    for method in ("Generated", "Written"):
        call = client.unary_stream(f"/{JOBS}/{method}")(b"")
        assert [each async for each in call] == [b"1", b"2"]
    call = client.stream_stream(f"/{JOBS}/Grouped")(iter([b"", b""]))
    assert [each async for each in call] == [b"1", b"1"]
    assert await client.stream_unary(f"/{JOBS}/Summed")(iter([b"", b""])) == b"done"


def test_an_error_that_was_no_answer_of_the_network_is_its_own_explanation():
    error = grpc.aio.AioRpcError(
        StatusCode.NOT_FOUND,
        grpc.aio.Metadata(),
        grpc.aio.Metadata(),
        str(JobNotFound("01J")),
    )
    assert explain_rpc_error(error, "a:1") == "no job '01J'"
    late = grpc.aio.AioRpcError(
        StatusCode.DEADLINE_EXCEEDED, grpc.aio.Metadata(), grpc.aio.Metadata()
    )
    assert explain_rpc_error(late, "a:1") == (
        "the master at a:1 did not answer in time: is it overloaded or stopped?"
    )
