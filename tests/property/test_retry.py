"""The retry table walked from end to end: every reason, every count, both ends of chance."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffrtmp.domain.retry import RULES, Reason, backoff, decide

ALMOST_ONE = 1 - 2**-53

EXPECTED = """
stopped             | again     | free    | at once             |
timed_out           | never     |         |                     |
stalled             | < 2       | charged | at once             | elsewhere
resource            | < 5 a row | free    | back-off            | elsewhere
resource_memory     | < 3       | charged | back-off            | elsewhere
transport           | < 3       | charged | back-off            |
worker_lost         | < 3       | charged | back-off from the 2nd | elsewhere
input_bad           | never     |         |                     |
ffmpeg_failed       | never     |         |                     |
verify_failed       | never     |         |                     |
target_exists       | never     |         |                     |
invalid_spec        | never     |         |                     |
capability_mismatch | never     |         |                     |
quality_failed      | never     |         |                     |
"""
"""As architecture.md section 4 has it. `< N`: while fewer than N charges, this one included."""

ROWS = {
    cells[0]: cells[1:]
    for line in EXPECTED.strip().splitlines()
    if (cells := [cell.strip() for cell in line.split("|")])
}
LIMITS = {"again": 10**6, "never": 0, "< 2": 2, "< 3": 3, "< 5 a row": 10**6}
IN_A_ROW = 5
ROW_REASONS = ("resource", "resource_memory")


def test_every_reason_is_in_the_table_once_and_in_the_order_of_precedence():
    assert list(ROWS) == [str(reason) for reason in Reason] == [str(reason) for reason in RULES]


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("charged", range(4))
@pytest.mark.parametrize("row", range(6))
@pytest.mark.requirement("G5")
def test_every_cause_is_decided_as_the_table_says(reason, charged, row):
    again, charge, when, where = ROWS[reason]
    found = decide(reason, charged=charged, resource_failures=row, chance=0.0)

    charged_after = charged + (charge == "charged")
    row_after = row + 1 if reason in ROW_REASONS else row if reason == "stopped" else 0
    assert (found.charged, found.resource_failures) == (charged_after, row_after)
    assert found.avoids_worker == (where == "elsewhere")

    limit = LIMITS[again]
    within = charged_after < limit if charge == "charged" else limit > 0
    assert found.retried == (within and row_after < IN_A_ROW)

    counted = charged_after if charge == "charged" else row_after
    doublings = {"at once": -1, "": -1, "back-off": counted - 1}.get(when, counted - 2)
    shortest = min(300, 5 * 2**doublings) / 2 if doublings >= 0 else 0
    assert found.delay == timedelta(seconds=shortest)


@pytest.mark.parametrize(
    ("nth", "longest"),
    [(1, 5), (2, 10), (3, 20), (4, 40), (5, 80), (6, 160), (7, 300), (8, 300), (1000, 300)],
)
@pytest.mark.requirement("G9")
def test_the_back_off_doubles_from_5_s_to_300_s_and_leaves_half_of_it_to_chance(nth, longest):
    assert backoff(nth, 0.0) == timedelta(seconds=longest / 2)
    assert backoff(nth, 0.5) == timedelta(seconds=longest * 3 / 4)
    assert backoff(nth, ALMOST_ONE) == timedelta(seconds=longest)


@given(nth=st.integers(1, 10**9), chance=st.floats(0, 1, exclude_max=True))
def test_the_back_off_stays_between_half_and_all_of_its_step(nth, chance):
    longest = backoff(nth, ALMOST_ONE)
    assert longest / 2 <= backoff(nth, chance) <= longest <= timedelta(minutes=5)


def test_every_reason_has_a_meaning_for_people():
    meanings = [rule.meaning for rule in RULES.values()]
    assert all(meanings)
    assert len(set(meanings)) == len(meanings)
