"""What is said of a job in the end: did the platform keep its promise to it, and if not, why."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """`WITHDRAWN`: cancelled before a worker began it, and in time; it counts for nothing."""

    MET = "met"
    MISSED = "missed"
    WITHDRAWN = "withdrawn"


class Breach(StrEnum):
    """What the platform failed in."""

    QUEUE_WAIT = "queue_wait"
    START_DELAY = "start_delay"
    PLATFORM_FAILURE = "platform_failure"


@dataclass(frozen=True, slots=True)
class Judgement:
    """`breaches`: of one that is MISSED, in their order."""

    verdict: Verdict
    breaches: tuple[Breach, ...] = ()
