"""How a worker starts: what takes time is done side by side. One that was killed is to have its
jobs again within a second, and most of that second is spent here.

FFmpeg says who it is, in a process of its own, while this one loads gRPC, the certificates and all
that runs jobs. So nothing of those is imported at the head of this module.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from ffrtmp.config import WorkerSettings, cache_dir
from ffrtmp.worker.hardware import Tools, probe_tools
from ffrtmp.worker.threads import in_thread

Run = Callable[[WorkerSettings, Awaitable[Tools]], Coroutine[Any, Any, int]]


async def start_worker(settings: WorkerSettings) -> int:
    """As `worker.run_worker`; its errors come in a group."""
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(probe_tools(settings.ffmpeg, cache_dir()))
        run = await in_thread(_loaded)
        return await run(settings, asking)


def _loaded() -> Run:
    from ffrtmp.worker.worker import run_worker  # noqa: PLC0415  # while FFmpeg is asked

    return run_worker
