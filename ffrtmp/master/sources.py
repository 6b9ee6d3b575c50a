"""What a master shows of itself at each scrape, read off its parts."""

from collections.abc import Callable
from datetime import datetime
from functools import partial

from ffrtmp.clock import boot_seconds, utc_now
from ffrtmp.domain.spec import Queue
from ffrtmp.master.master import Master
from ffrtmp.master.tally import Counts
from ffrtmp.pki.live import LiveIdentity
from ffrtmp.store.base import Store
from ffrtmp.store.records import PoolUse
from ffrtmp.telemetry.gauges import Fleet, JobCounts, PoolLoad, QueueLoad, Sources, StoreUse


def sources_of(
    master: Master, store: Store, identity: LiveIdentity, now: Callable[[], datetime]
) -> Sources:
    return Sources(
        fleet=lambda: _fleet(master),
        store=partial(_store_use, store, master),
        jobs=lambda: _job_counts(master.tally.counts, now()),
        certificates=lambda: _certificates(identity, master),
    )


def _job_counts(counts: Counts | None, now: datetime) -> JobCounts | None:
    if counts is None:
        return None
    return JobCounts(
        states=counts.states,
        queues={queue: _load(counts, queue, now) for queue in Queue},
        age_seconds=(now - counts.read_at).total_seconds(),
    )


def _load(counts: Counts, queue: Queue, now: datetime) -> QueueLoad:
    """A first job that is to be tried again later does not wait yet."""
    parts = [depth for depth in counts.depths if depth.queue is queue]
    waits = [(now - depth.eligible_at).total_seconds() for depth in parts]
    return QueueLoad(sum(depth.jobs for depth in parts), max(0.0, *waits) if waits else 0.0)


def _fleet(master: Master) -> Fleet:
    now = boot_seconds()
    present = list(master.roster)
    connected = [presence for presence in present if presence.outbox is not None]
    return Fleet(
        connected=len(connected),
        silent=len(present) - len(connected),
        slots=sum(presence.slots for presence in connected),
        slots_free=sum(presence.free for presence in connected),
        oldest_heartbeat_seconds=max((now - presence.beat for presence in present), default=0.0),
        traffic=master.traffic,
        hellos=master.hellos.handled,
        hellos_waiting=master.hellos.waiting,
    )


def _certificates(identity: LiveIdentity, master: Master) -> dict[str, float]:
    """Seconds that are left of each kind."""
    now = utc_now()
    ends = {"master": identity.current.not_after}
    shown = [each.certificate_end for each in master.roster if each.outbox is not None]
    if known := [end for end in shown if end is not None]:
        ends["worker"] = min(known)
    return {name: (end - now).total_seconds() for name, end in ends.items()}


def _store_use(store: Store, master: Master) -> StoreUse:
    return StoreUse(
        store.commits,
        [_pool_load(use) for use in store.pools()],
        store.operations,
        master.census.oldest_snapshot.total_seconds(),
    )


def _pool_load(use: PoolUse) -> PoolLoad:
    return PoolLoad(
        name=use.name, size=use.size, used=use.used, waiting=use.waiting, refused=use.refused
    )
