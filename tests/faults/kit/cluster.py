"""A cluster of real processes: a master, workers, and a proxy in the path of each that wants one.

Timers are scaled down by the master's own options. FFmpeg is real; a wrapper makes it read its
source at its own rate, so that a job runs as long as its picture is and costs next to nothing.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import imageio_ffmpeg
from google.protobuf.duration_pb2 import Duration

from ffrtmp.client import Client
from ffrtmp.v1 import admin_service_pb2 as admin_pb
from ffrtmp.v1 import job_pb2
from tests.faults.kit.clocks import clock_of, clock_off
from tests.faults.kit.h2proxy import H2Proxy
from tests.faults.kit.history import History
from tests.faults.kit.processes import Process, ffmpegs
from tests.faults.kit.proxy import Proxy
from tests.faults.kit.stores import StoreUnderTest
from tests.faults.kit.waiting import until

BEAT = 0.5
LEASE = 3 * BEAT
LOST = LEASE + 1.0
"""Within this after its last heartbeat a worker's jobs are queued again."""
READY = 30.0
_READY = re.compile(r"master ready: gRPC on (\S+), HTTP on (\S+)")
PACED = """#!/bin/sh
# FFmpeg at the pace of its source; what it is started for is written down beside the media folder.
# Outputs named `fast...` are not paced; `broken...` makes it fail by itself, `poison...` kills the
# worker that started it.
job=; for last; do [ "$last" = -progress ] && job=1; done
case $last in file:*) ;; *) job= ;; esac  # a live push is paced anyway
[ -n "$job" ] || exec {ffmpeg} "$@"
staged=$(readlink -f "${{last#file:}}")
echo "$staged" >> "${{staged%/*}}/../ffmpeg.runs"
case $staged in
*/.fast*) exec {ffmpeg} "$@" ;;
*/.broken*) exec {ffmpeg} "$@" -no_such_option 1 ;;
*/.poison*) read -r _ _ _ worker _ < /proc/$PPID/stat; kill -9 "$worker" ;;
esac
left=$#
while [ $left -gt 0 ]; do
    word=$1; shift
    [ "$word" = -i ] && set -- "$@" -readrate 1 -readrate_initial_burst 0.05
    set -- "$@" "$word"
    left=$((left - 1))
done
exec {ffmpeg} "$@"
"""


@dataclass(frozen=True)
class Site:
    """What clusters have in common: certificates, FFmpeg, and a cache of what it can do."""

    certs: Path
    ffmpeg: Path
    cache: Path


def paced_ffmpeg(folder: Path) -> Path:
    """The same bytes in every run, so that its encoders are tried only once."""
    script = folder / "ffmpeg-paced"
    script.write_text(PACED.format(ffmpeg=imageio_ffmpeg.get_ffmpeg_exe()))
    script.chmod(0o755)
    return script


class Worker:
    """One worker: its name, its place, and its present process."""

    def __init__(self, cluster: "Cluster", name: str, slots: int, proxy: Proxy | None) -> None:
        self._cluster = cluster
        self.name = name
        self.proxy = proxy
        self.dials = ""
        """Other addresses than those of all masters."""
        self.hosts: Path | None = None
        """What the worker takes for /etc/hosts."""
        self.wall_clock = timedelta(0)
        """By how much its wall clock is off."""
        self.root = cluster.media
        self._slots = slots
        self.process: Process

    @property
    def certs(self) -> Path:
        return self._cluster.certs / f"worker-{self.name}"

    def start(self, *fault: str, name: str = "") -> None:
        """A new run of it, with the state that it left. `name`: of another state folder."""
        cluster = self._cluster
        self.process = Process(
            [
                *("worker", "--certs", str(self.certs)),
                *("--master", self.dials or cluster.addresses),
                *("--slots", str(self._slots), "--root", f"media={self.root}"),
                *("--state-dir", str(cluster.folder / f"state{name}")),
                *("--ffmpeg", str(cluster.site.ffmpeg)),
            ],
            cluster.folder / f"{self.name}{name}.log",
            fault=fault,
            environment={"XDG_CACHE_HOME": str(cluster.site.cache), **clock_off(self.wall_clock)},
            hosts=self.hosts,
        )
        cluster.processes.append(self.process)

    @property
    def log(self) -> str:
        return self.process.log.read_text()

    async def seen(self) -> admin_pb.Worker:
        """As the master sees it."""
        return await self._cluster.client.worker(self.name)

    async def is_connected(self) -> bool:
        async for worker in self._cluster.client.workers():
            if worker.name == self.name:
                return worker.state == admin_pb.WORKER_STATE_CONNECTED
        return False

    async def beats(self, times: int) -> None:
        """Returns after so many heartbeats."""
        for _ in range(times):
            before = (await self.seen()).heartbeat_time

            async def again(before=before) -> bool:
                return (await self.seen()).heartbeat_time != before

            await until(again, READY, f"a heartbeat of {self.name}")

    async def connected(self) -> "Worker":
        await until(self.is_connected, READY, f"{self.name} connected: {self.log[-800:]}")
        return self


