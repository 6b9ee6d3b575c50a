"""When a session may be expired: by the reader's own unbroken observation and by nothing else.

The model keeps every reading ever made and, at each, looks back: since when does this session show
this number, in readings none of which came late or failed? What changed between two readings, and
is renewed here alone, counts from its heartbeat in between. Times lie on the boundaries. What was
there before the reader's first reading, or before an interruption, has at least until the grace
is over.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from itertools import product, takewhile

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from ffrtmp.domain.session import NEVER_SEEN, Observer, Silence

LEASE_TTL = 6.0
GRACE = 12.0
LATE_AFTER = 2.0
NAMES = ("w1/1", "w2/1")
MINE = "w1/1"
"""Its stream ends at this reader: no other renews it."""


Reading = tuple[float, dict[str, int], dict[str, float]]


@dataclass
class History:
    """Readings as (time, numbers, heartbeats), oldest first; None: one that failed."""

    readings: list[Reading | None] = field(default_factory=list)

    def may_expire(self, name: str) -> bool:
        """Of the newest reading: whether the same number was seen all through the patience."""
        run = self.unbroken()
        at, numbers, _ = run[-1]
        same = list(takewhile(lambda past: past[1].get(name) == numbers[name], reversed(run)))
        since = same[-1][0]
        patience = LEASE_TTL
        if len(same) == len(run):  # there before this observation began
            patience = max(LEASE_TTL, self.start + GRACE - since)
        else:
            since = same[-1][2].get(name, since)
        return at - since >= patience

    def silence(self, name: str, later: float) -> Silence:
        """So long after the newest reading: since when it shows this number, and which one before
        showed another; the session was there in all of them."""
        if self.readings[-1] is None or later > LATE_AFTER:
            return NEVER_SEEN
        run = self.unbroken()
        there = list(takewhile(lambda past: name in past[1], reversed(run)))
        if not there:
            return NEVER_SEEN
        number = there[0][1][name]
        same = list(takewhile(lambda past: past[1][name] == number, there))
        since = same[-1][0] if len(same) == len(run) else same[-1][2].get(name, same[-1][0])
        before = there[len(same)] if len(there) > len(same) else None
        rose = before is not None and before[1][name] < number
        return Silence(run[-1][0] - since, number, before[0] if rose else float("-inf"))

    def began(self, at: float, later: float) -> float:
        """Of which readings nothing was missed in between, so long after the newest."""
        first = next((reading for reading in self.readings if reading is not None), None)
        if first is None:
            return float("-inf")
        if self.readings[-1] is None or later > LATE_AFTER:
            return at + later
        begun = self.unbroken()[0]
        return float("-inf") if begun is first else begun[0]

    def unbroken(self) -> list[Reading]:
        """The newest readings, none of them late, no failed one in between."""
        run: list[Reading] = []
        for reading in reversed(self.readings):
            if reading is None or (run and run[0][0] - reading[0] > LATE_AFTER):
                break
            run.insert(0, reading)
        return run

    @property
    def start(self) -> float:
        return next(reading[0] for reading in self.readings if reading is not None)


class ObserverMachine(RuleBasedStateMachine):
    @initialize(at=st.sampled_from([0.0, 1e6]))
    def start(self, at: float) -> None:
        self.at = at
        self.history = History()
        self.observer = Observer(
            lease_ttl=timedelta(seconds=LEASE_TTL),
            grace=timedelta(seconds=GRACE),
            late_after=timedelta(seconds=LATE_AFTER),
        )
        self.numbers: dict[str, int] = {}
        self.beats: dict[str, float] = {}

    @rule(name=st.sampled_from(NAMES), after=st.sampled_from([0.0, 0.25, 0.5]))
    def opens_or_renews(self, name: str, after: float) -> None:
        self.numbers[name] = self.numbers.get(name, 0) + 1
        if name == MINE:
            self.beats[name] = self.at + after

    @precondition(lambda self: self.numbers)
    @rule(name=st.sampled_from(NAMES))
    def falls_back(self, name: str) -> None:
        """To what another database knew of it."""
        if name in self.numbers:
            self.numbers[name] -= 1

    @precondition(lambda self: self.numbers)
    @rule(name=st.sampled_from(NAMES))
    def closes(self, name: str) -> None:
        self.numbers.pop(name, None)

    @rule(after=st.sampled_from([0.5, 1.0, LATE_AFTER, LATE_AFTER, LATE_AFTER + 0.5]))
    def reads(self, after: float) -> None:
        self.at += after
        self.history.readings.append((self.at, dict(self.numbers), dict(self.beats)))
        expired = self.observer.observe(dict(self.numbers), self.at, self.beats)
        assert expired == [name for name in self.numbers if self.history.may_expire(name)]
        self.tells_silence()

    def tells_silence(self) -> None:
        for name, later in product(NAMES, (0.0, LATE_AFTER, LATE_AFTER + 0.25)):
            expected = self.history.silence(name, later)
            assert self.observer.silence(name, self.at + later) == expected
        for later in (0.0, LATE_AFTER, LATE_AFTER + 0.25):
            assert self.observer.began(self.at + later) == self.history.began(self.at, later)

    @rule(times=st.integers(2, 7))
    def reads_on(self, times: int) -> None:
        for _ in range(times):
            self.reads(LATE_AFTER)

    @rule()
    def fails_to_read(self) -> None:
        self.history.readings.append(None)
        self.observer.begin_anew()
        self.tells_silence()


ObserverMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=20)
TestExpiryByObservation = ObserverMachine.TestCase


def readings(observer: Observer, numbers: list[int], *, step: float = LATE_AFTER) -> list[bool]:
    return [bool(observer.observe({"w": n}, i * step)) for i, n in enumerate(numbers)]


def fresh() -> Observer:
    return Observer(
        lease_ttl=timedelta(seconds=LEASE_TTL),
        grace=timedelta(seconds=GRACE),
        late_after=timedelta(seconds=LATE_AFTER),
    )


def test_a_session_found_at_the_start_is_given_the_grace_to_the_full():
    assert readings(fresh(), [5] * 7) == [False] * 6 + [True]


def test_a_session_that_renewed_since_the_start_is_expired_after_the_lease_to_the_full():
    assert readings(fresh(), [5, 6, 6, 6, 6]) == [False] * 4 + [True]


def test_a_late_reading_begins_anew_and_does_not_shorten_the_grace_after_a_start():
    observer = fresh()
    observer.observe({"w": 6}, 0.0)
    assert [observer.observe({"w": 6}, at) for at in (2.5, 4.5, 6.5, 8.5, 10.5)] == [[]] * 5
    assert observer.observe({"w": 6}, 12.0) == ["w"]


def test_a_late_reading_begins_anew_after_the_grace_too():
    observer = fresh()
    for at in range(0, 16, 2):
        observer.observe({}, float(at))
    in_time, late, begun_anew = (16.0, 18.0), 20.5, (22.5, 24.5)
    for at in (*in_time, late, *begun_anew):
        assert observer.observe({"w": 5}, at) == []
    assert observer.observe({"w": 5}, late + LEASE_TTL) == ["w"]


@pytest.mark.requirement("G3")
def test_a_session_of_this_master_is_expired_a_lease_after_its_last_heartbeat():
    observer = fresh()
    observer.observe({"w": 5}, 0.0)
    observer.observe({"w": 6}, 2.0, {"w": 0.5})
    assert observer.next_due(2.0) == 0.5 + LEASE_TTL
    assert [observer.observe({"w": 6}, at, {"w": 0.5}) for at in (4.0, 6.0, 6.5)] == [[], [], ["w"]]
    assert observer.next_due(6.5) == float("inf")


def test_what_is_known_of_heartbeats_does_not_count_before_an_interruption():
    observer = fresh()
    observer.observe({"w": 5}, 0.0)
    observer.observe({"w": 6}, 10.0, {"w": 0.5})
    assert observer.next_due(10.0) == 10.0 + LEASE_TTL
