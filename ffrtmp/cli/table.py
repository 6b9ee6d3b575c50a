"""Rows for people: a table on a terminal, tabs between the columns elsewhere."""

import sys

from rich import box
from rich.console import Console
from rich.table import Table as RichTable


class Table:
    def __init__(self, *columns: str) -> None:
        self._columns = columns
        self._rows: list[tuple[str, ...]] = []

    def add(self, *cells: str) -> None:
        self._rows.append(cells)

    def print(self) -> None:
        if not sys.stdout.isatty():
            for row in (self._columns, *self._rows):
                print("\t".join(row))
            return
        table = RichTable(box=box.SIMPLE_HEAD)
        for column in self._columns:
            table.add_column(column, overflow="fold")
        for row in self._rows:
            table.add_row(*row)
        Console().print(table)
