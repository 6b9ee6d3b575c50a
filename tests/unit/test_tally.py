"""The count of a trial finds what is wrong in its ledgers."""

import json
from pathlib import Path

import pytest

from ffrtmp.ffmpeg.presets import expand
from ffrtmp.sim.scenarios import SCENARIOS, draw
from ffrtmp.sim.tally import count

SUBMITTED = [
    {"at": 1.0, "did": "submitted", "job_id": "good", "fails": False},
    {"at": 1.5, "did": "submitted", "job_id": "meant", "fails": True},
]
ENDED = [
    {"at": 9.0, "did": "ended", "job_id": "good", "state": "succeeded", "reason": None},
    {"at": 9.0, "did": "ended", "job_id": "meant", "state": "failed", "reason": "ffmpeg_failed"},
]
DONE = [
    {"at": 2.0, "did": "began", "job_id": "good"},
    {"at": 2.5, "did": "published", "job_id": "good", "sha256": "aa"},
    {"at": 2.0, "did": "began", "job_id": "meant"},
    {"at": 3.0, "did": "failed", "job_id": "meant"},
]


@pytest.fixture
def tally(tmp_path: Path):
    def made(told: list[dict], did: list[dict]):
        for name, lines in (("client", told), ("fleet", did)):
            (tmp_path / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
        return count(tmp_path / "client", [tmp_path / "fleet", tmp_path / "never-started"])

    return made


def test_a_good_trial_adds_up(tally):
    found = tally([*SUBMITTED, *ENDED], DONE)
    assert found.is_good
    assert (found.jobs, found.finished, found.failed_as_meant, found.attempts) == (2, 1, 1, 2)
    assert "jobs/s: 1" in found.lines


def test_a_job_without_an_end_is_lost(tally):
    found = tally([*SUBMITTED, ENDED[1]], DONE)
    assert (found.lost, found.finished, found.is_good) == (1, 0, False)


def test_success_without_a_publish_or_in_spite_of_its_fault_is_no_success(tally):
    nothing_published = tally([*SUBMITTED, *ENDED], [DONE[0], *DONE[2:]])
    assert (nothing_published.failed_otherwise, nothing_published.is_good) == (1, False)
    lucky = {**ENDED[1], "state": "succeeded", "reason": None}
    assert tally([*SUBMITTED, ENDED[0], lucky], DONE).failed_otherwise == 1


def test_other_bytes_and_a_second_job_are_duplicates_the_same_bytes_are_not(tally):
    again = [*DONE, {**DONE[1], "at": 2.6}]
    assert (tally([*SUBMITTED, *ENDED], again).duplicates) == 0
    assert (tally([*SUBMITTED, *ENDED], again).again) == 1
    other = [*DONE, {**DONE[1], "sha256": "bb"}]
    assert tally([*SUBMITTED, *ENDED], other).duplicates == 1
    assert tally([*SUBMITTED, *ENDED, {**ENDED[0], "job_id": "x"}], DONE).duplicates == 1


def test_a_line_cut_off_by_a_kill_is_passed_over(tally, tmp_path: Path):
    tally([*SUBMITTED, *ENDED], DONE)
    with (tmp_path / "fleet").open("a") as file:
        file.write('{"at": 5.0, "did": "publ')
    assert count(tmp_path / "client", [tmp_path / "fleet"]).is_good


def test_jobs_are_drawn_from_their_seed_alone_and_every_scenario_is_valid():
    first, again = list(draw(300, 1, 0.1)), list(draw(300, 1, 0.1))
    assert first == again != list(draw(300, 2, 0.1))
    assert len(set(SCENARIOS)) == 31
    assert {spec.outputs[0].preset for spec, _ in first} == set(SCENARIOS)
    for spec, fails in first:
        expand(spec)
        assert fails == (".fails." in str(spec.outputs[0].path))
