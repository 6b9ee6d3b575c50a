"""Many workers in one process: each with its certificate, stream, lease and journal, as real ones
have. What they share is the event loop, and that their encodes are simulated.
"""

import asyncio
import logging
import random
import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from ffrtmp import __version__
from ffrtmp.clock import boot_seconds, utc_now
from ffrtmp.config import SimulateSettings
from ffrtmp.config.ending import at_end_of_input
from ffrtmp.domain.identity import Role
from ffrtmp.domain.roots import RootReport
from ffrtmp.domain.spec import SPEC_VERSION, AudioCodec, VideoCodec
from ffrtmp.domain.worker import Capabilities, Load
from ffrtmp.garbage import look_less_often
from ffrtmp.groups import first_of
from ffrtmp.pki import authority
from ffrtmp.pki.identity import Identity, load_identity
from ffrtmp.sim.ledger import Ledger
from ffrtmp.sim.runner import SimRunner
from ffrtmp.worker.attempts import Attempts
from ffrtmp.worker.journal import Journal
from ffrtmp.worker.link import Link
from ffrtmp.worker.session import Presentation, Session
from ffrtmp.worker.stream import Refused
from ffrtmp.worker.worker import NOT_ALLOWED, drain_when_told

_log = logging.getLogger("ffrtmp.sim")

NONCE = "simulated"
STARTS_AT_ONCE = 32
"""Workers that dial and were never welcomed. One process makes all the TLS handshakes of its fleet:
if all began at once, each would wait for so long that none was heard in time."""
CODECS = frozenset(
    codec.value
    for codec in (*VideoCodec, *AudioCodec)
    if codec not in {VideoCodec.COPY, VideoCodec.NONE, AudioCodec.COPY, AudioCodec.NONE}
)
CAPABILITIES = Capabilities(
    version=__version__,
    spec_version=SPEC_VERSION,
    ffmpeg_version=NONCE,
    codecs=CODECS,
    roots=(RootReport(name="sim", nonce=NONCE, sees=frozenset({NONCE})),),
)
Stops = asyncio.Queue[signal.Signals]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """What one simulated worker is made of."""

    identity: Identity
    folder: Path
    settings: SimulateSettings
    ledger: Ledger


async def run_fleet(settings: SimulateSettings) -> int:
    """Works until SIGTERM or SIGINT: then every worker drains; a second one stops them at once.

    Returns the exit code: all end when the master refuses one of them for good. Raises PkiError,
    JournalUnusable.
    """
    assert settings.ca is not None
    identities = await asyncio.to_thread(
        make_identities, settings.ca, settings.workers, settings.name
    )
    look_less_often()
    refusals: list[Exception] = []
    try:
        await _run_members(settings, identities)
    except* Refused as group:
        refusals.extend(group.exceptions)
    for refusal in refusals:
        _log.error("the fleet ends, the master refuses a worker: %s", first_of(refusal))
    return NOT_ALLOWED if refusals else 0


async def _run_members(settings: SimulateSettings, identities: list[Identity]) -> None:
    async with AsyncExitStack() as stack:
        ledger = stack.enter_context(Ledger.open(settings.ledger))
        stops = [Stops() for _ in identities]
        starts = asyncio.Semaphore(STARTS_AT_ONCE)
        await stack.enter_async_context(_told(settings, stops))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        for identity, told in zip(identities, stops, strict=True):
            member = Member(
                identity=identity,
                folder=settings.state_path(identity.name),
                settings=settings,
                ledger=ledger,
            )
            tasks.create_task(run_member(member, told, starts))
        _log.info("%d simulated workers dial %s", len(identities), settings.addresses)


def make_identities(ca: Path, count: int, name: str = "sim") -> list[Identity]:
    """`NAME-0001` and on; what an earlier run made is used again. Raises PkiError."""
    now = utc_now()
    found = []
    for number in range(1, count + 1):
        folder = ca / f"{Role.WORKER}-{name}-{number:04}"
        if not folder.exists():
            authority.issue(ca, Role.WORKER, f"{name}-{number:04}", now=now)
        found.append(load_identity(folder, now=now))
    return found


async def run_member(member: Member, stops: Stops, starts: asyncio.Semaphore) -> None:
    """One worker, from its journal to its goodbye. Cancelled, it is gone without a word. Who has
    got into `starts` dials, and makes room there once it is welcomed."""
    settings = member.settings
    async with AsyncExitStack() as stack:
        journal = stack.enter_context(Journal.open(member.folder / "journal"))
        runner = SimRunner(member.identity.name, member.ledger, pace=settings.pace)
        attempts = await stack.enter_async_context(
            Attempts.running(runner, journal, slots=settings.slots)
        )
        session = Session(
            Presentation(
                incarnation=secrets.token_hex(16),
                capabilities=CAPABILITIES,
                load=_no_load,
            ),
            attempts,
            Link(lambda: member.identity).dial,
            boot=boot_seconds,
            chance=random.random,
        )
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        ending = tasks.create_task(drain_when_told(session, attempts, stops))
        await starts.acquire()
        if ending.done():
            starts.release()
            return
        welcome = tasks.create_task(session.first_welcome())
        welcome.add_done_callback(lambda _: starts.release())
        await session.run(settings.addresses)
        welcome.cancel()
        ending.cancel()


async def _no_load() -> Load:
    return Load()


@asynccontextmanager
async def _told(settings: SimulateSettings, stops: list[Stops]) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()

    def tell(number: signal.Signals) -> None:
        for each in stops:
            each.put_nowait(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, tell, number)
    async with AsyncExitStack() as stack:
        if settings.stop_at_eof:
            await stack.enter_async_context(at_end_of_input(lambda: tell(signal.SIGTERM)))
        yield
