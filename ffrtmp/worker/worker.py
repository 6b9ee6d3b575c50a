"""The worker process, put together: what it is, what it can do, its session, and how it ends."""

import asyncio
import logging
import random
import secrets
import shutil
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from ffrtmp.clock import boot_seconds, utc_now
from ffrtmp.config import WorkerSettings
from ffrtmp.config.ending import at_end_of_input
from ffrtmp.domain.identity import Role
from ffrtmp.domain.worker import Load
from ffrtmp.groups import first_of
from ffrtmp.pki.live import LiveIdentity
from ffrtmp.storage.roots import Roots
from ffrtmp.worker import hardware
from ffrtmp.worker.attempts import Attempts
from ffrtmp.worker.hardware import Tools, capabilities
from ffrtmp.worker.journal import Journal
from ffrtmp.worker.limits import NOTHING, Confines, find_delegation
from ffrtmp.worker.link import Link
from ffrtmp.worker.probe import Prober
from ffrtmp.worker.registration import registered
from ffrtmp.worker.renewal import Renewal
from ffrtmp.worker.runner import Runner
from ffrtmp.worker.session import Presentation, Session
from ffrtmp.worker.stream import Refused
from ffrtmp.worker.threads import in_thread
from ffrtmp.worker.upkeep import LastRun, Upkeep

_log = logging.getLogger("ffrtmp.worker")

LAST_WORDS_SECONDS = 2.0
NOT_ALLOWED = 3


async def run_worker(settings: WorkerSettings, asking: Awaitable[Tools]) -> int:
    """Works until it is told to stop, or refused for good. Returns the exit code. `asking`: its
    FFmpeg was asked already, see `start`.

    Raises PkiError, FfmpegMissing, JournalUnusable: mistakes of the set-up, one sentence each.
    """
    live = await in_thread(LiveIdentity.load, settings.certs, now=utc_now(), roles={Role.WORKER})
    link = Link(lambda: live.current)
    async with AsyncExitStack() as stack:
        upkeep = await _put_together(settings, live.current.name, link, asking, stack)
        return await _serve(upkeep, Renewal(live, link), settings)


async def _put_together(
    settings: WorkerSettings,
    name: str,
    link: Link,
    asking: Awaitable[Tools],
    stack: AsyncExitStack,
) -> Upkeep:
    """All that ends with `stack`."""
    state = settings.state_path(name)
    journal = stack.enter_context(Journal.open(state / "journal"))
    tools = await _proved_tools(settings, asking, stack)
    roots = Roots(settings.roots)
    incarnation, last = secrets.token_hex(16), LastRun(state / "incarnation")
    reports = await stack.enter_async_context(registered(roots, name, incarnation, journal))
    runner = Runner(
        roots=roots,
        tools=tools,
        links=await in_thread(_emptied, state / "links"),
        raw_arguments=settings.allow_raw_arguments,
    )
    attempts = await stack.enter_async_context(
        Attempts.running(runner, journal, slots=settings.slot_count)
    )
    presentation = Presentation(
        incarnation=incarnation,
        capabilities=capabilities(tools, reports, settings.labels),
        load=lambda: _load(runner),
        previous=await in_thread(last.read),
    )
    _log.info("worker %s: FFmpeg %s, %s", name, tools.version, ", ".join(tools.encoders))
    return Upkeep(
        name=name,
        incarnation=incarnation,
        last=last,
        roots=roots,
        labels=settings.labels,
        tools=tools,
        attempts=attempts,
        session=Session(presentation, attempts, link.dial, boot=boot_seconds, chance=random.random),
    )


async def _proved_tools(
    settings: WorkerSettings, asking: Awaitable[Tools], stack: AsyncExitStack
) -> Tools:
    prober = await stack.enter_async_context(Prober.running())
    confines = await in_thread(_confines, settings)
    return replace(await asking, probe=prober.probe, confines=confines)


def _confines(settings: WorkerSettings) -> Confines:
    """Blocks on the kernel's files. Where no limit is asked for nothing is moved."""
    wanted = settings.memory_limit or settings.cpu_limit
    delegation = find_delegation() if wanted else NOTHING
    return Confines(memory=settings.memory_limit, cores=settings.cpu_limit, delegation=delegation)


def _emptied(folder: Path) -> Path:
    """What a run that was killed left there is of no use. The journal's lock says that it ended."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


async def _load(runner: Runner) -> Load:
    return await in_thread(lambda: hardware.load(runner.look()))


async def _serve(upkeep: Upkeep, renewal: Renewal, settings: WorkerSettings) -> int:
    session = upkeep.session
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
                tasks.create_task(drain_when_told(session, upkeep.attempts, stops)),
                tasks.create_task(upkeep.run()),
                tasks.create_task(renewal.follow()),
                tasks.create_task(renewal.redial(session)),
            ]
            await session.run(settings.addresses)
            for helper in helpers:
                helper.cancel()
    except* Refused as group:
        refusal = first_of(group)
    if refusal is None:
        return 0
    _log.error("worker %s ends, the master refuses it: %s", upkeep.name, refusal)
    return NOT_ALLOWED


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
    if stops.empty():
        _log.info("%s: draining, at most %g s; a second signal stops at once", number.name, limit)
    else:
        _log.info("stopping at once: what runs is given back, and begins anew")
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
