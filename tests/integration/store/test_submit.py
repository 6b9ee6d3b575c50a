"""Submitting: all or none, once a key, one live job a target."""

import asyncio
from dataclasses import replace

import pytest

from ffrtmp.domain.errors import IdempotencyMismatch, InvalidSpec, JobNotFound, TargetTaken
from ffrtmp.domain.job import JobState
from ffrtmp.store.records import JobFilter, JobRecord
from tests.integration.store.conftest import (
    CLASS,
    cancel,
    claim,
    job_id,
    new_job,
    open_worker,
    renamed,
)


async def test_what_was_submitted_is_there_with_its_first_event(store):
    new = new_job(1)
    assert await store.submit([new]) == [new.job]
    assert await store.get(job_id(1)) == JobRecord(new.job, new.spec)
    [event] = await store.events(job_id(1))
    assert (event.number, event.state, event.actor) == (1, JobState.QUEUED, "client/c")
    assert await store.classes() == {CLASS: new.requirements}


async def test_an_unknown_job_is_not_found(store):
    for strange in (job_id(9), "", "a\0b", "'; DROP TABLE jobs; --", "\N{PILE OF POO}"):
        with pytest.raises(JobNotFound):
            await store.get(strange)
        assert await store.events(strange) == []
        assert await store.get_many([strange]) == {}
    assert await store.get_many([]) == {}


async def test_the_same_key_and_body_is_the_same_job(store):
    new = new_job(1)
    await store.submit([new])
    again = await store.submit([renamed(new, 2), new_job(3)])
    assert [job.job_id for job in again] == [job_id(1), job_id(3)]
    assert len(await store.find(JobFilter(), size=9, after=None)) == 2


async def test_a_known_job_is_returned_as_it_is_now(store):
    new = new_job(1)
    await store.submit([new])
    await cancel(store, 1)
    [job] = await store.submit([renamed(new, 2)])
    assert (job.job_id, job.state) == (job_id(1), JobState.CANCELLED)


async def test_what_is_objected_to_a_job_is_told_once_it_is_new_only(store):
    new = new_job(1)
    objection = InvalidSpec("input.path", "m:a", "no worker has this root")
    with pytest.raises(InvalidSpec):
        await store.submit([new_job(2), replace(new, objection=objection)])
    assert await store.find(JobFilter(), size=9, after=None) == []
    await store.submit([new])
    [job] = await store.submit([replace(renamed(new, 3), objection=objection)])
    assert job.job_id == job_id(1), "a submit that is sent again gets its first answer"


async def test_the_same_key_with_another_body_is_refused_and_adds_nothing(store):
    await store.submit([new_job(1, key="k")])
    with pytest.raises(IdempotencyMismatch, match=job_id(1)):
        await store.submit([new_job(2), new_job(3, key="k", digest="other")])
    with pytest.raises(IdempotencyMismatch):
        await store.submit([new_job(4, key="n"), new_job(5, key="n", digest="other")])
    assert [r.job.job_id for r in await store.find(JobFilter(), size=9, after=None)] == [job_id(1)]


async def test_keys_are_told_apart_by_submitter(store):
    await store.submit([new_job(1, key="k")])
    [other] = await store.submit([new_job(2, key="k", digest="other", actor="client/d")])
    assert other.job_id == job_id(2)


async def test_a_key_twice_in_a_batch_makes_one_job(store):
    jobs = await store.submit([new_job(1, key="k"), new_job(2, key="k", target="1.mp4")])
    assert [job.job_id for job in jobs] == [job_id(1), job_id(1)]


async def test_a_target_belongs_to_one_live_job(store):
    await store.submit([new_job(1, target="t.mp4")])
    with pytest.raises(TargetTaken, match=job_id(1)):
        await store.submit([new_job(2), new_job(3, target="t.mp4")])
    with pytest.raises(TargetTaken):
        await store.submit([new_job(4, target="u.mp4"), new_job(5, target="u.mp4")])
    await cancel(store, 1)
    await store.submit([new_job(6, target="t.mp4")])


async def test_no_file_is_made_where_another_job_needs_a_folder(store):
    await store.submit([new_job(1, target="a/b"), new_job(2, target="c/d/e.mp4")])
    for number, target, owned in (
        (3, "a/b/c.mp4", "m:a/b"),
        (4, "a/b/c/d/e.mp4", "m:a/b"),
        (5, "c/d", "m:c/d/e.mp4"),
        (6, "c", "m:c/d/e.mp4"),
    ):
        with pytest.raises(TargetTaken, match=f"target m:{target} cannot be made beside {owned} "):
            await store.submit([new_job(number, target=target)])
    for pair in (("x/y", "x/y/z"), ("x/y/z", "x/y")):  # in one call
        with pytest.raises(TargetTaken, match="cannot be made beside m:x/y"):
            await store.submit([new_job(7, target=pair[0]), new_job(8, target=pair[1])])
    beside = ("a/bc", "a/b.mp4", "a/b0/c", "a/b-/c", "c/d/f.mp4", "c/d0", "x/y")
    await store.submit([new_job(10 + n, target=target) for n, target in enumerate(beside)])
    await cancel(store, 1)
    await store.submit([new_job(20, target="a/b/c.mp4")])


async def test_submits_at_once_of_a_file_and_what_lies_below_it_leave_one(store):
    async def submit(number: int):
        try:
            return await store.submit([new_job(number, target="f" + "/g" * number)])
        except TargetTaken:
            return []

    added = await asyncio.gather(*(submit(number) for number in range(20)))
    assert sum(map(bool, added)) == 1


async def test_submits_at_once_share_commits_and_refuse_only_the_wrong_ones(store):
    before = store.commits

    async def submit(number: int):
        target = "same.mp4" if number % 10 == 0 else ""
        try:
            return await store.submit([new_job(number, target=target)])
        except TargetTaken:
            return []

    added = await asyncio.gather(*(submit(number) for number in range(1, 201)))
    assert sum(map(bool, added)) == 181
    assert len(await store.find(JobFilter(), size=500, after=None)) == 181
    assert store.commits - before < 50


async def test_letters_of_every_kind_come_back(store):
    new = new_job(1, target="näme 'x' \"y\" \\ {é}.mp4", key='k"ey\\')
    await store.submit([new])
    assert (await store.get(job_id(1))).spec == new.spec
    assert (await store.submit([renamed(new, 2)]))[0].job_id == job_id(1)


async def test_classes_are_those_of_jobs_that_have_not_ended(store):
    await store.submit([new_job(1), new_job(2, job_class="other")])
    await cancel(store, 2)
    assert set(await store.classes()) == {CLASS}
    w1 = await open_worker(store)
    await claim(store, w1, 1)
    assert set(await store.classes()) == {CLASS}
    await cancel(store, 1)
    assert await store.classes() == {}
