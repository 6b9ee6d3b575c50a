"""What will be done to the cluster, and what will be asked of it: all of it from the seed.

Pure. Each minute has its share of every fault, at drawn times: a run that is too quiet is the fault
of the machine, never of the draw.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

MINUTE = 60.0
PROOF_SECONDS = 30.0
CLIENTS = ("c1", "c2", "c3")
FLEETS = ("f1", "f2", "f3", "f4")
FLEET_WORKERS = 5
FLEET_SLOTS = 2
WORKERS = ("r1", "r2")
WORKER_SLOTS = 2
MASTER = "master"
EVERYBODY = "everybody"
STREAMS = tuple(f"rtmp://127.0.0.1:1/live/stream{number}" for number in range(6))
PLACES = ("small", "journal")

SIMULATED, LIVE, REAL, BROKEN = "simulated", "live", "real", "broken"
KILL, FREEZE, CUT, LATENCY, LOSS, BLACKHOLE = (
    "kill",
    "freeze",
    "cut",
    "latency",
    "loss",
    "blackhole",
)
SLOW, FULL = "slow", "full disk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """At `at` seconds after the start `what` happens to `target`, for `seconds`.

    A kill: so long it stays down. `amount`: of latency its ceiling in seconds, of loss its share.
    """

    at: float
    what: str
    target: str
    seconds: float = 0.0
    amount: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One job. `cancel_after` its acknowledgement, when set; `again`: the same key is sent twice;
    `watched`: its events are followed to its end."""

    at: float
    client: str
    key: str
    kind: str
    target: str
    seconds: float
    cancel_after: float | None = None
    again: bool = False
    watched: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """`seconds`: for how long it is carried out; then all drains."""

    injections: tuple[Injection, ...]
    submissions: tuple[Submission, ...]
    seconds: float


def make_plan(seed: int, minutes: int) -> Plan:
    """The same seed makes the same plan."""
    chance = Random(f"injections {seed}")  # noqa: S311
    injections = [each for minute in range(minutes) for each in _injections(chance, minute)]
    chance = Random(f"submissions {seed}")  # noqa: S311
    submissions = [each for minute in range(minutes) for each in _submissions(chance, minute)]
    return Plan(
        tuple(sorted(injections, key=_at)),
        tuple(sorted(submissions, key=_at)),
        MINUTE * minutes,
    )


def make_proof(seed: int) -> Plan:
    """A short and rough one, for a build with a fault in it: little is asked, and what the seeded
    faults need comes again and again. Streams are cut where results are on their way, under
    latency, and fleets are away for longer than a lease."""
    chance = Random(f"proof {seed}")  # noqa: S311
    submissions = [
        _submission(chance, 0, kind, f"{kind}-{number}", within=PROOF_SECONDS - 5.0, longest=1.5)
        for kind, count in ((SIMULATED, 150), (LIVE, 6))
        for number in range(count)
    ]
    return Plan(
        tuple(sorted(_rough(chance), key=_at)),
        tuple(sorted(submissions, key=_at)),
        PROOF_SECONDS,
    )


def _rough(chance: Random) -> Iterator[Injection]:
    for target in FLEETS:
        yield Injection(at=0.5, what=LATENCY, target=target, seconds=PROOF_SECONDS, amount=0.2)
    for number in range(int(PROOF_SECONDS / 2) - 1):
        yield Injection(at=2.0 * number + chance.uniform(1.0, 3.0), what=CUT, target=EVERYBODY)
    for number, target in enumerate(FLEETS):
        at = 2.0 + 3.0 * number + chance.uniform(0.0, 2.0)
        yield Injection(at=at, what=BLACKHOLE, target=target, seconds=chance.uniform(6.0, 8.0))
    at = chance.uniform(8.0, 14.0)
    yield Injection(at=at, what=KILL, target=MASTER, seconds=0.0)


def _at(each: Injection | Submission) -> float:
    return each.at


def _injections(chance: Random, minute: int) -> Iterator[Injection]:
    start = minute * MINUTE
    yield from _deaths(chance, start)
    for _ in range(2):
        target = chance.choice((*FLEETS, *WORKERS))
        yield _spell(chance, start, FREEZE, target, seconds=(0.5, 6.0))
    if chance.random() < 0.5:  # noqa: PLR2004
        yield _spell(chance, start, FREEZE, MASTER, seconds=(0.5, 4.0))
    yield from _network(chance, start)
    for _ in range(5):
        yield _spell(chance, start, SLOW, "store", seconds=(1.2, 2.5))
    for place in PLACES:
        yield _spell(chance, start, FULL, place, seconds=(3.0, 6.0))


