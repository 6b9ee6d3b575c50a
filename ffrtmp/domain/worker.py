"""What a worker can do, what a job needs, and why the two do not fit."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ffrtmp.domain.labels import Labels, lacks, written
from ffrtmp.domain.roots import RootReport
from ffrtmp.domain.spec import JobSpec, encoded_codecs


class WorkerState(StrEnum):
    """As a master, and people, see it."""

    CONNECTED = "connected"
    SILENT = "silent"
    DRAINING = "draining"
    QUARANTINED = "quarantined"
    GONE = "gone"


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
