"""Between staged and published: conflicts, lost files, and holders that wake up too late."""

import asyncio
import hashlib
import random
import threading
from pathlib import Path
from typing import Self

from tests.faults.kit.cluster import LOST
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


MOMENTS = 20
AT_ONCE = 5
SLOW = ("--slow", "0.4")
OLD = b"precious" * 4096


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
        while not self._ended.is_set():
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


@one_store
async def test_a_worker_killed_at_any_moment_of_its_publish_leaves_old_or_new(cluster_of):
    """kill -9 at random moments of publishes that take their time: whoever reads a target meanwhile
    finds the old file or the new one, whole; absent only what was not there. Some jobs overwrite,
    some do not; each has several outputs, and what was staged is not encoded again."""
    chance = random.Random(5)
    jobs: dict[str, list[str]] = {}
    caught: list[str] = []
    async with cluster_of("--missed-heartbeats", "60") as cluster:
        with Reader() as reader:
            w1 = await cluster.worker("w1", *SLOW, slots=AT_ONCE)
            while len(caught) < MOMENTS:
                if not await are(cluster, jobs, "PUBLISHING"):
                    for _ in range(AT_ONCE):
                        await one_more(cluster, jobs, reader)
                await until(lambda: nobody_encodes(cluster, jobs), 60)
                await asyncio.sleep(chance.uniform(0, 1.0))
                w1.process.kill()
                caught += await are(cluster, jobs, "PUBLISHING")
                w1.start(*SLOW)
                await w1.connected()
            for job_id in jobs:
                await cluster.succeeds(job_id, 60)
                assert cluster.runs(job_id) == 1
        reader.judge(MOMENTS)


async def one_more(cluster, jobs: dict[str, list[str]], reader: Reader) -> None:
    """Every other one replaces files that are there."""
    number = len(jobs)
    over = number % 2 == 0
    names = [f"fast-{'over' if over else 'new'}-{number}-{part}.mkv" for part in "abc"]
    for name in names:
        if over:
            (cluster.media / name).write_bytes(OLD)
        reader.watch(cluster.media / name)
    jobs[await cluster.submit(*names, seconds=0.2, overwrite=over)] = names


async def are(cluster, jobs: dict[str, list[str]], *states: str) -> list[str]:
    return [each for each in jobs if (await cluster.history(each)).state in states]


async def nobody_encodes(cluster, jobs: dict[str, list[str]]) -> bool:
    return not await are(cluster, jobs, "QUEUED", "LEASED", "RUNNING")
