"""The stores that a row runs on: how a master is told of one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

one_store = pytest.mark.parametrize("store_address", ["sqlite"], indirect=True)
"""For a row that is about a worker or about SQLite: the other store plays no part in it."""


def on_postgres(test: Callable[..., Any]) -> Callable[..., Any]:
    """For a row that is about several masters or about PostgreSQL."""
    one = pytest.mark.parametrize("store_address", ["postgres"], indirect=True)
    marked: Callable[..., Any] = pytest.mark.postgres(one(test))
    return marked


@dataclass(frozen=True)
class StoreUnderTest:
    """`address`: what `--store` takes. It is empty at first."""

    address: str = field(repr=False)

    @property
    def name(self) -> str:
        return "sqlite" if self.address.startswith("sqlite:") else "postgres"

    @property
    def options(self) -> list[str]:
        return ["--store", self.address]
