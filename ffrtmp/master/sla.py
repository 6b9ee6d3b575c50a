"""What became of the platform's promises, of whichever master: every job was judged when it ended,
and here they are counted."""

from collections import defaultdict
from datetime import timedelta

from ffrtmp.domain.errors import InvalidArgument
from ffrtmp.domain.job import JobState
from ffrtmp.domain.judgement import Judgement
from ffrtmp.domain.promises import LONGEST, Targets
from ffrtmp.domain.sla import account
from ffrtmp.domain.spec import Purpose, Queue
from ffrtmp.master.parts import Parts
from ffrtmp.master.views import SlaView


class Sla:
    def __init__(self, parts: Parts, targets: Targets) -> None:
        self._parts = parts
        self._targets = targets

    async def accounts(self, window: timedelta) -> SlaView:
        """Of jobs that ended within the last `window`, and are kept. Raises InvalidArgument."""
        if not timedelta(0) < window <= LONGEST:
            seconds = window.total_seconds()
            raise InvalidArgument("window_duration", seconds, "more than 0 s, at most 366 days")
        now = self._parts.now()
        kinds: dict[tuple[Queue, Purpose], list[tuple[JobState, Judgement, int]]]
        kinds = defaultdict(list)
        for each in await self._parts.store.judged(now - window):
            kinds[each.queue, each.purpose].append((each.state, each.sla, each.jobs))
        return SlaView(
            accounts={kind: account(kinds[kind]) for kind in sorted(kinds, key=_place)},
            targets=self._targets,
            since=now - window,
            read_at=now,
        )


def _place(kind: tuple[Queue, Purpose]) -> tuple[int, int]:
    """In the order of their enums."""
    return list(Queue).index(kind[0]), list(Purpose).index(kind[1])
