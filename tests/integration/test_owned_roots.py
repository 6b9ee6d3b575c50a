"""A root that belongs to one worker: its jobs go there, and wait for it when it is away."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from ffrtmp.domain.job import JobState
from ffrtmp.domain.messages import (
    Goodbye,
    HeartbeatAck,
    Offer,
    Published,
    ResultAck,
    ResultOutcome,
    Staged,
    Welcome,
)
from ffrtmp.domain.roots import RootReport
from ffrtmp.domain.session import AttemptKey, VerdictKind
from ffrtmp.domain.waiting import Obstacle, WaitReason
from ffrtmp.master.master import Master
from ffrtmp.master.views import WorkerState
from ffrtmp.store.postgres import PostgresStore
from tests.integration.test_exclusive import SLOW
from tests.integration.test_master_core import (
    CAPABLE,
    cluster,
    in_state,
    manifest,
    running,
    submitted,
    until,
)


def with_root(name: str, nonce: str, *others: str):
    """A worker's abilities, with one root in which it sees its own nonce, and others'."""
    root = RootReport(name=name, nonce=nonce, sees=frozenset({nonce, *others}))
    return {"capabilities": replace(CAPABLE, roots=(root,))}


async def arrives(worker, name: str, root: dict, *attempts, slots: int = 1, **settings):
    far = worker(name, **root, **settings)
    far.hello(*attempts, slots=slots)
    return far, await far.hear(Welcome)


async def idle(far) -> None:
    """It takes work, and there is none for it: what it was offered came before this answer."""
    far.beat()
    await far.hear(HeartbeatAck)
    assert far.down.empty()


async def verdicts(master: Master, job_id: str) -> dict[str, tuple[Obstacle, str]]:
    found = await master.explain(job_id)
    return {each.worker: (each.obstacle, each.detail) for each in found.verdicts}


async def test_a_job_goes_only_to_the_worker_that_has_its_root_and_waits_for_it(open_store):
    async with cluster(open_store, timers=SLOW) as (master, worker):
        w1, _ = await arrives(worker, "w1", with_root("m", "a"))
        w2, _ = await arrives(worker, "w2", with_root("other", "b"), slots=8)
        jobs = [await submitted(master, f"{number}.mp4") for number in range(2)]
        first = await w1.accept()
        await until(master, first.job_id, JobState.RUNNING)
        [second] = set(jobs) - {first.job_id}
        found = await master.explain(second)
        assert found.reason is WaitReason.NO_FREE_SLOT
        assert await verdicts(master, second) == {
            "w1": (Obstacle.BUSY, "its slot is taken"),
            "w2": (Obstacle.UNFIT, "has no root 'm'"),
        }
        await idle(w2)
        w1.say(Staged(first, manifest(1)), Published(first))
        assert (await w1.hear(Offer)).key.job_id == second
        await idle(w2)


async def lost_before_it_published(master, worker, other) -> tuple[str, AttemptKey]:
    """By w1; the other one, who has another folder of the name, is here."""
    w1, _ = await arrives(worker, "w1", with_root("m", "a"))
    job_id = await submitted(master)
    key = await w1.accept()
    w1.say(Staged(key, manifest(1)))
    assert (await w1.hear(ResultAck)).outcome is ResultOutcome.COMMITTED
    w1.hang_up()
    while (await master.worker("w1")).state is not WorkerState.GONE:
        other.beat()
        await other.hear(HeartbeatAck)
        await asyncio.sleep(0.1)
    job = await until(master, job_id, JobState.QUEUED)
    assert (job.manifest, job.charged) == (manifest(1), 0)
    return job_id, key


async def test_what_a_lost_worker_staged_in_its_own_root_is_nobody_elses_to_make(open_store):
    """Whoever has another folder of that name could not publish it, and would encode it anew."""
    async with cluster(open_store) as (master, worker):
        w2, _ = await arrives(worker, "w2", with_root("m", "b"))
        job_id, key = await lost_before_it_published(master, worker, w2)
        found = await master.explain(job_id)
        assert found.reason is WaitReason.NO_FIT_WORKER
        assert found.detail == "no worker that is here may run it; w1 could, and is away"
        obstacle, why = (await verdicts(master, job_id))["w2"]
        assert obstacle is Obstacle.UNFIT
        assert "root 'm': is not the folder that worker 'w1' maps to it, which is away" in why
        assert "which is away: start it" in (await master.get(job_id)).waits_for
        await idle(w2)
        back = {"incarnation": "i2", "previous": "i1", **with_root("m", "a2", "a")}
        w1, welcome = await arrives(worker, "w1", {}, running(key, journalled=True), **back)
        assert [each.kind for each in welcome.verdicts] == [VerdictKind.KEEP]
        w1.say(Staged(key, manifest(1)), Published(key))
        await until(master, job_id, JobState.SUCCEEDED)
        job = (await master.get(job_id)).record.job
        assert (job.attempts, job.charged) == (1, 0)


async def test_after_a_restart_of_the_master_whoever_is_back_first_takes_no_others_root(open_store):
    async with cluster(open_store, timers=SLOW) as (master, worker):
        await arrives(worker, "w1", with_root("m", "a"))
        await arrives(worker, "w2", with_root("m", "b"))
    async with cluster(open_store, timers=SLOW) as (master, worker):
        w2, _ = await arrives(worker, "w2", with_root("m", "b"))
        job_id = await submitted(master)
        await refused(master, job_id, "w2")  # a master that is starting grants nothing yet
        await idle(w2)
        w1, _ = await arrives(worker, "w1", with_root("m", "a"))
        assert (await w1.accept()).job_id == job_id


@pytest.mark.parametrize("leaves", ["removed", "says goodbye"])
async def test_a_root_whose_owner_left_is_anothers_only_when_an_operator_says_so(
    open_store, leaves
):
    async with cluster(open_store, timers=SLOW) as (master, worker):
        w1, _ = await arrives(worker, "w1", with_root("m", "a"))
        w2, _ = await arrives(worker, "w2", with_root("m", "b"))
        w1.say(Goodbye())
        await in_state(master, "w1", WorkerState.GONE)
        job_id = await submitted(master)
        assert "`ffrtmp workers remove w1`" in (await verdicts(master, job_id))["w2"][1]
        await idle(w2)
        if leaves == "removed":
            await master.remove_worker("w1", actor="admin/a")
        else:  # and one comes who sees what w1 wrote there: it has w1's folder
            w2, _ = await arrives(worker, "w3", with_root("m", "c", "a"))
        assert (await w2.accept()).job_id == job_id


async def test_a_worker_that_left_with_another_folder_is_not_said_to_be_able(open_store):
    async with cluster(open_store, timers=SLOW) as (master, worker):
        await arrives(worker, "w1", with_root("m", "a"), slots=0)
        w2, _ = await arrives(worker, "w2", with_root("m", "b"))
        w2.say(Goodbye())
        await in_state(master, "w2", WorkerState.GONE)
        job_id = await submitted(master)
        why = "root 'm': is not the folder that worker 'w1' maps to it"
        assert await refused(master, job_id, "w2", why, obstacle=Obstacle.AWAY) == why


async def test_who_comes_when_the_owner_is_away_may_have_the_same_folder(open_store):
    """Nobody knows: w1 took its proof along, and a cluster that stands still is worse."""
    async with cluster(open_store, timers=SLOW) as (master, worker):
        w1, _ = await arrives(worker, "w1", with_root("m", "a"))
        await arrives(worker, "w2", with_root("m", "b"))
        w1.say(Goodbye())
        await in_state(master, "w1", WorkerState.GONE)
        w3, _ = await arrives(worker, "w3", with_root("m", "c"))
        await submitted(master)
        await w3.accept()


async def test_who_comes_when_the_owner_was_lost_must_see_what_that_one_left(open_store):
    """A lost worker takes nothing along: who does not see its proof has another folder."""
    async with cluster(open_store) as (master, worker):
        w2, _ = await arrives(worker, "w2", with_root("other", "b"))
        job_id, _ = await lost_before_it_published(master, worker, w2)
        w3, _ = await arrives(worker, "w3", with_root("m", "c"))
        assert "which is away" in (await verdicts(master, job_id))["w3"][1]
        await idle(w3)
        w4, _ = await arrives(worker, "w4", with_root("m", "d", "a"))
        assert (await w4.hear(Offer)).publish_only == manifest(1)


async def refused(
    master: Master,
    job_id: str,
    worker: str,
    says: str = "",
    obstacle: Obstacle = Obstacle.UNFIT,
) -> str:
    """Waits until it is, for a reason with these words, and says why."""
    async with asyncio.timeout(8):
        while True:
            found, why = (await verdicts(master, job_id))[worker]
            if found is obstacle and says in why:
                return why
            await asyncio.sleep(0.05)


async def comes_back_and_publishes(master, worker, key: AttemptKey) -> None:
    back = {"incarnation": "i2", "previous": "i1", **with_root("m", "a2", "a")}
    w1, welcome = await arrives(worker, "w1", {}, running(key, journalled=True), **back)
    assert [each.kind for each in welcome.verdicts] == [VerdictKind.KEEP]
    w1.say(Staged(key, manifest(1)), Published(key))
    await until(master, key.job_id, JobState.SUCCEEDED)
    job = (await master.get(key.job_id)).record.job
    assert (job.attempts, job.charged) == (1, 0)


async def test_who_was_lost_before_the_master_restarted_is_still_waited_for(open_store):
    async with cluster(open_store) as (master, worker):
        w2, _ = await arrives(worker, "w2", with_root("other", "b"))
        job_id, key = await lost_before_it_published(master, worker, w2)
    async with cluster(open_store, timers=SLOW) as (master, worker):
        w3, _ = await arrives(worker, "w3", with_root("m", "c"))
        assert "which is away: start it" in await refused(master, job_id, "w3")
        await idle(w3)
        await comes_back_and_publishes(master, worker, key)


async def test_who_is_lost_while_the_master_restarts_is_waited_for(open_store):
    async with cluster(open_store, timers=SLOW) as (master, worker):
        w1, _ = await arrives(worker, "w1", with_root("m", "a"))
        job_id = await submitted(master)
        key = await w1.accept()
        w1.say(Staged(key, manifest(1)))
        await w1.hear(ResultAck)
    async with cluster(open_store) as (master, worker):
        job = await until(master, job_id, JobState.QUEUED)
        assert job.manifest == manifest(1)
        w3, _ = await arrives(worker, "w3", with_root("m", "c"))
        assert "which is away: start it" in await refused(master, job_id, "w3")
        await idle(w3)
        await comes_back_and_publishes(master, worker, key)


@asynccontextmanager
async def two_masters(postgres: str, **there) -> AsyncIterator[tuple[Master, Callable, ...]]:
    def open_it(**options):
        return PostgresStore.open(postgres, **options)

    async with cluster(open_it) as here, cluster(open_it, **there) as other:
        yield *here, *other


async def kept_alive(done: Callable, *workers, full=()) -> None:
    """Until it is done."""
    async with asyncio.timeout(10):
        while not await done():
            for far in (*workers, *full):
                far.beat(slots=0 if far in full else 1)
                await far.hear(HeartbeatAck)
            await asyncio.sleep(0.1)


async def is_gone(master: Master, worker: str) -> bool:
    return (await master.worker(worker)).state is WorkerState.GONE


async def has_it(master: Master, job_id: str, worker: str) -> bool:
    holder = (await master.get(job_id)).record.job.holder
    return holder is not None and holder.worker == worker


@pytest.mark.postgres
async def test_who_was_lost_at_one_master_is_waited_for_at_every_other(postgres):
    async with two_masters(postgres, timers=SLOW) as (here, worker, there, far_worker):
        w2, _ = await arrives(far_worker, "w2", with_root("m", "b"))
        job_id, key = await lost_before_it_published(here, worker, w2)
        await refused(there, job_id, "w2", says="'w1' maps to it, which is away")
        await idle(w2)
        assert not any(isinstance(each, Offer) for each in w2.heard)
        await comes_back_and_publishes(here, worker, key)


@pytest.mark.postgres
@pytest.mark.parametrize("back", ["with a newer proof", "with its mapping repaired"])
async def test_who_was_lost_here_and_lives_with_another_master_is_known_as_it_is_now(
    postgres, back
):
    """It took its older proof along, and what it sees now is what tells."""
    async with two_masters(postgres, timers=SLOW) as (here, worker, _, far_worker):
        sees = ("a",) if back == "with a newer proof" else ()
        w1, _ = await arrives(worker, "w1", with_root("m", "a"))
        w2, _ = await arrives(worker, "w2", with_root("m", "b", *sees))
        w1.hang_up()
        await kept_alive(lambda: is_gone(here, "w1"), w2)
        again = {"incarnation": "i2", "previous": "i1", **with_root("m", "a2", "b")}
        w1, _ = await arrives(far_worker, "w1", {}, slots=0, **again)
        if back == "with a newer proof":
            w2.say(Goodbye())
            await in_state(here, "w2", WorkerState.GONE)
            w2, _ = await arrives(worker, "w2", with_root("m", "b2", "a2"))
        job_id = await submitted(here)
        await kept_alive(lambda: has_it(here, job_id, "w2"), w2, full=[w1])


@pytest.mark.postgres
async def test_whom_another_master_expired_is_gone_here_too_and_can_be_removed(postgres):
    async with two_masters(postgres, timers=SLOW) as (there, _, here, worker):
        w1, _ = await arrives(worker, "w1", with_root("m", "a"))
        w2, _ = await arrives(worker, "w2", with_root("m", "b"))
        w1.hang_up()
        await kept_alive(lambda: is_gone(there, "w1"), w2)
        await kept_alive(lambda: left(here, "w1"), w2)
        job_id = await submitted(here)
        assert "which is away" in await refused(here, job_id, "w2")
        await there.remove_worker("w1", actor="admin/a")
        await kept_alive(lambda: has_it(here, job_id, "w2"), w2)


async def left(master: Master, worker: str) -> bool:
    return master.roster.get(worker) is None


@pytest.mark.postgres
async def test_a_worker_removed_through_another_master_is_not_waited_for(postgres):
    def open_it(**options):
        return PostgresStore.open(postgres, **options)

    async with cluster(open_it, timers=SLOW) as (here, worker), cluster(open_it) as (there, _):
        w1, _ = await arrives(worker, "w1", with_root("m", "a"))
        w2, _ = await arrives(worker, "w2", with_root("m", "b"))
        w1.say(Goodbye())
        await in_state(here, "w1", WorkerState.GONE)
        job_id = await submitted(here)
        await idle(w2)
        await there.remove_worker("w1", actor="admin/a")
        assert (await w2.accept()).job_id == job_id
