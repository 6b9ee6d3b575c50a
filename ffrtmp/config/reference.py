"""Every option as a table of the documentation."""

from collections.abc import Iterator
from dataclasses import MISSING, fields
from datetime import timedelta
from typing import Any

from ffrtmp.config.environment import ENV_PREFIX
from ffrtmp.config.sections import SECTIONS, Settings
from ffrtmp.config.units import show_duration


def options_table(*sections: str) -> str:
    """The options of some sections, or of all, as a Markdown table."""
    lines = ["| section | flag | variable | default | |", "|---|---|---|---|---|"]
    for name in sections or SECTIONS:
        lines += _rows(name, SECTIONS[name])
    return "\n".join(lines) + "\n"


def _rows(section: str, kind: type[Settings]) -> Iterator[str]:
    helps = _helps(kind)
    for each in fields(kind):
        flag = f"--{each.name.replace('_', '-')}"
        variable = f"{ENV_PREFIX}{each.name.upper()}"
        default = _shown(each.default)
        yield f"| {section} | `{flag}` | `{variable}` | {default} | {helps[each.name]} |"


def _shown(default: Any) -> str:
    if default is MISSING:
        return "required"
    if isinstance(default, timedelta):
        return f"`{show_duration(default)}`"
    return f"`{default}`" if default not in {None, "", (), 0} else ""


def _helps(kind: type[Settings]) -> dict[str, str]:
    """The strings below the fields, which Python itself does not keep."""
    import ast  # noqa: PLC0415  # only the documentation needs it
    import inspect  # noqa: PLC0415
    import textwrap  # noqa: PLC0415

    [definition] = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    helps = {}
    for each, text in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(each, ast.AnnAssign) and isinstance(text, ast.Expr):
            assert isinstance(each.target, ast.Name)
            helps[each.target.id] = str(ast.literal_eval(text.value))
    return helps
