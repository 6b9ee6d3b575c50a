"""Progress of a job, seen through the master that has its worker and through another one."""

import asyncio
from datetime import timedelta

import pytest

from ffrtmp.domain.job import Failure
from ffrtmp.domain.messages import Failed, HeartbeatAck, Progress, ProgressReport, ResultAck
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.session import AttemptKey, Phase
from ffrtmp.domain.timers import Timers
from ffrtmp.master.master import Master
from ffrtmp.master.progress import ProgressKeeper
from ffrtmp.store.postgres import PostgresStore
from tests.integration.test_logs import one_running
from tests.integration.test_master_core import cluster, running

STOPPED = Failure(reason=Reason.STOPPED, message="drained")
UNHURRIED = Timers()
"""The worker speaks only when the test does."""
pytestmark = pytest.mark.postgres


def far(key: AttemptKey, seconds: int) -> Progress:
    return Progress(key=key, phase=Phase.ENCODE, position=timedelta(seconds=seconds))


async def tell(master: Master, worker, progress: Progress) -> None:
    """The worker says it, and its master stores it, as it does every few seconds."""
    worker.say(ProgressReport((progress,)))
    worker.beat(running(progress.key))
    await worker.hear(HeartbeatAck)
    await ProgressKeeper(master._parts).keep()


async def test_progress_is_seen_through_another_master(postgres):
    def open_it(**options):
        return PostgresStore.open(postgres, **options)

    async with (
        one_running(open_it, UNHURRIED) as (here, _, w1, key),
        cluster(open_it, timers=UNHURRIED) as (there, _),
    ):
        assert (await there.get(key.job_id)).progress is None
        await tell(here, w1, far(key, 1))
        assert (await there.get(key.job_id)).progress == far(key, 1)
        watching = there.watch(key.job_id, after=3)
        async with asyncio.timeout(30):
            assert (await anext(watching)).progress == far(key, 1)
            await tell(here, w1, far(key, 2))
            assert (await anext(watching)).progress == far(key, 2)


async def test_progress_of_an_attempt_that_is_over_is_nobodys(postgres):
    def open_it(**options):
        return PostgresStore.open(postgres, **options)

    async with (
        one_running(open_it, UNHURRIED) as (here, _, w1, key),
        cluster(open_it, timers=UNHURRIED) as (there, _),
    ):
        await tell(here, w1, far(key, 1))
        w1.say(Failed(key, STOPPED))
        await w1.hear(ResultAck)
        again = await w1.accept()
        assert (again.fence, (await there.get(key.job_id)).progress) == (2, None)
        await tell(here, w1, far(again, 5))
        assert (await there.get(key.job_id)).progress == far(again, 5)
