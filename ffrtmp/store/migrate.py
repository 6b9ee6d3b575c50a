"""Numbered SQL files, applied once each, in order."""

import re
from importlib import resources

import aiosqlite

from ffrtmp.store.errors import StoreUnusable

_NAME = re.compile(r"(\d{4})_\w+\.sqlite\.sql")


def migrations() -> list[tuple[int, str]]:
    """Number and text of each, in order."""
    folder = resources.files("ffrtmp.store") / "migrations"
    found = [(match, file) for file in folder.iterdir() if (match := _NAME.fullmatch(file.name))]
    return sorted((int(match[1]), file.read_text()) for match, file in found)


async def migrate(connection: aiosqlite.Connection, path: str) -> None:
    """Raises StoreUnusable for a database that a newer build has written."""
    known = migrations()
    async with connection.execute("PRAGMA user_version") as cursor:
        row = await cursor.fetchone()
    version = row[0] if row else 0
    if version > known[-1][0]:
        raise StoreUnusable(
            f"{path} has schema {version}, this build of ffrtmp knows {known[-1][0]}: "
            "use a newer ffrtmp"
        )
    for number, text in known:
        if number > version:
            await connection.executescript(
                f"BEGIN IMMEDIATE;\n{text}\nPRAGMA user_version = {number};\nCOMMIT;"
            )
