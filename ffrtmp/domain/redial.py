"""How long a worker waits before it dials again."""

LONGEST = 15.0
LONGEST_OF_A_PUSH = 1.0  # a live push ends with the lease
LONGEST_UNHEARD = 60.0
PATIENCE = 30.0
MOST_DOUBLINGS = 8
UNHEARD_FOR_NOTHING = 3
"""Dials that nothing answered, until an idle worker takes it that the master cannot keep up."""


def longest_wait(spread: float, *, away: float, unheard: int, holds: bool, pushes: bool) -> float:
    """The wait is uniform between zero and this; all in seconds.

    `spread`: over how long the master asked its workers to come back. `away`: since the worker last
    heard of one. `unheard`: its last dials, in a row, that were answered by nothing at all.
    `holds`: it has attempts; `pushes`: one of them is live.

    A refused connection costs a master nothing. One that nobody answered may have: the handshake of
    a worker that gave up meanwhile. When all of a crowd give up and dial again, that is all that a
    slow master ever does; so whoever has nothing to lose asks half as often after each silence.
    Whoever holds an attempt must be back within the grace of a master that comes back.
    """
    if pushes:
        return min(LONGEST_OF_A_PUSH, spread)
    patient = min(LONGEST, spread * _doubled(int(away // PATIENCE)))
    if holds:
        return patient
    crowded = _doubled(max(0, unheard - UNHEARD_FOR_NOTHING))
    return max(patient, min(LONGEST_UNHEARD, crowded))


def _doubled(times: int) -> int:
    return 1 << min(times, MOST_DOUBLINGS)
