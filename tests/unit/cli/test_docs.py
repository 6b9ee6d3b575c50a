"""The documentation's tables come from the code."""

import re

import pytest

from ffrtmp.cli.app import run
from ffrtmp.domain.retry import RULES, Reason
from ffrtmp.rpc.status import STATUS_OF


def printed(capsys, *arguments: str) -> list[list[str]]:
    assert run(["docs", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.requirement("G7")
def test_the_retry_table_has_a_row_for_each_reason_in_the_order_of_precedence(capsys):
    head, _, *rows = printed(capsys, "retries")
    assert head == ["reason", "meaning", "retried", "charged"]
    assert [row[0].strip("`") for row in rows] == [reason.name for reason in Reason]
    assert all(len(row) == 4 for row in rows)


@pytest.mark.parametrize("reason", Reason)
def test_a_row_says_what_the_rule_does(capsys, reason):
    rule = RULES[reason]
    [row] = [row for row in printed(capsys, "retries") if row[0] == f"`{reason.name}`"]
    _, meaning, retried, charged = row
    assert meaning == rule.meaning
    assert retried.startswith("yes") == rule.retried
    assert (charged == "yes") == rule.charged
    assert ("back-off" in retried) == rule.backed_off
    assert ("another worker" in retried) == rule.avoids_worker
    assert ("budget" in retried) == rule.restartable


def test_every_error_says_when_it_comes_and_what_to_do(capsys):
    head, _, *rows = printed(capsys, "errors")
    assert head == ["code", "error", "when", "what to do"]
    names = [row[1].strip("`") for row in rows]
    assert sorted(names) == sorted(error.__name__ for error in STATUS_OF)
    assert {row[0].strip("`") for row in rows} == {code.name for code in STATUS_OF.values()}
    for _, name, when, todo in rows:
        assert when.endswith("."), name
        assert todo.endswith((".", "?")), name
        assert todo[0].isupper(), name


def test_every_metric_is_printed_with_its_type_labels_and_meaning(capsys):
    head, _, *rows = printed(capsys, "metrics")
    assert head == ["metric", "type", "labels", "meaning"]
    assert all(meaning.endswith(".") for _, _, _, meaning in rows)
    [moves] = [row for row in rows if row[0] == "`ffrtmp_job_moves_total`"]
    assert moves[1:3] == ["counter", "`cause`, `state`"]
    [wait] = [row for row in rows if row[0] == "`ffrtmp_queue_wait_seconds`"]
    assert wait[1:3] == ["histogram", "`queue`"]


@pytest.mark.parametrize("table", ["errors", "retries", "metrics", "config"])
@pytest.mark.parametrize("width", [40, 80])
def test_on_a_terminal_it_is_a_table_that_fits(monkeypatch, capsys, table, width):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    assert run(["docs", table]) == 0
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= width
    assert not any(mark in line for line in lines for mark in "|`")


def test_a_commands_own_help_is_all_that_its_docstring_says(capsys):
    assert run(["--help"]) == 0
    assert "Watch workers and jobs." in capsys.readouterr().out
    assert run(["top", "--help"]) == 0
    assert "q or Ctrl-C ends it" in " ".join(capsys.readouterr().out.split())


def test_the_options_are_printed_too(capsys):
    head, _, *rows = printed(capsys, "config")
    assert head[:3] == ["section", "flag", "variable"]
    assert ["`--heartbeat-interval`", "`FFRTMP_HEARTBEAT_INTERVAL`"] in [row[1:3] for row in rows]
