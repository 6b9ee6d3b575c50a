"""The deployment files name nothing that does not exist; their own tools take them where there are
any."""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from ffrtmp.cli.app import app
from ffrtmp.cli.sources import sources
from ffrtmp.config import SECTIONS

DEPLOY = Path(__file__).parents[2] / "scripts" / "deploy"
UNITS = sorted(DEPLOY.glob("systemd/*.service"))
COMPOSE = DEPLOY / "compose" / "compose.yaml"
KUBERNETES = DEPLOY / "kubernetes" / "ffrtmp.yaml"
ALERTS = Path(__file__).parents[2] / "ffrtmp" / "telemetry" / "alerts.yml"
INSTALLED = "/opt/ffrtmp/bin/ffrtmp"
VARIABLES = {f"FFRTMP_{each.name.upper()}" for kind in SECTIONS.values() for each in fields(kind)}
VARIABLES |= {"FFRTMP_STATE_DIR", "FFRTMP_CONFIG"}


def unit_settings(unit: Path) -> dict[str, str]:
    lines = [line for line in unit.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines if "=" in line)


def services() -> dict[str, dict]:
    """Of the compose file: those that run our image."""
    found = yaml.safe_load(COMPOSE.read_text())["services"]
    return {name: each for name, each in found.items() if each["image"] == "ffrtmp"}


def containers() -> Iterator[dict]:
    for document in yaml.safe_load_all(KUBERNETES.read_text()):
        if "template" in document["spec"]:
            yield from document["spec"]["template"]["spec"]["containers"]


def commands() -> dict[str, tuple[list[str], dict[str, str]]]:
    """Arguments and variables, by the place where they stand."""
    found = {}
    for unit in UNITS:
        settings = unit_settings(unit)
        variables = dict(pair.split("=", 1) for pair in shlex.split(settings["Environment"]))
        found[unit.name] = (shlex.split(settings["ExecStart"])[1:], variables)
    for name, service in services().items():
        found[f"compose {name}"] = (service["command"], service["environment"])
    for container in containers():
        variables = {each["name"]: each["value"] for each in container.get("env", [])}
        found[f"kubernetes {container['name']}"] = (container["args"], variables)
    return found


COMMANDS = commands()


@pytest.mark.parametrize("place", COMMANDS)
@pytest.mark.requirement("P8")
def test_every_command_is_one_of_ours_with_options_that_exist(place, monkeypatch, tmp_path):
    arguments, variables = COMMANDS[place]
    monkeypatch.setenv("FFRTMP_CONFIG", os.devnull)
    for name, value in variables.items():
        if name.startswith("FFRTMP_") and name != "FFRTMP_CONFIG":
            monkeypatch.setenv(name, value)
    app.config = sources(arguments)
    _, bound, _ = app.parse_args(arguments, exit_on_error=False, print_error=False)
    assert type(bound.arguments["settings"]) is SECTIONS[arguments[0]]


@pytest.mark.parametrize("place", COMMANDS)
def test_every_variable_is_one_of_ours(place):
    _, variables = COMMANDS[place]
    ours = {name for name in variables if name.startswith("FFRTMP_")}
    assert ours <= VARIABLES


def test_the_commands_at_the_heads_of_the_files_are_ours(monkeypatch, tmp_path):
    monkeypatch.setenv("FFRTMP_CONFIG", os.devnull)
    heads = "\n".join(path.read_text() for path in (*UNITS, COMPOSE, KUBERNETES))
    said = re.findall(
        r"(?:bin/|0 |rm |`|^#   )ffrtmp ((?:certs|config|doctor|jobs) [^`>\n]*)",
        heads,
        re.MULTILINE,
    )
    assert len(said) >= 4
    for line in said:
        arguments = shlex.split(line.replace("...", "client me"))
        app.config = sources(arguments)
        app.parse_args(arguments, exit_on_error=False, print_error=False)


def test_prometheus_scrapes_what_the_master_serves():
    [job] = yaml.safe_load((COMPOSE.parent / "prometheus.yml").read_text())["scrape_configs"]
    [target] = job["static_configs"][0]["targets"]
    arguments = services()["master"]["command"]
    assert target == f"master:{arguments[arguments.index('--http') + 1].rpartition(':')[2]}"
    assert job["metrics_path"] == "/metrics"
    assert f'up{{job="{job["job_name"]}"}}' in ALERTS.read_text()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool here")
def test_prometheus_takes_its_file(tmp_path):
    shutil.copy(COMPOSE.parent / "prometheus.yml", tmp_path)
    shutil.copy(ALERTS, tmp_path)
    argv = ["promtool", "check", "config", tmp_path / "prometheus.yml"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_worker_is_given_the_time_that_it_drains():
    drain = SECTIONS["master"].__dataclass_fields__["drain_timeout"].default.total_seconds()
    [worker] = [unit for unit in UNITS if "worker" in unit.name]
    settings = unit_settings(worker)
    assert float(settings["TimeoutStopSec"]) > drain
    assert settings["KillMode"] == "mixed"  # else FFmpeg is told to stop as well
    assert services()["worker-w1"]["stop_grace_period"] == "11m"
    graces = re.findall(r"terminationGracePeriodSeconds: (\d+)", KUBERNETES.read_text())
    assert max(map(int, graces)) > drain


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_takes_the_units(tmp_path):
    ffrtmp = Path(sys.executable).with_name("ffrtmp")
    for unit in UNITS:
        name = unit.name.replace("@", "@w1")
        (tmp_path / name).write_text(unit.read_text().replace(INSTALLED, str(ffrtmp)))
    done = subprocess.run(
        ["systemd-analyze", "verify", *sorted(tmp_path.iterdir())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="no docker-compose here")
def test_compose_takes_its_file():
    done = subprocess.run(
        ["docker-compose", "--file", COMPOSE, "config", "--quiet"],
        env=os.environ | {"POSTGRES_PASSWORD": "x"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(
    importlib.util.find_spec("kubernetes_validate") is None,
    reason="kubernetes-validate is not installed: 100 MB of schemas",
)
def test_the_example_follows_the_schemas_of_kubernetes():
    """As an operator may run it: pip install kubernetes-validate."""
    argv = [Path(sys.executable).with_name("kubernetes-validate"), "--strict", KUBERNETES]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here")
def test_kubectl_reads_the_example(tmp_path):
    shutil.copy(KUBERNETES, tmp_path)
    (tmp_path / "kustomization.yaml").write_text(f"resources: [{KUBERNETES.name}]\n")
    subprocess.run(["kubectl", "kustomize", tmp_path], check=True, capture_output=True)
