"""Wall clocks that are wrong or jump, and machines that sleep: leases do not care."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from ffrtmp.domain.messages import Welcome
from ffrtmp.domain.timers import Timers
from ffrtmp.worker.session import Lease
from tests.faults.kit import sleepy_guard
from tests.faults.kit.clocks import clock_of, set_clock
from tests.faults.kit.cluster import LEASE
from tests.faults.kit.history import EVERYTHING
from tests.faults.kit.stores import one_store
from tests.faults.kit.waiting import until

TIMES = 10
SUSPENDED = 600.0


@one_store
async def test_c1_a_workers_wall_clock_does_not_matter(cluster_of, row):
    """Worker wall clock a day ahead, and a day behind: no effect on leases. Ten jobs that run for
    more than three leases: none lost, none charged."""
    async with cluster_of("--heartbeat-interval", "1s") as cluster:
        for name, off in (("w1", timedelta(days=1)), ("w2", timedelta(days=-1))):
            worker = cluster.another(name, slots=TIMES // 2, wall_clock=off)
            await worker.connected()
        jobs = await cluster.submit_many(TIMES, seconds=6.4 * LEASE)
        for job_id in jobs:
            history = await cluster.succeeds(job_id, 40)
            assert history.causes == EVERYTHING


async def test_c2_a_masters_wall_clock_may_jump(cluster_of, row, tmp_path):
    """Master wall clock jumps an hour ahead, and is an hour behind after a restart: no effect on
    leases; ten jobs run on uncharged, and what waited is done after them."""
    clock = tmp_path / "clock"
    set_clock(clock, timedelta(0))
    async with cluster_of(wall_clock=clock) as cluster:
        w1 = await cluster.worker("w1", slots=TIMES)
        jobs = await cluster.submit_many(TIMES, seconds=13)
        for job_id in jobs:
            await cluster.encodes(job_id)
        waits = await cluster.submit("waits.mkv", seconds=0.2)
        set_clock(clock, timedelta(hours=1))
        await w1.beats(4)
        set_clock(clock, timedelta(hours=-1))
        await cluster.restart_master()
        await w1.connected()
        await w1.beats(4)
        for job_id in jobs:
            history = await cluster.succeeds(job_id, 30)
            assert history.causes == EVERYTHING
        with row.within(5.0):
            await cluster.succeeds(waits)


@pytest.mark.postgres
@pytest.mark.parametrize("store_address", ["stepped"])
async def test_c5_the_databases_clock_may_step(databases, cluster_on, row):
    """Database clock steps forward and back 30 s: no effect on leases. Ten jobs run through both
    steps, and through the start of a second master after each."""
    clock = databases.folder / "clock"
    set_clock(clock, timedelta(0))
    database = await asyncio.to_thread(databases.make, clock_of(clock))
    async with cluster_on(database.dsn) as cluster:
        w1 = await cluster.worker("w1", slots=TIMES)
        jobs = await cluster.submit_many(TIMES, seconds=12)
        for job_id in jobs:
            await cluster.encodes(job_id)
        for step in (30, -30):
            set_clock(clock, timedelta(seconds=step))
            await w1.beats(4)
            await cluster.another_master()
        for job_id in jobs:
            history = await cluster.succeeds(job_id, 40)
            assert history.causes == EVERYTHING
    database.close()


@one_store
async def test_c4_what_slept_through_its_deadline_is_killed_at_once(row):
    """Worker suspended for 10 minutes (the clock of guard and lease is an argument): the boot-time
    clock went on; on resume the guard kills FFmpeg before anything is said, the lease is over."""
    row.substitutes("nothing is really suspended: CLOCK_BOOTTIME jumps by 10 minutes for the guard")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
        guard = await asyncio.create_subprocess_exec(
            *(sys.executable, str(Path(sleepy_guard.__file__)), str(SUSPENDED), *sleeper),
            stdin=theirs.fileno(),
        )
        theirs.close()
        now = sleepy_guard.guard.boot_seconds()
        ours.send(f"deadline {now + SUSPENDED / 2}\n".encode())
        child = await until(lambda: children(guard.pid), 5)
        guard.send_signal(signal.SIGUSR2)
        with row.within(1.0):
            await until(lambda: not alive(child), 5)
        assert b"fenced" in ours.recv(256)
        await guard.wait()
    clock = [now]
    lease = Lease(lambda: clock[0])
    lease.open(Welcome(epoch=1, timers=Timers(), reconnect_spread=timedelta(seconds=1)), now)
    assert lease.is_held()
    clock[0] += SUSPENDED
    assert not lease.is_held()


def children(pid: int) -> int:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(text[0]) if text else 0


def alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
