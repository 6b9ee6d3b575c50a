"""Rooms are kept between two passes of the dispatcher for as long as they are right."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ffrtmp.domain import job as rules
from ffrtmp.domain.errors import SessionExpired
from ffrtmp.domain.job import Holder
from ffrtmp.domain.roots import RootReport, refused_of
from ffrtmp.domain.session import AttemptKey
from ffrtmp.domain.worker import Capabilities
from ffrtmp.master.outbox import Outbox
from ffrtmp.master.roots import RootBook
from ffrtmp.master.roster import NOT_SENT, NOT_SENT_YET, Presence, Roster
from ffrtmp.store.records import SessionKey, WorkerRecord

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


def test_who_says_hello_while_sessions_are_read_stays_and_whose_session_is_over_goes(
    presence: Presence,
):
    roster = Roster()
    roster.attach(presence)
    roster.detach(presence)
    presence.beat = 7.0
    roster.drop_ended({presence.session}, 9.0)
    roster.drop_ended((), 7.0)
    assert roster.get("w1") is presence
    roster.drop_ended((), 9.0)
    assert roster.get("w1") is None


def test_who_came_or_went_while_the_store_was_asked_is_not_taken_for_what_it_was(
    presence: Presence,
):
    root = RootReport(name="m", nonce="a", sees=frozenset("a"))
    presence.capabilities = replace(presence.capabilities, roots=(root,))
    record = WorkerRecord(
        name="w1",
        incarnation="i1",
        epoch=1,
        address="",
        alive=False,
        lost=True,
        capabilities=presence.capabilities,
    )
    roster = Roster()
    asked = roster.roots.waited_for
    assert roster.roots.recall(asked, [record])
    assert not roster.roots.recall(roster.roots.waited_for, [record])
    asked = roster.roots.waited_for
    roster.attach(presence)
    assert not roster.roots.recall(asked, [record])
    asked = roster.roots.waited_for
    roster.remove(presence.session, SessionExpired("w1"))
    assert not roster.roots.recall(asked, [])
    assert roster.roots.waited_for.keys() == {"w1"}
    assert roster.roots.recall(roster.roots.waited_for, [])
    assert not roster.roots.waited_for


def test_a_thousand_that_leave_at_once_are_held_against_one_judgement(monkeypatch):
    """Each saw those before it, and one has the folder unmounted: so there is a lot to judge."""
    judged = []

    def counted(*asked):
        judged.append(asked)
        return refused_of(*asked)

    monkeypatch.setattr("ffrtmp.master.roots.refused_of", counted)
    book, nonces = RootBook(), [f"n{number}" for number in range(30)]
    for number, nonce in enumerate(nonces):
        sees = frozenset(nonces[: number + 1])
        book.put(f"w{number}", (RootReport(name="m", nonce=nonce, sees=sees),))
    odd = RootReport(name="m", nonce="odd", sees=frozenset({"odd"}), empty=True)
    book.put("odd", (odd,))
    assert "is it mounted?" in book.refused("odd")["m"]
    before = len(judged)
    for number in range(30):
        book.leave(f"w{number}", lost=True)
    assert len(judged) == before
    assert "is it mounted?" in book.refused("odd")["m"]
    assert len(judged) == before + 1
    assert len(book.waited_for) == 30


def taken_back(roster: Roster, holder: Holder, *, noted: bool) -> AttemptKey:
    """A live push is granted, as far as this roster hears of it, and taken back unanswered."""
    queued = rules.new_job(
        job_id="j", job_class="c", rank=0, now=NOW, actor="client/a", exclusive=True
    )
    leased = rules.grant(queued, holder=holder, now=NOW)
    if noted:
        roster.note(queued, leased)
    roster.note(leased, rules.leave_unanswered(leased, fence=1, now=NOW))
    return AttemptKey("j", 1)


def test_what_an_earlier_stream_was_offered_is_shown_to_be_gone_by_any_list(presence: Presence):
    roster = Roster()
    roster.attach(presence)
    key = taken_back(roster, presence.holder, noted=False)
    assert presence.blocks == {key: NOT_SENT}


def test_what_is_about_to_be_offered_is_shown_to_be_gone_by_no_list(presence: Presence):
    roster = Roster()
    roster.attach(presence)
    key = taken_back(roster, presence.holder, noted=True)
    assert presence.blocks == {key: NOT_SENT_YET}
    assert presence.granted == set()
