"""Sessions: epochs, renewals, what workers hold, and what is known of them."""

import asyncio
from dataclasses import replace
from functools import partial

import pytest

from ffrtmp.domain import job as rules
from ffrtmp.domain import standing as standings
from ffrtmp.domain.errors import HelloOvertaken, Unavailable, WorkerNotFound
from ffrtmp.domain.hello import Incumbent
from ffrtmp.domain.standing import Standing
from ffrtmp.domain.worker import Capabilities
from ffrtmp.store.postgres import PostgresStore
from ffrtmp.store.records import Change, SessionKey
from tests.integration.store.conftest import (
    CAPABLE,
    anyone,
    at,
    job_id,
    new_job,
    open_worker,
    record,
)


async def test_every_hello_raises_the_epoch_across_reopening(open_store):
    async with open_store() as store:
        assert [await store.open_session(record(), anyone) for _ in range(3)] == [1, 2, 3]
        assert await store.open_session(record("w2"), anyone) == 1
    async with open_store() as store:
        assert await store.open_session(record(), anyone) == 4
        assert (await store.worker("w1")).epoch == 4


async def test_hellos_at_once_get_epochs_of_their_own(store):
    epochs = await asyncio.gather(*(store.open_session(record(), anyone) for _ in range(20)))
    assert sorted(epochs) == list(range(1, 21))


async def test_who_says_hello_is_held_against_the_newest_stream(store):
    seen = []
    first = replace(record(dial=2, previous="i0"), address="there")
    assert await store.open_session(first, seen.append) == 1
    assert await store.open_session(record(incarnation="i2", dial=1), seen.append) == 2
    await store.close_session(SessionKey("w1", 2))
    assert await store.open_session(record(incarnation="i2"), seen.append) == 3
    assert seen == [
        Incumbent(
            epoch=1,
            incarnation="i1",
            address="there",
            alive=True,
            dial=2,
            previous="i0",
            renewal=0,
        ),
        Incumbent(epoch=2, incarnation="i2", address="here", alive=False, dial=1),
    ]


async def test_the_last_renewal_of_another_run_is_known(store):
    seen = []
    old = await open_worker(store)
    await store.renew([old.session])
    [number] = (await store.renewals()).values()
    await store.renew([old.session])
    await store.open_session(record(incarnation="i2"), seen.append)
    assert [each.renewal for each in seen] == [number + 1]


async def test_who_leaves_as_another_run_comes_is_gone_for_it(store):
    """Both in one transaction."""
    seen = []
    old = await open_worker(store)
    asked = store.close_session(old.session), store.open_session(record("w1", "i2"), seen.append)
    assert await asyncio.gather(*asked) == [True, 2]
    assert [each.alive for each in seen] == [False]


async def test_who_is_refused_changes_nothing(store):
    def refuse(newest: Incumbent) -> None:
        raise HelloOvertaken("w1", newest.dial)

    assert await store.open_session(record(dial=2), refuse) == 1  # there was nobody before
    before = await store.worker("w1")
    asked = [
        store.open_session(record("w1", "i2"), refuse),
        store.open_session(record("w2"), anyone),
    ]
    refused, other = await asyncio.gather(*asked, return_exceptions=True)
    assert (str(refused), other) == (str(HelloOvertaken("w1", 2)), 1)
    assert await store.worker("w1") == before


async def test_hellos_at_once_are_each_held_against_the_one_before(store):
    seen = []
    runs = [record(incarnation=f"i{number}") for number in range(20)]
    epochs = await asyncio.gather(*(store.open_session(run, seen.append) for run in runs))
    after = {epoch: run.incarnation for run, epoch in zip(runs, epochs, strict=True)}
    assert [(each.epoch, each.incarnation) for each in seen] == [
        (epoch, after[epoch]) for epoch in range(1, 20)
    ]


