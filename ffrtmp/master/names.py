"""Which run of a worker has its name, by all that this master knows of the one before."""

from collections.abc import Callable
from datetime import timedelta

from ffrtmp.domain.errors import NameUnsettled
from ffrtmp.domain.hello import Incumbent, Signs, require_turn
from ffrtmp.domain.messages import Hello
from ffrtmp.domain.session import NEVER_SEEN, Observer
from ffrtmp.domain.timers import Timers
from ffrtmp.master.roster import Roster
from ffrtmp.store.records import SessionKey


class Names:
    def __init__(
        self, roster: Roster, leases: Observer, timers: Timers, boot: Callable[[], float]
    ) -> None:
        self._roster = roster
        self._leases = leases
        self._interval = timers.heartbeat_interval
        self._boot = boot
        self._asked: dict[str, tuple[str, float]] = {}
        """By worker: the run that was told to wait for its name, and since when it asks."""

    def admit(self, worker: str, hello: Hello, incumbent: Incumbent) -> None:
        """Raises what `require_turn` does."""
        at = self._boot()
        run, asked = self._asked.get(worker, ("", at))
        if run != hello.incarnation:
            asked = at
        try:
            signs = self._signs(SessionKey(worker, incumbent.epoch), incumbent.renewal, asked, at)
            require_turn(worker, hello, incumbent, signs, self._interval)
        except NameUnsettled:
            self._asked[worker] = hello.incarnation, asked
            raise
        self._asked.pop(worker, None)

    def _signs(self, session: SessionKey, renewal: int | None, asked: float, at: float) -> Signs:
        here = self._roster.find(session)
        if here is not None:
            silent = timedelta(seconds=at - here.beat)
            return Signs(broken=here.broken, lives=True, silent=silent)
        silence = self._leases.silence(str(session), at)
        if silence.renewal != renewal:  # since the last reading
            silence = NEVER_SEEN
        return Signs(
            broken=False,
            lives=silence.renewed_after >= asked,
            silent=timedelta(seconds=silence.seconds),
        )
