"""The worker process, put together: what it is, what it can do, its session, and how it ends."""

import asyncio
import logging
import random
import secrets
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import psutil

from ffrtmp import __version__
from ffrtmp.clock import boot_seconds, utc_now
from ffrtmp.config import WorkerSettings, cache_dir
from ffrtmp.config.ending import at_end_of_input
from ffrtmp.domain.identity import Role
from ffrtmp.domain.spec import SPEC_VERSION
from ffrtmp.domain.worker import Capabilities, Load, RootReport
from ffrtmp.groups import first_of
from ffrtmp.pki.identity import Identity
from ffrtmp.pki.live import LOOK_SECONDS, LiveIdentity
from ffrtmp.storage.roots import Roots
from ffrtmp.storage.staging import sweep_orphans
from ffrtmp.worker import hardware
from ffrtmp.worker.attempts import Attempts
from ffrtmp.worker.hardware import Tools, probe_tools
from ffrtmp.worker.journal import Journal
from ffrtmp.worker.limits import NOTHING, Confines, find_delegation
from ffrtmp.worker.link import Link
from ffrtmp.worker.probe import Prober
from ffrtmp.worker.registration import keep_proving
from ffrtmp.worker.runner import Runner
from ffrtmp.worker.session import Presentation, Session
from ffrtmp.worker.stream import Refused
from ffrtmp.worker.threads import in_thread

_log = logging.getLogger("ffrtmp.worker")

LAST_WORDS_SECONDS = 2.0
REDIAL_BEFORE = timedelta(minutes=10)
"""Before its certificate ends a stream is left for one with a newer certificate."""
NOT_ALLOWED = 3


async def run_worker(settings: WorkerSettings) -> int:
    """Works until it is told to stop, or refused for good. Returns the exit code.

    Raises PkiError, FfmpegMissing, JournalUnusable: mistakes of the set-up, one sentence each.
    """
    live = await in_thread(LiveIdentity.load, settings.certs, now=utc_now(), role=Role.WORKER)
    identity = live.current
    state = settings.state_path(identity.name)
    async with AsyncExitStack() as stack:
        journal = stack.enter_context(Journal.open(state / "journal"))
        prober = await stack.enter_async_context(Prober.running())
        tools = await probe_tools(settings.ffmpeg, cache_dir())
        confines = await in_thread(_confines, settings)
        tools = replace(tools, probe=prober.probe, confines=confines)
        roots = Roots(settings.roots)
        incarnation, last = secrets.token_hex(16), LastRun(state / "incarnation")
        reports = await stack.enter_async_context(
            registered(roots, identity.name, incarnation, journal)
        )
        runner = Runner(
            roots=roots,
            tools=tools,
            links=await in_thread(_emptied, state / "links"),
            raw_arguments=settings.allow_raw_arguments,
        )
        attempts = await stack.enter_async_context(
            Attempts.running(runner, journal, slots=settings.slot_count)
        )
        link = Link(lambda: live.current)
        session = Session(
            Presentation(
                incarnation=incarnation,
                capabilities=_capabilities(tools, reports),
                load=lambda: _load(runner),
                previous=await in_thread(last.read),
            ),
            attempts,
            link.dial,
            boot=boot_seconds,
            chance=random.random,
        )
        _log.info(
            "worker %s: FFmpeg %s, %s", identity.name, tools.version, ", ".join(tools.encoders)
        )

        async def chores() -> None:
            await session.first_welcome()
            await in_thread(last.write, incarnation)
            await in_thread(roots.remove_older_proofs)
            proving = keep_proving(
                roots,
                worker=identity.name,
                nonce=incarnation,
                tell=lambda found: session.report(_capabilities(tools, found)),
            )
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(proving)
                tasks.create_task(_sweep(roots, attempts))

        renewing = _Renewing(live, link)
        return await _serve(session, attempts, chores, settings, renewing)


async def _sweep(roots: Roots, attempts: Attempts) -> None:
    """Removes what crashed runs staged, in roots that are this worker's alone: what another one has
    staged may wait for its master. Own attempts are cleaned up after by the journal; this is for
    those whose entry a power cut took. Whoever stops the worker waits for no walk."""
    wanted = True
    loop = asyncio.get_running_loop()
    walk = partial(
        sweep_orphans,
        roots.unshared,
        keep=attempts.keys,
        now=utc_now().timestamp(),
        goes_on=lambda: wanted,
    )
    try:
        for path in await asyncio.shield(loop.run_in_executor(None, walk)):
            _log.info("removed %s, which an earlier run had left", path)
    finally:
        wanted = False


