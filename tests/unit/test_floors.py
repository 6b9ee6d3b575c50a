"""Where passes of the dispatcher begin, after one that was slow."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ffrtmp.domain.job import Job, JobState, new_job
from ffrtmp.master.floors import HOLD_SECONDS, SLOW_SECONDS, Floors

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    at = 100.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def floors(clock) -> Floors:
    return Floors(clock, shared=True)


def job(rank: int, job_class: str = "c") -> Job:
    return new_job(job_id=f"j{rank}", job_class=job_class, rank=rank, now=NOW, actor="client/a")


def one_pass(
    floors: Floors, clock: Clock, read: list[int], granted: set[int], *, slow: bool = False
) -> dict:
    begun = floors.begin()
    clock.at += 2 * SLOW_SECONDS if slow else SLOW_SECONDS / 2
    floors.end([job(rank) for rank in read], {f"j{rank}" for rank in granted})
    return dict(begun)


def test_a_quick_pass_is_followed_by_whole_ones(floors, clock):
    for _ in range(3):
        assert one_pass(floors, clock, [1, 2], {1}) == {}


def test_behind_a_slow_pass_others_begin_at_what_was_left(floors, clock):
    assert one_pass(floors, clock, [1, 2, 3], {1, 3}, slow=True) == {}
    assert one_pass(floors, clock, [2, 4], {2, 4}) == {"c": (2, "j2")}
    assert one_pass(floors, clock, [], set()) == {"c": (4, "j4")}
    assert floors.begin() == {"c": (4, "j4")}


def test_a_whole_pass_comes_every_second(floors, clock):
    one_pass(floors, clock, [1], {1}, slow=True)
    clock.at += HOLD_SECONDS - 0.01
    assert one_pass(floors, clock, [3], {3}) == {"c": (1, "j1")}
    assert floors.begin() == {}


def test_slow_passes_do_not_put_the_whole_one_off(floors, clock):
    one_pass(floors, clock, [1], {1}, slow=True)
    clock.at += HOLD_SECONDS - SLOW_SECONDS
    assert one_pass(floors, clock, [3], {3}, slow=True) == {"c": (1, "j1")}
    assert floors.begin() == {}


def test_what_is_queued_before_the_floor_is_seen_by_the_next_pass(floors, clock):
    one_pass(floors, clock, [5], {5}, slow=True)
    floors.note(None, job(7))
    assert floors.begin() == {"c": (5, "j5")}
    floors.note(None, job(2))
    assert floors.begin() == {"c": (2, "j2")}


def test_what_is_queued_while_a_pass_is_made_is_not_missed(floors, clock):
    floors.begin()
    floors.note(None, job(2))
    clock.at += 2 * SLOW_SECONDS
    floors.end([job(5)], {"j5"})
    assert floors.begin() == {"c": (2, "j2")}


def test_each_class_has_a_floor_of_its_own(floors, clock):
    floors.begin()
    clock.at += 2 * SLOW_SECONDS
    floors.end([job(5), job(1, "d"), job(2, "d")], {"j5"})
    assert floors.begin() == {"c": (5, "j5"), "d": (1, "j1")}


def test_what_leaves_the_queue_moves_no_floor(floors, clock):
    one_pass(floors, clock, [5], {5}, slow=True)
    started = replace(job(1), state=JobState.LEASED)
    floors.note(None, started)
    assert floors.begin() == {"c": (5, "j5")}


def test_where_nobody_else_writes_the_whole_queue_is_read(clock):
    floors = Floors(clock, shared=False)
    one_pass(floors, clock, [1], {1}, slow=True)
    assert floors.begin() == {}
