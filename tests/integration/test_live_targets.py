"""Live pushes in the master and both stores: one a stream, restarts, and who is told the key."""

import pytest

from ffrtmp.domain.errors import IdempotencyMismatch, TargetTaken
from ffrtmp.domain.job import Failure, JobState
from ffrtmp.domain.messages import Failed, Offer
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.spec import Input, JobSpec, Output, Restart, TestSource
from ffrtmp.master.master import Master
from ffrtmp.master.packing import pack_job, pack_view
from ffrtmp.master.views import Submission
from tests.integration.test_master_core import cluster, until

SECRET = "s3cret-Key_42"
URL = f"rtmp://live.example/app/{SECRET}"
FAILED = Failure(reason=Reason.FFMPEG_FAILED, message="refused")


def live(url: str = URL, **settings: object) -> JobSpec:
    source = Input(test_source=TestSource())
    return JobSpec(input=source, outputs=(Output(url=url),), **settings)


async def submitted(master: Master, spec: JobSpec, key: str = "k", digest: str = "d") -> str:
    [record] = await master.submit([Submission(spec, key, digest)], actor="client/c")
    return record.job.job_id


async def test_the_offer_has_the_key_and_no_answer_has_it(open_store):
    async with cluster(open_store) as (master, worker):
        job_id = await submitted(master, live())
        w1 = worker()
        w1.hello()
        offer = await w1.hear(Offer)
        assert offer.spec.outputs[0].url == URL
        view = await master.get(job_id)
        assert view.record.job.exclusive
        for answer in (pack_job(view.record), pack_view(view)):
            assert SECRET not in str(answer)
            assert "rtmp://live.example/app/***" in str(answer)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (URL, f"rtmp://LIVE.example:1935/app/{SECRET}"),
        (f"srt://h:1?streamid={SECRET}", f"srt://h:1?latency=1&streamid={SECRET}"),
    ],
)
async def test_a_stream_belongs_to_one_live_job(open_store, first: str, second: str):
    async with cluster(open_store) as (master, _):
        owner = await submitted(master, live(first))
        assert await submitted(master, live(first)) == owner  # the same submit again
        with pytest.raises(TargetTaken, match=owner) as taken:
            await submitted(master, live(second), key="other")
        assert SECRET not in str(taken.value)
        assert "#" not in str(taken.value)
        with pytest.raises(IdempotencyMismatch) as mismatch:
            await submitted(master, live(second), digest="another")
        assert SECRET not in str(mismatch.value)
        await submitted(master, live(f"{first}x"), key="third")
        await master.cancel(owner, actor="client/c")
        await submitted(master, live(second), key="fourth")


async def test_a_failed_push_with_a_budget_is_started_again_after_a_pause(open_store):
    async with cluster(open_store) as (master, worker):
        job_id = await submitted(master, live(restart=Restart(on_failure=1)))
        w1 = worker()
        w1.hello()
        w1.say(Failed(await w1.accept(), FAILED))
        job = await until(master, job_id, JobState.QUEUED)
        assert (job.charged, job.blocked_by) == (1, None)
        assert job.eligible_at > job.changed_at


async def test_a_failed_push_without_a_budget_has_failed(open_store):
    async with cluster(open_store) as (master, worker):
        job_id = await submitted(master, live())
        w1 = worker()
        w1.hello()
        w1.say(Failed(await w1.accept(), FAILED))
        await until(master, job_id, JobState.FAILED)
