"""What FFmpeg writes, from the worker's ring over the stream into the store, and to its readers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ffrtmp.domain.errors import JobNotFound
from ffrtmp.domain.job import Failure, JobState
from ffrtmp.domain.log import AttemptLog, Lines, LogPlace
from ffrtmp.domain.messages import (
    Failed,
    HeartbeatAck,
    LogPart,
    LogReport,
    ResultAck,
    Staged,
    Welcome,
)
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.session import AttemptKey
from ffrtmp.domain.timers import Timers
from ffrtmp.master.logs import ATTEMPTS, LogKeeper, Logs
from ffrtmp.master.master import Master
from ffrtmp.store.postgres import PostgresStore
from tests.integration.test_master_core import FAST, cluster, manifest, running, submitted, until
from tests.integration.test_standing import Quick, real_worker

BROKE = Failure(reason=Reason.FFMPEG_FAILED, message="no")
STOPPED = Failure(reason=Reason.STOPPED, message="drained")


def wrote(key: AttemptKey, *texts: str, first: int = 1) -> LogReport:
    return LogReport((LogPart(key, Lines(first, texts)),))


async def read(master: Master, job_id: str, after: LogPlace | None = None) -> list[AttemptLog]:
    return [log async for log in master.log(job_id, after or LogPlace(), follow=False)]


async def texts(master: Master, job_id: str) -> list[str]:
    return [text for log in await read(master, job_id) for text in log.lines.texts]


@asynccontextmanager
async def one_running(open_store, timers: Timers = FAST) -> AsyncIterator[tuple]:
    async with cluster(open_store, timers=timers) as (master, worker):
        job_id = await submitted(master)
        w1 = worker()
        w1.hello()
        key = await w1.accept()
        await until(master, job_id, JobState.RUNNING)
        yield master, worker, w1, key


async def heard(worker) -> None:
    """All that was said before is taken."""
    worker.beat()
    await worker.hear(HeartbeatAck)


async def test_a_running_attempts_lines_are_read_and_a_failed_ones_are_kept(open_store):
    async with one_running(open_store) as (master, _, w1, key):
        w1.say(wrote(key, "a", "b"))
        w1.say(wrote(key, "b", "c", first=2))
        async with asyncio.timeout(5):
            while await texts(master, key.job_id) != ["a", "b", "c"]:
                await asyncio.sleep(0.01)
        w1.say(wrote(key, "d", first=4), Failed(key, BROKE))
        await w1.hear(ResultAck)
        assert master._parts.logs.of(key.job_id) is None
    async with cluster(open_store) as (master, _):
        [log] = await read(master, key.job_id)
        assert log == AttemptLog(key, "w1", Lines(1, ("a", "b", "c", "d")))


async def test_a_reader_goes_on_where_it_was_without_a_gap(open_store):
    async with one_running(open_store) as (master, _, w1, key):
        w1.say(wrote(key, "a", "b", "c"), Failed(key, BROKE))
        await w1.hear(ResultAck)
        [log] = await read(master, key.job_id, LogPlace(1, 2))
        assert (log.lines.first, log.lines.texts) == (3, ("c",))
        assert await read(master, key.job_id, LogPlace(1, 3)) == []
        assert await read(master, key.job_id, LogPlace(2, 0)) == []
        with pytest.raises(JobNotFound):
            await read(master, "nope")


async def test_the_logs_of_many_attempts_are_read_a_few_at_a_time(open_store):
    async with one_running(open_store) as (master, _, w1, key):
        many = [
            AttemptLog(AttemptKey(key.job_id, fence), "w1", Lines(1, (f"{fence}",) * (fence != 9)))
            for fence in range(2, 3 * ATTEMPTS)
        ]
        await master._parts.store.keep_logs(many)
        w1.say(wrote(key, "1"), Failed(key, BROKE))
        await w1.hear(ResultAck)
        numbers = [fence for fence in range(1, 3 * ATTEMPTS) if fence != 9]
        assert await texts(master, key.job_id) == [f"{fence}" for fence in numbers]


async def test_a_follower_sees_every_attempt_to_the_end_of_the_job(open_store):
    async with one_running(open_store) as (master, _, w1, key):
        seen: list[tuple[int, str]] = []

        async def follow() -> None:
            async for log in master.log(key.job_id, LogPlace(), follow=True):
                seen.extend((log.key.fence, text) for text in log.lines.texts)

        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            following = tasks.create_task(follow())
            w1.say(wrote(key, "a"))
            while not seen:
                await asyncio.sleep(0.01)
            w1.say(wrote(key, "b", first=2), Failed(key, STOPPED))
            again = await w1.accept()
            w1.say(wrote(again, "again"), Failed(again, BROKE))
            await following
        assert seen == [(1, "a"), (1, "b"), (2, "again")]


async def test_lines_of_an_attempt_that_is_not_the_workers_are_nobodys(open_store):
    async with one_running(open_store) as (master, worker, w1, key):
        w2 = worker("w2")
        w2.hello(slots=0)
        await w2.hear(Welcome)
        w2.say(wrote(key, "mine!"))
        await heard(w2)
        w1.say(wrote(AttemptKey(key.job_id, 2), "of the future"))
        w1.beat(running(key))
        await w1.hear(HeartbeatAck)
        assert await texts(master, key.job_id) == []


async def test_what_is_stored_at_staged_is_not_written_again_at_published(open_store):
    async with one_running(open_store) as (master, _, w1, key):
        w1.say(wrote(key, "a"), Staged(key, manifest(1)))
        await w1.hear(ResultAck)
        assert master._parts.logs.unsaved(key.job_id) is None
        assert await master._parts.store.logs(key.job_id, fence=0, limit=9) == [
            AttemptLog(key, "w1", Lines(1, ("a",)))
        ]
        w1.say(wrote(key, "a", "b"))
        w1.beat(running(key))
        await w1.hear(HeartbeatAck)
        assert master._parts.logs.unsaved(key.job_id) is not None


@pytest.mark.postgres
async def test_a_log_is_followed_through_another_master(postgres):
    def open_it(**options):
        return PostgresStore.open(postgres, **options)

    async with one_running(open_it) as (here, _, w1, key), cluster(open_it) as (there, _):
        w1.say(wrote(key, "a"))
        w1.beat(running(key))
        await w1.hear(HeartbeatAck)
        await LogKeeper(here._parts.logs, here._parts.store).keep()
        following = there.log(key.job_id, LogPlace(), follow=True)
        assert (await anext(following)).lines == Lines(1, ("a",))
        w1.say(wrote(key, "b", first=2), Failed(key, BROKE))
        await w1.hear(ResultAck)
        assert [log.lines async for log in following] == [Lines(2, ("b",))]


def part(number: int, size: int, first: int = 1) -> AttemptLog:
    return AttemptLog(AttemptKey(f"J{number}", 1), "w1", Lines(first, ("x" * size,)))


def test_memory_is_bounded_and_who_writes_least_lately_gives_way():
    logs = Logs(most=100)
    for number in range(4):
        logs.note(part(number, 30))
    assert [logs.of(f"J{number}") is None for number in range(4)] == [True, False, False, False]
    logs.note(part(1, 5, first=2))
    logs.note(part(4, 30))
    assert [logs.of(f"J{number}") is None for number in range(5)] == [
        True,
        False,
        True,
        False,
        False,
    ]
    assert len(logs.all_unsaved()) == 3


def test_what_is_written_while_it_is_stored_is_not_taken_for_stored():
    logs = Logs()
    logs.note(part(1, 1))
    [stored] = logs.all_unsaved()
    logs.note(part(1, 1, first=2))
    logs.saved(stored)
    [left] = logs.all_unsaved()
    logs.saved(left)
    logs.note(part(1, 1, first=2))  # comes twice
    assert logs.all_unsaved() == []


class Writing(Quick):
    """Writes what it is told; its encode ends when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.hear = None

    async def encode(self, key, spec, report, hear):
        self.hear = hear
        hear("begun")
        return await super().encode(key, spec, report, hear)


