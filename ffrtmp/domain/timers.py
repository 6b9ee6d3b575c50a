"""The cluster's timers: one set, decided by the master, sent to every worker in `welcome`."""

from dataclasses import dataclass
from datetime import timedelta

SHORTEST_HEARTBEAT = timedelta(milliseconds=500)
FEWEST_MISSED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Timers:
    """Raises ValueError, naming the timer, when a constraint is broken."""

    heartbeat_interval: timedelta = timedelta(seconds=5)
    missed_heartbeats: int = 3
    offer_ttl: timedelta = timedelta(seconds=5)
    sweep_interval: timedelta = timedelta(seconds=1)
    progress_interval: timedelta = timedelta(seconds=1)
    drain_timeout: timedelta = timedelta(seconds=600)

    def __post_init__(self) -> None:
        if self.heartbeat_interval < SHORTEST_HEARTBEAT:
            raise ValueError("heartbeat_interval must be at least 0.5 s")
        if self.missed_heartbeats < FEWEST_MISSED:
            raise ValueError("missed_heartbeats must be at least 2: one lost beat costs no job")
        if self.offer_ttl < SHORTEST_HEARTBEAT:
            raise ValueError("offer_ttl must be at least 0.5 s")
        if self.drain_timeout < timedelta(0):
            raise ValueError("drain_timeout must not be negative")

    @property
    def lease_ttl(self) -> timedelta:
        """A session's lease runs this long from its last renewal."""
        return self.missed_heartbeats * self.heartbeat_interval

    @property
    def margin(self) -> timedelta:
        """A worker's own deadline lies this much before the end of its lease."""
        return self.lease_ttl / 8

    @property
    def ack_silence(self) -> timedelta:
        """After this long without an acknowledgement the worker reconnects."""
        return self.heartbeat_interval * 1.5

    @property
    def connect_deadline(self) -> timedelta:
        """Connect, and then hello to welcome, may each take this long."""
        return self.heartbeat_interval / 2

    @property
    def recovery_grace(self) -> timedelta:
        """After its start a master observes this long before it expires a session."""
        return 2 * self.lease_ttl
