"""Changes: rules on locked rows, in order, on behalf of a stream or of nobody."""

import asyncio
import random
from datetime import timedelta
from functools import partial

import pytest

from ffrtmp.domain import job as rules
from ffrtmp.domain.errors import (
    DomainError,
    IllegalTransition,
    JobNotFound,
    Stale,
    StaleEpoch,
    StoreBusy,
    Unavailable,
)
from ffrtmp.domain.figures import Figures, MediaFacts, OutputFigures
from ffrtmp.domain.job import Failure, JobState
from ffrtmp.domain.retry import Reason
from ffrtmp.store.records import Change, JobFilter, Moved, PageKey, SessionKey
from tests.integration.store.conftest import (
    at,
    cancel,
    claim,
    job_id,
    manifest,
    new_job,
    open_worker,
)

MEDIA = MediaFacts(format_name="mov", size=2**40, duration=timedelta(hours=1), bitrate=10)


async def test_a_life_from_grant_to_published_is_kept_in_full(store):
    await store.submit([new_job(1)])
    w1 = await open_worker(store)
    await w1.grant(1)
    await w1.accept(1)
    await w1.stage(1)
    moved = await w1.publish(1)
    job = (await store.get(job_id(1))).job
    assert job == moved.after
    assert (job.state, job.manifest, job.end_at) == (JobState.SUCCEEDED, manifest(1), at(1000))
    causes = [event.cause.value for event in await store.events(job_id(1))]
    assert causes == ["submitted", "granted", "accepted", "staged", "published"]
    assert [event.number for event in await store.events(job_id(1), after=3)] == [4, 5]


async def test_a_failure_comes_back_with_all_its_parts(store):
    await store.submit([new_job(1)])
    w1 = await open_worker(store)
    await w1.grant(1)
    await w1.accept(1)
    said = 'it broke: \\ " é \N{PILE OF POO} \n\t\x1b'
    failure = Failure(
        reason=Reason.FFMPEG_FAILED, message=said, exit_code=-11, log_tail=("a", "b\x01")
    )
    await w1.do(rules.fail, 1, fence=1, failure=failure, chance=0.0)
    assert (await store.get(job_id(1))).job.failure == failure


async def test_what_was_measured_is_kept_with_the_move_it_came_with(store):
    await store.submit([new_job(1)])
    w1 = await open_worker(store)
    await w1.grant(1)
    await w1.accept(1)
    figures = Figures(
        ffmpeg_version="9.0",
        argv=("ffmpeg", "é \0"),
        cpu=timedelta(seconds=1.5),
        outputs=(OutputFigures(path="m:a", media=MEDIA, ratio=0.5),),
    )
    rule = partial(rules.stage, holder=w1.holder, fence=1, manifest=manifest(1), now=at(1000))
    change = Change(job_id(1), rule, w1.session, figures=figures)
    first, again = await store.change([change, change])
    assert isinstance(again, Moved)
    assert again.before is again.after == first.after
    kept = [event.figures for event in await store.events(job_id(1))]
    assert kept == [None, None, None, figures]


async def test_a_peer_that_sends_nul_harms_nobody(store):
    await store.submit([new_job(1), new_job(2)])
    w1 = await open_worker(store)
    await asyncio.gather(w1.grant(1), w1.grant(2))
    rejected, accepted = await asyncio.gather(
        w1.do(rules.reject, 1, fence=1, why="no\0disk"), w1.accept(2)
    )
    assert isinstance(rejected, Moved)
    assert isinstance(accepted, Moved)
    assert (await store.get(job_id(1))).job.detail in {
        "no\0disk",
        "no\N{REPLACEMENT CHARACTER}disk",
    }
    failure = Failure(reason=Reason.FFMPEG_FAILED, message="a\0b", log_tail=("\0",))
    await w1.do(rules.fail, 2, fence=1, failure=failure, chance=0.0)
    assert (await store.get(job_id(2))).job.failure == failure


async def test_a_stale_fence_changes_nothing(store):
    await store.submit([new_job(1)])
    w1 = await open_worker(store)
    await w1.grant(1)
    await w1.do(rules.reject, 1, fence=1, why="no")
    again = await w1.do(rules.grant, 1, now=at(1010))
    before = await store.get(job_id(1))
    assert isinstance(again, Moved)
    for rule in (w1.accept, w1.stage, w1.publish):
        assert isinstance(await rule(1, fence=1), Stale)
    assert await store.get(job_id(1)) == before


async def test_a_stale_epoch_changes_nothing(store):
    await store.submit([new_job(1)])
    old = await open_worker(store)
    await old.grant(1)
    new = await open_worker(store)
    outcome = await old.accept(1)
    assert isinstance(outcome, StaleEpoch)
    assert str(new.session.epoch) in str(outcome)
    assert (await store.get(job_id(1))).job.state is JobState.LEASED
    assert isinstance(await new.accept(1), Moved)


async def test_a_stream_that_is_superseded_in_the_same_commit_changes_nothing(store):
    await store.submit([new_job(number) for number in range(1, 30)])
    old = await open_worker(store)
    for number in range(1, 30):
        await old.grant(number)
    tries = [old.accept(number) for number in range(1, 15)]
    later = [old.accept(number) for number in range(15, 30)]
    outcomes = await asyncio.gather(*tries, open_worker(store), *later)
    refused = [isinstance(outcome, StaleEpoch) for outcome in outcomes]
    assert refused[15:] == [True] * 15
    assert not any(refused[:14])


async def test_a_session_nobody_opened_is_stale(store):
    await store.submit([new_job(1)])
    rule = partial(rules.cancel, actor="x", now=at(1))
    [outcome] = await store.change([Change(job_id(1), rule, SessionKey("ghost", 1))])
    assert isinstance(outcome, StaleEpoch)


