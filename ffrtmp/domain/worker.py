"""What a worker can do, what a job needs, and why the two do not fit."""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from ffrtmp.domain.errors import InvalidSpec
from ffrtmp.domain.labels import Labels, lacks, written
from ffrtmp.domain.spec import JobSpec, encoded_codecs


class WorkerState(StrEnum):
    """As a master, and people, see it."""

    CONNECTED = "connected"
    SILENT = "silent"
    DRAINING = "draining"
    QUARANTINED = "quarantined"
    GONE = "gone"


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


class LimitWay(StrEnum):
    """What holds an FFmpeg to a limit: the kernel's accounting of a group of processes, a limit on
    the data of one, the processors it may run on."""

    CGROUP = "cgroup"
    RLIMIT = "rlimit"
    AFFINITY = "affinity"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptLimits:
    """Of every FFmpeg of a worker: `memory` in bytes, `cores` in processors; 0: no limit."""

    memory: int = 0
    cores: float = 0.0
    memory_way: LimitWay = LimitWay.RLIMIT
    cpu_way: LimitWay = LimitWay.AFFINITY


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a worker reports once, and again only when it changes. `codecs` passed a test encode;
    `labels` are its operator's word."""

    version: str = ""
    spec_version: int
    ffmpeg_version: str
    codecs: frozenset[str]
    encoders: tuple[str, ...] = ()
    roots: tuple[RootReport, ...] = ()
    cpu_count: int = 1
    memory_bytes: int = 0
    limits: AttemptLimits | None = None
    labels: Labels = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A worker's machine as of its last heartbeat. `cpu_load`: busy cores; bytes for the rest."""

    cpu_load: float = 0.0
    memory_free: int = 0
    disk_free: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """The hard needs of a job. Jobs with the same ones form a *class*."""

    spec_version: int
    codecs: frozenset[str]
    roots: frozenset[str]
    labels: Labels = field(default_factory=dict)

    @property
    def job_class(self) -> str:
        """A short stable name for this set of needs."""
        parts = [
            str(self.spec_version),
            ",".join(sorted(self.codecs)),
            ",".join(sorted(self.roots)),
        ]
        if self.labels:  # without them it is called what it was before there were labels
            parts.append(",".join(written(self.labels)))
        return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]


def requirements(spec: JobSpec) -> Requirements:
    """The needs of an expanded spec."""
    return Requirements(
        spec_version=spec.spec_version,
        codecs=frozenset(codec.value for codec in encoded_codecs(spec)),
        roots=spec.roots,
        labels=spec.labels,
    )


def misfit(
    needs: Requirements, capabilities: Capabilities, refused_roots: Mapping[str, str]
) -> str | None:
    """Why this worker cannot do such a job; None when it can. `refused_roots`: name to reason."""
    if lack := lacks(needs.labels, capabilities.labels):
        return lack
    if capabilities.spec_version < needs.spec_version:
        return f"knows spec version {capabilities.spec_version}, the job has {needs.spec_version}"
    if missing := needs.codecs - capabilities.codecs:
        return f"has no working encoder for {', '.join(sorted(missing))}"
    known = {root.name for root in capabilities.roots}
    for name in sorted(needs.roots):
        if name not in known:
            return f"has no root {name!r}"
        if name in refused_roots:
            return f"root {name!r}: {refused_roots[name]}"
    return None


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
    """Which of its roots no worker can use, and why; empty when there is none. `useless` as
    `useless_roots` has it."""
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
        for worker, why in _refused(found, apart).items():
            refused[worker][name] = why
    return refused


def _refused(members: Mapping[str, RootReport], apart: Mapping[str, Claim]) -> dict[str, str]:
    """Of one root: who is refused, and why. `apart`: the claims of those who are away."""
    reasons: dict[str, str] = {}
    keep: list[frozenset[str]] = []
    for group in sorted(_groups(members), key=lambda group: _standing(group, members)):
        seen = frozenset().union(*(members[worker].sees for worker in group))
        winner = next((each for each in keep if _beats(each, seen, apart)), None)
        if winner is None:
            keep.append(group)
            continue
        for worker in group - apart.keys():
            reasons[worker] = _is_another(winner, members[worker], apart)
    return reasons


def _beats(group: frozenset[str], seen: frozenset[str], apart: Mapping[str, Claim]) -> bool:
    """Somebody of the group is here, or is known to have another folder than those who saw
    `seen`."""
    return any(
        worker not in apart or (rivals := apart[worker].rivals) is None or rivals & seen
        for worker in group
    )


def _is_another(winner: frozenset[str], report: RootReport, apart: Mapping[str, Claim]) -> str:
    owner = min(winner)
    is_gone = all(worker in apart and not apart[worker].alive for worker in winner)
    gone = f", which is away: start it, or `ffrtmp workers remove {owner}`"
    return (
        f"is not the folder that worker {owner!r} maps to it"
        + (gone if is_gone else "")
        + ("; it is empty: is it mounted?" if report.empty else "")
    )


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


def useless_roots(
    reports: Mapping[str, Iterable[RootReport]], refused: Mapping[str, Mapping[str, str]]
) -> dict[str, str]:
    """Roots that get no work on any worker that has them, and one of the reasons. `refused` as
    `refused_roots` has it."""
    reasons: dict[str, str] = {}
    good: set[str] = set()
    for worker, roots in reports.items():
        for root in roots:
            if root.name in refused[worker]:
                why = refused[worker][root.name]
                reasons[root.name] = f"gets no work on worker {worker}: {why}"
            else:
                good.add(root.name)
    return {name: reason for name, reason in reasons.items() if name not in good}


def _standing(group: frozenset[str], members: Mapping[str, RootReport]) -> tuple[bool, int, str]:
    return (all(members[worker].empty for worker in group), -len(group), min(group))


def _groups(members: Mapping[str, RootReport]) -> list[frozenset[str]]:
    """Workers joined by what they saw of each other."""
    groups: list[frozenset[str]] = []
    for worker, report in members.items():
        joined = {worker}
        apart = []
        for group in groups:
            if any(not report.sees.isdisjoint(members[other].sees) for other in group):
                joined |= group
            else:
                apart.append(group)
        groups = [*apart, frozenset(joined)]
    return groups
