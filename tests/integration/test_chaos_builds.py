"""The faults that chaos must catch still apply to the code as it is."""

import subprocess
import sys

import pytest

from ffrtmp.sim.chaos.builds import FAULTS, NAMES, SOURCE, build


@pytest.mark.parametrize("name", NAMES)
def test_a_fault_applies_and_the_build_is_what_runs(name, tmp_path):
    folder = build(name, tmp_path)
    [fault] = [fault for fault in FAULTS if fault.name == name]
    for edit in fault.edits:
        assert (folder / "ffrtmp" / edit.file).read_text() != (SOURCE / edit.file).read_text()
    program = "import ffrtmp.worker.stream, ffrtmp.domain.session; print(ffrtmp.__file__)"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.strip() == str(folder / "ffrtmp" / "__init__.py")
