"""What stays with a worker's name across its sessions: whether it drains, and what it lost.

A rule takes a `Standing` and returns one; the very same object when there is nothing to change.
Losses of one incarnation within `ONE_DEATH` of each other are one: a worker that dies with eight
attempts has died once.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

from ffrtmp.domain.session import AttemptKey

DEATHS = 3
DEATHS_WITHIN = timedelta(minutes=10)
ONE_DEATH = timedelta(seconds=5)
FIRST_QUARANTINE = timedelta(minutes=1)
LONGEST_QUARANTINE = timedelta(minutes=30)
CALM = timedelta(hours=1)
"""So long after a quarantine the next one is a first one again."""
MOST_LOSSES = 100


@dataclass(frozen=True, slots=True)
class Loss:
    """A charged attempt that the worker lost; `why` is a sentence."""

    key: AttemptKey
    incarnation: str
    lost_at: datetime
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """`losses` of the last ten minutes, oldest first; `quarantines` in a row."""

    draining: bool = False
    losses: tuple[Loss, ...] = ()
    quarantines: int = 0
    quarantined_until: datetime | None = None

    def is_quarantined(self, now: datetime) -> bool:
        return self.quarantined_until is not None and now < self.quarantined_until


StandingRule = Callable[[Standing], Standing]


def drain(standing: Standing) -> Standing:
    return standing if standing.draining else replace(standing, draining=True)


def resume(standing: Standing) -> Standing:
    """An operator's word: it takes work again, and what it did wrong is forgotten."""
    return standing if standing == Standing() else Standing()


def release(standing: Standing) -> Standing:
    """An operator's word: what it did wrong is forgotten; a wish that it drains is not."""
    return replace(Standing(), draining=standing.draining)


def note_losses(standing: Standing, losses: Iterable[Loss], *, now: datetime) -> Standing:
    """Three deaths in ten minutes: quarantined for 1, 2, 4 ... 30 minutes."""
    recent = _recent((*standing.losses, *losses), now)
    standing = replace(standing, losses=recent)
    if standing.is_quarantined(now) or _deaths(recent) < DEATHS:
        return standing
    last = standing.quarantined_until
    in_a_row = standing.quarantines if last is not None and now - last < CALM else 0
    length = min(LONGEST_QUARANTINE, FIRST_QUARANTINE * (1 << min(in_a_row, 8)))
    return replace(standing, quarantines=in_a_row + 1, quarantined_until=now + length)


def forgive(standing: Standing, keys: Iterable[AttemptKey], *, now: datetime) -> Standing:
    """These attempts were not lost after all. Lifts a quarantine that rested on them."""
    forgiven = set(keys)
    kept = tuple(loss for loss in standing.losses if loss.key not in forgiven)
    if len(kept) == len(standing.losses):
        return standing
    standing = replace(standing, losses=kept)
    if standing.is_quarantined(now) and _deaths(kept) < DEATHS:
        return replace(standing, quarantines=standing.quarantines - 1, quarantined_until=None)
    return standing


def _recent(losses: Iterable[Loss], now: datetime) -> tuple[Loss, ...]:
    recent = sorted(
        (loss for loss in losses if now - loss.lost_at < DEATHS_WITHIN),
        key=lambda loss: (loss.lost_at, loss.key),
    )
    return tuple(recent[-MOST_LOSSES:])


def _deaths(losses: tuple[Loss, ...]) -> int:
    apart = sum(
        later.incarnation != loss.incarnation or later.lost_at - loss.lost_at > ONE_DEATH
        for loss, later in pairwise(losses)
    )
    return apart + 1 if losses else 0
