"""Rooms are kept between two passes of the dispatcher for as long as they are right."""

from datetime import UTC, datetime, timedelta

import pytest

from ffrtmp.domain.job import Holder
from ffrtmp.domain.worker import Capabilities
from ffrtmp.master.outbox import Outbox
from ffrtmp.master.roster import Presence, Roster
from ffrtmp.store.base import SessionKey

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def presence() -> Presence:
    return Presence(
        session=SessionKey("w1", 1),
        holder=Holder("w1", "i1"),
        address="",
        capabilities=Capabilities(spec_version=1, ffmpeg_version="9", codecs=frozenset()),
        outbox=Outbox("w1"),
        heartbeat_at=NOW,
        beat=0.0,
        slots=2,
    )


def test_a_room_is_made_anew_when_what_is_excluded_changes_but_not_how_many(presence: Presence):
    roster = Roster()
    roster.attach(presence)
    presence.crowded["a"] = NOW + timedelta(seconds=30)
    [room] = roster.rooms(NOW)
    assert room.excluded == {"a"}
    assert roster.rooms(NOW) == [room]
    presence.crowded.clear()
    presence.excluded["b"] = "no such root"
    [room] = roster.rooms(NOW)
    assert room.excluded == {"b"}


def test_a_worker_is_asked_again_when_it_was_crowded_for_long_enough(presence: Presence):
    roster = Roster()
    roster.attach(presence)
    presence.crowded["a"] = NOW + timedelta(seconds=30)
    assert roster.rooms(NOW)[0].excluded == {"a"}
    assert roster.rooms(NOW + timedelta(seconds=31))[0].excluded == frozenset()
