"""How long workers wait before they dial again: soon when it is cheap, and never in a crowd that
keeps a slow master busy for nothing."""

from heapq import heappop, heappush
from random import Random

import pytest

from ffrtmp.domain.redial import longest_wait
from ffrtmp.domain.timers import Timers

CROWD = 2000
HANDSHAKE_SECONDS = 0.01
GIVE_UP_SECONDS = 5.0


@pytest.mark.parametrize(
    ("asked", "away", "unheard", "longest"),
    [
        (1.0, 0.0, 0, 1.0),
        (5.0, 29.9, 0, 5.0),
        (1.0, 30.0, 0, 2.0),
        (1.0, 95.0, 0, 8.0),
        (1.0, 120.0, 0, 15.0),
        (1.0, 1e9, 0, 15.0),
        (1.0, 15.0, 3, 1.0),
        (1.0, 20.0, 4, 2.0),
        (9.0, 20.0, 5, 9.0),
        (1.0, 25.0, 8, 32.0),
        (1.0, 25.0, 9, 60.0),
        (1.0, 1e9, 10**9, 60.0),
    ],
)
def test_a_worker_waits_longer_the_longer_nobody_is_there_and_longest_for_one_who_says_nothing(
    asked: float, away: float, unheard: int, longest: float
):
    found = longest_wait(asked, away=away, unheard=unheard, holds=False, pushes=False)
    assert found == longest


@pytest.mark.parametrize(("away", "longest"), [(0.0, 1.0), (60.0, 4.0), (1e9, 15.0)])
def test_a_worker_that_holds_an_attempt_is_back_within_the_grace_of_its_master(
    away: float, longest: float
):
    found = longest_wait(1.0, away=away, unheard=10**9, holds=True, pushes=False)
    assert found == longest < Timers().recovery_grace.total_seconds() / 2 + 1


@pytest.mark.parametrize(("asked", "longest"), [(0.5, 0.5), (9.0, 1.0)])
def test_a_worker_that_pushes_dials_again_within_a_second(asked: float, longest: float):
    assert longest_wait(asked, away=1e6, unheard=20, holds=True, pushes=True) == longest


def test_a_crowd_is_welcomed_by_a_master_that_is_slower_than_the_crowd_dials():
    assert all(welcomed_after(longest_wait, seconds=600))


def test_a_crowd_that_does_not_mind_the_silence_keeps_such_a_master_busy_for_nothing():
    def impatient(spread: float, *, away: float, unheard: int, holds: bool, pushes: bool) -> float:
        del unheard
        return longest_wait(spread, away=away, unheard=0, holds=holds, pushes=pushes)

    found = welcomed_after(impatient, seconds=600)
    assert found.count(False) > CROWD / 2


def welcomed_after(rule, *, seconds: float) -> list[bool]:
    """Of a crowd that begins within a second: who is welcomed. The master takes handshakes in
    their order, and does not know who of them gave up."""
    chance = Random(1)
    unheard, welcomed = [0] * CROWD, [False] * CROWD
    dials = [(chance.random(), worker) for worker in range(CROWD)]
    dials.sort()
    free_at = 0.0
    while dials and dials[0][0] < seconds:
        now, worker = heappop(dials)
        free_at = max(now, free_at) + HANDSHAKE_SECONDS
        if free_at <= now + GIVE_UP_SECONDS:
            welcomed[worker] = True
            continue
        unheard[worker] += 1
        given_up = now + GIVE_UP_SECONDS
        longest = rule(1.0, away=given_up, unheard=unheard[worker], holds=False, pushes=False)
        heappush(dials, (given_up + chance.random() * longest, worker))
    return welcomed
