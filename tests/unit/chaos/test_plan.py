"""The seed fixes what is done and what is asked."""

from collections import Counter

import pytest

from ffrtmp.sim.chaos.clients import source_of, spec_of
from ffrtmp.sim.chaos.exposure import LEAST
from ffrtmp.sim.chaos.plan import (
    CUT,
    FLEET_WORKERS,
    FLEETS,
    FREEZE,
    FULL,
    KILL,
    LATENCY,
    LIVE,
    LOSS,
    MASTER,
    SLOW,
    make_plan,
    make_proof,
)


@pytest.mark.requirement("G18")
def test_the_same_seed_makes_the_same_plan_and_another_another():
    assert make_plan(7, 3) == make_plan(7, 3)
    assert make_plan(7, 3) != make_plan(8, 3)


def test_a_proof_is_short_and_rough_and_fixed_by_its_seed():
    proof = make_proof(7)
    assert proof == make_proof(7) != make_proof(8)
    assert proof.seconds < make_plan(7, 1).seconds
    assert all(each.at < proof.seconds for each in (*proof.injections, *proof.submissions))
    assert sum(each.what == CUT for each in proof.injections) > 2 * LEAST["cuts"]


def test_a_longer_run_begins_as_the_shorter():
    short, long = make_plan(7, 1), make_plan(7, 2)
    assert long.injections[: len(short.injections)] == short.injections
    assert long.submissions[: len(short.submissions)] == short.submissions


@pytest.mark.requirement("P6")
def test_each_minute_has_its_share_of_everything():
    for seed in range(20):
        plan = make_plan(seed, 3)
        for minute in range(3):
            share = [i for i in plan.injections if 60 * minute <= i.at < 60 * (minute + 1)]
            assert all(60 * minute <= i.at and i.at + i.seconds < 60 * (minute + 1) for i in share)
            jobs = [s for s in plan.submissions if 60 * minute <= s.at < 60 * (minute + 1)]
            kills = Counter(i.target for i in share if i.what == KILL)
            spells = Counter()
            for each in share:
                spells[each.what] += each.seconds
            assert len(jobs) > LEAST["jobs"]
            deaths = FLEET_WORKERS * sum(kills[fleet] for fleet in FLEETS)
            assert deaths > LEAST["worker deaths"]
            assert kills[MASTER] == LEAST["master restarts"]
            assert sum(i.what == CUT for i in share) > LEAST["cuts"]
            assert spells[LATENCY] + spells[LOSS] > LEAST["s of latency or loss"]
            assert spells[SLOW] > LEAST["s of slow statements"]
            assert spells[FULL]
            assert spells[FREEZE]


def test_every_job_can_be_told_from_every_other_by_its_spec():
    submissions = make_plan(1, 5).submissions
    names = [source_of(each) or each.target for each in submissions]
    assert len(set(names)) == len(names) == len({each.key for each in submissions})


def test_a_live_job_is_one_by_its_spec():
    for each in make_plan(1, 1).submissions:
        output = spec_of(each).outputs[0]
        assert bool(output.url) == (each.kind == LIVE)
        assert (output.url or output.path) == each.target
