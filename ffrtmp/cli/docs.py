"""`ffrtmp docs`: the tables of the documentation, as Markdown, from the code that they describe."""

from cyclopts import App

from ffrtmp.cli.errors import Exit
from ffrtmp.config import options_table
from ffrtmp.domain.retry import RESOURCE_LIMIT, RULES, Reason, Rule

docs = App(name="docs", help="Print tables of the documentation.", help_on_error=False)


@docs.command
def retries() -> int:
    """Print what follows when an attempt ends badly. The first reason that fits decides."""
    print(retry_table(), end="")
    return Exit.DONE


@docs.command
def config() -> int:
    """Print every option of every process, with its flag, its variable and its default."""
    print(options_table(), end="")
    return Exit.DONE


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
