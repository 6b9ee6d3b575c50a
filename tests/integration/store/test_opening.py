"""Opening a store: by its address, once it fits, and what is said when it cannot be used."""

import asyncio
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import asyncpg
import pytest

from ffrtmp.config import MasterSettings, SettingError
from ffrtmp.store.errors import SchemaTooNew, StoreLocked, StoreUnusable
from ffrtmp.store.migrate import migrations
from ffrtmp.store.opening import open_store as open_by_address
from ffrtmp.store.postgres import PostgresStore, shown
from ffrtmp.store.records import JobFilter
from ffrtmp.store.sqlite import SqliteStore
from tests.integration.store.conftest import new_job

POOLS = {"connections": 3, "api_connections": 2}


async def test_an_address_names_the_store(store_address, tmp_path):
    settings = MasterSettings(certs=tmp_path, store=store_address)
    async with open_by_address(settings.store_address, **POOLS) as store:
        await store.submit([new_job(1)])
        assert type(store) is (PostgresStore if "postgresql" in store_address else SqliteStore)
    async with open_by_address(settings.store_address, **POOLS) as store:
        assert len(await store.find(JobFilter(), size=9, after=None)) == 1


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("jobs.db", Path("jobs.db")),
        ("sqlite:jobs.db", Path("jobs.db")),
        ("sqlite:///var/jobs.db", Path("/var/jobs.db")),
        ("/var/jobs:1.db", Path("/var/jobs:1.db")),
        ("postgresql://h/d", "postgresql://h/d"),
        ("postgres://u:p@h:1/d?x=y", "postgres://u:p@h:1/d?x=y"),
    ],
)
def test_how_an_address_is_read(text, address, tmp_path):
    assert MasterSettings(certs=tmp_path, store=text).store_address == address


def test_a_store_of_another_kind_is_refused_without_its_password(tmp_path):
    with pytest.raises(SettingError, match="postgresql://USER@HOST") as caught:
        MasterSettings(certs=tmp_path, store="mysql://u:hunter2@h/d")
    assert "hunter2" not in str(caught.value)
    settings = MasterSettings(certs=tmp_path, store="postgresql://u:hunter2@h/d")
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize("option", ["store_connections", "store_api_connections"])
def test_a_pool_of_one_is_refused(tmp_path, option):
    with pytest.raises(SettingError, match="at least"):
        MasterSettings(certs=tmp_path, **{option: 1})


def test_a_dsn_is_shown_without_what_may_be_secret():
    assert shown("postgresql://u:s3cret@h:5/d?password=s3cret") == "postgresql://u@h:5/d"
    assert shown("postgres://h/d") == "postgres://h/d"
    assert shown("postgres:///d?host=/run") == "postgres:///d"


async def test_a_database_of_a_newer_version_is_refused(open_store, store_address):
    async with open_store() as store:
        await store.submit([new_job(1)])
    newer = migrations("sqlite")[-1][0] + 1
    if store_address.startswith("sqlite:"):
        with closing(sqlite3.connect(store_address.removeprefix("sqlite:"))) as connection:
            connection.execute(f"PRAGMA user_version = {newer}")
    else:
        connection = await asyncpg.connect(store_address)
        await connection.execute(f"INSERT INTO schema_version VALUES ({newer})")
        await connection.close()
    with pytest.raises(SchemaTooNew, match=f"schema {newer}.*use a newer ffrtmp"):
        async with open_store():
            pass


def test_both_stores_have_the_same_migrations():
    numbers = [[number for number, _ in migrations(name)] for name in ("sqlite", "postgres")]
    assert numbers[0] == numbers[1] == sorted(set(numbers[0]))


async def test_a_second_master_on_a_file_is_refused(tmp_path):
    async with SqliteStore.open(tmp_path / "master.db"):
        with pytest.raises(StoreLocked, match="another master"):
            async with SqliteStore.open(tmp_path / "master.db"):
                pass


