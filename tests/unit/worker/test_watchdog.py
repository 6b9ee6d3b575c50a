"""The watchdog where there is nothing to watch any more."""

import asyncio
import subprocess

from ffrtmp.worker.watchdog import Patience, Watchdog


async def test_a_guard_that_has_ended_already_needs_no_watching():
    gone = subprocess.Popen(["true"])
    gone.wait()
    dog = Watchdog(asyncio.timeout(None), meter=None, patience=Patience())
    dog.follow(gone.pid)
    dog.end()
