"""How long a worker waits before it dials again."""

LONGEST = 15.0
LONGEST_OF_A_PUSH = 1.0  # a live push ends with the lease
LONGEST_UNHEARD = 120.0
PATIENCE = 30.0
MOST_DOUBLINGS = 8
UNHEARD_FOR_NOTHING = 3
"""Dials that nothing answered, until the worker takes it that the master cannot keep up."""


def longest_wait(spread: float, *, away: float, unheard: int, pushes: bool) -> float:
    """The wait is uniform between zero and this; all in seconds.

    `spread`: over how long the master asked its workers to come back. `away`: since the worker last
    heard of one. `unheard`: its last dials, in a row, that were answered by nothing at all.

    A refused connection costs a master nothing. One that nobody answered may have: the handshake of
    a worker that gave up meanwhile. When all of a crowd give up and dial again, that is all that a
    slow master ever does; so each of them asks half as often after each silence.
    """
    if pushes:
        return min(LONGEST_OF_A_PUSH, spread)
    patient = spread * _doubled(int(away // PATIENCE))
    crowded = _doubled(max(0, unheard - UNHEARD_FOR_NOTHING))
    return max(min(LONGEST, patient), min(LONGEST_UNHEARD, crowded))


def _doubled(times: int) -> int:
    return 1 << min(times, MOST_DOUBLINGS)
