"""`ffrtmp doctor`: is this machine fit for what it is to do? And if not, what to do about it."""

import asyncio
import importlib.util
import platform
import secrets
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

import grpc.aio
from rich.console import Console
from rich.text import Text

from ffrtmp import __version__
from ffrtmp.cli.follow import print_object
from ffrtmp.cli.platforms import here, why_no_cluster
from ffrtmp.cli.shown import show_count, show_size, show_span
from ffrtmp.cli.target import Target, find_target
from ffrtmp.clock import utc_now
from ffrtmp.config import ClientSettings, cache_dir, parse_roots, state_dir
from ffrtmp.config.room import recommended_slots, usable_cores, usable_memory
from ffrtmp.domain.addresses import split_addresses
from ffrtmp.ffmpeg.capabilities import CANDIDATES
from ffrtmp.pki.errors import PkiError
from ffrtmp.pki.identity import Identity, load_identity
from ffrtmp.rpc.channel import explain_rpc_error, open_channel
from ffrtmp.rpc.health import Answer, ask
from ffrtmp.storage.roots import Roots
from ffrtmp.worker.hardware import FfmpegMissing, probe_tools

FEW_DAYS = 30
INDENT = 6
LITTLE_BYTES = 20 << 30
NO_BYTES = 1 << 30
CLOCKS_APART = timedelta(seconds=5)
CLOCKS_FAR_APART = timedelta(minutes=5)


class Verdict(StrEnum):
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """`todo`: what to do about it; empty when it is good."""

    check: str
    verdict: Verdict
    found: str
    todo: str = ""


Check = Callable[[], Iterable[Finding]]
COLOURS = {Verdict.GOOD: "green", Verdict.WARN: "yellow", Verdict.BAD: "red"}


def doctor(*, ffmpeg: str, settings: ClientSettings) -> int:
    target = find_target(settings) if settings.certs or not settings.master else None
    certs = settings.certs or (target.certs if target else None)
    roots = parse_roots(settings.root) or (dict(target.roots) if target else {})
    bad = False
    checks: list[Check] = [
        _platform,
        _hardware,
        lambda: _ffmpeg(ffmpeg),
        lambda: _folders(roots),
        lambda: _certificate(certs),
        lambda: _master(target, settings),
    ]
    for finding in (finding for check in checks for finding in check()):
        bad = bad or finding.verdict is Verdict.BAD
        _say(finding, as_json=settings.json)
    return 1 if bad else 0


def _say(finding: Finding, *, as_json: bool) -> None:
    if as_json:
        print_object(asdict(finding))
        return
    todo = f": {finding.todo}" if finding.todo else ""
    if not sys.stdout.isatty():
        print(f"{finding.verdict:4}  {finding.check}: {finding.found}{todo}", flush=True)
        return
    console, name = Console(highlight=False), f"{finding.check}: "
    first, *others = textwrap.wrap(
        f"{name}{finding.found}{todo}",
        max(1, console.width - INDENT),
        break_long_words=False,  # a path is copied whole
        break_on_hyphens=False,
    )
    verdict = Text(f"{finding.verdict:{INDENT}}", style=COLOURS[finding.verdict])
    line = Text.assemble(verdict, (first[: len(name)], "bold"), first[len(name) :])
    for other in others:
        line.append(f"\n{'':{INDENT}}{other}")
    console.print(line, soft_wrap=True)


def _platform() -> Iterator[Finding]:
    at = here()
    what = f"ffrtmp {__version__}, Python {platform.python_version()}, {at.name}"
    if problem := why_no_cluster(at):
        yield Finding("platform", Verdict.BAD, what, problem)
    else:
        yield Finding("platform", Verdict.GOOD, f"{what}: master, worker, client, up")


def _hardware() -> Iterator[Finding]:
    cores, memory = usable_cores(), usable_memory()
    slots = recommended_slots(cores, memory)
    room = f"room for {show_count(slots, 'attempt')} at once"
    what = f"{cores:g} cores, {show_size(memory)} memory: {room}"
    if memory < NO_BYTES:
        todo = "a worker needs 1 GiB at least"
        yield Finding("hardware", Verdict.WARN, what, todo)
    else:
        yield Finding("hardware", Verdict.GOOD, what)


def _ffmpeg(name: str) -> Iterator[Finding]:
    if why_no_cluster(here()):
        return  # it runs as a worker lets it run; the platform's line has said so
    try:
        tools = asyncio.run(probe_tools(name, cache_dir()))
    except FfmpegMissing as error:
        yield Finding("FFmpeg", Verdict.BAD, "none that works", str(error).partition(": ")[2])
        return
    yield Finding("FFmpeg", Verdict.GOOD, f"{tools.version}, {tools.ffmpeg}")
    missing = ", ".join(codec for codec in CANDIDATES if codec not in tools.encoders)
    what = ", ".join(f"{codec} by {encoder}" for codec, encoder in tools.encoders.items())
    if missing:
        todo = f"no encoder works for {missing}: such jobs go to other workers"
        yield Finding("encoders", Verdict.WARN, what or "none", todo)
    else:
        yield Finding("encoders", Verdict.GOOD, what)
    if importlib.util.find_spec("av") is None:
        todo = "a worker cannot probe without it: pip install av"
        yield Finding("probe", Verdict.BAD, "PyAV is missing", todo)


