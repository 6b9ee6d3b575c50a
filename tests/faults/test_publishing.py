"""Between staged and published: conflicts, lost files, and holders that wake up too late."""

import hashlib

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
