"""The image is not built here: what its file names is looked up where the image would find it."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LARGEST = 20
COPIED = ["LICENSE", "README.md", "ffrtmp", "pyproject.toml"]


@dataclass(frozen=True)
class Step:
    word: str
    rest: str

    @property
    def argv(self) -> list[str]:
        """Of the form that is run without a shell."""
        found: list[str] = json.loads(self.rest[self.rest.index("[") :])
        return found


@pytest.fixture(scope="module")
def lines() -> list[str]:
    text = (ROOT / "Dockerfile").read_text()
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


@pytest.fixture(scope="module")
def steps(lines) -> list[Step]:
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [Step(*line.split(maxsplit=1)) for line in joined]


@pytest.fixture(scope="module")
def last_stage(steps) -> list[Step]:
    begins = [number for number, step in enumerate(steps) if step.word == "FROM"]
    return steps[begins[-1] :]


def only(steps: list[Step], word: str) -> Step:
    [step] = [step for step in steps if step.word == word]
    return step


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from what the image's first stage copies, and from nothing else."""
    source = tmp_path_factory.mktemp("src")
    for copied in COPIED:
        subprocess.run(["cp", "-R", str(ROOT / copied), str(source / copied)], check=True)
    wheels = tmp_path_factory.mktemp("wheels")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-cache-dir"]
    done = subprocess.run(
        [*build, "--no-build-isolation", "--wheel-dir", str(wheels), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    [built] = wheels.glob("*.whl")
    return built


def test_it_has_at_most_twenty_lines(lines):
    assert len(lines) <= LARGEST


def test_every_file_it_copies_from_the_source_is_there(steps):
    sources = [
        name
        for step in steps
        if step.word == "COPY" and "--from" not in step.rest
        for name in shlex.split(step.rest)[:-1]
    ]
    assert [name for name in sources if not (ROOT / name).exists()] == []
    assert sorted(name.removeprefix("./") for name in sources) == COPIED


def test_its_python_is_one_that_the_package_allows(steps):
    with (ROOT / "pyproject.toml").open("rb") as file:
        needed = tomllib.load(file)["project"]["requires-python"]
    least = tuple(int(part) for part in needed.removeprefix(">=").split("."))
    for step in steps:
        if step.word == "FROM":
            found = re.match(r"python:(\d+)\.(\d+)-slim", step.rest)
            assert found is not None
            assert (int(found[1]), int(found[2])) >= least


def test_it_runs_as_nobody_special_with_a_state_folder_of_its_own(last_stage):
    words = [step.word for step in last_stage]
    user = only(last_stage, "USER").rest
    assert user not in {"root", "0"}
    made = only(last_stage, "RUN").rest
    assert f"useradd --create-home --uid 10001 {user}" in made
    state = only(last_stage, "VOLUME").rest
    assert f"install -d -o {user} {state}" in made
    assert only(last_stage, "ENV").rest == f"FFRTMP_STATE_DIR={state}"
    # A volume takes over the owner of the folder, if that was there before.
    assert words.index("RUN") < words.index("VOLUME")


def test_the_wheel_has_the_command_and_all_that_is_not_python(last_stage, wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [points] = [name for name in names if name.endswith("entry_points.txt")]
        scripts = archive.read(points).decode()
        [metadata] = [name for name in names if name.endswith("METADATA")]
        described = Parser().parsestr(archive.read(metadata).decode())
    assert f"{only(last_stage, 'ENTRYPOINT').argv[0]} = ffrtmp.cli.app:main" in scripts
    wanted = {"ffrtmp/py.typed", "ffrtmp/v1/job_pb2.py", "ffrtmp/v1/job_pb2.pyi"}
    wanted |= {
        str(path.relative_to(ROOT)) for path in (ROOT / "ffrtmp/store/migrations").glob("*.sql")
    }
    assert wanted - set(names) == set()
    assert [name for name in names if name.startswith(("tests/", "scripts/", "certs/"))] == []
    assert described["Requires-Python"] == ">=3.11"


def test_an_editable_installation_warns_of_nothing(tmp_path):
    """As `scripts/demo` makes one, first thing: pip shows what the builder warns of."""
    for copied in ("pyproject.toml", "README.md", "LICENSE", "ffrtmp"):
        subprocess.run(["cp", "-R", str(ROOT / copied), str(tmp_path / copied)], check=True)
    build = "from setuptools.build_meta import build_editable as b; b('.')"
    done = subprocess.run(
        [sys.executable, "-c", build], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "***" not in done.stdout + done.stderr


@pytest.mark.slow
def test_what_it_runs_and_its_health_check_work_where_the_wheel_is_installed(
    last_stage, wheel, tmp_path
):
    place = tmp_path / "venv"
    venv.create(place, symlinks=True)
    # The dependencies are those of this environment; the package itself comes from the wheel.
    [site] = place.glob("lib/python*/site-packages")
    inherited = [path for path in sys.path if path.endswith("site-packages")]
    pip = [sys.executable, "-m", "pip", "--python", str(place / "bin/python"), "install"]
    subprocess.run([*pip, "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)
    (site / "inherited.pth").write_text("\n".join(inherited))

    def run(*argv: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "FFRTMP_STATE_DIR": str(tmp_path / "state")}
        return subprocess.run(
            [str(place / "bin" / argv[0]), *argv[1:]],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=environment,
        )

    where = run("python", "-c", "import ffrtmp; print(ffrtmp.__file__)")
    assert where.stdout.startswith(str(place)), where.stderr
    entry = only(last_stage, "ENTRYPOINT").argv
    shown = run(*entry, *only(last_stage, "CMD").argv)
    assert shown.returncode == 0, shown.stderr
    for command in ("master", "worker"):
        assert command in shown.stdout
        assert run(*entry, command, "--help").returncode == 0
    check = only(last_stage, "HEALTHCHECK").argv
    nobody = run(*check, "--http", "127.0.0.1:1")
    assert nobody.returncode != 0
    assert "Traceback" not in nobody.stderr
    assert "does not answer" in nobody.stdout
