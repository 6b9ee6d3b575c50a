"""How much the cluster had to bear: a run that was too quiet proves nothing."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from ffrtmp.sim.chaos.evidence import Evidence, Line

MINUTE = 60.0
LEAST: Mapping[str, float] = MappingProxyType(
    {
        "jobs": 100,
        "worker deaths": 10,
        "master restarts": 1,
        "cuts": 5,
        "s of latency or loss": 5,
        "s of slow statements": 5,
    }
)
"""Each minute."""
FULL = "full disks"
LEAST_FULL = 1
"""A run, where a small disk can be mounted."""
FREEZES = "freezes"


def exposures(evidence: Evidence) -> list[dict[str, float]]:
    """One a minute."""
    minutes = [dict.fromkeys((*LEAST, FULL, FREEZES), 0.0) for _ in range(evidence.run["minutes"])]
    for at, name, amount in _exposures(evidence):
        number = int((at - evidence.run["began_at"]) // MINUTE)
        if 0 <= number < len(minutes):
            minutes[number][name] += amount
    return minutes


def too_quiet(evidence: Evidence) -> list[str]:
    """What was missing; empty: the run counts."""
    found = exposures(evidence)
    missing = [
        f"minute {number}: {minute[name]:g} {name}, at least {least:g} are needed"
        for number, minute in enumerate(found, 1)
        for name, least in LEAST.items()
        if minute[name] < least
    ]
    if evidence.run["can_mount"] and sum(minute[FULL] for minute in found) < LEAST_FULL:
        missing.append(f"no {FULL}, at least {LEAST_FULL} is needed")
    return missing


def _exposures(evidence: Evidence) -> Iterator[tuple[float, str, float]]:
    """Each key's first acknowledgement is a job."""
    seen = set()
    for line in evidence.clients:
        if line["did"] == "acknowledged" and line["key"] not in seen:
            seen.add(line["key"])
            yield line["at"], "jobs", 1
    for line in evidence.injections:
        if (counted := _count(line)) is not None:
            yield float(line["since"] if "since" in line else line["at"]), *counted


def _count(line: Line) -> tuple[str, float] | None:
    took = line["at"] - line.get("since", line["at"])
    match line["did"]:
        case "killed" if line["who"] == "master":
            return "master restarts", 1
        case "killed":
            return "worker deaths", line["workers"]
        case "frozen":
            return FREEZES, 1
        case "cut" if line["connections"]:
            return "cuts", 1
        case "latency" | "loss" if line["pieces"]:
            return "s of latency or loss", took
        case "slow":
            return "s of slow statements", took
        case "full":
            return FULL, 1
        case _:
            return None
