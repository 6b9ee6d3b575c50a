"""A journal that cannot be written ends no worker, and no work that is done is lost by it.

Its folder is taken away: a full disk answers in the same way, and needs no mount.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from ffrtmp.domain.job import FileRecord, Manifest
from ffrtmp.domain.messages import Event, Failed, Offer, OfferReply, Published, ResultAck, Staged
from ffrtmp.domain.messages import ResultOutcome as Outcome
from ffrtmp.domain.messages import ResultStep as Step
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.session import AttemptKey, Verdict, VerdictKind
from ffrtmp.domain.spec import Input, JobSpec, MediaPath, Output, TestSource
from ffrtmp.ffmpeg.presets import expand
from ffrtmp.sim.ledger import Ledger
from ffrtmp.sim.runner import SimRunner
from ffrtmp.worker.attempts import Attempts
from ffrtmp.worker.journal import Journal

KEY = AttemptKey("JOB", 1)


class Desk:
    def __init__(self, attempts: Attempts, journal: Path, ledger: Path) -> None:
        self.attempts = attempts
        self.journal = journal
        self.ledger = ledger
        self.said: list[Event] = []
        self.is_prompt = True
        attempts.say = self._hear
        attempts.may_publish = lambda: True

    def _hear(self, event: Event) -> None:
        self.said.append(event)
        if self.is_prompt and event == OfferReply(KEY):  # as a master does, when it is committed
            asyncio.get_running_loop().call_soon(self.attempts.begin, KEY)

    def did(self, what: str) -> bool:
        return f'"{what}"' in self.ledger.read_text()

    async def says(self, kind: type[Event]) -> Event:
        return await until(lambda: next((e for e in self.said if isinstance(e, kind)), None))

    async def runs(self) -> None:
        self.attempts.offer(Offer(key=KEY, spec=spec()))
        await until(lambda: self.did("began"))

    def fill(self) -> None:
        shutil.rmtree(self.journal)

    def clear(self) -> None:
        self.journal.mkdir()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(tmp_path) as each:
        yield each


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Desk]:
    with Journal.open(folder / "j") as journal, Ledger.open(folder / "ledger") as ledger:
        runner = SimRunner("w1", ledger, pace=1)
        async with asyncio.timeout(20), Attempts.running(runner, journal, slots=1) as attempts:
            yield Desk(attempts, folder / "j", folder / "ledger")


def spec() -> JobSpec:
    source = Input(test_source=TestSource(duration=timedelta(seconds=0.3)))
    return expand(JobSpec(input=source, outputs=(Output(path=MediaPath("sim", "a.mkv")),)))


async def until(condition: Callable[[], object]):
    while not (found := condition()):
        await asyncio.sleep(0.01)
    return found


def acknowledged(step: Step) -> ResultAck:
    return ResultAck(KEY, step, Outcome.COMMITTED)


async def test_an_attempt_that_cannot_be_journalled_is_given_to_another_worker(desk):
    desk.fill()
    desk.attempts.offer(Offer(key=KEY, spec=spec()))
    failed = await desk.says(Failed)
    assert isinstance(desk.said[0], OfferReply)
    assert failed.failure.reason is Reason.RESOURCE
    assert "journal" in failed.failure.message
    assert not desk.did("began")
    desk.attempts.acknowledge(acknowledged(Step.FAILED))
    assert desk.attempts.reports == ()


async def test_what_may_be_published_already_is_not_encoded_anew_for_a_full_disk(desk):
    """A real failure would drop the manifest. Found by simulation: other bytes over the first."""
    desk.fill()
    staged = Manifest((FileRecord("sim:out.mp4", 1, "ab" * 32),), 0)
    desk.attempts.offer(Offer(key=KEY, spec=spec(), publish_only=staged))
    failed = await desk.says(Failed)
    assert failed.failure.reason is Reason.STOPPED
    assert "journal" in failed.failure.message
    assert not desk.did("took over")


async def test_what_is_made_waits_for_room_and_is_then_said(desk, caplog):
    await desk.runs()
    desk.fill()
    await until(lambda: "free some space" in caplog.text)
    assert not [event for event in desk.said if isinstance(event, Staged)]
    assert not desk.attempts.reports[0].journalled
    desk.clear()
    await desk.says(Staged)
    assert list(desk.journal.glob("*.json"))


async def test_what_is_not_wanted_any_more_does_not_wait(desk, caplog):
    await desk.runs()
    desk.fill()
    await until(lambda: "free some space" in caplog.text)
    desk.attempts.stop(KEY)
    await desk.attempts.until_idle()
    assert desk.did("discarded")


async def test_what_is_published_is_said_without_room(desk):
    await desk.runs()
    await desk.says(Staged)
    desk.fill()
    desk.attempts.acknowledge(acknowledged(Step.STAGED))
    await desk.says(Published)
    desk.attempts.acknowledge(acknowledged(Step.PUBLISHED))
    assert desk.attempts.reports == ()


async def test_what_waits_for_room_at_the_end_is_given_back_without_leftovers(desk, caplog):
    await desk.runs()
    desk.fill()
    await until(lambda: "free some space" in caplog.text)
    await desk.attempts.hand_back("the worker was stopped")
    failed = await desk.says(Failed)
    assert failed.failure.reason is Reason.STOPPED
    assert desk.did("discarded")


@pytest.mark.parametrize("by_verdict", [False, True])
async def test_nothing_touches_the_input_before_the_acceptance_is_committed(desk, by_verdict):
    """A file that kills its worker then is charged for it."""
    desk.is_prompt = False
    desk.attempts.offer(Offer(key=KEY, spec=spec()))
    await until(lambda: list(desk.journal.glob("*.json")))
    assert desk.said == [OfferReply(KEY)]
    assert not desk.did("began")
    if by_verdict:  # the acknowledgement was lost with its stream
        desk.attempts.judge(Verdict(KEY, VerdictKind.KEEP))
    else:
        desk.attempts.begin(KEY)
    await until(lambda: desk.did("began"))


async def test_a_master_that_acknowledges_no_offers_is_not_waited_for(desk):
    desk.is_prompt = False
    desk.attempts.waits_for_word = False
    desk.attempts.offer(Offer(key=KEY, spec=spec()))
    await until(lambda: desk.did("began"))


async def test_an_acceptance_that_comes_too_late_begins_nothing(desk):
    desk.is_prompt = False
    desk.attempts.offer(Offer(key=KEY, spec=spec()))
    desk.attempts.stop(KEY)
    await until(lambda: desk.attempts.reports == ())
    assert not desk.did("began")