async def test_each_change_has_its_own_outcome_and_sees_those_before(store):
    await store.submit([new_job(1), new_job(2)])
    w1 = await open_worker(store)
    w2 = await open_worker(store, "w2")
    grant = partial(rules.grant, holder=w1.holder, now=at(1000))
    accept = partial(rules.accept, holder=w1.holder, fence=1, now=at(1001))
    by_other = partial(rules.accept, holder=w2.holder, fence=1, now=at(1001))
    outcomes = await store.change(
        [
            Change(job_id(1), grant, w1.session),
            Change(job_id(9), grant, w1.session),
            Change(job_id(1), by_other, w2.session),
            Change(job_id(1), accept, w1.session),
            Change(job_id(1), accept, w1.session),
            Change(job_id(2), accept, w1.session),
        ]
    )
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds[:2] == [Moved, JobNotFound]
    assert issubclass(kinds[2], Stale)
    assert kinds[3:5] == [Moved, Moved]
    assert isinstance(outcomes[5], DomainError)
    assert outcomes[4].before is outcomes[4].after
    assert len(await store.events(job_id(1))) == 3
    assert await store.change([]) == []


async def test_cancel_sticks(store):
    await store.submit([new_job(1)])
    w1 = await open_worker(store)
    await w1.grant(1)
    await cancel(store, 1)
    for rule in (w1.accept, w1.stage, w1.publish):
        assert isinstance(await rule(1), DomainError)
    assert isinstance(await w1.grant(1), IllegalTransition)
    assert (await store.get(job_id(1))).job.state is JobState.CANCELLED


async def test_changes_at_once_share_commits(store):
    await store.submit([new_job(number) for number in range(1, 301)])
    w1 = await open_worker(store)
    before = store.commits
    await asyncio.gather(*(w1.grant(number) for number in range(1, 301)))
    assert store.commits - before < 30
    assert len(await store.held_by("w1")) == 300


async def test_replaying_the_events_gives_the_job_table(store):
    """I16, for what an event tells; over lives taken at random, many at once."""
    numbers = range(1, 61)
    await store.submit([new_job(number) for number in numbers])
    workers = [await open_worker(store, f"w{number}") for number in range(3)]
    chance = random.Random(1)

    async def live(number: int) -> None:
        for _ in range(chance.randrange(1, 12)):
            worker = chance.choice(workers)
            fence = (await store.get(job_id(number))).job.fence
            match chance.randrange(6):
                case 0 | 1:
                    await worker.grant(number)
                case 2:
                    await worker.accept(number, fence)
                case 3:
                    await worker.stage(number, fence)
                case 4:
                    await worker.publish(number, fence)
                case 5:
                    await worker.do(rules.reject, number, fence=fence, why="no")

    await asyncio.gather(*(live(number) for number in numbers))
    for number in numbers:
        job = (await store.get(job_id(number))).job
        events = await store.events(job_id(number))
        assert [event.number for event in events] == list(range(1, job.version + 1))
        last = events[-1]
        assert (last.state, last.fence, last.charged, last.actor, last.cause, last.event_at) == (
            job.state,
            job.fence,
            job.charged,
            job.actor,
            job.cause,
            job.changed_at,
        )
        fences = [event.fence for event in events]
        assert fences == sorted(fences)
        grants = sum(event.cause.value == "granted" for event in events)
        assert grants == job.fence


async def test_an_operation_that_could_not_begin_in_time_was_never_done(open_store, stranger):
    async with open_store(patience=0.3) as store:
        await store.submit([new_job(1)])
        async with stranger():
            first = asyncio.gather(store.submit([new_job(2)]), return_exceptions=True)
            async with asyncio.timeout(5):
                while not any(pool.used or pool.waiting for pool in store.pools()):
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)  # on PostgreSQL it has begun now, and waits for a lock
            with pytest.raises(StoreBusy, match="nothing was changed"):
                await store.submit([new_job(3)])
        [outcome] = await first
        found = await store.find(JobFilter(), size=9, after=None)
        numbers = {int(record.job.job_id) for record in found}
        assert numbers == ({1} if isinstance(outcome, Unavailable) else {1, 2})
        await store.submit([new_job(4)])


async def test_a_caller_that_goes_away_leaves_no_half(store):
    await store.submit([new_job(1)])
    submits = [asyncio.ensure_future(store.submit([new_job(n)])) for n in range(2, 40)]
    await asyncio.sleep(0)
    for submit in submits[::2]:
        submit.cancel()
    await asyncio.gather(*submits, return_exceptions=True)
    for record in await store.find(JobFilter(), size=99, after=None):
        assert len(await store.events(record.job.job_id)) == 1
    assert len(await store.find(JobFilter(), size=99, after=None)) >= 20


async def test_pages_go_from_new_to_old_without_gaps(store):
    await store.submit([new_job(number) for number in range(1, 8)])
    await cancel(store, 3)
    w1 = await open_worker(store)
    await claim(store, w1, 2)
    seen, after = [], None
    while page := await store.find(JobFilter(), size=3, after=after):
        seen += [int(record.job.job_id) for record in page]
        after = PageKey(page[-1].job.submit_at, page[-1].job.job_id)
    assert seen == [7, 6, 5, 4, 3, 2, 1]

    async def found(**wanted) -> list[int]:
        records = await store.find(JobFilter(**wanted), size=9, after=None)
        return [int(record.job.job_id) for record in records]

    assert await found(states=frozenset({JobState.CANCELLED})) == [3]
    assert await found(worker="w1") == [2, 1]
    assert await found(submitted_after=at(5), submitted_before=at(7)) == [6, 5]
    assert await found(states=frozenset({JobState.QUEUED}), submitted_before=at(6)) == [5, 4]
