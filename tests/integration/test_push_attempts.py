"""A live push as the worker's attempts keep it: one result, the lease, the journal."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from ffrtmp.clock import boot_seconds
from ffrtmp.domain.messages import (
    Event,
    Failed,
    Offer,
    OfferReply,
    Published,
    ResultAck,
    ResultOutcome,
    ResultStep,
)
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.session import AttemptKey
from ffrtmp.domain.spec import Input, JobSpec, Output, TestSource
from ffrtmp.ffmpeg.presets import expand
from ffrtmp.sim.ledger import Ledger
from ffrtmp.sim.runner import SimRunner
from ffrtmp.worker.attempts import Attempts
from ffrtmp.worker.journal import Journal

SECRET = "s3cret-Key_42"
KEY = AttemptKey("JOB", 1)


def live(seconds: float) -> JobSpec:
    source = Input(test_source=TestSource(duration=timedelta(seconds=seconds)))
    return expand(JobSpec(input=source, outputs=(Output(url=f"rtmp://h/live/{SECRET}"),)))


class Desk:
    """Attempts with a lease, and what they say."""

    def __init__(self, attempts: Attempts, folder: Path) -> None:
        self.attempts = attempts
        self.folder = folder
        self.said: list[Event] = []
        self.hurries = 0
        attempts.say = self._hear
        attempts.may_publish = lambda: True
        attempts.hurry = self._hurry
        attempts.lease.move(boot_seconds() + 60)

    def _hear(self, event: Event) -> None:
        self.said.append(event)
        if event == OfferReply(KEY):  # as a master does, when that is committed
            asyncio.get_running_loop().call_soon(self.attempts.begin, KEY)

    def _hurry(self) -> None:
        self.hurries += 1

    def journal(self) -> list[str]:
        return [path.read_text() for path in self.folder.glob("*.json")]


@asynccontextmanager
async def desk(folder: Path) -> AsyncIterator[Desk]:
    with Journal.open(folder) as journal, Ledger.open(folder / "ledger.jsonl") as ledger:
        runner = SimRunner("w1", ledger, pace=1)
        async with asyncio.timeout(20), Attempts.running(runner, journal, slots=1) as attempts:
            yield Desk(attempts, folder)


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


def acknowledged(step: ResultStep) -> ResultAck:
    return ResultAck(KEY, step, ResultOutcome.COMMITTED)


async def test_a_push_that_was_sent_to_its_end_is_published_and_done(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        at.attempts.offer(Offer(key=KEY, spec=live(0.1)))
        assert at.attempts.pushes
        await until(lambda: len(at.said) == 2)
        assert at.said == [OfferReply(KEY), Published(KEY)]
        assert not at.attempts.pushes
        [report] = at.attempts.reports
        assert report.journalled
        at.attempts.acknowledge(acknowledged(ResultStep.PUBLISHED))
        assert at.attempts.reports == ()
        assert at.journal() == []


async def test_the_result_outlives_the_worker_and_the_key_is_not_written(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        at.attempts.offer(Offer(key=KEY, spec=live(0.1)))
        await until(lambda: len(at.said) == 2)
        [text] = at.journal()
        assert SECRET not in text
        assert "rtmp://h/live/***" in text
    async with desk(tmp_path) as at:
        at.attempts.say_all_results()
        assert at.said == [Published(KEY)]


async def test_a_push_that_was_cut_off_by_its_workers_death_is_forgotten(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.begin(KEY, live(1))
    async with desk(tmp_path) as at:
        assert at.attempts.reports == ()
        assert at.journal() == []


async def test_the_end_of_the_lease_ends_the_push_and_is_no_failure(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        at.attempts.offer(Offer(key=KEY, spec=live(60)))
        await until(lambda: at.attempts.reports and at.attempts.take_progress())
        at.attempts.lease.move(boot_seconds() + 0.05)
        await until(lambda: len(at.said) == 2)
        assert isinstance(at.said[1], Failed)
        assert at.said[1].failure.reason is Reason.STOPPED


async def test_a_push_does_not_begin_without_a_lease(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        at.attempts.may_publish = lambda: False
        at.attempts.offer(Offer(key=KEY, spec=live(60)))
        await until(lambda: len(at.said) == 2)
        assert isinstance(at.said[1], Failed)
        assert at.said[1].failure.reason is Reason.STOPPED
    assert "began" not in (tmp_path / "ledger.jsonl").read_text()


async def test_a_stopped_push_is_listed_until_it_is_gone_and_that_is_told_at_once(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path) as at:
        at.attempts.offer(Offer(key=KEY, spec=live(60)))
        await until(at.attempts.take_progress)
        at.attempts.stop(KEY)
        assert [report.key for report in at.attempts.reports] == [KEY]
        assert at.hurries == 0
        await until(lambda: at.attempts.reports == ())
        assert at.hurries == 1
        assert at.said == [OfferReply(KEY)]
