"""Numbered SQL files, applied once each, in order: `NNNN_name.DIALECT.sql`."""

import re
from importlib import resources


def migrations(dialect: str) -> list[tuple[int, str]]:
    """Number and text of each, in order."""
    name = re.compile(rf"(\d{{4}})_\w+\.{dialect}\.sql")
    folder = resources.files("ffrtmp.store") / "migrations"
    found = [(match, file) for file in folder.iterdir() if (match := name.fullmatch(file.name))]
    return sorted((int(match[1]), file.read_text()) for match, file in found)
