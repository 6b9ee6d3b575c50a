"""Finished jobs go after their time or beyond their number, in small batches; the others stay."""

from datetime import UTC, datetime, timedelta

import pytest

from ffrtmp.domain.errors import JobNotFound
from ffrtmp.domain.facts import JobsForgotten
from ffrtmp.domain.retention import Retention
from ffrtmp.master.janitor import BATCH, Janitor
from ffrtmp.store.records import JobFilter
from tests.integration.test_master_core import cluster, submitted

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("kept", "beyond", "ended_by"),
    [
        (Retention(), None, None),
        (Retention(age=HOUR), None, NOON - HOUR),
        (Retention(age=timedelta(days=999_999)), None, None),
        (Retention(count=5), None, None),
        (Retention(count=5), NOON - 2 * HOUR, NOON - 2 * HOUR),
        (Retention(age=HOUR, count=5), NOON - 2 * HOUR, NOON - HOUR),
        (Retention(age=3 * HOUR, count=5), NOON - 2 * HOUR, NOON - 2 * HOUR),
    ],
)
def test_who_is_older_than_either_bound_goes(kept, beyond, ended_by):
    assert kept.ended_by(NOON, beyond) == ended_by


async def test_all_but_the_newest_go_and_what_has_not_ended_stays(open_store):
    facts = []
    async with cluster(open_store, facts) as (master, _):
        ids = [await submitted(master, f"{number}.mp4") for number in range(BATCH + 12)]
        for job_id in ids[:-1]:
            await master.cancel(job_id, actor="client/c")
        janitor = Janitor(master._parts, Retention(age=HOUR, count=5))
        for _ in range(2):
            await janitor.clean()
        left, _ = await master.find(JobFilter(), size=50, page_token="")
        assert [record.job.job_id for record in left] == ids[:-7:-1]
        assert [fact for fact in facts if isinstance(fact, JobsForgotten)] == [
            JobsForgotten(BATCH + 6)
        ]
        with pytest.raises(JobNotFound):
            await master.get(ids[0])


async def test_a_master_that_keeps_everything_deletes_nothing(open_store):
    async with cluster(open_store) as (master, _):
        job_id = await submitted(master)
        await master.cancel(job_id, actor="client/c")
        await Janitor(master._parts, Retention()).run()
        assert (await master.get(job_id)).record.job.job_id == job_id
