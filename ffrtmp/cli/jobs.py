"""`ffrtmp jobs`: submit, get, list, watch, cancel."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from google.protobuf.json_format import ParseDict, ParseError

from ffrtmp.cli.ask import Wish
from ffrtmp.cli.errors import Exit, UserError
from ffrtmp.cli.follow import event_line, follow, percent_of, print_json, speed_of
from ffrtmp.cli.table import Table
from ffrtmp.cli.target import Target, require_target
from ffrtmp.client import Client
from ffrtmp.config import ClientSettings
from ffrtmp.domain.job import JobState
from ffrtmp.rpc.convert_spec import spec_to_pb
from ffrtmp.rpc.enums import JOB_STATES
from ffrtmp.v1 import job_pb2

jobs = App(name="jobs", help="Submit, list, watch and cancel jobs.", help_on_error=False)
JobId = Annotated[str, Parameter(name="JOB")]


def _with_client(settings: ClientSettings, work: Callable[[Client], Awaitable[int]]) -> int:
    return _at(require_target(settings), work)


def _at(target: Target, work: Callable[[Client], Awaitable[int]]) -> int:
    async def run() -> int:
        async with Client(target.address, target.certs) as client:
            return await work(client)

    return asyncio.run(run())


@jobs.command
def submit(
    source: Annotated[str, Parameter(name="INPUT")] = "",
    target: Annotated[str, Parameter(name="OUTPUT")] = "",
    /,
    *,
    spec: Annotated[str, Parameter(name="--spec", allow_leading_hyphen=True)] = "",
    key: str = "",
    watch: Annotated[bool, Parameter(negative=())] = False,
    wish: Wish | None = None,
    settings: ClientSettings | None = None,
) -> int:
    """Submit a job and print its id; or several, all or none, with --spec.

    Parameters
    ----------
    source
        A local file, ROOT:PATH, or a generated picture: test:WIDTHxHEIGHT@RATE:TIME.
    target
        A local file or ROOT:PATH; its ending says the format.
    spec
        A file (- for standard input) with one JobSpec a line in the protobuf JSON mapping.
    key
        Idempotency key: the same key and job again is the same job.
    watch
        Follow the job to its end; only with INPUT and OUTPUT.
    """
    settings = settings or ClientSettings()
    if bool(spec) == bool(source and target):
        raise UserError("give INPUT and OUTPUT, or --spec FILE")
    cluster = require_target(settings)
    if spec:
        return _at(cluster, lambda client: _submit_all(client, _read_specs(spec), key, settings))
    job = spec_to_pb((wish or Wish()).spec(source, target, cluster.roots))

    async def work(client: Client) -> int:
        submitted = await client.submit(job, key=key or None)
        _say_submitted(submitted, settings)
        if not watch:
            return Exit.DONE
        return await follow(client, submitted.job_id, as_json=settings.json)

    return _at(cluster, work)


async def _submit_all(
    client: Client, specs: list[job_pb2.JobSpec], key: str, settings: ClientSettings
) -> int:
    for job in await client.submit_many(specs, key=key or None):
        _say_submitted(job, settings)
    return Exit.DONE


def _say_submitted(job: job_pb2.Job, settings: ClientSettings) -> None:
    if settings.json:
        print_json(job)
    else:
        print(job.job_id, flush=True)


def _read_specs(name: str) -> list[job_pb2.JobSpec]:
    """Raises UserError, naming the line."""
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text()
    except OSError as error:
        raise UserError(f"cannot read {name}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{name} is no text: write one JobSpec a line") from None
    specs = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            specs.append(ParseDict(json.loads(line), job_pb2.JobSpec()))
        except (ParseError, ValueError) as error:
            raise UserError(f"{name}, line {number}: not a JobSpec: {error}") from None
    if not specs:
        raise UserError(f"{name} holds no job: write one JobSpec a line")
    return specs


@jobs.command
def get(job: JobId, /, settings: ClientSettings | None = None) -> int:
    """Show one job with its history.

    Parameters
    ----------
    job
        The job's id.
    """
    settings = settings or ClientSettings()

    async def work(client: Client) -> int:
        response = await client.get(job)
        if settings.json:
            print_json(response)
            return Exit.DONE
        _show(response.job)
        for event in response.events:
            print(f"  {event_line(event)}")
        if response.HasField("progress") and (done := percent_of(response.progress)) is not None:
            print(f"  {done:.0f} %  {speed_of(response.progress)}")
        return Exit.DONE

    return _with_client(settings, work)


def _show(job: job_pb2.Job) -> None:
    targets = ", ".join(output.path for output in job.spec.outputs)
    print(f"job {job.job_id}: {_state(job)}, {_source(job)} to {targets}")
    print(f"  {job.attempts} attempts, {job.charged} charged")
    if job.HasField("failure"):
        print(f"  {job.failure.message}")
    for file in job.files:
        print(f"  {file.path}  {file.size} bytes  sha256 {file.sha256}")


@jobs.command(name="list")
def list_jobs(
    *,
    state: Annotated[tuple[JobState, ...], Parameter(negative=())] = (),
    worker: str = "",
    limit: int = 100,
    settings: ClientSettings | None = None,
) -> int:
    """List jobs, newest first.

    Parameters
    ----------
    state
        Only jobs in this state; give it again for more.
    worker
        Only jobs held, or held last, by this worker.
    limit
        At most this many.
    """
    settings = settings or ClientSettings()
    if limit < 1:
        raise UserError(f"limit {limit}: at least 1")

    async def work(client: Client) -> int:
        table = Table("job", "state", "worker", "charged", "submitted", "input", "output")
        async for job in client.list(states=state, worker=worker, limit=limit):
            if settings.json:
                print_json(job)
                continue
            submitted = job.submit_time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S")
            outputs = ", ".join(output.path for output in job.spec.outputs)
            table.add(
                job.job_id,
                _state(job),
                job.worker,
                str(job.charged),
                submitted,
                _source(job),
                outputs,
            )
        if not settings.json:
            table.print()
        return Exit.DONE

    return _with_client(settings, work)


@jobs.command
def watch(job: JobId, /, *, after: int = 0, settings: ClientSettings | None = None) -> int:
    """Follow a job to its end; the exit code says how it ended.

    Parameters
    ----------
    job
        The job's id.
    after
        Number of the last event already seen.
    """
    settings = settings or ClientSettings()
    return _with_client(
        settings, lambda client: follow(client, job, as_json=settings.json, after=after)
    )


@jobs.command
def cancel(job: JobId, /, settings: ClientSettings | None = None) -> int:
    """Cancel a job; what it had made is thrown away.

    Parameters
    ----------
    job
        The job's id.
    """
    settings = settings or ClientSettings()

    async def work(client: Client) -> int:
        cancelled = await client.cancel(job)
        if settings.json:
            print_json(cancelled)
        else:
            print(f"job {job} is {_state(cancelled)}")
        return Exit.DONE

    return _with_client(settings, work)


def _state(job: job_pb2.Job) -> str:
    state = JOB_STATES.from_wire(job.state)
    return state.value if state else "unknown"


def _source(job: job_pb2.Job) -> str:
    return job.spec.input.path or "generated"
