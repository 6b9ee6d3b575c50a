"""Which run of a worker has its name, by all that this master knows of the one before."""

from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta

from ffrtmp.domain.errors import HelloOvertaken, NameUnsettled
from ffrtmp.domain.hello import Incumbent, Signs, require_turn
from ffrtmp.domain.messages import Hello
from ffrtmp.domain.session import NEVER_SEEN, Observer
from ffrtmp.domain.timers import Timers
from ffrtmp.master.roster import Roster
from ffrtmp.store.records import SessionKey

FORGOTTEN_AFTER = 180.0
"""Seconds: a worker that waits dials more often."""


class Names:
    def __init__(
        self, roster: Roster, leases: Observer, timers: Timers, boot: Callable[[], float]
    ) -> None:
        self._roster = roster
        self._leases = leases
        self._interval = timers.heartbeat_interval
        self._boot = boot
        self._asked: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()
        """Of runs that were told to wait for their worker's name: when first and last."""

    def admit(self, worker: str, hello: Hello, incumbent: Incumbent) -> None:
        """Raises what `require_turn` does."""
        at, run = self._boot(), (worker, hello.incarnation)
        first, _ = self._asked.pop(run, (at, at))
        signs = self._signs(SessionKey(worker, incumbent.epoch), incumbent, first)
        try:
            require_turn(worker, hello, incumbent, signs, self._interval)
        except (NameUnsettled, HelloOvertaken):
            self._asked[run] = first, at
            self._forget(at - FORGOTTEN_AFTER)
            raise

    def _forget(self, before: float) -> None:
        while next(iter(self._asked.values()))[1] < before:
            self._asked.popitem(last=False)

    def _signs(self, session: SessionKey, incumbent: Incumbent, asked: float) -> Signs:
        at, here = self._boot(), self._roster.find(session)
        if here is not None and here.holder.incarnation == incumbent.incarnation:
            heard = max(here.beat, self._leases.began(at))
            return Signs(
                broken=here.broken,
                lives=here.beat >= heard,
                silent=timedelta(seconds=at - heard),
            )
        silence = self._leases.silence(str(session), at)
        if silence.renewal != incumbent.renewal:  # since the last reading
            silence = NEVER_SEEN
        # A dead run's last heartbeat may be committed after this one asked.
        since = asked + self._interval.total_seconds()
        return Signs(
            broken=False,
            lives=silence.renewed_after >= since,
            silent=timedelta(seconds=silence.seconds),
        )
