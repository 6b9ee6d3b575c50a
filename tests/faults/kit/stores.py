"""The stores that a row runs on: how a master is told of one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StoreUnderTest:
    """`options` of `ffrtmp master`; `settings` of MasterSettings: the same store, always empty."""

    name: str
    options: Sequence[str]
    settings: dict


def sqlite(folder: Path) -> StoreUnderTest:
    database = folder / "master.db"
    return StoreUnderTest("sqlite", ["--store", str(database)], {"store": str(database)})
