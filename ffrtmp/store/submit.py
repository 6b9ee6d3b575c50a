"""Adding jobs: all or none, once a key, one live job a target, and no target below another's."""

from collections.abc import Sequence

from ffrtmp.domain.errors import IdempotencyMismatch, TargetTaken
from ffrtmp.domain.job import Job
from ffrtmp.domain.spec import folders_of
from ffrtmp.domain.targets import clash
from ffrtmp.store.records import NewJob
from ffrtmp.store.transaction import Owner, Transaction


def submit(tx: Transaction, jobs: Sequence[NewJob]) -> list[Job]:
    """Everything is checked before the first job is added.

    What another master submits in the same moment is not seen by these checks: its key or target
    is a Conflict when it is written, and the next try sees it. A file there and a folder here meet
    on a worker, which says so.
    """
    fresh = _fresh(tx, jobs)
    for new in fresh:
        if new.objection is not None:
            raise new.objection
    _refuse_taken_targets(tx, fresh)
    for new in fresh:
        tx.add(new)
    return [tx.job(tx.submissions[new.job.actor, new.key].job_id) for new in jobs]


def _fresh(tx: Transaction, jobs: Sequence[NewJob]) -> list[NewJob]:
    """The jobs to add, one a key. Raises IdempotencyMismatch for one key with two bodies."""
    fresh: dict[str, NewJob] = {}
    for new in jobs:
        known = tx.submissions.get((new.job.actor, new.key))
        if known is not None and known.digest != new.digest:
            raise IdempotencyMismatch(new.key, known.job_id)
        if known is None:
            first = fresh.setdefault(new.key, new)
            if first.digest != new.digest:
                raise IdempotencyMismatch(new.key, first.job.job_id)
    return list(fresh.values())


def _refuse_taken_targets(tx: Transaction, fresh: Sequence[NewJob]) -> None:
    owners: dict[str, Owner] = {}
    below: dict[str, str] = {}

    def owner_of(target: str) -> Owner | None:
        return tx.owners.get(target) or owners.get(target)

    for new in fresh:
        owner = Owner(new.job.job_id, ended=False)
        for target in map(str, new.spec.targets):
            inside = filter(None, (tx.below.get(target), below.get(target)))
            if (found := clash(target, owner, owner_of=owner_of, inside=inside)) is not None:
                raise _taken(target, *found)
            owners.setdefault(target, owner)
            for folder in folders_of(target):
                below.setdefault(folder, target)


def _taken(target: str, other: str, owner: Owner) -> TargetTaken:
    if other == target:
        return TargetTaken(target, owner.job_id, stopping=owner.ended)
    return TargetTaken(target, owner.job_id, owned=other)