@pytest.mark.postgres
async def test_masters_that_start_at_once_make_one_schema(postgres):
    async def start() -> None:
        async with PostgresStore.open(postgres) as store:
            await store.check()

    await asyncio.gather(*(start() for _ in range(6)))
    connection = await asyncpg.connect(postgres)
    versions = await connection.fetch("SELECT version FROM schema_version ORDER BY version")
    await connection.close()
    assert [row["version"] for row in versions] == [n for n, _ in migrations("postgres")]


BLOCKED = (
    "SELECT count(*) FROM pg_locks WHERE relation = 'schema_version'::regclass AND NOT granted"
)


@asynccontextmanager
async def held_by_a_dump(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A transaction that has the schema's table for itself."""
    async with PostgresStore.open(dsn):
        pass
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE schema_version IN ACCESS EXCLUSIVE MODE")
            yield connection
    finally:
        await connection.close()


async def until_blocked(connection: asyncpg.Connection, *, blocked: bool) -> None:
    async with asyncio.timeout(30):
        while bool(await connection.fetchval(BLOCKED)) is not blocked:
            await asyncio.sleep(0.02)


@pytest.mark.postgres
async def test_a_master_that_may_not_alter_a_table_lets_others_by_and_tries_again(postgres):
    async with asyncio.TaskGroup() as tasks, held_by_a_dump(postgres) as dump:

        async def start() -> None:
            async with PostgresStore.open(postgres) as store:
                await store.check()

        starting = tasks.create_task(start())
        await until_blocked(dump, blocked=True)
        await until_blocked(dump, blocked=False)
        assert not starting.done()


@pytest.mark.postgres
async def test_a_table_that_is_never_free_is_said_in_one_sentence(postgres, monkeypatch):
    monkeypatch.setattr("ffrtmp.store.postgres.MIGRATION_TRIES", 1)
    async with held_by_a_dump(postgres):
        with pytest.raises(StoreUnusable, match="while another transaction has them: end it"):
            async with PostgresStore.open(postgres):
                pass


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture
def silent_port():
    """Takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


async def test_a_server_that_is_not_there_is_said_in_one_sentence(closed_port):
    dsn = f"postgresql://u:hunter2@127.0.0.1:{closed_port}/d"
    with pytest.raises(StoreUnusable, match=f"127.0.0.1:{closed_port}/d.*reached.*--store") as said:
        async with PostgresStore.open(dsn):
            pass
    assert "hunter2" not in str(said.value)


async def test_a_server_that_says_nothing_is_not_waited_for(silent_port):
    with pytest.raises(StoreUnusable, match="does not answer"):
        async with PostgresStore.open(f"postgresql://u@127.0.0.1:{silent_port}/d"):
            pass


@pytest.mark.parametrize("dsn", ["postgresql://h:port/d", "postgresql://no.such.host.invalid/d"])
async def test_a_wrong_dsn_is_said_in_one_sentence(dsn):
    with pytest.raises(StoreUnusable, match="cannot use the database"):
        async with PostgresStore.open(dsn):
            pass


@pytest.mark.postgres
async def test_a_database_that_does_not_exist_is_named(postgres_dsn):
    dsn = postgres_dsn.replace("/postgres?", "/nothere?")
    with pytest.raises(StoreUnusable, match='database "nothere" does not exist'):
        async with PostgresStore.open(dsn):
            pass


def test_the_process_ends_with_2_and_one_line_without_the_password(closed_port, tmp_path):
    from ffrtmp.clock import utc_now  # noqa: PLC0415
    from ffrtmp.pki import authority  # noqa: PLC0415

    authority.init(tmp_path, now=utc_now())
    authority.issue(tmp_path, "master", "m", now=utc_now())
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "ffrtmp", "master", "--certs", str(tmp_path / "master-m")),
            *("--store", f"postgresql://u:hunter2@127.0.0.1:{closed_port}/d"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    [line] = ran.stderr.splitlines()
    assert line.startswith("ffrtmp: cannot use the database postgresql://u@127.0.0.1")
    assert "hunter2" not in ran.stderr


def test_the_driver_of_postgresql_is_not_imported_for_a_file():
    program = (
        "import sys, ffrtmp.master.server, ffrtmp.store.opening as o, pathlib;"
        "o.open_store(pathlib.Path('x'), connections=3, api_connections=2);"
        "sys.exit('asyncpg' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