@pytest.mark.postgres
async def test_hellos_at_once_through_two_masters_are_each_held_against_the_one_before(postgres):
    async with PostgresStore.open(postgres) as here, PostgresStore.open(postgres) as there:
        for number in range(20):  # each time a row that neither finds at first
            seen = []
            runs = [record(f"w{number}", "i1"), record(f"w{number}", "i2")]
            asked = zip((here, there), runs, strict=True)
            epochs = await asyncio.gather(
                *(store.open_session(run, seen.append) for store, run in asked)
            )
            assert sorted(epochs) == [1, 2]
            assert [each.epoch for each in seen] == [1]


async def test_a_renewal_raises_the_number_of_the_live_current_session_only(store):
    old = await open_worker(store)
    current = await open_worker(store)
    other = await open_worker(store, "w2")
    first = await store.renewals()
    assert first.keys() == {current.session, other.session}
    await store.renew([current.session, old.session, SessionKey("ghost", 1)])
    second = await store.renewals()
    assert second.keys() == first.keys()
    assert second[current.session] > first[current.session]
    assert second[other.session] == first[other.session]


async def test_renewals_at_once_all_return_after_their_commit(store):
    workers = [await open_worker(store, f"w{number}") for number in range(40)]
    before = await store.renewals()
    await asyncio.gather(*(store.renew([worker.session]) for worker in workers))
    after = await store.renewals()
    assert all(after[worker.session] > before[worker.session] for worker in workers)


async def test_a_session_is_closed_once_and_only_if_it_is_as_it_was_seen(store):
    w1 = await open_worker(store)
    seen = (await store.renewals())[w1.session]
    await store.renew([w1.session])
    assert await store.expire_sessions({w1.session: seen}) == []
    assert (await store.worker("w1")).alive
    now = (await store.renewals())[w1.session]
    assert await store.expire_sessions({w1.session: now}) == [w1.session]
    assert not (await store.worker("w1")).alive
    assert not await store.close_session(w1.session)
    assert await store.renewals() == {}


async def test_of_many_that_ran_out_those_renewed_or_taken_over_meanwhile_stay(store):
    gone, renewed, _, left = [await open_worker(store, f"w{number}") for number in range(4)]
    seen = await store.renewals()
    await store.renew([renewed.session])
    newer = await open_worker(store, "w2")
    await store.close_session(left.session)
    assert await store.expire_sessions(seen) == [gone.session]
    assert (await store.renewals()).keys() == {renewed.session, newer.session}
    assert not (await store.worker("w3")).lost
    assert await store.expire_sessions({}) == []


async def test_an_older_stream_cannot_close_the_newer(store):
    old = await open_worker(store)
    await open_worker(store)
    assert not await store.close_session(old.session)
    assert (await store.worker("w1")).alive


async def lost(store, *also: str) -> set[str]:
    return {each.name for each in await store.lost_workers(also) if each.lost}


async def test_a_worker_is_lost_from_when_its_session_ran_out_until_its_next_or_its_removal(store):
    w1, w2 = await open_worker(store), await open_worker(store, "w2")
    numbers = await store.renewals()
    assert await store.expire_sessions({w1.session: numbers[w1.session]}) == [w1.session]
    assert await store.close_session(w2.session)
    assert await lost(store) == {"w1"} == {each.name for each in await store.lost_workers(())}
    named = {each.name: each.lost for each in await store.lost_workers(["w2", "w9"])}
    assert named == {"w1": True, "w2": False}
    assert (await store.worker("w1")).lost
    back = await open_worker(store)
    assert await lost(store, "w1") == set()
    await store.close_session(back.session)
    assert await lost(store, "w1") == set()
    again = await open_worker(store)
    assert await store.expire_sessions(await store.renewals()) == [again.session]
    assert await lost(store) == {"w1"}
    await store.remove_worker("w1")
    assert await store.lost_workers(["w1"]) == []


async def test_orphans_are_held_jobs_without_a_live_session_of_their_incarnation(store):
    await store.submit([new_job(1), new_job(2), new_job(3)])
    w1, w2 = await open_worker(store), await open_worker(store, "w2")
    await w1.grant(1)
    await w2.grant(2)
    assert await store.orphans(9) == []
    await store.close_session(w1.session)
    assert [int(job.job_id) for job in await store.orphans(9)] == [1]
    await open_worker(store, "w2", incarnation="i2")
    assert {int(job.job_id) for job in await store.orphans(9)} == {1, 2}
    assert len(await store.orphans(1)) == 1
    assert [int(job.job_id) for job in await store.held_by("w2")] == [2]
    assert await store.held_by("nobody") == []


