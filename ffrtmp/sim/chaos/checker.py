"""The judge: replays the evidence of a run against the invariants of architecture.md.

Shares no code with master or worker: states and moves are words written here. What the evidence
cannot show it does not judge; `CARRIED` says of every invariant what it is judged by.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ffrtmp.sim.chaos import rules_clients, rules_events, rules_workers
from ffrtmp.sim.chaos.evidence import Evidence
from ffrtmp.sim.chaos.violation import Violation

CARRIED: Mapping[str, str] = MappingProxyType(
    {
        "I1": "events: one terminal event a job, and at the end every job has it",
        "I2": "events: the fence rises by one at every grant and nowhere else",
        "I3": "events: by the holder alone; ledgers: no publish after a newer attempt began",
        "I4": "events: only moves of the table; one worker from grant to grant",
        "I5": "at the end nothing is held: every job ends within the time of the drain",
        "I6": "as I5, of jobs that wait; the two seconds are not judged under chaos",
        "I7": "ledgers and events: attempts of a worker at a time, against its slots",
        "I8": "ledgers: runs on one stream against each other in real time; events: no grant "
        "while it is blocked",
        "I9": "events: at most one charge an attempt, never more than three",
        "I10": "events: FAILED is the end; no FFMPEG_FAILED leads anywhere else",
        "I11": "clients: what was said to be cancelled is; nothing of it is published",
        "I12": "events: each word of an attempt counts once; clients: one key, one job",
        "I13": "ledgers: all that publish a job publish the bytes of its row; files: the disk too",
        "I14": "not carried: epochs are in no evidence of a client; tests/faults has it",
        "I15": "the job table after a last kill -9 and start of the master, against that before",
        "I16": "events: numbered without a gap, replayed to the row, and to what clients saw",
    }
)


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    check: Callable[[Evidence], Iterable[Violation]]


RULES = (
    *(Rule(name, check) for name, check in rules_events.RULES.items()),
    *(Rule(name, check) for name, check in rules_clients.RULES.items()),
    *(Rule(name, check) for name, check in rules_workers.RULES.items()),
)


def check(evidence: Evidence) -> list[Violation]:
    return list(_all(evidence))


def _all(evidence: Evidence) -> Iterator[Violation]:
    for rule in RULES:
        yield from rule.check(evidence)
