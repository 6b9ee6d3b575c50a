"""What operators ask of the store, and what masters tell each other through it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ffrtmp.domain import job as rules
from ffrtmp.domain import standing
from ffrtmp.domain.evidence import Evidence
from ffrtmp.domain.job import Job, JobState
from ffrtmp.domain.judgement import Breach, Judgement, Verdict
from ffrtmp.domain.spec import Purpose, Queue
from ffrtmp.domain.standing import Standing
from ffrtmp.store.records import (
    Backlog,
    Change,
    MasterRecord,
    MasterReport,
    QueueDepth,
    ServedWorker,
)
from tests.integration.store.conftest import (
    CLASS,
    NOON,
    at,
    cancel,
    claim,
    job_id,
    new_job,
    open_worker,
)


async def test_jobs_are_counted_by_state(store):
    assert await store.count_jobs() == {}
    await store.submit([new_job(number) for number in range(5)])
    await claim(store, await open_worker(store), 2)
    await cancel(store, 4)
    assert await store.count_jobs() == {
        JobState.QUEUED: 2,
        JobState.LEASED: 2,
        JobState.CANCELLED: 1,
    }


async def test_the_backlog_is_told_by_queue_class_and_state(store):
    await store.submit([new_job(number) for number in range(4)])
    await store.submit([new_job(9, job_class="other")])
    await claim(store, await open_worker(store), 1)
    await cancel(store, 3)
    found = await store.backlog(at(5))

    def of(job_class: str, state: JobState) -> Backlog:
        [one] = [each for each in found if (each.job_class, each.state) == (job_class, state)]
        return one

    assert len(found) == 3
    assert all(each.queue is Queue.DEFAULT for each in found)
    waiting = of(CLASS, JobState.QUEUED)
    assert (waiting.jobs, waiting.is_later, waiting.eligible_at) == (2, False, at(1))
    assert of(CLASS, JobState.LEASED).jobs == 1
    later = of("other", JobState.QUEUED)
    assert (later.jobs, later.is_later, later.eligible_at) == (1, True, at(9))


async def test_queued_jobs_are_counted_by_queue(store):
    assert await store.depths() == []
    await store.submit([new_job(number) for number in range(3)])
    await store.submit([new_job(number, queue=Queue.BATCH) for number in (7, 8)])
    await claim(store, await open_worker(store), 1)
    assert sorted(await store.depths(), key=lambda depth: depth.queue) == [
        QueueDepth(queue=Queue.BATCH, jobs=2, eligible_at=at(7)),
        QueueDepth(queue=Queue.DEFAULT, jobs=2, eligible_at=at(1)),
    ]


async def test_what_was_judged_is_counted_and_read_as_it_was_written(store):
    both = (Breach.QUEUE_WAIT, Breach.PLATFORM_FAILURE)
    verdicts = [
        Judgement(Verdict.MET),
        Judgement(Verdict.WITHDRAWN),
        Judgement(Verdict.MISSED, both),
        Judgement(Verdict.MISSED, both),
    ]
    await store.submit([new_job(n, queue=Queue.BATCH, purpose=Purpose.BENCHMARK) for n in range(5)])
    evidence = Evidence(queue_wait=timedelta(microseconds=7), failures=2, failed_fence=3)
    for number, sla in enumerate(verdicts):

        def rule(job: Job, sla: Judgement = sla, number: int = number) -> Job:
            ended = rules.cancel(job, actor="client/c", now=at(100 + number))
            return replace(ended, sla=sla, evidence=evidence)

        await store.change([Change(job_id(number), rule)])
        job = (await store.get(job_id(number))).job
        assert (job.sla, job.evidence, job.purpose) == (sla, evidence, Purpose.BENCHMARK)
    found = {each.sla: each for each in await store.judged(at(101))}
    assert {sla: each.jobs for sla, each in found.items()} == {verdicts[1]: 1, verdicts[2]: 2}
    assert {(each.queue, each.purpose, each.state) for each in found.values()} == {
        (Queue.BATCH, Purpose.BENCHMARK, JobState.CANCELLED)
    }


async def test_a_store_knows_its_kind_schema_and_size(store, store_address):
    facts = await store.facts()
    assert facts.kind == store_address.partition(":")[0].replace("postgres:", "postgresql")
    assert facts.schema >= 4
    assert facts.size > 4096


async def test_only_standings_that_matter_are_told(store):
    for name in ("w1", "w2", "w3"):
        await open_worker(store, name)
    await store.change_standing("w1", standing.drain)
    await store.change_standing("w2", standing.drain)
    await store.change_standing("w2", standing.resume)
    assert await store.standings() == {"w1": Standing(draining=True)}


def record(run: str, seconds: float, *, slots: int = 2) -> MasterRecord:
    worker = ServedWorker(state="connected", slots=slots, free_slots=1)
    report = MasterReport(
        name="m1", address="h:1", version="1", started_at=NOON, workers={"w1": worker}
    )
    return MasterRecord(run=run, seen_at=at(seconds), report=report)


async def test_masters_know_of_each_other_by_what_they_said_last(store):
    await store.note_master(record("b", 1))
    await store.note_master(record("a", 2))
    await store.note_master(record("b", 3, slots=4))
    assert await store.masters() == [record("a", 2), record("b", 3, slots=4)]
    await store.forget_master("a")
    assert [each.run for each in await store.masters()] == ["b"]


@pytest.mark.parametrize(("later", "known"), [(0.9, ["b", "old"]), (1.1, ["b"])])
async def test_a_master_that_was_not_heard_for_a_day_is_forgotten(store, later, known):
    await store.note_master(record("old", 0))
    await store.note_master(record("b", timedelta(days=later).total_seconds()))
    assert [each.run for each in await store.masters()] == known
