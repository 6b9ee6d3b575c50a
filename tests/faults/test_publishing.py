"""Between staged and published: conflicts, lost files, and holders that wake up too late."""

import asyncio
import hashlib
import random
import re
import threading
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Self

from tests.faults.kit.cluster import LOST, Cluster, Worker
from tests.faults.kit.stores import one_store
from tests.faults.kit.waiting import until

AT_THE_RENAME = ("--at", "ffrtmp.storage.publishing:publish", "stop")


@one_store
async def test_s1_a_target_that_exists_is_not_overwritten(cluster, row):
    """Output target exists already, no overwrite: FAILED (TARGET_EXISTS), nothing overwritten."""
    await cluster.worker("w1")
    (cluster.media / "a.mkv").write_bytes(b"precious")
    job_id = await cluster.submit("a.mkv", seconds=1)
    history = (await cluster.reaches(job_id, "FAILED")).check()
    assert history.reasons == ["TARGET_EXISTS"]
    assert (cluster.media / "a.mkv").read_bytes() == b"precious"
    assert (cluster.leftovers(job_id), history.job.charged) == ([], 0)


@one_store
async def test_s1_a_conflict_at_the_second_output_takes_back_the_first(cluster, row):
    """The second of two outputs conflicts at publication: FAILED (TARGET_EXISTS), nothing
    overwritten, the first output taken back."""
    await cluster.worker("w1")
    job_id = await cluster.submit("a.mkv", "b.mkv", seconds=2)
    await cluster.encodes(job_id)
    (cluster.media / "b.mkv").write_bytes(b"precious")
    history = (await cluster.reaches(job_id, "FAILED")).check()
    assert history.reasons == ["TARGET_EXISTS"]
    assert (cluster.media / "b.mkv").read_bytes() == b"precious"
    assert not (cluster.media / "a.mkv").exists()
    await until(lambda: not cluster.leftovers(job_id), 5)


async def test_s2_a_staged_file_that_is_gone_is_never_a_success(cluster_of, row):
    """Staged file deleted before publish: the manifest is dropped, back in the queue (charged,
    TRANSPORT), encoded again; never SUCCEEDED without its bytes."""
    async with cluster_of("--missed-heartbeats", "20") as cluster:
        w1 = await cluster.worker("w1", *AT_THE_RENAME)
        job_id = await cluster.submit("a.mkv", seconds=0.5)
        await until(lambda: w1.process.is_frozen, 15, "frozen")
        [staged] = cluster.leftovers(job_id)
        (cluster.media / staged).unlink()
        w1.process.thaw()
        history = await cluster.succeeds(job_id)
        assert history.reasons == ["TRANSPORT"]
        assert (history.job.charged, cluster.runs(job_id)) == (1, 2)
        failed, again = history.events_of("FAILED")[0], history.events_of("GRANTED")[1]
        row.took(again.at - failed.at, 5.0)


async def test_s3_a_thawed_holder_finds_nothing_to_rename(cluster, row):
    """Worker frozen between COMMITTED and rename, job taken over and published, worker thawed: its
    rename finds no file (taken over under the new fence); the target's bytes are unchanged."""
    w1 = await cluster.worker("w1", *AT_THE_RENAME)
    job_id = await cluster.submit("a.mkv", seconds=0.5)
    await until(lambda: w1.process.is_frozen, 15, "frozen")
    assert (await cluster.history(job_id)).state == "PUBLISHING"
    await cluster.worker("w2")
    history = await cluster.succeeds(job_id)
    assert (history.workers, history.job.charged) == (["w1", "w2"], 0)
    assert cluster.runs(job_id) == 1
    target = cluster.media / "a.mkv"
    digest, inode = hashlib.sha256(target.read_bytes()).hexdigest(), target.stat().st_ino
    w1.process.thaw()
    with row.within(LOST):
        await until(w1.is_connected, 15)
    later = await cluster.submit("later.mkv", seconds=0.2)
    await cluster.succeeds(later)
    assert str(await cluster.history(job_id)) == str(history)
    assert hashlib.sha256(target.read_bytes()).hexdigest() == digest
    assert target.stat().st_ino == inode
    await until(lambda: not cluster.leftovers(job_id), 5)
    journal = cluster.folder / "state" / "worker-w1" / "journal"
    await until(lambda: not list(journal.glob("*.json")), 5)


@one_store
async def test_a_lost_workers_own_root_is_waited_for_by_what_it_staged_and_what_it_runs(cluster):
    """Killed between STAGED and PUBLISHED, with another job running, while a worker is here that
    has another folder of that name: neither job goes there. What was staged is published when the
    owner is back, and not encoded again; the other job is encoded again, by the owner."""
    w1 = await cluster.worker("w1", *AT_THE_RENAME, slots=2)
    (own := cluster.folder / "own").mkdir()
    running = await cluster.submit("slow.mkv", seconds=3)
    await cluster.encodes(running)
    staged = await cluster.submit("a.mkv", seconds=0.5)
    await until(lambda: w1.process.is_frozen, 15, "frozen")
    assert (await cluster.history(staged)).state == "PUBLISHING"
    await cluster.worker("w2", root=own)
    w1.process.kill()
    for job_id in (staged, running):
        await cluster.happens(job_id, "LOST", LOST + 5)

    async def waits(job_id: str) -> bool:
        found = await cluster.client.explain(job_id)
        w2 = next(each for each in found.workers if each.worker == "w2")
        return "is not the folder that worker 'w1' maps to it, which is away" in w2.detail

    for job_id in (staged, running):
        await until(lambda job_id=job_id: waits(job_id), 5, "it waits for w1")
    other = await cluster.submit("b.mkv", seconds=0.2)  # of this root too
    w1.start()
    for job_id, attempts in ((staged, 1), (running, 2), (other, 1)):
        history = await cluster.succeeds(job_id)
        assert set(history.workers) == {"w1"}
        assert cluster.runs(job_id) == attempts
    assert (await cluster.history(staged)).job.charged == 0
    assert not list(own.glob("*.mkv"))


