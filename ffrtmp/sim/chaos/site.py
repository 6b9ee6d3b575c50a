"""The cluster of a run: a master, fleets of simulated workers, real workers with FFmpeg, and a
proxy in the path of each of them and of each client."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import imageio_ffmpeg

from ffrtmp.clock import utc_now
from ffrtmp.pki import authority
from ffrtmp.sim.chaos.disks import Disks
from ffrtmp.sim.chaos.evidence import Notes
from ffrtmp.sim.chaos.plan import (
    CLIENTS,
    EVERYBODY,
    FLEET_SLOTS,
    FLEET_WORKERS,
    FLEETS,
    MASTER,
    WORKER_SLOTS,
    WORKERS,
)
from ffrtmp.sim.chaos.process import Process
from ffrtmp.sim.chaos.proxy import Proxy
from ffrtmp.sim.chaos.stores import Store

HEARTBEAT = 1.0
MISSED = 3
LEASE = MISSED * HEARTBEAT
Arguments = Callable[[], Sequence[str]]
READY_SECONDS = 60.0
POLL_SECONDS = 0.05
_READY = re.compile(r"master ready: gRPC on (\S+), HTTP on (\S+)")
PACED = """#!/bin/sh
# FFmpeg at the pace of its source; what is called broken fails by itself.
job=; for last; do [ "$last" = -progress ] && job=1; done
[ -n "$job" ] || exec {ffmpeg} "$@"
case $last in */.broken*) exec {ffmpeg} "$@" -no_such_option 1 ;; esac
left=$#
while [ $left -gt 0 ]; do
    word=$1; shift
    [ "$word" = -i ] && set -- "$@" -readrate 1 -readrate_initial_burst 0.05
    set -- "$@" "$word"
    left=$((left - 1))
