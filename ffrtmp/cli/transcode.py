"""`ffrtmp transcode`: one file, or one live push, on a running cluster or on one that lives as long
as the job."""

import asyncio
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from ffrtmp.cli.ask import Wish
from ffrtmp.cli.cluster import Plan, await_workers, running_cluster
from ffrtmp.cli.errors import Exit, UserError
from ffrtmp.cli.follow import follow, print_json
from ffrtmp.cli.platforms import require_cluster
from ffrtmp.cli.target import Target, announce, find_target
from ffrtmp.client import Client
from ffrtmp.config import ClientSettings
from ffrtmp.domain.live import is_url
from ffrtmp.domain.spec import JobSpec
from ffrtmp.groups import holds


def transcode(source: str, target: str, wish: Wish, settings: ClientSettings) -> int:
    return asyncio.run(_transcode(source, target, wish, settings))


async def _transcode(source: str, target: str, wish: Wish, settings: ClientSettings) -> int:
    found = find_target(settings)
    if found is not None:
        announce(found)
        spec = wish.spec(source, target, found.roots)
        return await _run(spec, found, as_json=settings.json)
    require_cluster()
    roots = private_roots(source, target)
    spec = wish.spec(source, target, roots)
    refuse_roots(spec, roots)
    if spec.labels:
        raise UserError(
            "--require chooses among a cluster's workers: give --master, or start ffrtmp up"
        )
    print("no master is named or running: using a private cluster for this job", file=sys.stderr)
    async with _private(roots) as private:
        return await _run(spec, private, as_json=settings.json)


def private_roots(source: str, target: str) -> dict[str, Path]:
    """The folders of input and output. Raises UserError."""
    roots = {} if is_url(target) else {"out": Path(target).absolute().parent}
    if not source.startswith("test:") or Path(source).exists():
        roots["in"] = Path(source).absolute().parent
    for path in roots.values():
        if not path.is_dir():
            raise UserError(f"folder {path} does not exist: make it, or name another")
    if "out" in roots and roots.get("in") == roots["out"]:
        del roots["in"]
    return roots


def refuse_roots(spec: JobSpec, roots: Mapping[str, Path]) -> None:
    """A cluster of one job has no roots that anybody named. Raises UserError."""
    for path in (spec.input.path, *spec.paths):
        if path is not None and path.root not in roots:
            raise UserError(
                f"{path}: no cluster is named or runs that has a root {path.root!r}; "
                f"the file of that name here is ./{path}"
            )


@asynccontextmanager
async def _private(roots: dict[str, Path]) -> AsyncIterator[Target]:
    with tempfile.TemporaryDirectory(prefix="ffrtmp-") as folder, tempfile.TemporaryFile() as log:
        plan = Plan(
            folder=Path(folder),
            workers=1,
            roots=roots or {"none": Path(folder)},  # a worker has one, needed or not
            slots=1,
            listen="127.0.0.1:0",
            http="127.0.0.1:0",
            log=log,
        )
        try:
            async with running_cluster(plan) as cluster:
                await await_workers(plan, cluster)
                yield Target(
                    address=cluster.address, certs=plan.client_certs, roots=roots, how="private"
                )
        except (UserError, BaseExceptionGroup) as error:
            if holds(error, UserError):
                log.seek(0)
                sys.stderr.write(log.read().decode(errors="replace"))
            raise


async def _run(spec: JobSpec, target: Target, *, as_json: bool) -> int:
    async with Client(target.address, target.certs) as client:
        job = await client.submit(spec)
        if as_json:
            print_json(job)
        else:
            print(f"job {job.job_id}", file=sys.stderr)
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(follow(client, job.job_id, as_json=as_json))
            stop = asyncio.Event()
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, stop.set)
            cancelling = tasks.create_task(_cancel_when(stop, client, job.job_id))
            code = await following
            cancelling.cancel()
        return Exit.INTERRUPTED if stop.is_set() and code == Exit.CANCELLED else code


async def _cancel_when(stop: asyncio.Event, client: Client, job_id: str) -> None:
    await stop.wait()
    print("cancelling", file=sys.stderr)
    await client.cancel(job_id)