SLOW = 0.1
OLD = b"precious" * 4096
WORKERS = ("w1", "w2", "w3", "w4", "w5")
PARTS = "abc"
MOMENTS = (
    ("fsync", 5 * SLOW),  # while the outputs are made durable: nothing is staged yet
    ("replace|link", 6 * SLOW),  # and so once the first gets its name
    ("replace|link", 6 * SLOW),
    ("replace|link", 6 * SLOW),
)
"""Of each worker: by which call a phase begins, and how long it lasts at least. As many kills, no
more: of those that lose a job three put the worker in quarantine."""


class Reader:
    """Reads targets again and again, from the first to the last moment."""

    def __init__(self) -> None:
        self.seen: dict[Path, set[str]] = {}
        self.reads = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def watch(self, path: Path) -> None:
        self.seen = self.seen | {path: set()}

    def _run(self) -> None:
        while not self._ended.wait(0.002):
            for path, seen in self.seen.items():
                seen.add(_digest(path))
                self.reads += 1

    def judge(self, least: int) -> None:
        """Each target was, at every moment, what it had been or what it is now."""
        assert self.reads > least * len(self.seen)
        old = hashlib.sha256(OLD).hexdigest()
        for path, seen in self.seen.items():
            assert _digest(path) not in {"absent", old}
            assert seen <= {old if "over" in path.name else "absent", _digest(path)}, path.name

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return "absent"


@dataclass
class Kill:
    """One that hit: the call by which its phase had begun, and how many outputs had their names."""

    call: str
    job_id: str
    placed: int


class Killing:
    """Workers that publish slowly, each killed at moments of its own, and started again."""

    def __init__(self, cluster: Cluster, reader: Reader, chance: random.Random) -> None:
        self._cluster = cluster
        self._reader = reader
        self._chance = chance
        self._numbers = count()
        self.jobs: dict[str, list[Path]] = {}
        self.kills: list[Kill] = []

    async def one_more_job(self) -> None:
        """Of several outputs. Every other one replaces files that are there."""
        number = next(self._numbers)
        over = number % 2 == 0
        names = [f"fast-{'over' if over else 'new'}-{number}-{part}.mkv" for part in PARTS]
        paths = [self._cluster.media / name for name in names]
        for path in paths:
            if over:
                path.write_bytes(OLD)
            self._reader.watch(path)
        self.jobs[await self._cluster.submit(*names, seconds=0.2, overwrite=over)] = paths

    async def torment(self, name: str) -> None:
        worker = await self._cluster.worker(name, "--slow", f"{SLOW}")
        told, moments = 0, list(MOMENTS)
        self._chance.shuffle(moments)
        while moments:
            call, lasts = moments[-1]
            found = await until(partial(self._begun, worker, told, call), 60, f"{name}: {call}")
            if call == "fsync" and self._was_charged(found[2]):
                told = len(worker.log)  # three such losses would be the end of it
                continue
            await asyncio.sleep(self._chance.uniform(0, lasts))
            worker.process.kill()
            if (await self._cluster.history(found[2])).state != "SUCCEEDED":
                self.kills.append(Kill(found[1], found[2], self._placed(found[2])))
                moments.pop()
            told = len(worker.log)
            worker.start("--slow", f"{SLOW}")
            await self.one_more_job()

    def _begun(self, worker: Worker, told: int, call: str) -> re.Match[str] | None:
        return re.search(rf"slow ({call}) .*\.(\w{{26}})\.\d+\.part", worker.log[told:])

    def _was_charged(self, job_id: str) -> bool:
        return any(kill.job_id == job_id and kill.call == "fsync" for kill in self.kills)

    def _placed(self, job_id: str) -> int:
        old = hashlib.sha256(OLD).hexdigest()
        return sum(_digest(path) not in {"absent", old} for path in self.jobs[job_id])


@one_store
async def test_a_worker_killed_at_any_moment_of_its_publish_leaves_old_or_new(cluster_of):
    """kill -9 at 20 random moments of publishes that take their time: from the first byte that is
    made durable to the last name. Whoever reads a target meanwhile finds the old file or the new
    one, whole; absent only what was not there. Some jobs overwrite, some do not; each has several
    outputs, and ends as SUCCEEDED, once."""
    async with cluster_of("--missed-heartbeats", "120") as cluster:
        with Reader() as reader:
            killing = Killing(cluster, reader, random.Random(5))
            async with asyncio.TaskGroup() as tasks:
                for name in WORKERS:
                    await killing.one_more_job()
                    tasks.create_task(killing.torment(name))
            for job_id in killing.jobs:
                history = await cluster.succeeds(job_id, 60)
                lost = sum(each.job_id == job_id and each.call == "fsync" for each in killing.kills)
                assert cluster.runs(job_id) <= 1 + lost, (
                    f"what was staged is encoded once: {history}"
                )
        reader.judge(len(killing.kills))
    assert len(killing.kills) == len(WORKERS) * len(MOMENTS) == 20
    assert {kill.placed for kill in killing.kills} >= {0, 1, 2}, killing.kills
