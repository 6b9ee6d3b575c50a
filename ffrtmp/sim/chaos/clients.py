"""Clients: submit with a key until it is acknowledged, look, follow, cancel; and write it all down.

What a client notes it has noted before it goes on: the ledger says what it was told.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Protocol, TypeVar

from google.protobuf.duration_pb2 import Duration

from ffrtmp.client import Unreachable
from ffrtmp.clock import boot_seconds
from ffrtmp.domain.errors import (
    AlreadyExists,
    IllegalTransition,
    InvalidSpec,
    TargetTaken,
    Unavailable,
)
from ffrtmp.sim.chaos.evidence import Notes
from ffrtmp.sim.chaos.plan import LIVE, SIMULATED, Submission
from ffrtmp.v1 import job_pb2
from ffrtmp.v1 import job_service_pb2 as pb

T = TypeVar("T")

PAUSE = 0.5
PASSING = (Unreachable, Unavailable)
WATCHERS = 16
CANCELS = 4


class Calls(Protocol):
    """What is asked of a master; `client.Client` is one."""

    async def submit(self, spec: job_pb2.JobSpec, *, key: str) -> job_pb2.Job: ...
    async def get(self, job_id: str) -> pb.GetJobResponse: ...
    async def cancel(self, job_id: str) -> job_pb2.Job: ...
    def watch(self, job_id: str, *, after: int) -> AsyncIterator[pb.WatchJobResponse]: ...


class Asker:
    """One client. All it does may be tried again: it is, until `stop` is set."""

    def __init__(
        self,
        name: str,
        client: Calls,
        notes: Notes,
        stop: asyncio.Event,
        clock: Callable[[], float] = boot_seconds,
    ) -> None:
        self._name = name
        self._client = client
        self._notes = notes
        self._stop = stop
        self._clock = clock
        self._watchers = asyncio.Semaphore(WATCHERS)

    async def carry_out(self, submission: Submission) -> None:
        """One job, from its submit to what this client wants of it."""
        spec, key = spec_of(submission), submission.key
        source, target = source_of(submission), submission.target
        self._note("submitting", key=key, source=source, target=target)
        job = await self._submit(spec, key, target)
        if job is None:
            return
        if submission.again:
            await self._submit(spec, key, target)
        async with asyncio.TaskGroup() as tasks:
            if submission.watched:
                tasks.create_task(self._watch(job.job_id))
            if submission.cancel_after is not None:
                await asyncio.sleep(submission.cancel_after)
                await self._cancel_stubbornly(job.job_id)
            else:
                await self._look(job.job_id)

    async def _submit(self, spec: job_pb2.JobSpec, key: str, target: str) -> job_pb2.Job | None:
        try:
            job = await self._insist(lambda: self._client.submit(spec, key=key))
        except (TargetTaken, InvalidSpec) as error:  # no worker has a root that can be written
            self._note("refused", key=key, why=str(error))
            return None
        except AlreadyExists as error:
            self._note("contradicted", key=key, why=str(error))
            return None
        if job is not None:
            self._note("acknowledged", key=key, job_id=job.job_id, target=target)
            self._saw(job)
        return job

    async def _cancel_stubbornly(self, job_id: str) -> None:
        """Refused while it is published, a person tries again."""
        for _ in range(CANCELS):
            await self._cancel(job_id)
            answer = await self._insist(lambda: self._client.get(job_id))
            if answer is None or answer.job.HasField("end_time"):
                return
            self._saw(answer.job)
            await self._pause()

    async def _cancel(self, job_id: str) -> None:
        self._note("cancelling", job_id=job_id)
        try:
            job = await self._insist(lambda: self._client.cancel(job_id))
        except IllegalTransition as error:
            self._note("too late", job_id=job_id, why=str(error))
        else:
            if job is not None:
                self._note("cancelled", job_id=job_id)
                self._saw(job)

    async def _look(self, job_id: str) -> None:
        answer = await self._insist(lambda: self._client.get(job_id))
        if answer is not None:
            self._saw(answer.job)

    async def _watch(self, job_id: str) -> None:
        """Goes on where it broke, as a program would."""
        after = 0
        async with self._watchers:
            while not self._stop.is_set():
                try:
                    async for news in self._client.watch(job_id, after=after):
                        if news.HasField("event"):
                            after = news.event.number
                            self._watched(job_id, news)
                except PASSING:
                    await self._pause()
                else:
                    self._note("watched to the end", job_id=job_id)
                    return

    async def _insist(self, call: Callable[[], Awaitable[T]]) -> T | None:
        while not self._stop.is_set():
            with suppress(*PASSING):
                return await call()
            await self._pause()
        return None

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(PAUSE):
                await self._stop.wait()

    def _saw(self, job: job_pb2.Job) -> None:
        self._note(
            "saw",
            job_id=job.job_id,
            number=job.event_number,
            state=job_pb2.JobState.Name(job.state).removeprefix("JOB_STATE_"),
            fence=job.fence,
            charged=job.charged,
            worker=job.worker,
        )

    def _watched(self, job_id: str, news: pb.WatchJobResponse) -> None:
        self._note(
            "watched",
            job_id=job_id,
            number=news.event.number,
            cause=job_pb2.JobCause.Name(news.event.cause).removeprefix("JOB_CAUSE_"),
            state=job_pb2.JobState.Name(news.event.state).removeprefix("JOB_STATE_"),
            fence=news.event.fence,
        )

    def _note(self, did: str, **more: object) -> None:
        self._notes.note(self._clock(), did, client=self._name, **more)


def source_of(submission: Submission) -> str:
    """Where only time passes the source is its own key; it says how long it lasts."""
    if submission.kind in {SIMULATED, LIVE}:
        return f"sim:{submission.key}-{submission.seconds}s.mkv"
    return ""


def spec_of(submission: Submission) -> job_pb2.JobSpec:
    source = job_pb2.Input(path=source_of(submission))
    if not source.path:
        source = job_pb2.Input(test_source=_picture(submission.seconds))
    output = job_pb2.Output(
        path=submission.target, video=job_pb2.VideoSettings(speed=job_pb2.SPEED_FASTEST)
    )
    if submission.kind == LIVE:
        output = job_pb2.Output(url=submission.target)
    return job_pb2.JobSpec(input=source, outputs=[output])


def _picture(seconds: float) -> job_pb2.TestSource:
    length = Duration()
    length.FromMilliseconds(round(seconds * 1000))
    return job_pb2.TestSource(
        width=64, height=48, frame_rate=job_pb2.FrameRate(numerator=25), duration=length
    )
