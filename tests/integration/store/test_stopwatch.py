"""A store tells how long its statements take, each by a name of the code, and how much goes into a
transaction."""

import asyncio

from ffrtmp.domain.facts import GroupCommitted, StatementTook
from ffrtmp.store.records import JobFilter
from ffrtmp.store.stopwatch import OTHER
from tests.integration.store.conftest import at, cancel, claim, job_id, new_job, open_worker


async def test_every_statement_has_the_name_of_its_query(open_store):
    facts: list[object] = []
    async with open_store(observe=facts.append) as store:
        await store.submit([new_job(1), new_job(2)])
        worker = await open_worker(store)
        await claim(store, worker, 1)
        await worker.accept(1)
        await cancel(store, 2)
        await store.find(JobFilter(worker="w1"), size=5, after=None)
        await store.renew([worker.session])
        await store.renewals()
        await store.orphans(5)
        await store.depths()
        await store.forget(at(9000), 5)
        await store.facts()
    told = [fact for fact in facts if isinstance(fact, StatementTook)]
    names = {fact.name for fact in told}
    assert {"commit", "claimable", "find", "insert_jobs", "update_jobs", "depths"} <= names
    assert {"forget", "facts", "orphans"} <= names
    assert OTHER not in names
    assert all(fact.seconds >= 0 for fact in told)


async def test_what_is_committed_together_is_told_as_one_group(open_store):
    groups: list[int] = []

    def note(fact: object) -> None:
        if isinstance(fact, GroupCommitted):
            groups.append(fact.operations)

    async with open_store(observe=note) as store:
        await asyncio.gather(*(store.submit([new_job(number)]) for number in range(40)))
        assert (await store.get(job_id(39))).job.job_id == job_id(39)
        assert sum(groups) == store.operations == 40
        assert len(groups) == store.commits < 40
