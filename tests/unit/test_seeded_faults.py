"""The faults that scripts build into copies still apply to the code as it is: each replaces text
that stands there once. Whether they are caught is shown by running the scripts."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "ffrtmp"


def script(name: str) -> dict[str, object]:
    return runpy.run_path(str(ROOT / "scripts" / name))


REMOVALS = script("remove_mechanisms")["REMOVALS"]
PATCHES = [
    *(
        (each.name, PACKAGE / "domain" / each.file, each.old)
        for each in script("seed_faults")["FAULTS"]
    ),
    *(
        (fault.name, PACKAGE / edit.file, edit.old)
        for fault in script("seed_cluster_faults")["FAULTS"]
        for edit in fault.edits
    ),
    *(
        (f"{removal.row} {removal.what}", PACKAGE / file, old)
        for removal in REMOVALS
        for file, old, _ in removal.patches
    ),
]


@pytest.mark.parametrize(("name", "file", "old"), PATCHES, ids=[name for name, _, _ in PATCHES])
def test_what_a_seeded_fault_replaces_stands_there_once(name: str, file: Path, old: str) -> None:
    assert file.read_text().count(old) == 1


def test_the_rows_without_their_mechanism_exist() -> None:
    rows = "\n".join(path.read_text() for path in (ROOT / "tests" / "faults").glob("test_*.py"))
    assert [each.test for each in REMOVALS if f"def {each.test}(" not in rows] == []
