"""What happens in one schedule of a cluster: all of it drawn from its seed. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from ffrtmp.sim.chaos.plan import LIVE, SIMULATED, Submission

FAULT_SECONDS = 30.0
"""So long things are broken; then everything is given the time it needs to end."""
WORKERS = ("w1", "w2", "w3", "w4")
MASTERS = ("m1", "m2")
CLIENTS = ("c1", "c2")
LENGTHS = (0.0, 0.05, 0.4, 1.0, 2.5, 5.0, 9.0)

FREEZE, CUT, SLOW_PATH, HOLE, HOLE_UP, HOLE_DOWN = (
    "freeze",
    "cut",
    "slow path",
    "hole",
    "hole up",
    "hole down",
)
STOP, SLOW_STORE, LOCKED_STORE, FULL_STORE, FULL_JOURNAL, DRAIN = (
    "stop",
    "slow store",
    "locked store",
    "full store",
    "full journal",
    "drain",
)
OF_WORKERS = (CUT, CUT, SLOW_PATH, HOLE, HOLE_UP, HOLE_DOWN, FREEZE, STOP, FULL_JOURNAL, DRAIN)
OF_STORE = (SLOW_STORE, LOCKED_STORE, FULL_STORE)
OF_MASTERS = (FREEZE, STOP)
SLOW_WORKERS = (2, 3, 5, 6)
SLOW_MASTERS = (5,)
"""Of seven seeds, those in which a write may take a while. The others keep their schedules: some of
them found something before there were such writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """At `at` seconds after the start `what` happens to `target`, for `seconds`."""

    at: float
    what: str
    target: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`deaths`: the steps after which the runs of a process are killed, one after the other;
    `away`: how long it stays down then. `twice`, `failing`: shares of batches and attempts.
    `write_seconds`, `send_seconds`: the most that a write of a worker and of a master takes;
    meanwhile more is put into the next."""

    seed: int
    masters: tuple[str, ...]
    slots: dict[str, int]
    remembers: frozenset[str]
    deaths: dict[str, tuple[int, ...]]
    away: dict[str, tuple[float, ...]]
    injections: tuple[Injection, ...]
    submissions: tuple[Submission, ...]
    twice: float
    failing: float
    store_seconds: float
    write_seconds: float
    send_seconds: float


def make_plan(seed: int) -> Plan:
    """The same seed makes the same plan."""
    chance = Random(f"plan {seed}")  # noqa: S311
    masters = MASTERS[: chance.choice((1, 1, 2))]
    workers = WORKERS[: chance.randint(2, len(WORKERS))]
    processes = (*masters, *workers)
    deaths = {name: _deaths(chance, name in masters) for name in processes}
    return Plan(
        seed=seed,
        masters=masters,
        slots={name: chance.choice((1, 1, 2)) for name in workers},
        remembers=frozenset(name for name in workers if chance.random() < 0.7),  # noqa: PLR2004
        deaths=deaths,
        away={
            name: tuple(chance.choice((0.0, 0.05, 0.5, 3.0, 8.0)) for _ in those)
            for name, those in deaths.items()
        },
        injections=tuple(
            _injection(chance, masters, workers) for _ in range(chance.randint(1, 10))
        ),
        submissions=tuple(_submission(chance, number) for number in range(chance.randint(4, 12))),
        twice=chance.choice((0.0, 0.1, 0.4)),
        failing=chance.choice((0.0, 0.1, 0.3)),
        store_seconds=chance.choice((0.0, 0.002, 0.02)),
        write_seconds=_slowness("writes", seed, SLOW_WORKERS),
        send_seconds=_slowness("sends", seed, SLOW_MASTERS),
    )


def _slowness(what: str, seed: int, those: Sequence[int]) -> float:
    if seed % 7 not in those:
        return 0.0
    return Random(f"{what} {seed}").choice((0.01, 0.1, 1.0))  # noqa: S311


def _deaths(chance: Random, is_master: bool) -> tuple[int, ...]:  # noqa: FBT001
    """Few steps or many, evenly over the orders of magnitude: a start is as dangerous as an hour of
    work."""
    longest = 4.3 if is_master else 3.5
    times = chance.choice((0, 0, 1, 1, 2, 3))
    return tuple(int(10 ** chance.uniform(0.8, longest)) for _ in range(times))


def _injection(chance: Random, masters: tuple[str, ...], workers: tuple[str, ...]) -> Injection:
    kind = chance.choices(
        ((OF_WORKERS, workers), (OF_STORE, ("store",)), (OF_MASTERS, masters)), (6, 2, 1)
    )[0]
    what, target = chance.choice(kind[0]), chance.choice(kind[1])
    return Injection(
        at=chance.uniform(0.0, FAULT_SECONDS),
        what=what,
        target=target,
        seconds=chance.choice((0.3, 1.2, 2.6, 3.4, 5.0, 9.0)),
    )


def _submission(chance: Random, number: int) -> Submission:
    kind = chance.choice((SIMULATED, SIMULATED, SIMULATED, LIVE))
    key = f"k{number:02}"
    stream = f"rtmp://127.0.0.1:1/live/stream{chance.randint(0, 2)}"
    return Submission(
        at=chance.uniform(0.0, 0.8 * FAULT_SECONDS),
        client=chance.choice(CLIENTS),
        key=key,
        kind=kind,
        target=stream if kind == LIVE else f"sim:out/{key}.mp4",
        seconds=chance.choice(LENGTHS),
        cancel_after=chance.uniform(0.0, 8.0) if chance.random() < 0.2 else None,  # noqa: PLR2004
        again=chance.random() < 0.2,  # noqa: PLR2004
        watched=chance.random() < 0.3,  # noqa: PLR2004
    )
