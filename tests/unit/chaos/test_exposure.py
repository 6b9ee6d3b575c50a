"""A run that was too quiet does not count, and it is said what was missing."""

import pytest

from ffrtmp.sim.chaos.evidence import Evidence
from ffrtmp.sim.chaos.exposure import exposures, too_quiet

BOOT = 1000.0


def loud(minutes: int = 2) -> Evidence:
    clients, injections = [], []
    for minute in range(minutes):
        at = BOOT + 60 * minute + 1
        for number in range(100):
            key = f"{minute}-{number}"
            clients.append({"at": at, "did": "acknowledged", "key": key, "job_id": key})
        spell = {"since": at, "at": at + 5}
        injections += [{"did": "killed", "who": "f1", "at": at, "workers": 5}] * 2
        injections += [{"did": "killed", "who": "master", "at": at, "workers": 0}]
        injections += [{"did": "cut", "who": "f1", "at": at, "connections": 2}] * 5
        injections += [{"did": "loss", "who": "f1", "pieces": 3} | spell]
        injections += [{"did": "slow", "who": "store"} | spell]
    injections += [{"did": "full", "who": "small", "since": BOOT + 9, "at": BOOT + 12}]
    run = {"began_at": BOOT, "minutes": minutes, "can_mount": True}
    return Evidence(run=run, clients=clients, injections=injections)


@pytest.mark.requirement("G18")
def test_a_loud_run_counts():
    assert too_quiet(loud()) == []
    assert [minute["jobs"] for minute in exposures(loud())] == [100, 100]


@pytest.mark.parametrize(
    ("did", "who", "missing"),
    [
        ("killed", "f1", "worker deaths"),
        ("killed", "master", "master restarts"),
        ("cut", "f1", "cuts"),
        ("loss", "f1", "s of latency or loss"),
        ("slow", "store", "s of slow statements"),
        ("full", "small", "full disks"),
    ],
)
def test_without_it_the_run_does_not_count(did, who, missing):
    evidence = loud()
    evidence.injections.remove(
        next(i for i in evidence.injections if (i["did"], i["who"]) == (did, who))
    )
    [said] = too_quiet(evidence)
    assert missing in said


def test_a_job_counts_once_and_a_minute_without_jobs_is_named():
    evidence = loud()
    evidence.clients.append(evidence.clients[0])
    del evidence.clients[100]
    assert too_quiet(evidence) == ["minute 2: 99 jobs, at least 100 are needed"]


def test_what_met_nothing_does_not_count():
    evidence = loud(1)
    for line in evidence.injections:
        line.update({name: 0 for name in ("connections", "pieces") if name in line})
    assert len(too_quiet(evidence)) == 2


def test_where_nothing_can_be_mounted_no_full_disk_is_asked_for():
    evidence = loud()
    evidence.injections.pop()
    evidence.run["can_mount"] = False
    assert too_quiet(evidence) == []