async def test_offers_are_found_by_their_age(store):
    await store.submit([new_job(1), new_job(2)])
    w1 = await open_worker(store)
    await w1.grant(1)
    await w1.grant(2)
    await w1.accept(2)
    assert [int(job.job_id) for job in await store.offered_before(at(1001), 9)] == [1]
    assert await store.offered_before(at(1000), 9) == []


async def test_blocked_jobs_are_found_by_their_blocker(store):
    await store.submit([new_job(1)])
    w1 = await open_worker(store)
    await w1.grant(1)
    rule = partial(rules.leave_unanswered, fence=1, now=at(1001))
    [moved] = await store.change([Change(job_id(1), rule)])
    assert await store.held_or_blocked("w1") == ([moved.after] if moved.after.blocked_by else [])
    assert await store.stale_blocks(9) == []


async def test_jobs_that_a_worker_holds_blocks_or_names_are_read_at_once(store):
    push = new_job(2)
    push = replace(push, job=replace(push.job, exclusive=True))
    await store.submit([new_job(1), push, new_job(3), new_job(4)])
    w1, w2 = await open_worker(store), await open_worker(store, "w2")
    await w1.grant(1)
    await w1.grant(2)
    await w2.grant(3)
    rule = partial(rules.leave_unanswered, fence=1, now=at(1001))
    [moved] = await store.change([Change(job_id(2), rule)])
    assert moved.after.blocked_by is not None
    found = await store.held_or_blocked("w1", [job_id(1), job_id(3), job_id(9)])
    assert [int(job.job_id) for job in found] == [1, 2, 3]
    assert found[1] == moved.after
    assert [int(job.job_id) for job in await store.held_or_blocked("w1")] == [1, 2]
    assert await store.held_or_blocked("w9") == []


async def test_workers_are_listed_by_name_with_what_they_last_said(store):
    for name in ("b", "a", "c"):
        await open_worker(store, name)
    poor = Capabilities(
        spec_version=1, ffmpeg_version="8", codecs=frozenset({"aac"}), roots=CAPABLE.roots
    )
    await store.report(SessionKey("b", 1), poor)
    await store.report(SessionKey("c", 7), poor)
    names = [worker.name for worker in await store.workers(size=2)]
    assert names == ["a", "b"]
    assert [worker.name for worker in await store.workers(size=2, after="b")] == ["c"]
    assert (await store.worker("b")).capabilities == poor
    assert (await store.worker("c")).capabilities == CAPABLE
    with pytest.raises(WorkerNotFound):
        await store.worker("nobody")


async def test_a_standing_outlives_sessions(open_store):
    async with open_store() as store:
        await open_worker(store)
        before, after = await store.change_standing("w1", standings.drain)
        assert (before, after.draining) == (Standing(), True)
        with pytest.raises(WorkerNotFound):
            await store.change_standing("nobody", standings.drain)
    async with open_store() as store:
        await open_worker(store, incarnation="i2")
        assert (await store.worker("w1")).standing.draining


async def test_the_check_writes_and_says_when_it_cannot(open_store, stranger):
    async with open_store(patience=0.2) as store:
        before = store.commits
        await store.check()
        assert store.commits > before
        async with stranger():
            with pytest.raises(Unavailable):
                await asyncio.gather(store.check(), store.check())
        await store.check()


async def test_the_store_knows_the_time_of_day(store):
    first = await store.time()
    assert first.tzinfo is not None
    assert abs((await store.time() - first).total_seconds()) < 60


async def test_pools_are_shown_with_their_sizes(store):
    for pool in store.pools():
        assert 0 <= pool.used <= pool.size
        assert (pool.waiting, pool.refused) == (0, 0)
