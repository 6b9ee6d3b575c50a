"""Which folder a root is, and whose it is when workers map its name to several."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ffrtmp.domain.errors import InvalidSpec
from ffrtmp.domain.spec import JobSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class RootReport:
    """What a worker found when it tried one of its roots.

    `nonce` is what it wrote there and read back; `sees` are the nonces it found there, its own
    included; `empty` means that the folder holds nothing else. `problem` says why the root cannot
    be used; it is empty for a good one.
    """

    name: str
    nonce: str = ""
    sees: frozenset[str] = frozenset()
    empty: bool = False
    problem: str = ""


def check_roots(spec: JobSpec, known: Collection[str]) -> None:
    """Raises InvalidSpec for a root that no worker has: a slip of the pen, most likely.

    `known` are the roots of every worker that ever connected; empty: none did, and nothing can be
    said. A root that is not usable now is no mistake of who submits: the job waits for it.
    """
    paths = [("input.path", spec.input.path)] if spec.input.path else []
    paths += [(f"outputs[{n}].path", target) for n, target in enumerate(spec.paths)]
    for field_name, path in paths:
        assert path is not None
        if known and path.root not in known:
            roots = ", ".join(sorted(known))
            raise InvalidSpec(field_name, str(path), f"no worker has this root; there is {roots}")


def waits_for(spec: JobSpec, useless: Mapping[str, str]) -> str:
    """Which of its roots no worker can use, and why; empty when there is none. `useless`:
    roots that get no work anywhere, and why."""
    return next(
        (f"root {name!r} {useless[name]}" for name in sorted(spec.roots & useless.keys())), ""
    )


@dataclass(frozen=True, slots=True)
class Claim:
    """A root of a worker that left. `rivals`: nonces of those that were here with it and mapped the
    name to another folder, and so got no work on it. None: whoever does not see its nonce, which
    still lies there: the worker was lost, and took nothing along. `alive`: its session runs, with
    another master or until it is back here."""

    report: RootReport
    rivals: frozenset[str] | None
    alive: bool = False


@dataclass(frozen=True, slots=True)
class _Group:
    """Workers that share a folder, and the nonces that they saw there."""

    workers: frozenset[str]
    seen: frozenset[str]


Claims = Mapping[str, Iterable[Claim]]
"""By worker."""
NO_CLAIMS: Claims = MappingProxyType({})


def refused_roots(
    reports: Mapping[str, Iterable[RootReport]], away: Claims = NO_CLAIMS
) -> dict[str, dict[str, str]]:
    """Which roots of which worker get no work, and why: `{worker: {root: reason}}`.

    Workers share a root when they saw the same nonce there. Where several groups claim one
    name, a group with media in its folder beats one without (an unmounted folder is empty), then
    the larger group, then the one with the first name; the others are refused. A group of which
    everybody is `away` keeps the root from its rivals, and from nobody else: of who came after they
    had gone it is not known whether the folder is the same.
    """
    refused: dict[str, dict[str, str]] = {worker: {} for worker in reports}
    members: dict[str, dict[str, RootReport]] = {}
    claimed: dict[tuple[str, str], Claim] = {}
    for worker, roots in reports.items():
        for root in roots:
            if root.problem:
                refused[worker][root.name] = root.problem
            else:
                members.setdefault(root.name, {})[worker] = root
    for worker, claims in away.items():
        for claim in claims:
            members.setdefault(claim.report.name, {})[worker] = claim.report
            claimed[claim.report.name, worker] = claim
    for name, found in members.items():
        apart = {worker: claimed[name, worker] for worker in found if (name, worker) in claimed}
        for worker, why in refused_of(found, apart).items():
            refused[worker][name] = why
    return refused


def refused_of(members: Mapping[str, RootReport], apart: Mapping[str, Claim]) -> dict[str, str]:
    """Of one root: who is refused, and why. `apart`: the claims of those who are away."""
    reasons: dict[str, str] = {}
    keep: list[_Group] = []
    for group in sorted(_groups(members), key=lambda group: _standing(group, members)):
        winner = next((each for each in keep if _beats(each, group, apart)), None)
        if winner is None:
            keep.append(group)
            continue
        why = _is_another(winner, apart)
        for worker in group.workers - apart.keys():
            is_empty = members[worker].empty
            reasons[worker] = f"{why}; it is empty: is it mounted?" if is_empty else why
    return reasons


def _beats(group: _Group, other: _Group, apart: Mapping[str, Claim]) -> bool:
    """Somebody of the group is here, or is known to have another folder than those of the other."""
    return any(
        worker not in apart or (rivals := apart[worker].rivals) is None or rivals & other.seen
        for worker in group.workers
    )


def _is_another(winner: _Group, apart: Mapping[str, Claim]) -> str:
    owner = min(winner.workers)
    is_gone = all(worker in apart and not apart[worker].alive for worker in winner.workers)
    gone = f", which is away: start it, or `ffrtmp workers remove {owner}`"
    return f"is not the folder that worker {owner!r} maps to it{gone if is_gone else ''}"


def contested_roots(
    reports: Mapping[str, Iterable[RootReport]], refused: Mapping[str, Mapping[str, str]]
) -> dict[str, frozenset[str]]:
    """Roots that several groups claim, each with the nonces of those that are refused. `refused` as
    `refused_roots` has it."""
    rivals: dict[str, set[str]] = {}
    for worker, roots in reports.items():
        for root in roots:
            if not root.problem and root.name in refused[worker]:
                rivals.setdefault(root.name, set()).add(root.nonce)
    return {name: frozenset(nonces) for name, nonces in rivals.items()}


def claims_of(
    roots: Iterable[RootReport],
    refused: Mapping[str, str],
    contested: Mapping[str, frozenset[str]],
    *,
    lost: bool = False,
) -> tuple[Claim, ...]:
    """What stays of a worker that leaves: its roots that others could take for theirs. `refused`:
    its own, and why; `contested` as `contested_roots` has it. `lost`: without a goodbye."""
    return tuple(
        Claim(root, None if lost else contested[root.name])
        for root in roots
        if (lost or root.name in contested) and root.name not in refused
    )


def why_useless(refused: Mapping[str, str], workers: int) -> str | None:
    """Why a root gets no work on any of the workers that have it, so many; None where one is left.
    `refused`: by worker, why it gets none there."""
    if len(refused) < workers or not refused:
        return None
    worker = min(refused)
    return f"gets no work on worker {worker}: {refused[worker]}"


def _standing(group: _Group, members: Mapping[str, RootReport]) -> tuple[bool, int, str]:
    is_empty = all(members[worker].empty for worker in group.workers)
    return (is_empty, -len(group.workers), min(group.workers))


def _groups(members: Mapping[str, RootReport]) -> list[_Group]:
    """Workers joined by what they saw of each other. Most saw the same."""
    alike: dict[frozenset[str], list[str]] = defaultdict(list)
    for worker, report in members.items():
        alike[report.sees].append(worker)
    groups = [_Group(frozenset({worker}), frozenset()) for worker in alike.pop(frozenset(), ())]
    for sees, workers in alike.items():
        joined = [group for group in groups if not group.seen.isdisjoint(sees)]
        groups = [group for group in groups if group.seen.isdisjoint(sees)]
        groups.append(
            _Group(
                frozenset(workers).union(*(group.workers for group in joined)),
                sees.union(*(group.seen for group in joined)),
            )
        )
    return groups
