"""The watchdog where there is nothing to watch any more."""

import asyncio
import subprocess

from ffrtmp.worker.watchdog import Patience, Watchdog


def pid_of_the_past() -> int:
    gone = subprocess.Popen(["true"])
    gone.wait()
    return gone.pid


async def test_a_guard_that_has_ended_already_needs_no_watching():
    dog = Watchdog(asyncio.timeout(None), meter=None, patience=Patience())
    dog.follow(pid_of_the_past())
    dog.end()