def _emptied(folder: Path) -> Path:
    """What a run that was killed left there is of no use. The journal's lock says that it ended."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


class LastRun:
    """The incarnation that a master welcomed last, in the state folder; the journal's lock says
    that its run has ended."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self) -> str:
        """Empty when there was none."""
        try:
            return self._file.read_text()
        except OSError:
            return ""

    def write(self, incarnation: str) -> None:
        try:
            self._file.write_text(incarnation)
        except OSError as error:  # no more than a slower return after the next crash
            _log.warning("cannot write %s: %s", self._file, error)


@asynccontextmanager
async def registered(
    roots: Roots, name: str, incarnation: str, journal: Journal
) -> AsyncIterator[tuple[RootReport, ...]]:
    """Each root is tried, and nothing of that remains afterwards; but while results wait in the
    journal, the proofs say to other workers that what lies staged there is not theirs to sweep."""
    reports = await in_thread(roots.report, name, incarnation)
    for report in reports:
        if report.problem:
            _log.warning("root %s gets no work: %s", report.name, report.problem)
    try:
        yield reports
    finally:
        if not await in_thread(journal.entries):
            await in_thread(roots.withdraw)


def _capabilities(tools: Tools, roots: tuple[RootReport, ...]) -> Capabilities:
    return Capabilities(
        version=__version__,
        spec_version=SPEC_VERSION,
        ffmpeg_version=tools.version,
        codecs=frozenset(tools.encoders),
        encoders=tuple(tools.encoders.values()),
        roots=roots,
        cpu_count=psutil.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        limits=tools.confines.limits,
    )


def _confines(settings: WorkerSettings) -> Confines:
    """Blocks on the kernel's files. Where no limit is asked for nothing is moved."""
    wanted = settings.memory_limit or settings.cpu_limit
    delegation = find_delegation() if wanted else NOTHING
    return Confines(memory=settings.memory_limit, cores=settings.cpu_limit, delegation=delegation)


async def _load(runner: Runner) -> Load:
    return await in_thread(lambda: hardware.load(runner.look()))


async def _serve(
    session: Session,
    attempts: Attempts,
    chores: Callable[[], Coroutine[object, object, None]],
    settings: WorkerSettings,
    renewing: "_Renewing",
) -> int:
    stops = asyncio.Queue[signal.Signals]()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stops.put_nowait, number)
    refusal: BaseException | None = None
    try:
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
            if settings.stop_at_eof:
                at_once = _twice(stops, signal.SIGTERM)
                await stack.enter_async_context(at_end_of_input(at_once))
            helpers = [
                tasks.create_task(drain_when_told(session, attempts, stops)),
                tasks.create_task(chores()),
                tasks.create_task(renewing.follow()),
                tasks.create_task(renewing.redial(session)),
            ]
            await session.run(settings.addresses)
            for helper in helpers:
                helper.cancel()
    except* Refused as group:
        refusal = first_of(group)
    if refusal is None:
        return 0
    _log.error("worker %s ends, the master refuses it: %s", renewing.name, refusal)
    return NOT_ALLOWED


class _Renewing:
    """The worker's certificate, renewed while it runs."""

    def __init__(self, live: LiveIdentity, link: Link) -> None:
        self._live = live
        self._link = link

    @property
    def name(self) -> str:
        return self._live.current.name

    async def follow(self) -> None:
        await self._live.follow(utc_now)

    async def redial(self, session: Session) -> None:
        """A stream ends with the certificate that it was opened with: a newer one is shown in
        time. Runs until cancelled."""
        warned: Identity | None = None
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            used, newest = self._link.used, self._live.current
            left = used.not_after - utc_now()
            if newest is not used and left < REDIAL_BEFORE:
                session.redial("its certificate ends soon, and there is a new one")
            elif left < timedelta(0) and warned is not used:
                warned = used
                _log.error(
                    "the certificate in %s has ended, no master takes it: put a new one there, "
                    "made with `ffrtmp certs renew DIR worker-%s`; jobs run on",
                    *(used.folder, used.name),
                )


def _twice(stops: "asyncio.Queue[signal.Signals]", number: signal.Signals) -> Callable[[], None]:
    def stop() -> None:
        stops.put_nowait(number)
        stops.put_nowait(number)

    return stop


async def drain_when_told(
    session: Session, attempts: Attempts, stops: "asyncio.Queue[signal.Signals]"
) -> None:
    """The first signal drains, a second one stops at once."""
    number = await stops.get()
    attempts.draining = True
    session.beat_now()
    limit = session.timers.drain_timeout.total_seconds()
    _log.info("%s: draining, at most %g s; a second signal stops at once", number.name, limit)
    async with asyncio.TaskGroup() as tasks:
        idle = tasks.create_task(attempts.until_idle())
        second = tasks.create_task(stops.get())
        await asyncio.wait({idle, second}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        second.cancel()
        if not idle.done():
            await attempts.hand_back("the worker was stopped")
            await asyncio.wait({idle}, timeout=LAST_WORDS_SECONDS)
            idle.cancel()
    session.leave()