done
exec {ffmpeg} "$@"
"""


class NotReady(Exception):
    """The cluster does not come up. One sentence."""


@dataclass(frozen=True, kw_only=True)
class Where:
    """`folder`: what is kept. `scratch`: what is not: keys, state, media. `code`: another build."""

    folder: Path
    scratch: Path
    disks: Disks
    store: Store
    seed: int
    code: Path | None = None


class Site:
    """Put together by `running`."""

    def __init__(self, where: Where, notes: Notes) -> None:
        self.where = where
        self.certs = where.scratch / "certs"
        self.media = where.scratch / "media"
        self.address = "127.0.0.1:0"
        self.proxies: dict[str, Proxy] = {}
        self.processes: dict[str, Process] = {}
        self._notes = notes

    @property
    def master(self) -> Process:
        return self.processes[MASTER]

    @property
    def workers(self) -> dict[str, tuple[str, ...]]:
        """Which workers each process has."""
        return {name: process.members for name, process in self.processes.items()}

    @property
    def slots(self) -> dict[str, int]:
        fleets = {name: FLEET_SLOTS for fleet in FLEETS for name in members_of(fleet)}
        return fleets | dict.fromkeys(WORKERS, WORKER_SLOTS)

    def paths_to(self, target: str) -> list[Proxy]:
        return list(self.proxies.values()) if target == EVERYBODY else [self.proxies[target]]

    async def start(self, stack: AsyncExitStack) -> None:
        self.media.mkdir()
        await asyncio.to_thread(self._make_certificates)
        self._add(MASTER, self._master)
        self.master.start()
        self.address = await self.until_ready(0)
        for name in (*FLEETS, *WORKERS, *CLIENTS):
            proxy = Proxy(self.address, Random(f"{name} {self.where.seed}"))  # noqa: S311
            self.proxies[name] = await stack.enter_async_context(proxy.running())
        ffmpeg = _paced_ffmpeg(self.where.scratch)
        for name in FLEETS:
            self._add(name, lambda name=name: self._fleet(name), members_of(name))  # type: ignore[misc]
        for name in WORKERS:
            self._add(name, lambda name=name: self._worker(name, ffmpeg), (name,))  # type: ignore[misc]
        for name in (*FLEETS, *WORKERS):
            self.processes[name].start()

    def _make_certificates(self) -> None:
        now = utc_now()
        authority.init(self.certs, now=now)
        names = [("worker", name) for name in WORKERS] + [("client", name) for name in CLIENTS]
        for role, name in (("master", "m1"), ("admin", "operator"), *names):
            authority.issue(self.certs, role, name, now=now)

    def _add(self, name: str, arguments: Arguments, members: Sequence[str] = ()) -> None:
        log = self.where.folder / f"{name}.log"
        self.processes[name] = Process(
            name, arguments, log, self._notes, members=members, code=self.where.code
        )

    def _master(self) -> list[str]:
        """At the address of the one before."""
        return [
            *("master", "--certs", str(self.certs / "master-m1")),
            *("--listen", self.address, "--http", "127.0.0.1:0"),
            *("--store", self.where.store.address),
            *("--heartbeat-interval", f"{HEARTBEAT:g}s", "--missed-heartbeats", str(MISSED)),
            *("--offer-ttl", "1s"),
        ]

    def _fleet(self, name: str) -> list[str]:
        return [
            *("simulate", "--ca", str(self.certs), "--master", self.proxies[name].address),
            *("--name", name, "--workers", str(FLEET_WORKERS), "--slots", str(FLEET_SLOTS)),
            *("--state-dir", str(self.where.scratch / "state")),
            *("--ledger", str(self.where.folder / f"fleet-{name}.jsonl")),
        ]

    def _worker(self, name: str, ffmpeg: Path) -> list[str]:
        """The first one's journal lies on a small disk."""
        disks = self.where.disks.folders
        state = disks["journal"] if name == WORKERS[0] else self.where.scratch / "state"
        return [
            *("worker", "--certs", str(self.certs / f"worker-{name}")),
            *("--master", self.proxies[name].address, "--slots", str(WORKER_SLOTS)),
            *("--root", f"media={self.media}", "--root", f"small={disks['small']}"),
            *("--state-dir", str(state), "--ffmpeg", str(ffmpeg)),
        ]

    async def until_ready(self, starts: int) -> str:
        """The master's address, once it has said it more than `starts` times. Raises NotReady."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                while len(said := _READY.findall(self.master.log.read_text())) <= starts:
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise NotReady(f"no master is ready; see {self.master.log}") from None
        return str(said[-1][0])

    def times_ready(self) -> int:
        return len(_READY.findall(self.master.log.read_text()))

    def calm(self) -> None:
        """Nothing is injected any more; what is down comes back."""
        for proxy in self.proxies.values():
            proxy.restore()
        for place in self.where.disks.folders:
            self.where.disks.clear(place)
        for process in self.processes.values():
            if not process.pid:
                process.start()

    def files(self) -> Iterator[tuple[str, Path]]:
        """Everything that lies under its final name."""
        roots: Mapping[str, Path] = {
            "media": self.media,
            "small": self.where.disks.folders["small"],
        }
        for root, folder in roots.items():
            for path in sorted(folder.iterdir()):
                if path.is_file() and not path.name.startswith("."):
                    yield f"{root}:{path.name}", path

    def end(self) -> None:
        for process in self.processes.values():
            process.end()


def members_of(fleet: str) -> tuple[str, ...]:
    return tuple(f"{fleet}-{number:04}" for number in range(1, FLEET_WORKERS + 1))


@asynccontextmanager
async def running(where: Where, notes: Notes) -> AsyncIterator[Site]:
    """All processes are started; they are gone when the block ends. Raises NotReady."""
    site = Site(where, notes)
    async with AsyncExitStack() as stack:
        stack.callback(site.end)
        await site.start(stack)
        yield site


def _paced_ffmpeg(folder: Path) -> Path:
    """The same bytes in every run, so that its encoders are tried only once."""
    script = folder / "ffmpeg-paced"
    script.write_text(PACED.format(ffmpeg=imageio_ffmpeg.get_ffmpeg_exe()))
    script.chmod(0o755)
    return script
