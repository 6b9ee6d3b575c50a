"""Whose a worker's name is, by what a master knows of the run before: of a stream of its own, or by
readings of another master's."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from ffrtmp.domain.errors import NameTaken, NameUnsettled
from ffrtmp.domain.hello import Incumbent
from ffrtmp.domain.job import Holder
from ffrtmp.domain.messages import Hello
from ffrtmp.domain.session import Observer
from ffrtmp.domain.timers import Timers
from ffrtmp.domain.worker import Capabilities
from ffrtmp.master.names import Names
from ffrtmp.master.outbox import Outbox
from ffrtmp.master.roster import Presence, Roster
from ffrtmp.store.records import SessionKey

NOTHING = Capabilities(spec_version=1, ffmpeg_version="9", codecs=frozenset())
TIMERS = Timers()
"""Two intervals: 10 s; a reading each second."""
HEIR = Hello(incarnation="heir", capabilities=NOTHING)


@dataclass
class Scene:
    """A master and the seconds it has run. Stream 1 of `w1` is of another run."""

    at: float = 100.0
    roster: Roster = field(default_factory=Roster)
    leases: Observer = field(default_factory=lambda: Observer.by(TIMERS))
    renewal: int = 5

    def __post_init__(self) -> None:
        self.names = Names(self.roster, self.leases, TIMERS, lambda: self.at)

    def reads(self, seconds: int, *, renewed_every: int = 0) -> None:
        for second in range(1, seconds + 1):
            self.at += 1.0
            if renewed_every and second % renewed_every == 0:
                self.renewal += 1
            self.leases.observe({"w1/1": self.renewal}, self.at)

    def asks(self, hello: Hello = HEIR) -> None:
        incumbent = Incumbent(
            epoch=1, incarnation="i1", address="there", alive=True, renewal=self.renewal
        )
        self.names.admit("w1", hello, incumbent)

    def connects(self) -> Presence:
        presence = Presence(
            session=SessionKey("w1", 1),
            holder=Holder("w1", "i1"),
            address="here",
            capabilities=NOTHING,
            outbox=Outbox("w1"),
            heartbeat_at=datetime(2026, 1, 1, tzinfo=UTC),
            beat=self.at,
        )
        self.roster.attach(presence)
        return presence


def test_a_run_that_asks_first_waits_however_lively_the_other_was():
    scene = Scene()
    scene.reads(20, renewed_every=5)
    with pytest.raises(NameUnsettled):
        scene.asks()


def test_a_run_that_asks_again_is_refused_for_good_once_the_other_was_renewed_meanwhile():
    scene = Scene()
    scene.reads(3)
    with pytest.raises(NameUnsettled):
        scene.asks()
    scene.reads(10, renewed_every=5)
    with pytest.raises(NameTaken, match="from there"):
        scene.asks()


def test_the_last_heartbeat_of_a_dead_run_may_be_committed_after_the_next_one_asked():
    scene = Scene()
    scene.reads(3)
    with pytest.raises(NameUnsettled):
        scene.asks()
    scene.reads(4, renewed_every=2)
    with pytest.raises(NameUnsettled):
        scene.asks()


def test_of_several_that_wait_each_has_its_own_time():
    scene = Scene()
    others = [Hello(incarnation=name, capabilities=NOTHING) for name in ("second", "third")]
    scene.reads(3)
    for hello in others:
        with pytest.raises(NameUnsettled):
            scene.asks(hello)
    scene.reads(10, renewed_every=5)
    with pytest.raises(NameUnsettled):
        scene.asks(Hello(incarnation="fourth", capabilities=NOTHING))
    for hello in others:
        with pytest.raises(NameTaken):
            scene.asks(hello)


def test_who_has_not_asked_for_long_asks_for_the_first_time():
    scene = Scene()
    scene.reads(3)
    with pytest.raises(NameUnsettled):
        scene.asks()
    scene.reads(200, renewed_every=5)
    with pytest.raises(NameUnsettled):
        scene.asks(Hello(incarnation="third", capabilities=NOTHING))
    with pytest.raises(NameUnsettled):
        scene.asks()


def test_the_name_is_free_when_nothing_was_heard_for_two_intervals():
    scene = Scene()
    scene.reads(10)
    with pytest.raises(NameUnsettled, match="in 1 s"):
        scene.asks()
    scene.reads(1)
    scene.asks()


def test_a_renewal_since_the_last_reading_counts():
    scene = Scene()
    scene.reads(11)
    scene.renewal += 1
    with pytest.raises(NameUnsettled, match="in 10 s"):
        scene.asks()


def test_a_master_that_was_stopped_knows_nothing_until_it_reads():
    scene = Scene()
    scene.reads(3)
    scene.at += 60.0
    with pytest.raises(NameUnsettled, match="in 10 s"):
        scene.asks()


def test_of_a_stream_that_is_open_here_the_last_heartbeat_counts_and_no_reading():
    scene = Scene()
    presence = scene.connects()
    scene.reads(20)
    presence.beat = scene.at - 9.9
    with pytest.raises(NameTaken):
        scene.asks()
    presence.beat = scene.at - 10.0
    scene.asks()


def test_a_master_that_was_stopped_does_not_take_its_own_streams_for_silent():
    """What their workers said meanwhile is not read yet."""
    scene = Scene()
    presence = scene.connects()
    scene.reads(3)
    scene.at += 60.0
    with pytest.raises(NameUnsettled, match="in 10 s"):
        scene.asks()
    scene.reads(1)
    with pytest.raises(NameUnsettled, match="in 10 s"):
        scene.asks()
    presence.beat = scene.at
    with pytest.raises(NameTaken, match="from there"):
        scene.asks()


def test_a_stream_of_the_same_number_that_another_database_knew_is_not_this_one():
    scene = Scene()
    scene.connects().holder = Holder("w1", "i0")
    scene.reads(3)
    with pytest.raises(NameUnsettled):
        scene.asks()


def test_a_stream_that_broke_here_is_over():
    scene = Scene()
    presence = scene.connects()
    scene.roster.detach(presence)
    scene.asks()
