"""Is FFmpeg still getting somewhere? Asked while it encodes; what it stands still for, it is ended.

Two clocks. Media that moves (a later position, a frame, a byte read or written) sets back both: a
rewrite for `+faststart`, which reports nothing for minutes, reads and writes. Processor time that
is used sets back the short one only: a slow encoder may think for minutes about a frame, an endless
loop should not for ever. The other phases have limits of their own: a probe by the file's size, a
live push by its server.

An encode whose job has no time-out gets one, once its speed is known: ten times what it would take
at that speed, and an hour. That ends what goes on and on, at a disk that answers a read a minute,
and no encode that was slow from the beginning.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

from ffrtmp.domain.retry import Reason
from ffrtmp.worker.failures import AttemptFailed
from ffrtmp.worker.limits import UNLIMITED, Confines
from ffrtmp.worker.process import Exit, run_guarded
from ffrtmp.worker.steps import Meter
from ffrtmp.worker.tail import Tail

LOOKS = 10
BUSY_SHARE = 0.01
REPORT_BYTES = 4096
"""A second; what FFmpeg writes about itself, standing still or not, is less."""
ASLEEP = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """In seconds: without any sign of life; and with processor time used, but no media moved.

    Time-out of an encode: `factor` times what its speed after `settled` seconds promises, and
    `slack`.
    """

    silent: float = 60.0
    busy: float = 1800.0
    settled: float = 60.0
    factor: float = 10.0
    slack: float = 3600.0


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

    def __init__(
        self, limit: asyncio.Timeout, meter: Meter, patience: Patience, length: float = 0.0
    ) -> None:
        """`length`: of what is encoded, in seconds; 0: not known."""
        self._length = length
        self._limit = limit
        self._meter = meter
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._every = patience.silent / LOOKS
        self._guard: psutil.Process | None = None
        self._seen = Signs(0.0, 0, 0, 0.0)
        self._looked = self._alive = self._moved = self._began = self._loop.time()
        self._promised: float | None = None
        self._timer = self._loop.call_later(self._every, self._look)
        self.why = ""
        self.reason = Reason.STALLED

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
        if asleep:
            self._began += passed
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
        elif self._takes_too_long(now - self._began):
            self.reason = Reason.TIMED_OUT
            self.why = f"{now - self._began:.0f} s, its speed promised {self._promised:.0f} s"
        else:
            self._timer = self._loop.call_later(self._every, self._look)
            return
        self._limit.reschedule(now)

    def _takes_too_long(self, passed: float) -> bool:
        position = self._meter.position
        if self._promised is None and passed >= self._patience.settled and position:
            self._promised = self._length * passed / position
        if not self._promised:
            return False
        return passed >= self._patience.factor * self._promised + self._patience.slack

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
    confines: Confines = UNLIMITED,
    length: float = 0.0,
) -> Exit:
    """`process.run_guarded`, but for a program that stands still, or takes ten times as long as it
    should for `length` seconds of media: then it is stopped.

    Raises AttemptFailed (STALLED, TIMED_OUT), CannotStart.
    """
    limit = asyncio.timeout(None)
    dog = Watchdog(limit, meter, patience, length)
    try:
        with confines.one() as limits:
            async with limit:
                return await run_guarded(
                    argv,
                    feed=meter.feed,
                    timeout=timeout,
                    log=log,
                    started=dog.follow,
                    limits=limits,
                )
    except TimeoutError:
        if not dog.why:
            raise
        where = f"{meter.position:.1f} s of the media, {meter.frames} frames"
        what = "stood still" if dog.reason is Reason.STALLED else "took far too long"
        raise AttemptFailed.because(
            dog.reason, f"FFmpeg {what} and was ended: {dog.why}, at {where}"
        ) from None
    finally:
        dog.end()
