"""Adding jobs to SQLite: all or none, once a key, one live job a target."""

import json
from collections.abc import Mapping, Sequence

from ffrtmp.domain.errors import IdempotencyMismatch, TargetTaken
from ffrtmp.domain.job import Job
from ffrtmp.domain.spec import JobSpec
from ffrtmp.store import queries
from ffrtmp.store.base import NewJob
from ffrtmp.store.codec import decode_spec, encode
from ffrtmp.store.transaction import Transaction


async def submit(tx: Transaction, *, jobs: Sequence[NewJob]) -> list[Job]:
    """Everything is checked before the first row is written."""
    await tx.flush()
    known = await _known(tx, jobs)
    fresh = _fresh(jobs, known)
    await _refuse_taken_targets(tx, fresh)
    await _insert(tx, fresh)
    await tx.read_ahead(set(known.values()))
    tx.remember(new.job for new in fresh)
    own = {new.key: new.job.job_id for new in fresh}
    return [tx.job((known | own)[new.key]) for new in jobs]


async def _known(tx: Transaction, jobs: Sequence[NewJob]) -> dict[str, str]:
    """Key to job id of what was submitted before. Raises IdempotencyMismatch."""
    digests = {new.key: new.digest for new in jobs}
    keys = json.dumps(list(digests))
    known = {}
    for row in await tx.rows(queries.SUBMITTED, [jobs[0].job.actor, keys]):
        if row["digest"] != digests[row["key"]]:
            raise IdempotencyMismatch(row["key"], row["job_id"])
        known[row["key"]] = row["job_id"]
    return known


def _fresh(jobs: Sequence[NewJob], known: Mapping[str, str]) -> list[NewJob]:
    """The jobs to add, one a key. Raises IdempotencyMismatch for one key with two bodies."""
    fresh: dict[str, NewJob] = {}
    for new in jobs:
        first = fresh.setdefault(new.key, new)
        if first.digest != new.digest:
            raise IdempotencyMismatch(new.key, first.job.job_id)
    return [new for key, new in fresh.items() if key not in known]


async def _refuse_taken_targets(tx: Transaction, fresh: Sequence[NewJob]) -> None:
    owners: dict[str, str] = {}
    for new in fresh:
        for target in new.spec.targets:
            owner = owners.setdefault(str(target), new.job.job_id)
            if owner != new.job.job_id:
                raise TargetTaken(str(target), owner)
    for row in await tx.rows(queries.TAKEN_TARGETS, [json.dumps(list(owners))]):
        raise TargetTaken(row["target"], row["job_id"], stopping=bool(row["ended"]))


async def _insert(tx: Transaction, fresh: Sequence[NewJob]) -> None:
    if not fresh:
        return
    await tx.add([new.job for new in fresh])
    await tx.execute_many(
        queries.INSERT_SPEC, [(new.job.job_id, encode(new.spec)) for new in fresh]
    )
    await tx.execute_many(
        queries.INSERT_SUBMISSION,
        [(new.job.actor, new.key, new.digest, new.job.job_id) for new in fresh],
    )
    await tx.execute_many(
        queries.INSERT_TARGET,
        [(str(target), new.job.job_id) for new in fresh for target in new.spec.targets],
    )
    needs = {new.job.job_class: encode(new.requirements) for new in fresh}
    await tx.execute_many(queries.INSERT_CLASS, list(needs.items()))


async def specs_of(tx: Transaction, job_ids: Sequence[str]) -> dict[str, JobSpec]:
    if not job_ids:
        return {}
    rows = await tx.rows(queries.SPECS, [json.dumps(job_ids)])
    return {row["job_id"]: decode_spec(row["spec"]) for row in rows}
