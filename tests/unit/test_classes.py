"""Which classes a master forgets: those whose jobs have ended, none of a job that may be there."""

import asyncio
from datetime import UTC, datetime

import pytest

from ffrtmp.domain import job as rules
from ffrtmp.domain.errors import TooManyClasses
from ffrtmp.domain.scheduling import MOST_CLASSES
from ffrtmp.domain.spec import Input, JobSpec
from ffrtmp.domain.worker import Requirements
from ffrtmp.master.classes import FEW, UNSURE_SECONDS, Classes
from ffrtmp.master.roster import Roster
from ffrtmp.store.records import NewJob

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def needs(name: str) -> Requirements:
    labels = {"n": name}
    return Requirements(spec_version=1, codecs=frozenset(), roots=frozenset(), labels=labels)


def job(name: str) -> NewJob:
    asked = needs(name)
    row = rules.new_job(job_id=name, job_class=asked.job_class, rank=0, now=NOW, actor="client/c")
    spec = JobSpec(input=Input(), outputs=())
    return NewJob(job=row, spec=spec, requirements=asked, key=name, digest="d")


class Alive:
    """What a store would say; `read` is set while it is asked, and it answers when told."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.read, self.answer = asyncio.Event(), asyncio.Event()
        self.answer.set()

    async def classes(self) -> dict[str, Requirements]:
        found = {needs(name).job_class: needs(name) for name in self.names}
        self.read.set()
        await self.answer.wait()
        return found


class Desk:
    def __init__(self) -> None:
        self.alive, self.roster, self.at = Alive(), Roster(), 1000.0
        self.classes = Classes(self.alive.classes, self.roster, lambda: self.at)

    async def submit(self, *names: str) -> list[NewJob]:
        async with self.classes.entered([job(name) for name in names]) as judged:
            return judged

    def knows(self, name: str) -> bool:
        return needs(name).job_class in self.roster.classes

    async def look(self) -> None:
        """So many new classes come that it looks which are alive."""
        await self.submit(*(f"many{n}" for n in range(MOST_CLASSES)))


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_what_is_not_alive_is_forgotten_and_what_is_stays(desk: Desk):
    await desk.submit("dead", "alive")
    desk.alive.names = {"alive"}
    await desk.look()
    assert (desk.knows("alive"), desk.knows("dead")) == (True, False)


async def test_what_is_on_its_way_when_it_looks_or_comes_meanwhile_stays(desk: Desk):
    desk.alive.answer.clear()
    async with desk.classes.entered([job("before")]), asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(desk.look())
        await desk.alive.read.wait()
        await desk.submit("meanwhile")  # and is stored, which the look has not seen
        desk.alive.answer.set()
        await looking
        assert (desk.knows("before"), desk.knows("meanwhile")) == (True, True)


async def test_a_submit_that_was_given_up_may_be_committed_all_the_same(desk: Desk):
    with pytest.raises(asyncio.CancelledError):
        async with desk.classes.entered([job("given up")]):
            raise asyncio.CancelledError
    desk.at += UNSURE_SECONDS - 1
    await desk.look()
    assert desk.knows("given up")
    desk.at += 2
    await desk.submit("one more")
    assert not desk.knows("given up")


async def test_few_classes_are_not_worth_a_look(desk: Desk):
    await desk.submit(*(f"a{n}" for n in range(FEW)))
    assert not desk.alive.read.is_set()


async def test_only_a_class_that_is_one_too_many_is_objected_to(desk: Desk):
    desk.alive.names = {f"many{n}" for n in range(MOST_CLASSES)}
    await desk.look()
    [objected] = await desk.submit("one more")
    assert isinstance(objected.objection, TooManyClasses)
    [known] = await desk.submit("many7")
    assert known.objection is None
