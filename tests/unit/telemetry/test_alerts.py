"""Alerts and dashboard ask for what exists; promtool sees each alert fire, and stay silent."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import promql_parser
import pytest
import yaml

from ffrtmp.cli.app import run
from ffrtmp.domain.job import JobState
from ffrtmp.domain.retry import Reason
from ffrtmp.telemetry.reference import families

PACKAGE = resources.files("ffrtmp.telemetry")
RULES = yaml.safe_load((PACKAGE / "alerts.yml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((PACKAGE / "dashboard.json").read_text())
EXPRESSIONS = [
    *(rule["expr"] for rule in RULES),
    *(target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]),
]
FAILURES = 'ffrtmp_attempt_failures_total{reason="%s"} '
LEFT = 'ffrtmp_certificate_expiry_seconds{role="%s"} '
OLDEST = 'ffrtmp_queue_oldest_seconds{queue="%s"} '
JUDGED = 'ffrtmp_sla_jobs_total{queue="default",purpose="%s",verdict="%s"} '
MOVES = 'ffrtmp_job_moves_total{cause="failed",state="%s"} '


def histogram(name: str, slow: bool) -> list[str]:
    """All observations lie in the lowest bucket, or in the highest."""
    count = "0+60x60"
    return [
        f'{name}_bucket{{le="0.001"}} {"0x60" if slow else count}',
        f'{name}_bucket{{le="14400"}} {count}',
        f'{name}_bucket{{le="+Inf"}} {count}',
    ]


CASES: dict[str, tuple[list[str], list[str]]] = {
    "FfrtmpMasterDown": (['up{job="ffrtmp"} 0x60'], ['up{job="ffrtmp"} 1x60']),
    "FfrtmpNoWorkers": (
        ['ffrtmp_workers{state="connected"} 0x60'],
        ['ffrtmp_workers{state="connected"} 1x60'],
    ),
    "FfrtmpWorkersSilent": (
        ['ffrtmp_workers{state="silent"} 1x60'],
        ['ffrtmp_workers{state="silent"} 0x60'],
    ),
    "FfrtmpWorkersLost": (
        [FAILURES % "worker_lost" + "0x40 1 2 3 4x17"],
        [FAILURES % "worker_lost" + "9x57 10 10", FAILURES % "input_bad" + "0+1x60"],
    ),
    "FfrtmpResourcesShort": (
        [FAILURES % "resource" + "0x40 1 2x18", FAILURES % "resource_memory" + "0x40 1 2x18"],
        [FAILURES % "resource" + "7x60"],
    ),
    "FfrtmpStorageFails": ([FAILURES % "transport" + "0+1x60"], [FAILURES % "transport" + "7x60"]),
    "FfrtmpNothingSucceeds": (
        [MOVES % "failed" + "0+1x60", MOVES % "succeeded" + "5x60"],
        [MOVES % "failed" + "0+1x60", MOVES % "succeeded" + "0x30 1x30"],
    ),
    "FfrtmpStreamsRefused": (
        ['ffrtmp_streams_total{what="refused"} 0+1x60'],
        ['ffrtmp_streams_total{what="opened"} 0+9x60'],
    ),
    "FfrtmpCertificateEnds": (
        [LEFT % "worker" + "1300000-3000x60", LEFT % "master" + "9999999x60"],
        [LEFT % "worker" + "1300000x60", LEFT % "master" + "9999999x60"],
    ),
    "FfrtmpStoreFails": (
        ['ffrtmp_store_failures_total{where="sweep"} 0+1x60'],
        ['ffrtmp_store_failures_total{where="sweep"} 0x20 1x40'],
    ),
    "FfrtmpOldSnapshot": (
        ["ffrtmp_store_oldest_snapshot_seconds 0+60x60"],
        ["ffrtmp_store_oldest_snapshot_seconds 60x60"],
    ),
    "FfrtmpMasterSlow": (
        histogram("ffrtmp_event_loop_lag_seconds", slow=True),
        histogram("ffrtmp_event_loop_lag_seconds", slow=False),
    ),
    "FfrtmpJobsWaitLong": (
        [OLDEST % "default" + "0+120x60", OLDEST % "batch" + "0x60"],
        [OLDEST % "default" + "60x60", OLDEST % "batch" + "0+120x60"],
    ),
    "FfrtmpPromisesMissed": (
        [JUDGED % ("production", "missed") + "0+1x60", JUDGED % ("production", "met") + "0+10x60"],
        [
            JUDGED % ("production", "missed") + "0+1x60",
            JUDGED % ("production", "met") + "0+30x60",
            JUDGED % ("debug", "missed") + "0+60x60",
        ],
    ),
}
"""By alert: series, a value a minute, with which it fires at the end of an hour, or does not."""


LABELS_OF = {
    sample: {*family.labels, *({"le"} if sample.endswith("_bucket") else ())}
    for family in families()
    for sample in family.samples
} | {"up": {"job"}}
"""By name of a sample, as the reference has it; and what Prometheus itself adds."""
ADDED_BY_PROMETHEUS = {"job", "instance"}


def selectors_in(node: object) -> Iterator[promql_parser.VectorSelector]:
    """Of a parsed expression, however deep."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("expr", "lhs", "rhs", "vs", "vector_selector", "args"):
        for part in listed(getattr(node, name, None)):
            yield from selectors_in(part)


