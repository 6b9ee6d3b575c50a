"""A job that requires labels goes only to a worker that has them, whenever that one comes."""

from dataclasses import replace

import pytest

from ffrtmp.domain.errors import IdempotencyMismatch, InvalidSpec, TooManyClasses
from ffrtmp.domain.job import JobState
from ffrtmp.domain.messages import CapabilitiesChanged, HeartbeatAck, Offer, Welcome
from ffrtmp.domain.scheduling import MOST_CLASSES
from ffrtmp.domain.waiting import Obstacle, WaitReason
from ffrtmp.master.classes import FEW
from ffrtmp.master.views import Submission
from ffrtmp.store.postgres import PostgresStore
from ffrtmp.store.records import JobFilter
from tests.integration.test_exclusive import SLOW
from tests.integration.test_master_core import CAPABLE, cluster, spec, until


def labelled(**labels: str):
    return {"capabilities": replace(CAPABLE, labels=labels)}


async def arrives(worker, name: str, incarnation: str = "i1", slots: int = 1, **labels: str):
    far = worker(name, incarnation=incarnation, **labelled(**labels))
    far.hello(slots=slots)
    await far.hear(Welcome)
    return far


async def idle(far) -> None:
    """It takes work, and there is none for it: what it was offered came before this answer."""
    far.beat()
    await far.hear(HeartbeatAck)
    assert far.down.empty()


def asking(name: str, **labels: str) -> Submission:
    return Submission(replace(spec(f"{name}.mp4"), labels=labels), f"key-{name}", "d")


async def submitted(master, name: str, **labels: str) -> str:
    [record] = await master.submit([asking(name, **labels)], actor="client/c")
    assert record.spec.labels == labels
    return record.job.job_id


async def verdicts(master, job_id: str) -> dict[str, tuple[Obstacle, str]]:
    found = await master.explain(job_id)
    return {each.worker: (each.obstacle, each.detail) for each in found.verdicts}


async def test_a_job_waits_for_a_worker_with_its_labels_and_is_offered_when_it_comes(open_store):
    async with cluster(open_store, timers=SLOW) as (master, worker):
        plain, us = await arrives(worker, "plain"), await arrives(worker, "us", zone="us")
        job_id = await submitted(master, "a", zone="eu")
        await idle(plain)
        await idle(us)
        found = await master.explain(job_id)
        assert found.reason is WaitReason.NO_FIT_WORKER
        assert found.detail == "no worker that is here has its labels"
        assert await verdicts(master, job_id) == {
            "plain": (Obstacle.LABEL, "zone=eu is required, it has no label zone"),
            "us": (Obstacle.LABEL, "zone=eu is required, it has zone=us"),
        }
        seen = await master.get(job_id)
        assert seen.record.job.state is JobState.QUEUED
        assert seen.waits_for == "no connected worker has the label zone=eu"
        eu = await arrives(worker, "eu", zone="eu", gpu="none")
        assert (await eu.hear(Offer)).key.job_id == job_id
        assert (await master.get(job_id)).waits_for == ""
        await idle(plain)
        await idle(us)


@pytest.mark.requirement("G12")
async def test_a_job_whose_label_nobody_has_blocks_none_behind_it(open_store):
    async with cluster(open_store, timers=SLOW) as (master, worker):
        for number in range(40):
            await submitted(master, f"never{number}", zone="nowhere")
        behind = await submitted(master, "behind")
        w1 = await arrives(worker, "w1", zone="eu")
        assert (await w1.hear(Offer)).key.job_id == behind


async def test_all_labels_must_match_and_a_job_without_any_goes_anywhere(open_store):
    async with cluster(open_store, timers=SLOW) as (master, worker):
        half = await arrives(worker, "half", zone="eu")
        both = await arrives(worker, "both", zone="eu", gpu="none", rack="7")
        job_id = await submitted(master, "a", gpu="none", zone="eu")
        assert (await both.accept()).job_id == job_id
        await until(master, job_id, JobState.RUNNING)
        second = await submitted(master, "b", zone="eu", gpu="none")  # another order
        assert await verdicts(master, second) == {
            "both": (Obstacle.BUSY, "its slot is taken"),
            "half": (Obstacle.LABEL, "gpu=none is required, it has no label gpu"),
        }
        assert (await master.explain(second)).place.ahead_in_class == 0
        assert (await master.get(second)).waits_for == ""
        await idle(half)
        anywhere = await submitted(master, "c")
        assert (await half.hear(Offer)).key.job_id == anywhere