def _folders(roots: Mapping[str, Path]) -> Iterator[Finding]:
    proving = Roots(roots)
    try:
        reports = proving.report("doctor", secrets.token_hex(16))
    finally:
        proving.withdraw()
    for report in reports:
        name = f"root {report.name}"
        if report.problem:
            yield Finding(name, Verdict.BAD, "it gets no work", report.problem)
        elif report.empty:
            todo = f"{roots[report.name]} is empty: is it mounted?"
            yield Finding(name, Verdict.WARN, "writable", todo)
        else:
            yield Finding(name, Verdict.GOOD, f"{roots[report.name]} is writable")
    if not roots:
        todo = "give --root NAME=DIR as the worker here gets it"
        yield Finding("roots", Verdict.WARN, "none is named", todo)
    yield _state_folder(state_dir())
    for name, folder in {**roots, "state": state_dir()}.items():
        yield from _disk(f"disk of {name}", folder)


def _state_folder(folder: Path) -> Finding:
    """Its contents must survive, so it must be there and ours."""
    proof = folder / f".doctor-{secrets.token_hex(8)}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        proof.touch()
        proof.unlink()
    except OSError as error:
        todo = f"{error.strerror}: make it writable, or name another with FFRTMP_STATE_DIR"
        return Finding("state folder", Verdict.BAD, f"{folder} cannot be written", todo)
    return Finding("state folder", Verdict.GOOD, f"{folder} is writable")


def _disk(check: str, folder: Path) -> Iterator[Finding]:
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return  # its own line has said so
    what = f"{show_size(usage.free)} of {show_size(usage.total)} free"
    if usage.free < NO_BYTES:
        yield Finding(check, Verdict.BAD, what, "jobs will fail: make room")
    elif usage.free < LITTLE_BYTES:
        yield Finding(check, Verdict.WARN, what, "make room before it is full")
    else:
        yield Finding(check, Verdict.GOOD, what)


def _certificate(folder: Path | None) -> Iterator[Finding]:
    if folder is None:
        todo = "give --certs DIR, a folder made by `ffrtmp certs issue`"
        yield Finding("certificate", Verdict.WARN, "none is named", todo)
        return
    now = utc_now()
    try:
        identity = load_identity(folder, now=now)
    except PkiError as error:
        yield Finding("certificate", Verdict.BAD, "of no use", str(error))
        return
    days = (identity.not_after - now).days
    what = f"{identity.peer.actor} of cluster {identity.cluster}, {days} days left"
    if days < FEW_DAYS:
        todo = f"renew it: ffrtmp certs renew DIR {identity.role}-{identity.name}"
        yield Finding("certificate", Verdict.WARN, what, todo)
    else:
        yield Finding("certificate", Verdict.GOOD, what)


def _master(target: Target | None, settings: ClientSettings) -> Iterator[Finding]:
    if target is None:
        what = f"{settings.master} was not asked" if settings.master else "none is named or running"
        todo = "give --certs too" if settings.master else "give --master and --certs, or run `up`"
        yield Finding("master", Verdict.WARN, what, todo)
        return
    for address in split_addresses(target.address):
        yield from _one_master(address, target.certs)


def _one_master(address: str, certs: Path) -> Iterator[Finding]:
    try:
        identity = load_identity(certs, now=utc_now())
        answer = asyncio.run(_asked(address, identity))
    except PkiError:
        yield Finding("master", Verdict.WARN, f"{address} was not asked", "see certificate")
        return
    except grpc.aio.AioRpcError as error:
        sentence = explain_rpc_error(error, address)
        yield Finding("master", Verdict.BAD, f"{address} is of no use", sentence)
        return
    what = f"{address} answers in {answer.round_trip.total_seconds() * 1000:.0f} ms"
    if answer.serving:
        yield Finding("master", Verdict.GOOD, what)
    else:
        yield Finding("master", Verdict.WARN, what, "it goes down: see its log")
    if answer.ahead is not None:
        yield _clocks(answer.ahead)


async def _asked(address: str, identity: Identity) -> Answer:
    async with open_channel(address, identity) as channel:
        await ask(channel, now=utc_now)  # the first one also connects
        return await ask(channel, now=utc_now)


def _clocks(ahead: timedelta) -> Finding:
    apart = abs(ahead)
    way = "ahead of" if ahead > timedelta(0) else "behind"
    exact = f"{apart.total_seconds() * 1000:.0f} ms" if apart < CLOCKS_APART else show_span(apart)
    what = f"the master's is {exact} {way} ours"
    todo = "synchronise both machines by NTP: certificates depend on it, leases do not"
    if apart > CLOCKS_FAR_APART:
        return Finding("clocks", Verdict.BAD, what, todo)
    if apart > CLOCKS_APART:
        return Finding("clocks", Verdict.WARN, what, todo)
    return Finding("clocks", Verdict.GOOD, what)
