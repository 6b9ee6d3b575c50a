"""The master process, put together: store, use cases, gRPC and HTTP ports, and how it ends."""

import asyncio
import logging
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from types import MappingProxyType

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from ulid import ULID

from ffrtmp import __version__
from ffrtmp.clock import SteadyClock, boot_seconds, utc_now
from ffrtmp.config import Found, MasterSettings, options_of, shown_store
from ffrtmp.config.ending import at_end_of_input
from ffrtmp.domain.facts import Fact
from ffrtmp.domain.identity import Role
from ffrtmp.garbage import look_less_often
from ffrtmp.master.http import serving_http
from ffrtmp.master.master import Master, Policy
from ffrtmp.master.servicers import About, AdminServicer, JobServicer, WorkerServicer
from ffrtmp.master.sources import sources_of
from ffrtmp.pki.live import LiveIdentity
from ffrtmp.rpc.channel import SERVER_OPTIONS
from ffrtmp.rpc.credentials import server_credentials
from ffrtmp.rpc.health import Health
from ffrtmp.rpc.interceptors import Gatekeeper
from ffrtmp.store.base import Store
from ffrtmp.store.opening import open_store
from ffrtmp.telemetry import logs
from ffrtmp.telemetry.metrics import Metrics
from ffrtmp.v1 import admin_service_pb2, job_service_pb2, worker_service_pb2
from ffrtmp.v1.admin_service_pb2_grpc import add_AdminServiceServicer_to_server
from ffrtmp.v1.job_service_pb2_grpc import add_JobServiceServicer_to_server
from ffrtmp.v1.worker_service_pb2_grpc import add_WorkerServiceServicer_to_server

_log = logging.getLogger("ffrtmp.master")

LEAVE_SECONDS = 2.0
GRACE_SECONDS = 5.0
STALE_TICK_SECONDS = 5.0
LAG_SECONDS = 0.5

SERVICES = tuple(
    module.DESCRIPTOR.services_by_name[name].full_name
    for module, name in (
        (job_service_pb2, "JobService"),
        (worker_service_pb2, "WorkerService"),
        (admin_service_pb2, "AdminService"),
    )
)


class PortTaken(Exception):
    """One sentence that says what to do."""

    def __init__(self, option: str, address: str) -> None:
        super().__init__(
            f"cannot listen on {address}: the port is taken, or the address is not this "
            f"machine's; choose another with --{option}"
        )


async def run_master(
    settings: MasterSettings,
    *,
    ready: Callable[[str, str], None] = lambda _grpc, _http: None,
    found: Mapping[str, Found] = MappingProxyType({}),
) -> int:
    """Serves until SIGTERM or SIGINT. `ready` gets the gRPC and the HTTP address; `found` says
    where the settings came from. Returns 0.

    Raises PkiError, StoreUnusable, PortTaken: mistakes of the set-up, one sentence each.
    """
    identity = await asyncio.to_thread(
        LiveIdentity.load, settings.certs, now=utc_now(), roles={Role.MASTER}
    )
    facts = _Facts()
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(
            open_store(
                settings.store_address,
                connections=settings.store_connections,
                api_connections=settings.store_api_connections,
                observe=facts,
            )
        )
        clock = await _clock_of(store)
        master = _put_together(settings, store, clock, identity.current.name, facts)
        metrics = Metrics(sources_of(master, store, identity, clock))
        facts.metrics = metrics

        check = partial(problem_of, master, store)
        about = About(options_of(settings, found), shown_store(str(settings.store_address)), check)
        told = await stack.enter_async_context(_told(settings))
        grpc_address = await stack.enter_async_context(
            _serving(settings, identity, master, about, facts)
        )
        http_address = await stack.enter_async_context(_answering_http(settings, metrics, check))
        # Last in, first out: nothing is granted any more once the master goes down.
        await stack.enter_async_context(_running(master, metrics, identity))
        look_less_often()
        ready(grpc_address, http_address)
        await told.wait()
    return 0


def _put_together(
    settings: MasterSettings, store: Store, clock: SteadyClock, name: str, facts: "_Facts"
) -> Master:
    return Master(
        store,
        settings.timers,
        clocks=(clock, boot_seconds),
        chance=random.random,
        new_id=lambda: str(ULID()),
        observe=facts,
        policy=Policy(
            retention=settings.retention,
            targets=settings.targets,
            raw_arguments=settings.allow_raw_arguments,
        ),
        name=name,
        version=__version__,
    )


