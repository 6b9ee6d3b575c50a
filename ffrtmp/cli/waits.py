"""What a job waits for, for people: what `jobs get` says of it, and whoever watches it."""

import asyncio
import sys
from contextlib import suppress
from datetime import UTC

from ffrtmp.client import Client, Unreachable
from ffrtmp.clock import utc_now
from ffrtmp.domain.errors import DomainError
from ffrtmp.v1 import job_pb2
from ffrtmp.v1.job_service_pb2 import WatchJobResponse

FIRST_SECONDS = 2.0
LONGEST_SECONDS = 30.0
"""Between two questions what it waits for; they double."""


def waits_later(job: job_pb2.Job) -> bool:
    """It is queued, and not offered yet."""
    is_later = job.eligible_time.ToDatetime(tzinfo=UTC) > utc_now()
    return is_later and job.state == job_pb2.JOB_STATE_QUEUED


def obstacles_of(job: job_pb2.Job) -> list[str]:
    """Where it is not merely its turn that it waits for."""
    found = []
    if job.unschedulable_reason:
        often = ", tried once a minute" if waits_later(job) else ""
        found.append(f"no worker takes it{often}: {job.unschedulable_reason}")
    if job.blocked_by:
        found.append(f"waits until worker {job.blocked_by} has stopped the last attempt")
    return found


class Wait:
    """Says what a job waits for when that is more than its turn, once it has waited for a while."""

    def __init__(self, *, is_told: bool) -> None:
        self._is_told = is_told
        self._is_over = False
        self._said: list[str] = []

    def note(self, news: WatchJobResponse) -> None:
        if news.HasField("event"):
            self._is_over = news.event.state != job_pb2.JOB_STATE_QUEUED
        elif news.HasField("progress"):
            self._is_over = True

    async def tell(self, client: Client, job_id: str) -> None:
        delay = FIRST_SECONDS
        while self._is_told:
            await asyncio.sleep(delay)
            delay = min(2 * delay, LONGEST_SECONDS)
            if self._is_over:
                self._said, delay = [], FIRST_SECONDS
                continue
            with suppress(DomainError, Unreachable):  # the watching itself says what is wrong
                self._say((await client.get(job_id)).job)

    def _say(self, job: job_pb2.Job) -> None:
        obstacles = obstacles_of(job) if not self._is_over else self._said
        for each in obstacles:
            if each not in self._said:
                print(f"still queued: {each}", file=sys.stderr)
        self._said = obstacles
