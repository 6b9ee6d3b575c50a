"""What one FFmpeg may use: by a cgroup where there is one to give, else by what every kernel has.

The kernel's files are played by plain ones: which are written, and in which order of folders, is
what is tested; that FFmpeg is held to the other limits is tested with a real one.
"""

import os
from pathlib import Path

import pytest

from ffrtmp.domain.worker import AttemptLimits, LimitWay
from ffrtmp.worker.limits import NOTHING, Confines, Delegation, find_delegation

CORES = sorted(os.sched_getaffinity(0))


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """A cgroup that was delegated, with an attempt of a run that was killed."""
    found = tmp_path / "system.slice" / "ffrtmp.service"
    (found / "ffrtmp-attempt-7").mkdir(parents=True)
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    (found / "cgroup.controllers").write_text("cpu memory pids\n")
    (tmp_path / "membership").write_text("1:cpu:/\n0::/system.slice/ffrtmp.service\n")
    return found


def delegation_of(unit: Path) -> Delegation:
    top = unit.parent.parent
    return find_delegation(top, top / "membership")


def test_the_worker_moves_down_and_passes_its_controllers_on(unit):
    found = delegation_of(unit)
    assert found == Delegation(unit, frozenset({"cpu", "memory"}))
    assert (unit / "ffrtmp-worker" / "cgroup.procs").read_text() == str(os.getpid())
    assert (unit / "cgroup.subtree_control").read_text() == "+cpu +memory"
    assert not (unit / "ffrtmp-attempt-7").exists()


@pytest.mark.parametrize("membership", ["0::/\n", "1:cpu:/x\n", "0::/no.such\n", ""])
def test_what_is_not_delegated_is_left_alone(unit, membership):
    top = unit.parent.parent
    (top / "membership").write_text(membership)
    assert find_delegation(top, top / "membership") == NOTHING
    assert not list(top.rglob("ffrtmp-worker"))


def test_a_kernel_without_the_second_version_has_nothing_to_give(unit):
    (unit.parent.parent / "cgroup.controllers").unlink()
    assert delegation_of(unit) == NOTHING


def test_what_may_not_be_passed_on_is_undone(unit):
    (unit / "cgroup.subtree_control").mkdir()  # it cannot be written
    assert delegation_of(unit) == NOTHING
    assert (unit / "cgroup.procs").read_text() == str(os.getpid())


def test_each_ffmpeg_gets_a_cgroup_of_its_own(unit):
    confines = Confines(memory=1 << 30, cores=1.5, delegation=delegation_of(unit))
    with confines.one() as first, confines.one() as second:
        assert first == (f"limit:cgroup={unit / 'ffrtmp-attempt-1'}",)
        assert second == (f"limit:cgroup={unit / 'ffrtmp-attempt-2'}",)
        group = unit / "ffrtmp-attempt-1"
        assert (group / "memory.max").read_text() == str(1 << 30)
        assert (group / "memory.oom.group").read_text() == "1"
        assert (group / "cpu.max").read_text() == "150000 100000"
        for name in ("attempt-1", "attempt-2"):
            for file in (unit / f"ffrtmp-{name}").iterdir():
                file.unlink()  # the kernel's go with their folder
    assert not list(unit.glob("ffrtmp-attempt-*"))
    assert confines.limits.memory_way is confines.limits.cpu_way is LimitWay.CGROUP


def test_without_one_data_and_processors_are_limited():
    confines = Confines(memory=1 << 30, cores=0.5)
    with confines.one() as words:
        assert words == (f"limit:data={1 << 30}", f"limit:cpus={CORES[0]}")
    assert confines.limits == AttemptLimits(memory=1 << 30, cores=0.5)


@pytest.mark.skipif(len(CORES) < 2, reason="there is one processor only")
def test_processors_are_shared_out():
    confines = Confines(memory=0, cores=1)
    with confines.one() as first:
        with confines.one() as second:
            assert {*first, *second} == {f"limit:cpus={CORES[0]}", f"limit:cpus={CORES[1]}"}
        with confines.one() as third:
            assert third == second


def test_without_limits_nothing_is_said_to_the_guard(unit):
    with Confines(memory=0, cores=0.0, delegation=delegation_of(unit)).one() as words:
        assert words == ()
