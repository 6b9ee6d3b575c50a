"""One row of the fault matrix as it went: ID, result, seconds against the bound; a small file each.

Rows are written one file each, so that tests that run at once need no lock. `scripts/fault_table`
reads them.
"""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

SLACK = 3
"""A duration fails a test only beyond this many times its bound: the machine may be busy."""
_NAME = re.compile(r"test_(?P<letter>[a-z])(?P<number>\d+)_")


def row_id(test_name: str) -> str:
    """`test_w1_...` is a test of W1; empty for a test of no row."""
    match = _NAME.match(test_name)
    return f"{match['letter'].upper()}{match['number']}" if match else ""


@dataclass
class Row:
    """`seconds` and `bound` are the measurement nearest to its bound, None when none was made."""

    id: str
    test: str
    store: str
    sentence: str = ""
    seconds: float | None = None
    bound: float | None = None
    result: str = ""
    substituted: str = ""
    measured: str = ""

    @contextmanager
    def within(self, bound: float) -> Iterator[None]:
        """What is inside should take `bound` seconds, and must not take three times that."""
        began = time.monotonic()
        yield
        self.took(time.monotonic() - began, bound)

    def took(self, seconds: float, bound: float) -> None:
        if (
            self.seconds is None
            or self.bound is None
            or seconds / bound > self.seconds / self.bound
        ):
            self.seconds, self.bound = round(seconds, 3), bound
        assert seconds <= SLACK * bound, f"{self.id}: {seconds:.2f} s, bound {bound:g} s"

    def substitutes(self, what_it_does_not_show: str) -> None:
        """The fault is not injected as the matrix says."""
        self.substituted = what_it_does_not_show

    def measures(self, what: str) -> None:
        """What is printed beside it, and judged by nobody."""
        self.measured = f"{self.measured}; {what}" if self.measured else what

    @property
    def line(self) -> str:
        took = "-" if self.seconds is None else f"{self.seconds:.2f} s of {self.bound:g} s"
        more = f": {self.measured}" if self.measured else ""
        return f"{self.id:4} {self.result:7} {took:18} {self.store:8} {self.test}{more}"

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"[^\w.-]", "_", f"{self.id}.{self.store}.{self.test}")
        partial = folder / f".{name}"
        partial.write_text(json.dumps(asdict(self)))
        partial.replace(folder / f"{name}.json")


def read_rows(folder: Path) -> list[Row]:
    return [Row(**json.loads(path.read_text())) for path in sorted(folder.glob("*.json"))]