def listed(part: object) -> list[object]:
    if part is None:
        return []
    return list(part) if isinstance(part, list) else [part]


def parsed(expression: str) -> object:
    """What Grafana puts in before it asks is a time, as far as the syntax goes."""
    return promql_parser.parse(expression.replace("$__rate_interval", "5m"))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_that_is_asked_for_exists_with_its_labels(expression):
    selectors = list(selectors_in(parsed(expression)))
    assert {each.name for each in selectors} == set(re.findall(r"ffrtmp_\w+|\bup\b", expression))
    asked = {matcher.name for each in selectors for matcher in each.matchers.matchers}
    grouped = re.findall(r"(?:by|on|without|ignoring) \(([^)]*)\)", expression)
    asked |= {name.strip() for names in grouped for name in names.split(",")}
    there = set.union(*(LABELS_OF[each.name] for each in selectors))
    assert asked - {"__name__"} <= there | ADDED_BY_PROMETHEUS


def test_an_expression_with_a_slip_of_the_pen_is_not_taken():
    with pytest.raises(ValueError, match=r"unexpected|expected|unclosed"):
        parsed("sum(increase(ffrtmp_job_moves_total[5m])")
    assert "ffrtmp_jobs_total" not in LABELS_OF


def test_every_reason_and_state_that_is_asked_for_exists():
    for expression in EXPRESSIONS:
        for text in re.findall(r'reason=~?"([^"]*)"', expression):
            assert set(text.split("|")) <= set(Reason)
        for text in re.findall(r'moves_total\{state=~?"([^"]*)"', expression):
            assert set(text.split("|")) <= set(JobState)


@pytest.mark.requirement("G15")
def test_every_alert_says_what_to_do_and_has_a_case():
    assert [rule["alert"] for rule in RULES] == list(CASES)
    assert all(rule["annotations"].keys() == {"summary", "action"} for rule in RULES)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool here")
def test_promtool_sees_each_alert_fire_and_stay_silent(tmp_path: Path):
    (tmp_path / "alerts.yml").write_text((PACKAGE / "alerts.yml").read_text())
    tests = [
        {
            "name": f"{alert} {'fires' if fires else 'is silent'}",
            "interval": "1m",
            "input_series": [
                dict(zip(("series", "values"), each.split(" ", 1), strict=True)) for each in series
            ],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) > 0',
                    "eval_time": "59m",
                    "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
                }
            ],
        }
        for alert, cases in CASES.items()
        for fires, series in zip((True, False), cases, strict=True)
    ]
    suite = {"rule_files": ["alerts.yml"], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "suite.yml").write_text(yaml.safe_dump(suite))
    check(tmp_path, "test", "rules", "suite.yml")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool here")
def test_promtool_reads_every_expression(tmp_path: Path):
    rules = [{"record": f"ffrtmp:{n}", "expr": each} for n, each in enumerate(EXPRESSIONS)]
    (tmp_path / "all.yml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    check(tmp_path, "check", "rules", "all.yml")


def check(folder: Path, *arguments: str) -> None:
    done = subprocess.run(
        ["promtool", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["alerts", "dashboard"])
def test_both_are_printed_as_they_are(name: str, capsys):
    assert run(["config", name]) == 0
    [packaged] = [each for each in PACKAGE.iterdir() if each.name.startswith(f"{name}.")]
    assert capsys.readouterr().out == packaged.read_text()
