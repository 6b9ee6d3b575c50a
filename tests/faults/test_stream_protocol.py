"""What a worker says against the rules, or at the wrong time: nothing else moves."""

import asyncio

import pytest

from ffrtmp.domain.errors import IllegalTransition
from ffrtmp.domain.job import Failure
from ffrtmp.domain.messages import (
    Cancel,
    Failed,
    OfferReply,
    ResultAck,
    ResultOutcome,
    Staged,
    Welcome,
)
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.session import AttemptKey, VerdictKind
from ffrtmp.v1 import worker_service_pb2 as pb
from tests.faults.kit.cluster import spec_for
from tests.faults.kit.peer import floor_of, manifest, refused, running

TIMES = 10
COMMITTED, STALE = ResultOutcome.COMMITTED, ResultOutcome.STALE


@pytest.fixture
async def floor(certs, store):
    async with floor_of(certs, store) as each:
        yield each


async def submitted(floor, name: str = "out.mkv") -> str:
    return (await floor.client.submit(spec_for([name]))).job_id


async def test_p2_a_cancel_and_a_result_never_both_win(floor, row):
    """Cancel races with the result: the cancel wins and nothing is published, or it is refused and
    the job succeeds; never both. Ten races."""
    ends = set()
    for number in range(TIMES):
        w1 = floor.peer("w1", f"i{number}")
        await w1.hello()
        job_id = await submitted(floor, f"{number}.mkv")
        key = await w1.accept()
        await floor.reaches(job_id, "RUNNING")
        cancelling = refused(floor.client.cancel(job_id), IllegalTransition)
        staging = w1.say(Staged(key, manifest(key)))
        both = (cancelling, staging) if number % 2 else (staging, cancelling)
        was_refused = next(each for each in await asyncio.gather(*both) if each is not None)
        outcome = (await w1.hear(ResultAck)).outcome
        if was_refused:
            assert outcome is COMMITTED
            assert await w1.publish(key) is COMMITTED
        else:
            assert outcome is STALE
            assert await w1.publish(key) is STALE
        history = await floor.reaches(job_id, "SUCCEEDED", "CANCELLED")
        assert history.check().state == ("SUCCEEDED" if was_refused else "CANCELLED")
        ends.add(history.state)
        await w1.hang_up()
    assert ends


async def test_p2_from_publishing_on_a_cancel_is_refused(floor, row):
    """Cancel after the result was committed: refused, the job succeeds; before: the result is STALE
    and nothing is published."""
    w1 = floor.peer()
    await w1.hello(slots=2)
    first, second = await submitted(floor, "1.mkv"), await submitted(floor, "2.mkv")
    keys = {key.job_id: key for key in [await w1.accept(), await w1.accept()]}
    assert await w1.stage(keys[first]) is COMMITTED
    with pytest.raises(IllegalTransition):
        await floor.client.cancel(first)
    assert await w1.publish(keys[first]) is COMMITTED
    await floor.client.cancel(second)
    assert await w1.stage(keys[second]) is STALE
    assert (await floor.reaches(first, "SUCCEEDED")).check()
    assert (await floor.reaches(second, "CANCELLED")).check()


async def test_p3_a_cancel_lost_on_the_wire_is_repaired(floor, row):
    """Cancel lost on the wire: the next heartbeat, which still lists the attempt, is answered
    STOP."""
    w1 = floor.peer()
    await w1.hello()
    job_id = await submitted(floor)
    key = await w1.accept()
    await floor.reaches(job_id, "RUNNING")
    await floor.client.cancel(job_id)
    lost = await w1.hear(Cancel)
    assert lost.key == key  # nobody obeys it
    with row.within(5.0):
        assert await w1.verdict(running(key)) is VerdictKind.STOP
    again = floor.peer()
    assert VerdictKind.STOP in {each.kind for each in (await again.hello(running(key))).verdicts}
    (await floor.reaches(job_id, "CANCELLED")).check()


async def test_p4_an_attempt_that_nobody_knows_is_stopped(floor, row):
    """Worker reports a job unknown to the store, or a fence from the future: STOP; a result of it
    is STALE; no job is touched."""
    w1 = floor.peer()
    job_id = await submitted(floor)
    unknown, future = AttemptKey("01ARZ3NDEKTSV4RRFFQ69G5FAV", 1), AttemptKey(job_id, 7)
    welcome = await w1.hello(running(unknown), running(future), slots=0)
    assert {each.key: each.kind for each in welcome.verdicts} == {
        unknown: VerdictKind.STOP,
        future: VerdictKind.STOP,
    }
    with row.within(5.0):
        assert await w1.verdict(running(unknown)) is VerdictKind.STOP
    assert await w1.stage(unknown) is await w1.stage(future) is STALE
    assert await w1.publish(unknown) is await w1.publish(future) is STALE
    history = (await floor.history(job_id)).check()
    assert history.job.fence < future.fence
    assert not history.events_of("STAGED")


async def test_p6_a_job_of_another_worker_cannot_be_claimed(floor, row):
    """Worker claims another worker's job, fence guessed right: whatever it says of it changes
    nothing: the holder is from the certificate."""
    w1, thief = floor.peer("w1"), floor.peer("w2", "i1")
    await w1.hello()
    job_id = await submitted(floor)
    key = await w1.accept()
    before = str(await floor.reaches(job_id, "RUNNING"))
    welcome = await thief.hello(running(key), running(key, journalled=True), slots=0)
    assert {each.kind for each in welcome.verdicts} == {VerdictKind.STOP}
    failed = Failed(key, Failure(reason=Reason.FFMPEG_FAILED, message="so says a thief"))
    await thief.say(OfferReply(key), OfferReply(key, "no"), failed)
    assert (await thief.hear(ResultAck)).outcome is STALE
    assert await thief.stage(key) is await thief.publish(key) is STALE
    assert str(await floor.history(job_id)) == before
    assert await w1.stage(key) is COMMITTED
    assert await thief.publish(key) is STALE
    assert await w1.publish(key) is COMMITTED
    assert (await floor.reaches(job_id, "SUCCEEDED")).check().workers == ["w1"]


async def test_m11_workers_of_the_next_and_the_last_version_are_served(floor, row):
    """A worker of the next version says things that this master does not know: they are counted and
    ignored, the rest is heard. One of the last version says less: it is served."""
    newer, older = floor.peer("w1"), floor.peer("w2", "i2")
    await newer.hello()
    unknown = pb.WorkerEvent.FromString(b"\xfa\x3f\x00")  # field 1023
    with row.within(5.0):
        await newer.call.write(pb.ConnectRequest(events=[unknown]))
        await newer.beat()
        job_id = await submitted(floor)
        key = await newer.accept()
        assert await newer.stage(key) is await newer.publish(key) is COMMITTED
    assert (await floor.reaches(job_id, "SUCCEEDED")).check()
    bare = pb.Hello(incarnation=older.incarnation)
    await older.call.write(pb.ConnectRequest(events=[pb.WorkerEvent(hello=bare)]))
    await older.hear(Welcome)
    await older.beat()