async def test_a_worker_that_returns_with_other_labels_gets_the_jobs_that_wait_for_them(open_store):
    async with cluster(open_store, timers=SLOW) as (master, worker):
        before = await arrives(worker, "w1", zone="us")
        waiting = await submitted(master, "a", zone="eu")
        await idle(before)
        before.hang_up()
        # A new run, whose predecessor's folder tells who that was.
        after = worker("w1", incarnation="i2", previous="i1", **labelled(zone="eu"))
        after.hello()
        await after.hear(Welcome)
        assert (await after.accept()).job_id == waiting
        old = await submitted(master, "b", zone="us")
        assert (await verdicts(master, old))["w1"] == (
            Obstacle.LABEL,
            "zone=us is required, it has zone=eu",
        )


async def test_labels_may_change_with_a_report_too(open_store):
    async with cluster(open_store, timers=SLOW) as (master, worker):
        w1 = await arrives(worker, "w1", zone="us")
        waiting = await submitted(master, "a", zone="eu")
        await idle(w1)
        w1.say(CapabilitiesChanged(replace(CAPABLE, labels={"zone": "eu"})))
        assert (await w1.hear(Offer)).key.job_id == waiting


async def test_waiting_jobs_find_their_worker_after_a_restart_of_the_master(open_store):
    async with cluster(open_store) as (master, _):
        waiting = await submitted(master, "a", zone="eu")
    async with cluster(open_store) as (master, worker):
        plain = await arrives(worker, "plain")
        eu = await arrives(worker, "eu", zone="eu")
        assert (await eu.hear(Offer)).key.job_id == waiting
        await idle(plain)
        assert (await master.get(waiting)).record.spec.labels == {"zone": "eu"}


@pytest.mark.postgres
async def test_a_worker_of_another_master_is_known_to_have_the_label(postgres):
    def open_it(**options):
        return PostgresStore.open(postgres, **options)

    here_and_there = cluster(open_it, timers=SLOW), cluster(open_it, timers=SLOW)
    async with here_and_there[0] as (here, _), here_and_there[1] as (there, worker):
        job_id = await submitted(here, "a", zone="eu")
        assert (await here.get(job_id)).waits_for == "no worker is connected"
        full = await arrives(worker, "w1", slots=0, zone="eu")
        assert (await here.get(job_id)).waits_for == ""
        full.beat(slots=1)
        assert (await full.hear(Offer)).key.job_id == job_id
        assert (await there.get(job_id)).waits_for == ""


async def test_a_job_that_no_worker_is_here_for_says_so(open_store):
    async with cluster(open_store, timers=SLOW) as (master, worker):
        for job_id in (await submitted(master, "a"), await submitted(master, "b", zone="eu")):
            assert (await master.get(job_id)).waits_for == "no worker is connected"
        await arrives(worker, "w1")
        assert (await master.get(job_id)).waits_for == "no connected worker has the label zone=eu"


async def test_malformed_labels_are_refused_by_name_and_nothing_is_stored(open_store):
    async with cluster(open_store) as (master, _):
        good = asking("a")
        bad = replace(good, spec=replace(good.spec, labels={"zone": "e u"}), key="other")
        with pytest.raises(InvalidSpec, match=r"jobs\[1\]\.labels\.zone: 'e u' is not valid"):
            await master.submit([good, bad], actor="client/c")
        assert (await master.find(JobFilter(), size=5, page_token=""))[0] == []


async def test_a_thousand_classes_may_be_alive_and_not_one_more(open_store):
    async with cluster(open_store) as (master, worker):
        batch = [asking(f"a{number}", n=str(number)) for number in range(MOST_CLASSES)]
        ids = [each.job.job_id for each in await master.submit(batch, actor="client/c")]
        with pytest.raises(TooManyClasses, match="of 1000 classes have not ended"):
            await master.submit([asking("b", n="7"), asking("c", n="new")], actor="client/c")
        assert len((await master.find(JobFilter(), size=5, page_token=""))[0]) == 5
        await submitted(master, "b", n="7")  # of a class that is alive
        again = await master.submit([asking("a3", n="3")], actor="client/c")
        assert again[0].job.job_id == ids[3]
        await master.cancel(ids[3], actor="client/c")
        waiting = await submitted(master, "c", n="new")
        # What was submitted before is answered as it was then, whatever its class is now.
        assert (await master.submit([asking("a3", n="3")], actor="client/c"))[0].job.end_at
        with pytest.raises(IdempotencyMismatch):
            await master.submit([replace(asking("a3", n="3"), digest="x")], actor="client/c")
        with pytest.raises(TooManyClasses):
            await submitted(master, "d", n="3")
        w1 = await arrives(worker, "w1", n="new")
        assert (await w1.hear(Offer)).key.job_id == waiting


async def test_classes_whose_jobs_have_ended_are_forgotten_and_the_others_not(open_store):
    async with cluster(open_store) as (master, worker):
        for number in range(3 * FEW):
            job_id = await submitted(master, f"a{number}", n=str(number))
            if number:
                await master.cancel(job_id, actor="client/c")
        assert len(master.roster.classes) <= FEW
        kept = await arrives(worker, "w1", n="0")
        assert (await kept.accept()).fence == 1
