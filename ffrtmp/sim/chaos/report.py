"""What a person reads in the end. The last line is `violations: N`."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ffrtmp.sim.chaos.checker import CARRIED, check
from ffrtmp.sim.chaos.evidence import Evidence, read
from ffrtmp.sim.chaos.exposure import FREEZES, FULL, LEAST, exposures, too_quiet
from ffrtmp.sim.chaos.history import histories
from ffrtmp.sim.chaos.violation import Violation

DONE, VIOLATED, QUIET = 0, 1, 3
SHOWN = 50


def judge(folder: Path) -> tuple[int, str]:
    """The exit code, and the report. Raises OSError, ValueError."""
    evidence = read(folder)
    violations, missing = check(evidence), too_quiet(evidence)
    code = VIOLATED if violations else QUIET if missing else DONE
    return code, "\n".join(_lines(evidence, violations, missing))


def _lines(evidence: Evidence, violations: list[Violation], missing: list[str]) -> Iterator[str]:
    run = evidence.run
    yield f"seed {run['seed']}, {run['minutes']} min, {run['store']}, {run['machine']}"
    yield from _exposures(evidence)
    yield from _outcomes(evidence)
    yield "judged by:"
    yield from (f"  {name:4} {by}" for name, by in CARRIED.items())
    yield from (f"too quiet: {what}" for what in missing)
    yield from (f"VIOLATION {violation}" for violation in violations[:SHOWN])
    if len(violations) > SHOWN:
        yield f"... and {len(violations) - SHOWN} more"
    yield f"violations: {len(violations)}"


def _exposures(evidence: Evidence) -> Iterator[str]:
    names = [*LEAST, FULL, FREEZES]
    yield "minute  " + "  ".join(names)
    for number, minute in enumerate(exposures(evidence), 1):
        yield f"{number:6}  " + "  ".join(f"{minute[name]:{len(name)}.4g}" for name in names)
    if not evidence.run["can_mount"]:
        yield f"no disk was filled: mounting is not possible ({evidence.run['mount_problem']})"


def _outcomes(evidence: Evidence) -> Iterator[str]:
    found = list(histories(evidence))
    states = Counter(history.state for history in found)
    causes = Counter(event.cause for history in found for event in history.events)
    said = Counter(line["did"] for line in evidence.clients)
    done = Counter(line["did"] for line in evidence.workers)
    for what, counts in (
        ("jobs", states),
        ("events", causes),
        ("clients", said),
        ("ledgers", done),
    ):
        yield f"{what}: " + ", ".join(f"{count} {name.lower()}" for name, count in counts.items())
