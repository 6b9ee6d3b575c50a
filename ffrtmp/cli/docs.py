"""`ffrtmp docs`: the tables of the documentation, from the code that they describe."""

import sys
from collections.abc import Collection, Sequence

from ffrtmp.cli.errors import Exit
from ffrtmp.cli.table import Table
from ffrtmp.config.reference import options_table
from ffrtmp.domain.errors import DomainError
from ffrtmp.domain.retry import RESOURCE_LIMIT, RULES, Reason, Rule


def retries() -> int:
    _show(retry_table(), flexible={"meaning", "retried"})
    return Exit.DONE


def config() -> int:
    _show(options_table(), flexible={"meaning"}, spare=("variable", "default"))
    return Exit.DONE


def errors() -> int:
    # Only here: gRPC and Prometheus take long to import.
    from ffrtmp.rpc.status import STATUS_OF  # noqa: PLC0415

    lines = ["| code | error | when | what to do |", "|---|---|---|---|"]
    for error, code in STATUS_OF.items():
        when, todo = advice_of(error)
        lines.append(f"| `{code.name}` | `{error.__name__}` | {when} | {todo} |")
    _show("\n".join(lines) + "\n", flexible={"when", "what to do"})
    return Exit.DONE


def metrics() -> int:
    from ffrtmp.telemetry.reference import families  # noqa: PLC0415

    lines = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for family in families():
        labels = ", ".join(f"`{label}`" for label in family.labels)
        lines.append(f"| `{family.name}` | {family.kind} | {labels} | {family.meaning} |")
    _show("\n".join(lines) + "\n", flexible={"meaning"}, spare=("labels", "type"))
    return Exit.DONE


def _show(markdown: str, *, flexible: Collection[str], spare: Sequence[str] = ()) -> None:
    """Markdown into a pipe; a table that fits on a terminal."""
    if not sys.stdout.isatty():
        print(markdown, end="")
        return
    columns, _, *rows = [
        [cell.strip().replace("`", "") for cell in line.split("|")[1:-1]]
        for line in markdown.splitlines()
    ]
    table = Table(*(column or "meaning" for column in columns), flexible=flexible, spare=spare)
    for row in rows:
        table.add(*row)
    table.print()


def advice_of(error: type[DomainError]) -> tuple[str, str]:
    """When it comes, and what to do: one sentence each, without line breaks."""
    when, _, todo = (error.__doc__ or "").partition("\n\n")
    todo = " ".join(todo.split()).removeprefix("Do: ")
    return " ".join(when.split()), todo[:1].upper() + todo[1:]


def retry_table() -> str:
    """A row for each reason, in the order of precedence."""
    lines = ["| reason | meaning | retried | charged |", "|---|---|---|---|"]
    lines += [_row(reason, RULES[reason]) for reason in Reason]
    return "\n".join(lines) + "\n"


def _row(reason: Reason, rule: Rule) -> str:
    charged = "yes" if rule.charged else "no" if rule.retried else "-"
    return f"| `{reason.name}` | {rule.meaning} | {_retried(rule)} | {charged} |"


def _retried(rule: Rule) -> str:
    if not rule.retried:
        return "no" + ("; a live job as often as its budget says" if rule.restartable else "")
    words = ["yes"]
    if rule.backed_off and rule.free_returns:
        words.append("at once, with back-off from the second charge on")
    elif rule.backed_off:
        words.append("with back-off")
    if rule.avoids_worker:
        words.append("another worker preferred")
    if rule.charged:
        words.append(f"given up at charge {rule.charge_limit}")
    if rule.counts_as_resource:
        words.append(f"given up at the {RESOURCE_LIMIT}th in a row")
    if rule.restartable:
        words.append("a live job as often as its budget says")
    return ", ".join(words)
