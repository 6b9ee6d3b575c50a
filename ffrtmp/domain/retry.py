"""Why an attempt ended badly, and what follows: one table, one function.

The order of `Reason` is the precedence of architecture.md section 4: where two fit, the first
decides. `decide` is pure: the caller brings the chance.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType

CHARGE_LIMIT = 3
RESOURCE_LIMIT = 5
BACKOFF_FIRST = timedelta(seconds=5)
BACKOFF_LONGEST = timedelta(minutes=5)
HEALTHY = timedelta(minutes=10)
"""After this long in one attempt the charges of a live job with restarts are forgotten."""


class Reason(StrEnum):
    """Why an attempt ended without output."""

    STOPPED = "stopped"
    TIMED_OUT = "timed_out"
    STALLED = "stalled"
    RESOURCE = "resource"
    RESOURCE_MEMORY = "resource_memory"
    TRANSPORT = "transport"
    WORKER_LOST = "worker_lost"
    INPUT_BAD = "input_bad"
    FFMPEG_FAILED = "ffmpeg_failed"
    VERIFY_FAILED = "verify_failed"
    TARGET_EXISTS = "target_exists"
    INVALID_SPEC = "invalid_spec"
    CAPABILITY_MISMATCH = "capability_mismatch"
    QUALITY_FAILED = "quality_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """`free_returns`: how many charges come back at once, without back-off. `restartable`: retried
    and charged where a live job asked for restarts. `blames_platform`: it counts against what was
    promised (`sla`); a bad input, the job's own limits and failures of FFmpeg do not."""

    retried: bool
    charged: bool = False
    charge_limit: int = CHARGE_LIMIT
    backed_off: bool = False
    free_returns: int = 0
    counts_as_resource: bool = False
    avoids_worker: bool = False
    restartable: bool = False
    blames_platform: bool = False
    meaning: str


RULES: Mapping[Reason, Rule] = MappingProxyType(
    {
        Reason.STOPPED: Rule(
            retried=True,
            blames_platform=True,
            meaning="stopped by the cluster: drain, end of lease",
        ),
        Reason.TIMED_OUT: Rule(retried=False, meaning="the job's own limit"),
        Reason.STALLED: Rule(
            retried=True,
            charged=True,
            charge_limit=2,
            avoids_worker=True,
            restartable=True,
            blames_platform=True,
            meaning="no media progress",
        ),
        Reason.RESOURCE: Rule(
            retried=True,
            backed_off=True,
            counts_as_resource=True,
            avoids_worker=True,
            blames_platform=True,
            meaning="disk full, or no encode session",
        ),
        Reason.RESOURCE_MEMORY: Rule(
            retried=True,
            charged=True,
            backed_off=True,
            counts_as_resource=True,
            avoids_worker=True,
            blames_platform=True,
            meaning="out of memory, or killed by a stranger",
        ),
        Reason.TRANSPORT: Rule(
            retried=True,
            charged=True,
            backed_off=True,
            blames_platform=True,
            meaning="fetch, upload or metadata failed; a root is absent",
        ),
        Reason.WORKER_LOST: Rule(
            retried=True,
            charged=True,
            backed_off=True,
            free_returns=1,
            avoids_worker=True,
            blames_platform=True,
            meaning="heartbeats missed, or the worker died",
        ),
        Reason.INPUT_BAD: Rule(retried=False, meaning="corrupt, truncated, changed or missing"),
        Reason.FFMPEG_FAILED: Rule(
            retried=False, restartable=True, meaning="any other failure of FFmpeg"
        ),
        Reason.VERIFY_FAILED: Rule(retried=False, meaning="the output is not what was planned"),
        Reason.TARGET_EXISTS: Rule(retried=False, meaning="the target exists; no overwrite"),
        Reason.INVALID_SPEC: Rule(retried=False, meaning="the spec cannot be carried out"),
        Reason.CAPABILITY_MISMATCH: Rule(retried=False, meaning="no worker could ever do it"),
        Reason.QUALITY_FAILED: Rule(retried=False, meaning="the picture is under the job's bar"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What follows a failure. `charged` and `resource_failures` are the job's new counts.

    `exhausted`: given up because of how many attempts were charged, not for this reason alone.
    """

    retried: bool
    charged: int
    resource_failures: int
    delay: timedelta
    avoids_worker: bool
    exhausted: bool = False


def decide(
    reason: Reason, *, charged: int, resource_failures: int, chance: float, restarts: int = 0
) -> Decision:
    """What follows when an attempt of a job ends for `reason`.

    `charged` and `resource_failures` are the counts before; `chance` is uniform in [0, 1).
    `restarts` is the budget of a live job: so many charges it survives, FFmpeg's failures too.
    """
    rule = _with_budget(RULES[reason], restarts)
    charged_after = charged + 1 if rule.charged else charged
    resources_after = resource_failures + 1 if rule.counts_as_resource else 0
    if reason is Reason.STOPPED:  # says nothing about the resource: the row goes on
        resources_after = resource_failures
    exhausted = rule.charged and charged_after >= rule.charge_limit
    step = (charged_after if rule.charged else resources_after) - rule.free_returns
    return Decision(
        retried=rule.retried and not exhausted and resources_after < RESOURCE_LIMIT,
        charged=charged_after,
        resource_failures=resources_after,
        delay=backoff(step, chance) if rule.backed_off and step > 0 else timedelta(0),
        avoids_worker=rule.avoids_worker,
        exhausted=exhausted,
    )


def _with_budget(rule: Rule, restarts: int) -> Rule:
    if not restarts:
        return rule
    if rule.restartable:
        return replace(rule, retried=True, charged=True, backed_off=True, charge_limit=restarts + 1)
    return replace(rule, charge_limit=max(rule.charge_limit, restarts + 1))


def backoff(step: int, chance: float) -> timedelta:
    """d = min(300 s, 5 s * 2^(step-1)), then uniform in [d/2, d]."""
    longest = min(BACKOFF_LONGEST, BACKOFF_FIRST * (1 << min(step - 1, 16)))
    return longest / 2 + longest / 2 * chance
