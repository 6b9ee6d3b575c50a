"""Is FFmpeg still getting somewhere? Asked while it encodes; what it stands still for, it is ended.

Two clocks. Media that moves (a later position, a frame, a byte read or written) sets back both: a
rewrite for `+faststart`, which reports nothing for minutes, reads and writes. Processor time that
is used sets back the short one only: a slow encoder may think for minutes about a frame, an endless
loop should not for ever. The other phases have limits of their own: a probe by the file's size, a
live push by its server.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

from ffrtmp.domain.retry import Reason
from ffrtmp.worker.failures import AttemptFailed
from ffrtmp.worker.process import Exit, Tail, run_guarded
from ffrtmp.worker.steps import Meter

LOOKS = 10
BUSY_SHARE = 0.01
REPORT_BYTES = 4096
"""A second; what FFmpeg writes about itself, standing still or not, is less."""
ASLEEP = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """In seconds: without any sign of life; and with processor time used, but no media moved."""

    silent: float = 60.0
    busy: float = 1800.0


USUAL = Patience()


@dataclass(frozen=True, slots=True)
class Signs:
    """Counters that only grow."""

    position: float
    frames: int
    moved: int
    cpu: float


class Watchdog:
    """Looks now and then; `limit` is made to run out when FFmpeg stands still.

    Looks at /proc only: a file system that hangs must not hang the watchdog.
    """

    def __init__(self, limit: asyncio.Timeout, meter: Meter, patience: Patience) -> None:
        self._limit = limit
        self._meter = meter
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._every = patience.silent / LOOKS
        self._guard: psutil.Process | None = None
        self._seen = Signs(0.0, 0, 0, 0.0)
        self._looked = self._alive = self._moved = self._loop.time()
        self._timer = self._loop.call_later(self._every, self._look)
        self.why = ""

    def follow(self, guard: int) -> None:
        """A guard that has ended by now, its FFmpeg being quick, needs no watching."""
        with suppress(psutil.Error):
            self._guard = psutil.Process(guard)

    def end(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        now, signs = self._loop.time(), self._signs()
        passed, self._looked = now - self._looked, now
        before, self._seen = self._seen, signs
        asleep = passed > ASLEEP * self._every  # it was us who stood still: no evidence
        media = (signs.position, signs.frames) != (before.position, before.frames)
        if asleep or media or abs(signs.moved - before.moved) > REPORT_BYTES * passed:
            self._moved = self._alive = now
        elif signs.cpu - before.cpu > BUSY_SHARE * passed:
            self._alive = now
        self._judge(now)

    def _judge(self, now: float) -> None:
        if now - self._alive >= self._patience.silent:
            self.why = f"no sign of life for {now - self._alive:.0f} s"
        elif now - self._moved >= self._patience.busy:
            self.why = f"busy, but no media moved for {now - self._moved:.0f} s"
        else:
            self._timer = self._loop.call_later(self._every, self._look)
            return
        self._limit.reschedule(now)

    def _signs(self) -> Signs:
        moved, cpu = 0, 0.0
        try:
            for child in self._guard.children() if self._guard else ():
                counters, times = child.io_counters(), child.cpu_times()
                moved += counters.read_chars + counters.write_chars
                cpu += times.user + times.system
        except psutil.Error:
            return self._seen  # it ends just now
        return Signs(self._meter.position, self._meter.frames, moved, cpu)


async def run_watched(
    argv: Sequence[str],
    meter: Meter,
    *,
    timeout: float | None,  # noqa: ASYNC109  its end is a stop sequence, not an exception
    patience: Patience,
    log: Tail | None = None,
) -> Exit:
    """`process.run_guarded`, but for a program that stands still: then it is stopped.

    Raises AttemptFailed (STALLED), CannotStart.
    """
    limit = asyncio.timeout(None)
    dog = Watchdog(limit, meter, patience)
    try:
        async with limit:
            return await run_guarded(
                argv, feed=meter.feed, timeout=timeout, log=log, started=dog.follow
            )
    except TimeoutError:
        if not dog.why:
            raise
        where = f"{meter.position:.1f} s of the media, {meter.frames} frames"
        raise AttemptFailed.because(
            Reason.STALLED, f"FFmpeg stood still and was ended: {dog.why}, at {where}"
        ) from None
    finally:
        dog.end()