async def test_a_workers_lines_come_while_it_runs_and_the_last_with_the_result(
    open_store, tmp_path
):
    runner = Writing()
    async with cluster(open_store) as (master, _), real_worker(tmp_path, master, runner):
        job_id = await submitted(master)
        async with asyncio.timeout(10):
            while await texts(master, job_id) != ["begun"]:
                await asyncio.sleep(0.01)
        for number in range(500):
            runner.hear(f"flood {number}")
        runner.hear("ended")
        runner.let_go.set()
        await until(master, job_id, JobState.SUCCEEDED)
        [log] = await read(master, job_id)
        assert (log.lines.first, log.lines.last, log.lines.texts[-1]) == (303, 502, "ended")


async def test_on_a_new_stream_a_worker_says_all_it_still_has(open_store, tmp_path):
    runner = Writing()
    async with cluster(open_store) as (master, _), real_worker(tmp_path, master, runner):
        job_id = await submitted(master)
        async with asyncio.timeout(20):
            while await texts(master, job_id) != ["begun"]:
                await asyncio.sleep(0.01)
            master._parts.logs._drop(job_id)  # as a master that has just started
            master.send_away()
            while await texts(master, job_id) != ["begun"]:
                await asyncio.sleep(0.01)
        runner.let_go.set()
        await until(master, job_id, JobState.SUCCEEDED)
