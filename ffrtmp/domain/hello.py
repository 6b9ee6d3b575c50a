"""Whether a hello opens a stream: is it the newest of its worker, and has its run the name?"""

from dataclasses import dataclass
from datetime import timedelta

from ffrtmp.domain.errors import HelloOvertaken, NameTaken, NameUnsettled
from ffrtmp.domain.messages import Hello

MOST_SILENT = 2
"""Heartbeats that a stream may miss before another run gets its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incumbent:
    """The newest stream of a worker, whichever master it is with. `alive`: its session was neither
    closed nor expired; `dial` and `previous` as in its hello; `renewal`: the number of its last
    one, where that is asked for."""

    epoch: int
    incarnation: str
    address: str
    alive: bool
    dial: int = 0
    previous: str = ""
    renewal: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """What one master knows of a stream when another run says hello. `broken`: it ended here;
    `lives`: it is open here, or was renewed elsewhere well after that run first asked; `silent`:
    for how long it is known not to have been renewed."""

    broken: bool
    lives: bool
    silent: timedelta


def require_turn(
    worker: str, hello: Hello, incumbent: Incumbent, signs: Signs, interval: timedelta
) -> None:
    """Raises HelloOvertaken for a hello that was read after a later one of its worker, of the same
    run or of one that knows this run to have ended; NameTaken while another run lives,
    NameUnsettled while it may: a run without memory, started after a crash, is not to end for it.

    A run that the hello names as its previous one has ended, whatever the signs. Who is named so by
    the incumbent and says hello all the same has ended too, or its state folder was copied.
    """
    if incumbent.incarnation == hello.incarnation:
        if 0 < hello.dial < incumbent.dial:
            raise HelloOvertaken(worker, hello.dial)
        return
    left = MOST_SILENT * interval - signs.silent
    has_ended = not incumbent.alive or incumbent.incarnation == hello.previous
    may_live = not has_ended and not signs.broken and left > timedelta(0)
    if may_live and signs.lives:
        raise NameTaken(worker, incumbent.address)
    if incumbent.previous == hello.incarnation:
        raise HelloOvertaken(worker, hello.dial)
    if may_live:
        raise NameUnsettled(worker, left.total_seconds())
