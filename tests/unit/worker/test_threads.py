"""What is to be done whole is; and who is cancelled meanwhile hears of it afterwards."""

import asyncio

import pytest

from ffrtmp.worker.threads import whole


@pytest.mark.parametrize("times", [1, 2])
async def test_who_is_cancelled_waits_until_all_of_it_is_done(times):
    did = []

    async def work() -> None:
        did.append("renamed")
        await asyncio.sleep(0.02)
        did.append("noted")

    task = asyncio.get_running_loop().create_task(whole(work()))
    for _ in range(times):
        await asyncio.sleep(0.005)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert did == ["renamed", "noted"]


async def test_what_it_raises_or_returns_comes_out():
    async def fail() -> None:
        raise OSError("no space")

    async def answer() -> int:
        return 7

    assert await whole(answer()) == 7
    with pytest.raises(OSError, match="no space"):
        await whole(fail())
