"""The worker's end of the stream is the test: offers that cross, are late, or not for everybody."""

import time
from dataclasses import replace
from datetime import timedelta

import pytest

from ffrtmp.domain.job import Failure
from ffrtmp.domain.messages import (
    Cancel,
    CapabilitiesChanged,
    Failed,
    Offer,
    OfferReply,
    Progress,
    ProgressReport,
    ResultAck,
    ResultOutcome,
)
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.session import AttemptKey, Phase, VerdictKind
from tests.faults.kit.cluster import spec_for
from tests.faults.kit.history import EVERYTHING
from tests.faults.kit.peer import CAPABLE, floor_of, running

OFFER_TTL = 0.5
BEFORE_THE_OFFER = 1
COMMITTED = ResultOutcome.COMMITTED


@pytest.fixture
async def floor(certs, store):
    async with floor_of(certs, store, offer_ttl=OFFER_TTL) as each:
        yield each


async def submitted(floor, name: str = "out.mkv") -> str:
    return (await floor.client.submit(spec_for([name]))).job_id


async def test_w14_an_offer_that_crosses_a_drain_comes_back(floor, row):
    """An offer crosses `slots: 0` on the wire: rejected, queued again <= 1 s after, uncharged; the
    draining worker is not asked again."""
    w1, w2 = floor.peer("w1"), floor.peer("w2")
    await w1.hello()
    job_id = await submitted(floor)
    offer = await w1.hear(Offer)
    await w1.beat(slots=0, seen=BEFORE_THE_OFFER)
    await w1.say(OfferReply(offer.key, "the worker drains"))
    history = await floor.happens(job_id, "REJECTED")
    assert history.events[-1].state == "QUEUED"
    await w2.hello()
    key = await w2.accept()
    assert key == AttemptKey(job_id, 2)
    assert await w2.stage(key) is await w2.publish(key) is COMMITTED
    history = (await floor.reaches(job_id, "SUCCEEDED")).check()
    assert (history.workers, history.job.charged) == (["w1", "w2"], 0)
    granted = history.events_of("GRANTED")
    row.took(granted[1].at - history.events_of("REJECTED")[0].at, 1.0)


async def test_w15_an_unanswered_offer_goes_to_another(floor, row):
    """Worker never answers an offer: back in the queue after offer_ttl, uncharged; its late accept
    is refused and stopped, also while nobody else has the job."""
    w1 = floor.peer("w1")
    await w1.hello()
    job_id = await submitted(floor)
    late = await w1.hear(Offer)
    began = time.monotonic()
    await floor.happens(job_id, "UNANSWERED")
    row.took(time.monotonic() - began, OFFER_TTL + 1.0)
    await w1.beat(slots=0)
    await w1.say(OfferReply(late.key))
    assert (await w1.hear(Cancel)).key == late.key
    assert await w1.verdict(running(late.key)) is VerdictKind.STOP
    w2 = floor.peer("w2")
    await w2.hello()
    key = await w2.accept()
    await w1.say(OfferReply(late.key))
    assert (await w1.hear(Cancel)).key == late.key
    assert await w1.stage(late.key) is ResultOutcome.STALE
    assert await w2.stage(key) is await w2.publish(key) is COMMITTED
    history = (await floor.reaches(job_id, "SUCCEEDED")).check()
    assert (history.job.charged, history.job.attempts) == (0, 1)


async def test_w15_what_is_said_of_an_older_offer_changes_nothing(floor, row):
    """Worker is granted a job again whose first offer it left unanswered: what it says of the older
    fence is STALE, and changes nothing of the attempt that runs."""
    w1 = floor.peer("w1")
    await w1.hello()
    job_id = await submitted(floor)
    older = (await w1.hear(Offer)).key
    await floor.happens(job_id, "UNANSWERED")
    newer = await w1.accept()
    assert newer == AttemptKey(job_id, older.fence + 1)
    before = str(await floor.reaches(job_id, "RUNNING"))
    failure = Failure(reason=Reason.FFMPEG_FAILED, message="of the older one")
    await w1.say(Failed(older, failure))
    assert (await w1.hear(ResultAck)).outcome is ResultOutcome.STALE
    assert await w1.stage(older) is await w1.publish(older) is ResultOutcome.STALE
    assert str(await floor.history(job_id)) == before
    assert await w1.stage(newer) is await w1.publish(newer) is COMMITTED
    (await floor.reaches(job_id, "SUCCEEDED")).check()


async def test_w17_the_second_of_two_streams_under_one_name_is_refused(floor, row):
    """Two streams with one certificate: another incarnation is refused (ALREADY_EXISTS) while the
    first is alive, in two lines by the address of the first; its job goes on."""
    first, twin = floor.peer("w1", "one"), floor.peer("w1", "two")
    await first.hello()
    job_id = await submitted(floor)
    key = await first.accept()
    with pytest.raises(Exception, match="already connected from"):
        await twin.hello()
    assert (await twin.ends()).name == "ALREADY_EXISTS"
    assert await first.verdict(running(key)) in {None, VerdictKind.KEEP}
    assert await first.stage(key) is await first.publish(key) is COMMITTED
    history = (await floor.reaches(job_id, "SUCCEEDED")).check()
    assert history.causes == EVERYTHING


async def test_w18_a_capability_that_is_lost_ends_its_offers(floor, row):
    """Capability removed while running: no further offers of that class; the running job is judged
    by its own exit; another worker gets the next one."""
    w1 = floor.peer("w1")
    await w1.hello(slots=2)
    runs = await submitted(floor)
    key = await w1.accept()
    changed = replace(CAPABLE, codecs=CAPABLE.codecs - {"h264"})
    await w1.say(CapabilitiesChanged(changed))
    with row.within(5.0):  # one heartbeat: its answer comes after what was said before it
        await w1.beat(running(key))
    waits = await submitted(floor, "next.mkv")
    w2 = floor.peer("w2")
    await w2.hello()
    other = await w2.accept()
    assert other.job_id == waits
    assert await w1.stage(key) is await w1.publish(key) is COMMITTED
    (await floor.reaches(runs, "SUCCEEDED")).check()
    history = (await floor.reaches(waits, "RUNNING")).check()
    assert history.workers == ["w2"]


def progress_of(key: AttemptKey) -> ProgressReport:
    return ProgressReport((Progress(key=key, phase=Phase.ENCODE, position=timedelta(seconds=1)),))


async def test_p1_a_result_that_comes_twice_counts_once(floor, row):
    """Result delivered twice, and out of order with progress: one commit; the rest is ignored."""
    w1 = floor.peer("w1")
    await w1.hello()
    job_id = await submitted(floor)
    key = await w1.accept()
    outcomes = [await w1.stage(key), await w1.stage(key)]
    await w1.say(progress_of(key))
    outcomes += [await w1.publish(key), await w1.publish(key)]
    await w1.say(progress_of(key))
    outcomes += [await w1.stage(key), await w1.publish(key)]
    already = ResultOutcome.ALREADY
    assert outcomes[:4] == [COMMITTED, already, COMMITTED, already]
    assert outcomes[5] is already
    history = (await floor.reaches(job_id, "SUCCEEDED")).check()
    assert history.causes == EVERYTHING
    assert not (await floor.client.get(job_id)).HasField("progress")
