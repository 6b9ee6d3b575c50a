"""The timers: derived from each other, and refused when they cannot work."""

from datetime import timedelta

import pytest

from ffrtmp.domain.timers import Timers


def seconds(span: timedelta) -> float:
    return span.total_seconds()


def test_every_derived_timer_follows_the_heartbeat():
    timers = Timers(heartbeat_interval=timedelta(seconds=4), missed_heartbeats=2)
    assert seconds(timers.lease_ttl) == 8
    assert seconds(timers.margin) == 1
    assert seconds(timers.ack_silence) == 6
    assert seconds(timers.connect_deadline) == 2
    assert seconds(timers.recovery_grace) == 16


def test_the_defaults_are_those_of_the_documentation():
    timers = Timers()
    assert (seconds(timers.lease_ttl), seconds(timers.recovery_grace)) == (15, 30)
    assert (seconds(timers.offer_ttl), seconds(timers.sweep_interval)) == (5, 1)
    assert (seconds(timers.progress_interval), seconds(timers.drain_timeout)) == (1, 600)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("heartbeat_interval", timedelta(seconds=0.4), "at least 0.5 s"),
        ("missed_heartbeats", 1, "one lost beat costs no job"),
        ("offer_ttl", timedelta(0), "at least 0.5 s"),
        ("drain_timeout", timedelta(seconds=-1), "must not be negative"),
    ],
)
def test_a_timer_that_cannot_work_is_refused_by_name(name, value, why):
    with pytest.raises(ValueError, match=f"{name} .*{why}|{name} must.*{why}"):
        Timers(**{name: value})