@asynccontextmanager
async def _answering_http(
    settings: MasterSettings, metrics: Metrics, check: Callable[[], Awaitable[str]]
) -> AsyncIterator[str]:
    """The HTTP port; yields the address it got. Raises PortTaken."""
    host, _, port = settings.http.rpartition(":")
    async with AsyncExitStack() as stack:
        try:
            bound = await stack.enter_async_context(
                serving_http(host.strip("[]"), int(port), metrics=metrics.text, check=check)
            )
        except OSError:
            raise PortTaken("http", settings.http) from None
        yield f"{host}:{bound}"


async def _clock_of(store: Store) -> SteadyClock:
    """Tells the store's time, asked once, so that all masters of one store agree."""
    before = boot_seconds()
    moment = await store.time()
    return SteadyClock(moment, (before + boot_seconds()) / 2)


async def problem_of(master: Master, store: Store) -> str:
    """Why this master is not ready; empty: it is. Raises Unavailable when the store is not."""
    if boot_seconds() - master.health.ticked_at > STALE_TICK_SECONDS:
        return "the dispatcher does not tick"
    await store.check()
    return ""


class _Facts:
    """Hands each fact to metrics and log."""

    def __init__(self) -> None:
        self.metrics: Metrics | None = None

    def __call__(self, fact: Fact) -> None:
        logs.write(fact)
        if self.metrics is not None:
            self.metrics.count(fact)


@asynccontextmanager
async def _running(master: Master, metrics: Metrics, identity: LiveIdentity) -> AsyncIterator[None]:
    """The master's loops live as long as the block; if one fails, the block is left."""
    async with asyncio.TaskGroup() as tasks:
        loops = [
            tasks.create_task(master.run()),
            tasks.create_task(_measure_lag(metrics)),
            tasks.create_task(identity.follow(utc_now)),
        ]
        try:
            yield
        finally:
            for loop in loops:
                loop.cancel()


async def _measure_lag(metrics: Metrics) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_SECONDS
        await asyncio.sleep(LAG_SECONDS)
        metrics.note_loop_lag(max(0.0, loop.time() - due))


@asynccontextmanager
async def _serving(
    settings: MasterSettings,
    identity: LiveIdentity,
    master: Master,
    about: About,
    observe: Callable[[Fact], None],
) -> AsyncIterator[str]:
    """The gRPC port; yields the address it got. At the end workers are sent away first."""
    server = grpc.aio.server(
        interceptors=[Gatekeeper(identity.current.cluster, now=utc_now)],
        options=list(SERVER_OPTIONS),
    )
    credentials = server_credentials(identity.current, identity.news())
    health = Health(utc_now)
    add_JobServiceServicer_to_server(JobServicer(master), server)
    add_AdminServiceServicer_to_server(AdminServicer(master, about), server)
    add_WorkerServiceServicer_to_server(WorkerServicer(master, observe), server)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    names = (*SERVICES, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name)
    reflection.enable_server_reflection((*names, reflection.SERVICE_NAME), server)
    try:
        port = server.add_secure_port(settings.listen, credentials)
    except RuntimeError:
        raise PortTaken("listen", settings.listen) from None
    address = f"{settings.listen.rpartition(':')[0]}:{port}"
    master.census.this.address = address
    await server.start()
    for service in ("", *SERVICES):
        await health.set(service, health_pb2.HealthCheckResponse.SERVING)
    try:
        yield address
    finally:
        await health.enter_graceful_shutdown()
        master.send_away()
        await _until_gone(master)
        await server.stop(GRACE_SECONDS)


async def _until_gone(master: Master) -> None:
    try:
        async with asyncio.timeout(LEAVE_SECONDS):
            while any(each.outbox for each in master.roster):  # noqa: ASYNC110  # once, at the end
                await asyncio.sleep(0.02)
    except TimeoutError:
        return


@asynccontextmanager
async def _told(settings: MasterSettings) -> AsyncIterator[asyncio.Event]:
    """Set by the first signal; the second ends the process by its default action."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)

    def let_go() -> None:
        for each in numbers:
            loop.remove_signal_handler(each)

    def note(number: signal.Signals) -> None:
        _log.info("%s: the master goes down", number.name)
        told.set()
        let_go()

    async with AsyncExitStack() as stack:
        for number in numbers:
            loop.add_signal_handler(number, note, number)
        stack.callback(let_go)
        if settings.stop_at_eof:
            await stack.enter_async_context(at_end_of_input(told.set))
        yield told
