"""What waits of one worker's stream, and how much of it is taken together."""

import asyncio

from ffrtmp.domain.messages import Heartbeat, OfferReply, ProgressReport, Published
from ffrtmp.domain.session import AttemptKey
from ffrtmp.domain.worker import Load
from ffrtmp.master.inbox import AT_ONCE, LIMIT, Inbox

BEAT = Heartbeat(number=1, seen=0, slots=1, attempts=(), load=Load())


def accepted(number: int) -> OfferReply:
    return OfferReply(AttemptKey(f"job-{number}", 1))


def published(number: int) -> Published:
    return Published(AttemptKey(f"job-{number}", 1))


async def test_what_attempts_said_meanwhile_is_taken_together_in_order() -> None:
    inbox = Inbox()
    inbox.put([accepted(1)], 1.0)
    inbox.put([published(2), accepted(3)], 2.0)
    assert await inbox.take() == ([accepted(1), published(2), accepted(3)], 2.0)


async def test_a_heartbeat_is_taken_with_what_came_before_it_and_nothing_after_it() -> None:
    """Its list speaks of the moment when it was said."""
    inbox = Inbox()
    inbox.put([published(1)], 1.0)
    inbox.put([BEAT], 2.0)
    inbox.put([published(2)], 3.0)
    assert await inbox.take() == ([published(1), BEAT], 2.0)
    assert await inbox.take() == ([published(2)], 3.0)


async def test_progress_is_not_overtaken_by_the_result_behind_it() -> None:
    inbox = Inbox()
    inbox.put([ProgressReport(())], 1.0)
    inbox.put([published(1)], 2.0)
    assert await inbox.take() == ([ProgressReport(())], 1.0)


async def test_a_long_batch_leaves_the_rest_for_the_next_turn() -> None:
    inbox = Inbox()
    for number in range(AT_ONCE + 1):
        inbox.put([accepted(number)], float(number))
    batch, arrived = await inbox.take() or ((), 0.0)
    assert (len(batch), arrived) == (AT_ONCE, AT_ONCE - 1.0)
    assert await inbox.take() == ([accepted(AT_ONCE)], float(AT_ONCE))


async def test_what_waits_is_taken_before_the_end() -> None:
    inbox = Inbox()
    inbox.put([accepted(1)], 1.0)
    inbox.end()
    assert await inbox.take() == ([accepted(1)], 1.0)
    assert await inbox.take() is None


async def test_who_takes_waits_for_a_message_or_the_end() -> None:
    inbox = Inbox()
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(inbox.take())
        await asyncio.sleep(0)
        inbox.put([BEAT], 1.0)
        assert await first == ([BEAT], 1.0)
        last = tasks.create_task(inbox.take())
        await asyncio.sleep(0)
        inbox.end()
        assert await last is None


def test_it_is_full_at_its_limit() -> None:
    inbox = Inbox()
    for number in range(LIMIT):
        assert not inbox.is_full
        inbox.put([BEAT], float(number))
    assert inbox.is_full
