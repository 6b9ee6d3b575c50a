"""`ffrtmp up`: a whole cluster on this machine, in the foreground."""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from ffrtmp.cli.cluster import Cluster, Plan, await_workers, running_cluster
from ffrtmp.cli.errors import UserError
from ffrtmp.cli.former_roots import note_roots, require_same_folders
from ffrtmp.cli.platforms import require_cluster
from ffrtmp.cli.shown import show_count
from ffrtmp.cli.target import LOCK, RECORD, running_up, up_folder
from ffrtmp.config import UpSettings
from ffrtmp.domain.worker import WorkerState

T = TypeVar("T")


def up(settings: UpSettings) -> int:
    require_cluster()  # before imports that need Linux
    from ffrtmp.worker.hardware import find_ffmpeg  # noqa: PLC0415  # its help needs none of it

    for name, path in settings.roots.items():
        if not path.is_dir():
            raise UserError(f"root {name}: {path} is not a folder: make it, or name another")
    find_ffmpeg(settings.ffmpeg)  # each worker would say so, and no master is started for that
    with _only_one(up_folder()) as folder:
        asyncio.run(_run(settings, folder))
    return 0


async def _run(settings: UpSettings, folder: Path) -> None:
    plan = Plan(
        folder=folder,
        workers=settings.workers,
        roots=settings.roots,
        slots=settings.slots_each,
        listen=settings.listen,
        http=settings.http,
        ffmpeg=settings.ffmpeg,
        label=settings.label,
        allow_raw_arguments=settings.allow_raw_arguments,
    )
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)

    async def look_at_roots(cluster: Cluster) -> None:
        await _done_before(told, _look_at_roots(plan, cluster))

    async with running_cluster(plan, before_work=look_at_roots) as cluster:
        idle = await _done_before(told, await_workers(plan, cluster))
        if idle is not None:
            note_roots(plan.folder, plan.roots)
            with _recorded(plan, cluster):
                _say_ready(plan, cluster, idle)
                await told.wait()
        print("stopping: jobs that have not ended wait for the next `ffrtmp up`", flush=True)


async def _look_at_roots(plan: Plan, cluster: Cluster) -> None:
    from ffrtmp.client import Client  # noqa: PLC0415  # the help of `up` needs none of it

    async with Client(cluster.address, plan.client_certs) as client:
        await require_same_folders(plan.folder, plan.roots, client)


async def _done_before(told: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """What is not done when it is time to stop is given up: None."""
    async with asyncio.TaskGroup() as tasks:
        watching, working = tasks.create_task(told.wait()), tasks.create_task(work)
        await asyncio.wait((watching, working), return_when=asyncio.FIRST_COMPLETED)
        watching.cancel()
        working.cancel()
    return None if working.cancelled() else working.result()


def _say_ready(plan: Plan, cluster: Cluster, idle: Mapping[str, WorkerState]) -> None:
    roots = ", ".join(f"{name}={path}" for name, path in plan.roots.items())
    workers = show_count(plan.workers, "worker")
    print(f"ready: master on {cluster.address}, {workers}, roots {roots}")
    for name, state in sorted(idle.items()):
        print(f"{name} is {state} and gets no work: ffrtmp workers resume {name}")
    print(f"metrics and health: http://{cluster.http}/metrics  /readyz")
    print("next, in another shell:")
    print("  ffrtmp transcode INPUT OUTPUT")
    print("  ffrtmp jobs list", flush=True)


@contextmanager
def _only_one(folder: Path) -> Iterator[Path]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            record: dict[str, Any] = running_up() or {}
            where = f", its master is {record['address']}" if record else ""
            raise UserError(
                f"`ffrtmp up` runs already{where}: stop it, or set FFRTMP_STATE_DIR for another"
            ) from None
        yield folder


@contextmanager
def _recorded(plan: Plan, cluster: Cluster) -> Iterator[None]:
    """Tells the other commands where the cluster is, as long as it runs."""
    path = plan.folder / RECORD
    record = {
        "address": cluster.address,
        "certs": str(plan.client_certs),
        "roots": {name: str(root) for name, root in plan.roots.items()},
        "pid": os.getpid(),
    }
    partial = path.with_suffix(".new")
    partial.touch(mode=0o600)
    partial.write_text(json.dumps(record))
    partial.replace(path)
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
