"""What is asked of the whole source, and that everything asked for is listed."""

import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ffrtmp.cli.app import COMMANDS

TOP = Path(__file__).resolve().parent.parent.parent
PACKAGE = TOP / "ffrtmp"
ALONE = {"ffrtmp.__main__", "ffrtmp.worker.guard", "ffrtmp.worker.probe_child"}
"""Started as programs."""
FROM = re.compile(r"from (ffrtmp[\w.]*) import (\([^)]*\)|[^\n]+)")


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(TOP).with_suffix("").parts)
        if "v1" not in path.parts and path.name != "__init__.py":
            yield name, path.read_text()


@pytest.mark.requirement("Q1")
def test_q1_the_master_dials_nobody():
    for name, text in modules():
        if name.startswith("ffrtmp.master."):
            assert not re.search(r"open_channel|secure_channel|open_connection", text), name


@pytest.mark.requirement("Q2")
def test_q2_nothing_is_unfinished_and_every_module_is_imported():
    imported = {f"ffrtmp.cli.commands.{path.partition(':')[0]}" for path in COMMANDS}
    for path in [*PACKAGE.rglob("*.py"), *(TOP / "scripts").rglob("*")]:
        if path.is_file():
            text = path.read_bytes().decode(errors="replace")
            imported.update(re.findall(r"ffrtmp(?:\.\w+)+", text))
            for parent, names in FROM.findall(text):
                imported.update(f"{parent}.{name}" for name in re.findall(r"\w+", names))
    for name, text in modules():
        assert not re.search(r"\b(TODO|FIXME|HACK|XXX)\b", text), name
        assert name in imported | ALONE, f"nobody imports {name}"


def test_every_id_is_listed_and_every_marked_id_exists():
    stated = tomllib.loads((TOP / "tests" / "requirements.toml").read_text())
    ids = [*(f"G{n}" for n in range(1, 19)), *(f"P{n}" for n in range(1, 10))]
    assert [*stated] == [*ids, "Q1", "Q2", "Q3", "Q4"]
    for entry in stated.values():
        assert len(entry.keys() & {"unbuilt", "elsewhere"}) <= 1
    table = subprocess.run(
        [sys.executable, TOP / "scripts" / "requirements"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert table.returncode == 0
    assert all(f"| {name} |" in table.stdout for name in stated)
    marked = runpy.run_path(str(TOP / "scripts" / "requirements"))["marked"]
    assert {name for name, _ in marked()} <= stated.keys()