class Master:
    """One of the masters: the address that it got first, and its present process."""

    def __init__(
        self, cluster: "Cluster", name: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self._cluster = cluster
        self._environment = environment or {}
        self.name = name
        self.address = "127.0.0.1:0"
        self.process: Process
        self.http = ""

    @property
    def log(self) -> str:
        path = self._cluster.folder / f"{self.name}.log"
        return path.read_text() if path.exists() else ""

    def launch(self, *fault: str) -> Process:
        """At the address of the one before."""
        cluster = self._cluster
        return Process(
            [
                *("master", "--certs", str(cluster.certs / "master-m1")),
                *("--listen", self.address, "--http", "127.0.0.1:0", *cluster.store.options),
                *cluster.timers,
                *cluster.options,
            ],
            cluster.folder / f"{self.name}.log",
            fault=fault,
            environment=self._environment,
        )

    def begin(self, *fault: str) -> None:
        """It may die before it serves."""
        self.process = self.launch(*fault)
        self._cluster.processes.append(self.process)

    async def start(self, *fault: str) -> "Master":
        """Returns when it serves."""
        told = len(self.log)
        self.begin(*fault)
        match = await until(
            lambda: _READY.search(self.log[told:]) or self.process.code is not None, READY
        )
        assert isinstance(match, re.Match), self.log
        self.address, self.http = match[1], match[2]
        return self

    async def restart(self, *fault: str) -> None:
        self.process.kill()
        await self.start(*fault)

    async def stop(self) -> None:
        """As an upgrade stops it; returns when it is gone."""
        self.process.send(signal.SIGTERM)
        await until(lambda: self.process.code is not None, READY, f"the end of {self.name}")


class Cluster:
    """Put together by `running`."""

    def __init__(self, folder: Path, site: Site, store: StoreUnderTest) -> None:
        self.folder = folder
        self.site = site
        self.certs = site.certs
        self.store = store
        self.media = folder / "media"
        self.masters = [Master(self, "master")]
        self.client: Client
        self.processes: list[Process] = []
        self._proxies: list[Proxy | H2Proxy] = []
        self.workers: dict[str, Worker] = {}
        self.options: Sequence[str] = ()
        self.media.mkdir(parents=True, exist_ok=True)

    # -- the master -------------------------------------------------------------------------

    @property
    def master(self) -> Process:
        return self.masters[0].process

    @property
    def address(self) -> str:
        """Of the first master."""
        return self.masters[0].address

    @address.setter
    def address(self, address: str) -> None:
        self.masters[0].address = address

    @property
    def addresses(self) -> str:
        """What a worker or client of all of them dials."""
        return ",".join(master.address for master in self.masters)

    @property
    def timers(self) -> list[str]:
        """As short as can be, where the options do not name them."""
        shortest = ("--heartbeat-interval", "--offer-ttl")
        return [f"{name}={BEAT * 1000:.0f}ms" for name in shortest if name not in self.options]

    def launch_master(self, *fault: str) -> Process:
        """At the address of the one before."""
        return self.masters[0].launch(*fault)

    async def restart_master(self, *fault: str) -> None:
        await self.masters[0].restart(*fault)

    async def start_master(self, *fault: str) -> None:
        await self.masters[0].start(*fault)

    async def another_master(self, *, wall_clock: timedelta = timedelta(0)) -> Master:
        """Over the same store: PostgreSQL. Its wall clock may be off."""
        name = f"master{len(self.masters) + 1}"
        self.masters.append(Master(self, name, clock_off(wall_clock)))
        return await self.masters[-1].start()

    def client_of(self, master: Master) -> Client:
        """Of that one alone."""
        return Client(master.address, self.certs / "admin-me", patience=READY)

    # -- workers ----------------------------------------------------------------------------

    async def worker(
        self,
        name: str,
        *fault: str,
        slots: int = 1,
        proxied: bool = False,
        root: Path | None = None,
    ) -> Worker:
        """Starts one and returns when it is connected. `root`: a folder of its own."""
        return await self.another(name, *fault, slots=slots, proxied=proxied, root=root).connected()

    def another(
        self,
        name: str,
        *fault: str,
        slots: int = 1,
        proxied: bool = False,
        dials: str = "",
        hosts: Path | None = None,
        wall_clock: timedelta = timedelta(0),
        root: Path | None = None,
    ) -> Worker:
        """Starts one. `dials`: other addresses than those of all masters."""
        proxy = Proxy(self.address) if proxied else None
        if proxy is not None:
            self._proxies.append(proxy)
        worker = Worker(self, name, slots, proxy)
        worker.dials = proxy.address if proxy else dials
        worker.hosts = hosts
        worker.wall_clock = wall_clock
        worker.root = root or self.media
        worker.start(*fault)
        return worker

    def proxy(self) -> Proxy:
        """A further way to the first master."""
        self._proxies.append(proxy := Proxy(self.address))
        return proxy

    def h2_proxy(self, worker: str) -> H2Proxy:
        """A way to the first master that ends TLS, for that worker alone."""
        self._proxies.append(proxy := H2Proxy(self.address, self.certs, worker))
        return proxy

    async def fleet(self, workers: int, *options: str, fault: Sequence[str] = ()) -> "Fleet":
        """Simulated workers of all masters; returns when all are connected."""
        fleet = Fleet(self, workers, options, fault)
        await until(fleet.is_connected, 300, f"{workers} workers connected")
        return fleet

    # -- jobs -------------------------------------------------------------------------------

    async def submit(self, *names: str, seconds: float = 600, overwrite: bool = False) -> str:
        """A picture of that length to files of these names; returns the job's id."""
        return (await self.client.submit(spec_for(names, seconds, overwrite=overwrite))).job_id

    async def push(self, url: str) -> str:
        """A live push of a picture without end; returns the job's id."""
        return (await self.client.submit(push_for(url))).job_id

    async def submit_many(self, count: int, *, seconds: float = 600, name: str = "n") -> list[str]:
        specs = [spec_for([f"{name}{number}.mkv"], seconds) for number in range(count)]
        return [job.job_id for job in await self.client.submit_many(specs)]

    async def history(self, job_id: str) -> History:
        return History(await self.client.get(job_id))

    async def reaches(self, job_id: str, *states: str, seconds: float = READY) -> History:
        """Returns when the job is in one of the states."""

        async def there() -> History | None:
            history = await self.history(job_id)
            return history if history.state in states else None

        try:
            return await until(there, seconds, f"{job_id} to {states}")
        except AssertionError as error:
            raise AssertionError(f"{error}: {await self.history(job_id)}") from None

    async def encodes(self, job_id: str) -> History:
        """Returns when it runs and its FFmpeg does."""
        history = await self.reaches(job_id, "RUNNING")
        await until(lambda: ffmpegs(job_id), READY, f"FFmpeg of {job_id}")
        return history

    async def happens(self, job_id: str, cause: str, seconds: float, *, times: int = 1) -> History:
        """Returns when that has happened to the job so often."""

        async def there() -> History | None:
            history = await self.history(job_id)
            return history if history.causes.count(cause) >= times else None

        try:
            return await until(there, seconds, f"{job_id} {cause}")
        except AssertionError as error:
            raise AssertionError(f"{error}: {await self.history(job_id)}") from None

    async def succeeds(self, job_id: str, seconds: float = READY) -> History:
        """Once, with the bytes of the manifest under its name; this attempt left nothing else: what
        a dead worker staged is swept after a day, or when it is back."""
        history = await self.reaches(job_id, "SUCCEEDED", "FAILED", "CANCELLED", seconds=seconds)
        assert history.state == "SUCCEEDED", history
        history.check()
        for file in history.job.files:
            path = self.media / file.path.removeprefix("media:")
            assert hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256, history
        last = f"{job_id}.{history.job.fence}."
        await until(lambda: not self.leftovers(last), READY, f"leftovers of {history}")
        return history

    def leftovers(self, name: str) -> list[str]:
        """Staged files with this in their name."""
        return [path.name for path in self.media.rglob(f".*{name}*")]

    def runs(self, job_id: str) -> int:
        """How often FFmpeg was started for it."""
        log = self.folder / "ffmpeg.runs"
        return log.read_text().count(f".{job_id}.") if log.exists() else 0

    # -- the end ----------------------------------------------------------------------------

    def end(self) -> None:
        for process in self.processes:
            process.end()
        for pid in ffmpegs(str(self.folder)):  # only where a mechanism was removed
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for proxy in self._proxies:
            proxy.close()


class Fleet:
    """Simulated workers in one process, and the ledger that they wrote."""

    def __init__(
        self, cluster: Cluster, workers: int, options: Sequence[str], fault: Sequence[str]
    ) -> None:
        self._cluster = cluster
        self._workers = workers
        self._ledger = cluster.folder / "fleet.jsonl"
        self.process = Process(
            [
                *("simulate", "--ca", str(cluster.certs), "--workers", str(workers)),
                *("--master", cluster.addresses, "--ledger", str(self._ledger)),
                *("--state-dir", str(cluster.folder / "fleet"), *options),
            ],
            cluster.folder / "fleet.log",
            fault=fault,
        )
        cluster.processes.append(self.process)

    async def connected(self) -> int:
        found = 0
        async for worker in self._cluster.client.workers():
            simulated = worker.name.startswith("sim-")
            found += simulated and worker.state == admin_pb.WORKER_STATE_CONNECTED
        return found

    async def is_connected(self) -> bool:
        if await self.connected() == self._workers:
            return True
        await asyncio.sleep(self._workers / 1000)  # to ask is not for nothing
        return False

    def began(self, count: int) -> bool:
        return self.did("began").total() >= count

    def did(self, what: str) -> Counter[str]:
        """How often which job."""
        lines = map(json.loads, self._ledger.read_text().splitlines())
        return Counter(line["job_id"] for line in lines if line["did"] == what)


@asynccontextmanager
async def running(
    folder: Path,
    site: Site,
    store: StoreUnderTest,
    *options: str,
    fault: Sequence[str] = (),
    masters: int = 1,
    wall_clock: Path | None = None,
) -> AsyncIterator[Cluster]:
    """Masters with these options, and a client of all; workers are started by the test.

    `wall_clock`: a file by which that of the first master may be set.
    """
    cluster = Cluster(folder, site, store)
    cluster.options = options
    if wall_clock is not None:
        cluster.masters = [Master(cluster, "master", clock_of(wall_clock))]
    try:
        await cluster.start_master(*fault)
        for _ in range(1, masters):
            await cluster.another_master()
        async with Client(cluster.addresses, site.certs / "admin-me", patience=READY) as client:
            cluster.client = client
            yield cluster
    finally:
        cluster.end()
        shutil.rmtree(cluster.media, ignore_errors=True)


def spec_for(
    names: Sequence[str], seconds: float = 600, *, overwrite: bool = False, root: str = "media"
) -> job_pb2.JobSpec:
    """A tiny generated picture of that length, to files of these names."""
    length = Duration()
    length.FromMilliseconds(round(seconds * 1000))
    source = job_pb2.TestSource(
        width=64, height=48, frame_rate=job_pb2.FrameRate(numerator=25), duration=length
    )
    video = job_pb2.VideoSettings(speed=job_pb2.SPEED_FASTEST)
    return job_pb2.JobSpec(
        input=job_pb2.Input(test_source=source),
        outputs=[job_pb2.Output(path=f"{root}:{name}", video=video) for name in names],
        overwrite=overwrite,
    )


def push_for(url: str) -> job_pb2.JobSpec:
    spec = spec_for([])
    spec.outputs.append(job_pb2.Output(url=url))
    spec.outputs[0].video.speed = job_pb2.SPEED_FASTEST
    return spec
