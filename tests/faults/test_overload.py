"""Queues that are long, stuck at their head, or full of what goes first."""

import heapq
import time
from datetime import timedelta

import pytest

from ffrtmp.domain.messages import Offer
from ffrtmp.v1 import job_pb2
from tests.faults.kit.clocks import set_clock
from tests.faults.kit.cluster import spec_for
from tests.faults.kit.peer import floor_at, floor_of
from tests.faults.kit.stores import one_store

AT_ONCE = 1.0
BETWEEN_HEAD_STARTS = timedelta(hours=2)
"""High priority starts an hour earlier than it is, low an hour later."""


@pytest.fixture
async def floor(certs, store):
    async with floor_of(certs, store) as each:
        yield each


def spec_of(name: str, priority: job_pb2.Priority) -> job_pb2.JobSpec:
    spec = spec_for([name])
    spec.priority = priority
    return spec


async def test_o3_an_impossible_head_stands_in_nobodys_way(floor, row):
    """No worker for the head job's class, 200 of them: others behind it are offered <= 1 s after
    their submit."""
    w1 = floor.peer("w1")
    await w1.hello(slots=10)
    impossible = []
    for number in range(200):
        spec = spec_of(f"impossible{number}.mkv", job_pb2.PRIORITY_HIGH)
        spec.outputs[0].video.codec = job_pb2.VIDEO_CODEC_AV1  # this worker has it not
        impossible.append(spec)
    await floor.client.submit_many(impossible)
    for number in range(10):
        spec = spec_of(f"possible{number}.mkv", job_pb2.PRIORITY_LOW)
        with row.within(AT_ONCE):
            job = await floor.client.submit(spec)
            assert (await w1.hear(Offer)).key.job_id == job.job_id


@one_store
async def test_o4_low_priority_is_not_passed_over_for_ever(cluster_of, row, tmp_path):
    """Low-priority job under high-priority load that never ends: those submitted later than the
    difference of the head starts come after it. The master's wall clock is put on meanwhile."""
    clock = tmp_path / "clock"
    set_clock(clock, timedelta(0))
    async with cluster_of(wall_clock=clock) as cluster:
        low = await cluster.client.submit(spec_of("low.mkv", job_pb2.PRIORITY_LOW))
        expected = []
        for later in (BETWEEN_HEAD_STARTS * 0.9, BETWEEN_HEAD_STARTS * 1.1):
            set_clock(clock, later)
            await cluster.restart_master()
            names = [f"high{number}-{later}.mkv" for number in range(5)]
            specs = [spec_of(name, job_pb2.PRIORITY_HIGH) for name in names]
            expected.append([job.job_id for job in await cluster.client.submit_many(specs)])
        async with floor_at(cluster.address, cluster.certs) as floor:
            w1 = floor.peer("w1")
            await w1.hello(slots=11)
            offered = [(await w1.accept()).job_id for _ in range(11)]
        earlier, afterwards = expected
        assert offered == [*earlier, low.job_id, *afterwards]


@one_store
async def test_o1_a_hundred_thousand_jobs_come_in_one_burst(cluster_of, row):
    """100k jobs submitted in one burst, in batches of 1,000: p99 of a batch < 200 ms; then what is
    dispatched goes by rank."""
    async with cluster_of() as cluster:
        expected: list[tuple[int, str]] = []
        took: list[float] = []
        for batch in range(BURST // BATCH):
            specs = [
                spec_of(f"n{batch}-{number}.mkv", PRIORITIES[number % len(PRIORITIES)])
                for number in range(BATCH)
            ]
            began = time.monotonic()
            jobs = await cluster.client.submit_many(specs)
            took.append(time.monotonic() - began)
            expected += [(rank_of(job), job.job_id) for job in jobs]
            expected = heapq.nsmallest(FIRST, expected)
        took.sort()
        p50, p99 = (took[int(len(took) * share)] for share in (0.5, 0.99))
        row.measures(f"a batch of {BATCH}: p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms")
        async with floor_at(cluster.address, cluster.certs) as floor:
            w1 = floor.peer("w1")
            await w1.hello(slots=FIRST)
            offered = [(await w1.hear(Offer)).key.job_id for _ in range(FIRST)]
        assert offered == [job_id for _, job_id in expected]
        backlogs = await cluster.client.queues()
        assert sum(each.queued + each.retrying + each.held for each in backlogs) == BURST


BURST, BATCH, FIRST = 100_000, 1000, 60
PRIORITIES = (job_pb2.PRIORITY_NORMAL, job_pb2.PRIORITY_LOW, job_pb2.PRIORITY_HIGH)
HOURS_AHEAD = {job_pb2.PRIORITY_HIGH: 1, job_pb2.PRIORITY_NORMAL: 0, job_pb2.PRIORITY_LOW: -1}
HOUR = 3600 * 1_000_000


def rank_of(job: job_pb2.Job) -> int:
    """As architecture.md section 8 has it, in microseconds."""
    return job.submit_time.ToMicroseconds() - HOURS_AHEAD[job.spec.priority] * HOUR
