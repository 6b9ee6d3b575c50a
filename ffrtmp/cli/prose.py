"""The texts of `--help`: paragraphs, and `code` in backticks. They are no more than that, and to
load a reader of Markdown takes longer than all else that help needs of others."""

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cyclopts.help import HelpPanel
    from rich.console import Console, ConsoleOptions
    from rich.text import Text

_CODE = re.compile(r"`([^`]+)`")
_BREAK = re.compile(r"(?<!\n)\n[ ]*(?=\S)")
STYLE = "bold cyan"


class Prose:
    """A formatter of cyclopts, for `help_format="plaintext"`: its own, but for the texts."""

    def __call__(self, console: "Console", options: "ConsoleOptions", panel: "HelpPanel") -> None:
        from cyclopts.help import DefaultFormatter  # noqa: PLC0415  # it needs rich; an error not

        for entry in panel.entries:
            _set(entry.description)
        DefaultFormatter()(console, options, panel)

    def render_description(
        self, console: "Console", options: "ConsoleOptions", description: Any
    ) -> None:
        if _set(description):
            console.print(description)
            console.print()

    def render_usage(self, console: "Console", options: "ConsoleOptions", usage: Any) -> None:
        from cyclopts.help import DefaultFormatter  # noqa: PLC0415

        DefaultFormatter().render_usage(console, options, usage)


def _set(description: Any) -> bool:
    """In place: what is appended to it, such as the default, stays. False: it says nothing."""
    written = getattr(description, "primary_renderable", None)
    if not written:
        return False
    description.primary_renderable = to_text(written.plain)
    return True


def to_text(written: str) -> "Text":
    """One line a paragraph, to be broken where the terminal ends."""
    from rich.text import Text  # noqa: PLC0415

    text = Text(end="")
    end = 0
    joined = _BREAK.sub(" ", written)
    for match in _CODE.finditer(joined):
        text.append(joined[end : match.start()])
        text.append(match[1], style=STYLE)
        end = match.end()
    text.append(joined[end:])
    return text
