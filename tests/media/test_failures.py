"""The rules against what two versions of FFmpeg said when they failed. `scripts/record_failures`
records it anew and prints the confusion table."""

import pytest

from tests.media.record import Recorded, blamed_wrongly, load, verdict

RECORDED = [
    pytest.param(row, id=f"{which} {version} {row['name']}")
    for which in ("rules", "check")
    for version, rows in load(which).items()
    for row in rows
]


@pytest.mark.parametrize("row", RECORDED)
def test_no_input_is_blamed_for_the_platform_nor_the_reverse(row: Recorded) -> None:
    assert not blamed_wrongly(row["truth"], verdict(row))


@pytest.mark.parametrize(("which", "least"), [("rules", 1.0), ("check", 0.95)])
def test_nearly_all_failures_are_called_by_their_name(which: str, least: float) -> None:
    """The second set was recorded when the rules were finished, and did not change them."""
    rows = [row for rows in load(which).values() for row in rows]
    right = sum(verdict(row) == row["truth"] for row in rows)
    assert right / len(rows) >= least
    assert len(load(which)) == 2
