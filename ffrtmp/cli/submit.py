"""`ffrtmp jobs submit`: one job of arguments and options, or many of a file."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from ffrtmp.cli.ask import Wish
from ffrtmp.cli.connect import at
from ffrtmp.cli.errors import Exit, UserError
from ffrtmp.cli.follow import follow, print_json
from ffrtmp.cli.spec_file import read_specs
from ffrtmp.cli.target import require_target
from ffrtmp.client import Client
from ffrtmp.config import ClientSettings
from ffrtmp.domain.errors import InvalidSpec
from ffrtmp.domain.spec import JobSpec, Purpose
from ffrtmp.v1 import job_pb2


def submit(
    source: str,
    target: str,
    *,
    spec: str,
    key: str,
    purpose: Purpose,
    watch: bool,
    wish: Wish | None,
    settings: ClientSettings,
) -> int:
    _require_one_way(spec, (source, target), watch or wish)
    cluster = require_target(settings)
    how = _How(key or None, purpose, settings.json)
    if spec:
        return at(cluster, partial(_submit_all, spec, how))
    job = (wish or Wish()).spec(source, target, cluster.roots)
    return at(cluster, partial(_submit, job, how, watch=watch))


def _require_one_way(spec: str, job: tuple[str, str], others: object) -> None:
    """`others`: what goes with one job only. Raises UserError."""
    if any(bool(spec) == bool(part) for part in job):
        raise UserError("give INPUT and OUTPUT, or --spec FILE")
    if spec and others:
        raise UserError(
            "with --spec give --key and --purpose only: each line says how to encode its job"
        )


@dataclass(frozen=True, slots=True)
class _How:
    key: str | None
    purpose: Purpose
    as_json: bool


async def _submit_all(spec: str, how: _How, client: Client) -> int:
    specs = read_specs(spec)
    try:
        submitted = await client.submit_many(specs.jobs, key=how.key, purpose=how.purpose)
    except InvalidSpec as error:
        raise UserError(specs.in_lines(str(error))) from None
    for job in submitted:
        say_submitted(job, as_json=how.as_json)
    _warn_of_purpose(submitted, how.purpose)
    return Exit.DONE


async def _submit(job: JobSpec, how: _How, client: Client, *, watch: bool) -> int:
    submitted = await client.submit(job, key=how.key, purpose=how.purpose)
    say_submitted(submitted, as_json=how.as_json)
    _warn_of_purpose([submitted], how.purpose)
    if watch:
        return await follow(client, submitted.job_id, as_json=how.as_json, detaches=True)
    return Exit.DONE


def say_submitted(job: job_pb2.Job, *, as_json: bool, instead_of: str = "") -> None:
    if as_json:
        print_json(job)
    else:
        print(f"{instead_of} -> {job.job_id}" if instead_of else job.job_id, flush=True)


def _warn_of_purpose(submitted: Sequence[job_pb2.Job], purpose: Purpose) -> None:
    """An older master passes over the field, and says nothing of it."""
    if purpose is not Purpose.PRODUCTION and any(not job.purpose for job in submitted):
        say = f"the master is an older one that knows no purpose: not {purpose}, but production"
        print(f"ffrtmp: {say}", file=sys.stderr)
