"""What a container may use is what its limits say."""

from pathlib import Path

import pytest

from ffrtmp.config.room import recommended_slots, usable_cores, usable_memory

GIB = 1 << 30


def test_without_limits_it_is_the_machine(tmp_path: Path):
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert usable_cores(tmp_path) == usable_cores(tmp_path / "none") >= 1
    assert usable_memory(tmp_path) == usable_memory(tmp_path / "none") > 0


def test_a_limit_counts_when_it_is_lower(tmp_path: Path):
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "memory.max").write_text("1048576\n")
    assert (usable_cores(tmp_path), usable_memory(tmp_path)) == (0.5, 1 << 20)
    (tmp_path / "cpu.max").write_text("9999900000 100000\n")
    assert usable_cores(tmp_path) == usable_cores(tmp_path / "none")


@pytest.mark.parametrize(
    ("cores", "memory", "slots"),
    [(0.5, 1 * GIB, 1), (2, 64 * GIB, 1), (16, 64 * GIB, 8), (64, 16 * GIB, 8), (7, 64 * GIB, 3)],
)
def test_slots_follow_the_scarcer_of_cores_and_memory(cores, memory, slots):
    assert recommended_slots(cores, memory) == slots