def _deaths(chance: Random, start: float) -> Iterator[Injection]:
    """Three of the fleets and one real worker, each in its share of the minute; and the master."""
    victims = [*chance.sample(FLEETS, 3), chance.choice(WORKERS)]
    chance.shuffle(victims)
    share = (MINUTE - 12.0) / len(victims)
    for number, victim in enumerate(victims):
        at = start + 2.0 + share * (number + chance.random())
        yield Injection(at=at, what=KILL, target=victim, seconds=chance.choice((0.0, 0.5, 4.0)))
    at = start + chance.uniform(12.0, 40.0)
    yield Injection(at=at, what=KILL, target=MASTER, seconds=chance.choice((0.0, 0.5, 3.0)))


def _network(chance: Random, start: float) -> Iterator[Injection]:
    peers = (*FLEETS, *WORKERS, *CLIENTS)
    for _ in range(11):
        yield _spell(chance, start, CUT, chance.choice(peers), seconds=(0.0, 0.0))
    yield _spell(chance, start, CUT, EVERYBODY, seconds=(0.0, 0.0))
    # One of each for everybody: whoever is dead or cut off just then is not slowed.
    for target in (chance.choice(peers), chance.choice(peers), EVERYBODY):
        spell = _spell(chance, start, LATENCY, target, seconds=(3.0, 6.0))
        yield _with_amount(spell, chance.choice((0.05, 0.3, 1.0, 2.0)))
    for target in (chance.choice(peers), EVERYBODY):
        spell = _spell(chance, start, LOSS, target, seconds=(3.0, 6.0))
        yield _with_amount(spell, 0.1)
    yield _spell(chance, start, BLACKHOLE, chance.choice((*FLEETS, *WORKERS)), seconds=(0.5, 5.0))
    for _ in range(3):  # longer than a lease: others get the work, and the results are stale
        yield _spell(chance, start, BLACKHOLE, chance.choice(FLEETS), seconds=(5.0, 9.0))


def _spell(
    chance: Random, start: float, what: str, target: str, *, seconds: tuple[float, float]
) -> Injection:
    """`seconds`: from, to. Begins early enough to end in its minute."""
    lasts = chance.uniform(*seconds)
    at = start + chance.uniform(1.0, MINUTE - lasts - 2.0)
    return Injection(at=at, what=what, target=target, seconds=lasts)


def _with_amount(spell: Injection, amount: float) -> Injection:
    return Injection(
        at=spell.at, what=spell.what, target=spell.target, seconds=spell.seconds, amount=amount
    )


def _submissions(chance: Random, minute: int) -> Iterator[Submission]:
    for kind, count in ((SIMULATED, 400), (LIVE, 30), (REAL, 12), (BROKEN, 1)):
        for number in range(count):
            yield _submission(chance, minute, kind, f"{kind}-{minute}-{number}")


def _submission(
    chance: Random,
    minute: int,
    kind: str,
    key: str,
    *,
    within: float = MINUTE - 2.0,
    longest: float = 8.0,
) -> Submission:
    target, shortest, usual = {
        SIMULATED: (f"sim:{key}.mkv", 0.05, 5.0),
        LIVE: (chance.choice(STREAMS), 1.0, 8.0),
        REAL: (f"{chance.choice(('media', 'small'))}:{key}.mkv", 0.5, 2.5),
        BROKEN: (f"media:{key}.mkv", 1.0, 1.0),
    }[kind]
    return Submission(
        at=minute * MINUTE + chance.uniform(0.0, within),
        client=chance.choice(CLIENTS),
        key=key,
        kind=kind,
        target=target,
        seconds=round(chance.uniform(shortest, min(longest, usual)), 2),
        cancel_after=chance.uniform(0.0, 6.0) if chance.random() < 0.2 else None,  # noqa: PLR2004
        again=chance.random() < 0.1,  # noqa: PLR2004
        watched=chance.random() < 0.05,  # noqa: PLR2004
    )
