"""Copies of a store: made while its master works, refused when damaged, and put back."""

import asyncio
import os
import shutil
import sqlite3
import stat
import subprocess
from pathlib import Path

import pytest

import ffrtmp
from ffrtmp.cli.app import run as cli
from ffrtmp.client import Client
from ffrtmp.store.backup import back_up, checksum_path, restore, verify
from ffrtmp.store.errors import StoreLocked, StoreUnusable


def spec(number: int) -> ffrtmp.JobSpec:
    return ffrtmp.JobSpec(
        input=ffrtmp.Input(test_source=ffrtmp.TestSource()),
        outputs=(ffrtmp.Output(path=ffrtmp.MediaPath("m", f"{number}.mp4")),),
    )


async def jobs_of(master) -> set[str]:
    async with Client(master.address, master.certs / "client-c") as client:
        return {job.job_id async for job in client.list()}


@pytest.fixture
async def copy(run, tmp_path) -> Path:
    """Of a store with ten jobs, whose master has stopped."""
    async with run() as master, Client(master.address, master.certs / "client-c") as client:
        await client.submit_many(map(spec, range(10)))
    assert back_up(tmp_path / "master.db", tmp_path / "copy.db").jobs == 10
    return tmp_path / "copy.db"


async def test_a_copy_of_a_working_master_holds_what_was_acknowledged(run, tmp_path):
    async with run() as master, Client(master.address, master.certs / "client-c") as client:
        before = {job.job_id for job in await client.submit_many(map(spec, range(300)))}
        async with asyncio.TaskGroup() as tasks:
            copying = tasks.create_task(
                asyncio.to_thread(back_up, tmp_path / "master.db", tmp_path / "copy.db")
            )
            number = 300
            while not copying.done():
                await client.submit(spec(number))
                number += 1
        everything = await jobs_of(master)
    made = copying.result()
    assert verify(tmp_path / "copy.db") == made
    assert restore(tmp_path / "copy.db", tmp_path / "master.db", overwrite=True) == made
    async with run() as master:
        found = await jobs_of(master)
    assert len(found) == made.jobs
    assert before <= found <= everything


async def test_what_a_killed_master_left_in_its_log_is_copied_too(run, tmp_path):
    killed = tmp_path / "killed"
    killed.mkdir()
    async with run() as master, Client(master.address, master.certs / "client-c") as client:
        job = await client.submit(spec(1))
        for ending in ("", "-wal", "-shm"):
            shutil.copy(f"{tmp_path}/master.db{ending}", killed)
    assert (killed / "master.db-wal").stat().st_size > 0
    assert back_up(killed / "master.db", tmp_path / "copy.db").jobs == 1
    (tmp_path / "master.db").unlink()
    restore(tmp_path / "copy.db", tmp_path / "master.db", overwrite=False)
    async with run() as master:
        assert await jobs_of(master) == {job.job_id}


async def test_a_store_in_use_is_not_replaced_and_one_that_exists_only_when_asked(
    run, tmp_path, copy
):
    database = tmp_path / "master.db"
    with pytest.raises(StoreUnusable, match="exists: give --overwrite"):
        restore(copy, database, overwrite=False)
    async with run() as master, Client(master.address, master.certs / "client-c") as client:
        await client.submit(spec(10))
        with pytest.raises(StoreLocked, match="in use by another master"):
            restore(copy, database, overwrite=True)
        assert len(await jobs_of(master)) == 11
    restore(copy, database, overwrite=True)
    async with run() as master:
        assert len(await jobs_of(master)) == 10
    (tmp_path / "master.db.old").replace(database)
    async with run() as master:
        assert len(await jobs_of(master)) == 11


def damage(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(os.urandom(4096))


def newer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 9999")
    seal(path)


def seal(path: Path) -> None:
    """As somebody who trusts the file would."""
    done = subprocess.run(
        ["sha256sum", path.name], cwd=path.parent, capture_output=True, check=True
    )
    checksum_path(path).write_bytes(done.stdout)


WRONG = {
    "damaged": (damage, "is not what was backed up|is damaged|malformed"),
    "cut off": (lambda path: os.truncate(path, path.stat().st_size // 2), "not what|damaged|malf"),
    "without its checksum": (lambda path: checksum_path(path).unlink(), "there is no copy.db.sha"),
    "with an empty checksum": (lambda path: checksum_path(path).write_text(""), "says nothing"),
    "of a newer ffrtmp": (newer, "has schema 9999"),
    "no database": (lambda path: (path.write_text("x" * 9000), seal(path)), "not a database"),
    "gone": (lambda path: path.unlink(), "cannot read"),
}


@pytest.mark.parametrize("how", WRONG)
async def test_a_copy_that_is_wrong_is_refused_and_nothing_is_touched(copy, tmp_path, how):
    spoil, sentence = WRONG[how]
    before = (tmp_path / "master.db").read_bytes()
    spoil(copy)
    with pytest.raises(StoreUnusable, match=sentence):
        restore(copy, tmp_path / "master.db", overwrite=True)
    assert (tmp_path / "master.db").read_bytes() == before
    assert not list(tmp_path.glob("*.old")) + list(tmp_path.glob(".*.part"))


async def test_a_copy_is_private_one_file_and_its_checksum_is_that_of_sha256sum(copy):
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert not list(copy.parent.glob("copy.db-*")) + list(copy.parent.glob(".*.part"))
    told = checksum_path(copy).read_bytes()
    seal(copy)
    assert checksum_path(copy).read_bytes() == told


def test_mistakes_are_sentences_and_postgresql_is_shown_its_own_tools(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("FFRTMP_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("FFRTMP_CONFIG", os.devnull)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").touch()
    remote = "postgresql://ffrtmp:secret@db/ffrtmp"
    for command, sentence in (
        (["backup", "new"], "there is no database"),
        (["backup", "there"], "there exists already: give --overwrite"),
        (["backup", "new", "--store", "there"], "no such table: jobs"),
        (["backup", ".", "--store", "there", "--overwrite"], ". is a folder: name a file"),
        (["backup", "no/new", "--store", "there"], "no such file or directory"),
        (["backup", "new", "--store", remote], "pg_dump --format=custom --file new 'postgresql://"),
        (["restore", "new", "--store", remote], "pg_restore --clean --if-exists --dbname"),
        (["restore", "new"], "there is no file new"),
        (["restore", "there"], "there is no there.sha256 beside there"),
        (["restore"], "FILE"),
        (["backup"], "FILE"),
    ):
        assert cli(command) == 2
        said = capsys.readouterr().err
        assert sentence in said
        assert "secret" not in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there"]
