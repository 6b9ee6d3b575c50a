"""Rows for people: a table where it fits, else a few lines a row; tabs where it is no terminal."""

import re
import sys
import textwrap
from collections.abc import Collection, Sequence

from rich import box
from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

INDENT = 4
LEAST_FLEXIBLE = 14
PADDING = 2
_PARTS = re.compile(r"[^\s/:,;_-]*[\s/:,;_-]|[^\s/:,;_-]+")


def tell(line: str) -> None:
    """A line for people: broken between words where the terminal is too narrow for it; ids, paths
    and the like stay whole."""
    if not sys.stdout.isatty():
        print(line)
        return
    indent = " " * (INDENT + len(line) - len(line.lstrip()))
    wrapped = textwrap.wrap(
        line,
        Console().width,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    print("\n".join(wrapped or [line]))


def _folded(line: str, width: int) -> list[str]:
    """Between words, where each of them fits."""
    if max(map(cell_len, line.split()), default=0) + INDENT + PADDING <= width:
        parts = textwrap.wrap(line, width, subsequent_indent=" " * INDENT, break_on_hyphens=False)
        if max(map(cell_len, parts), default=0) <= width:
            return parts
    return chop_cells(line, width)


def _broken(cell: str, width: int) -> str:
    """Into lines: behind a blank or a separator, within a word only where that is too long."""
    lines = [""]
    for part in _PARTS.findall(cell):
        if lines[-1] and cell_len(lines[-1] + part.rstrip()) > width:
            lines.append("")
        *whole, last = chop_cells(lines[-1] + part, width) if part.strip() else [lines[-1] + part]
        lines[-1:] = [*whole, last]
    return "\n".join(line.rstrip() for line in lines)


class Table:
    """`flexible` columns may be broken into lines. `spare` ones are left out, first to last, where
    the terminal is too narrow for all. The others are shown whole, or it becomes no table. On a
    terminal a column in which nothing is said is left out too, and `empty` said where there is
    no row."""

    def __init__(
        self,
        *columns: str,
        flexible: Collection[str] = (),
        spare: Sequence[str] = (),
        empty: str = "",
    ) -> None:
        self._columns = columns
        self._flexible = flexible
        self._spare = spare
        self._empty = empty
        self._rows: list[tuple[str, ...]] = []

    def add(self, *cells: str) -> None:
        self._rows.append(cells)

    def print(self) -> None:
        if not sys.stdout.isatty():
            for row in (self._columns, *self._rows):
                print("\t".join(row))
            return
        if self._empty and not self._rows:
            print(self._empty)
            return
        console = Console(highlight=False)
        said = [name for name in self._columns if any(self._cells(name)) or not self._rows]
        for left_out in range(len(self._spare) + 1):
            shown = [name for name in said if name not in self._spare[:left_out]]
            if sum(map(self._least, shown)) - 1 <= console.width:  # the last one needs one less
                console.print(self._table(shown, console.width))
                return
        first = self._cells(self._columns[0])
        titles = 1 if len(set(first)) == len(first) else 2  # one that many rows have tells little
        for row in self._rows:
            card = self._card(row, console.width, titles=titles)
            console.print(card, no_wrap=True, overflow="ignore")

    def _cells(self, column: str) -> list[str]:
        number = self._columns.index(column)
        return [row[number] for row in self._rows]

    def _least(self, column: str) -> int:
        widest = max(map(cell_len, [column, *self._cells(column)]))
        return PADDING + (min(widest, LEAST_FLEXIBLE) if column in self._flexible else widest)

    def _table(self, shown: Sequence[str], width: int) -> RichTable:
        table = RichTable(box=box.SIMPLE_HEAD, padding=(0, PADDING - 1, 0, 0), show_edge=False)
        for column in shown:
            table.add_column(column, no_wrap=True)
        widths = self._widths(shown, width)
        for row in zip(*map(self._cells, shown), strict=True):
            cells = (_broken(cell, room) for cell, room in zip(row, widths, strict=True))
            table.add_row(*map(Text, cells))
        return table

    def _widths(self, shown: Sequence[str], width: int) -> list[int]:
        """What fits is shown as it is; flexible columns share what is left."""
        widths = {name: max(map(cell_len, [name, *self._cells(name)])) for name in shown}
        left = width + 1 - PADDING * len(shown)
        narrowest_first = sorted(shown, key=lambda name: (name in self._flexible, widths[name]))
        for number, name in enumerate(narrowest_first):
            if name in self._flexible:
                widths[name] = min(widths[name], left // (len(shown) - number))
            left -= widths[name]
        return [widths[name] for name in shown]

    def _card(self, row: tuple[str, ...], width: int, *, titles: int) -> Text:
        """The first cell or two as a title, what is known of the others below it."""
        lines = [""]
        for column, cell in zip(self._columns[titles:], row[titles:], strict=True):
            fact = f"{' ' * PADDING}{column} {cell}" if cell else ""
            if lines[-1] and cell_len(lines[-1] + fact) > width:
                lines.append("")
            lines[-1] += fact
        folded = [part for line in lines for part in _folded(line, width)]
        return Text(" ".join(row[:titles]), style="bold").append(
            "".join(f"\n{part}" for part in folded), "not bold"
        )
