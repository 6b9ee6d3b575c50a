"""`ffrtmp` with a fault in it: the same code, which dies, freezes or loses its clock at a place.

    launch.py [--at MODULE:NAME[.NAME] kill|stop [--when TEXT] [--times N] [--after]]
              [--skip N] [--block SECONDS] [--clock SECONDS] [--slow SECONDS]
              -- ARGUMENTS OF FFRTMP

--at     on the first call of that function (with TEXT in its arguments), before it does anything,
         or after it is done: SIGKILL or SIGSTOP to this very process. With --times: on the Nth
         call, those before it hang in their threads; with --skip they go on
--block  SIGUSR1 blocks the event loop for this long, while gRPC's own threads live on
--clock  the wall clock, as far as ffrtmp reads it, is off by this much; each SIGUSR2 adds it again
--slow   the file system takes this long, before and after, for each change of a medium's name, and
         to make its bytes durable; each is told on standard error: `slow NAME PATH`

Run by its path, so that only this file comes from the tests.
"""

import argparse
import functools
import importlib
import inspect
import os
import signal
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


def main() -> None:
    here = sys.argv.index("--")
    options = argparse.ArgumentParser()
    options.add_argument("--at", nargs=2)
    options.add_argument("--when", default="")
    options.add_argument("--times", type=int, default=1)
    options.add_argument("--skip", type=int, default=0)
    options.add_argument("--after", action="store_true")
    options.add_argument("--block", type=float)
    options.add_argument("--clock", type=float)
    options.add_argument("--slow", type=float)
    asked = options.parse_args(sys.argv[1:here])
    if asked.clock is not None:
        put_clock_off(timedelta(seconds=asked.clock))
    if asked.block is not None:
        signal.signal(signal.SIGUSR1, lambda *_: time.sleep(asked.block))
    if asked.slow is not None:
        slow_down(asked.slow)
    if asked.at is not None:
        place, action = asked.at
        fall = Fall(SIGNALS[action], asked.when, asked.times, asked.skip)
        break_at(place, fall, after=asked.after)
    sys.argv = ["ffrtmp", *sys.argv[here + 1 :]]
    from ffrtmp.cli.app import main as ffrtmp  # noqa: PLC0415  # after the clock was changed

    sys.exit(ffrtmp())


def put_clock_off(step: timedelta) -> None:
    """ffrtmp/clock.py is the only reader of clocks: nothing else needs to be changed."""
    from ffrtmp import clock  # noqa: PLC0415

    off = [step]
    right, steady = clock.utc_now, clock.SteadyClock.__call__
    clock.utc_now = lambda: right() + sum(off, timedelta(0))
    clock.SteadyClock.__call__ = lambda self: steady(self) + sum(off, timedelta(0))
    signal.signal(signal.SIGUSR2, lambda *_: off.append(step))


def slow_down(seconds: float) -> None:
    for name in ("replace", "rename", "link", "unlink", "fsync"):
        quick = getattr(os, name)

        @functools.wraps(quick)
        def slow(first: object, *others: object, quick=quick, **named: object) -> object:
            by_number = isinstance(first, int)
            path = str(Path(f"/proc/self/fd/{first}").readlink() if by_number else first)
            if ".mkv" not in path:
                return quick(first, *others, **named)
            sys.stderr.write(f"slow {quick.__name__} {path}\n")
            time.sleep(seconds)
            result = quick(first, *others, **named)
            time.sleep(seconds)
            return result

        setattr(os, name, slow)


class Fall:
    """What happens at the place: counts the calls and, at the right one, sends the signal."""

    def __init__(self, number: signal.Signals, when: str, times: int, skip: int) -> None:
        self._number = number
        self._when = when
        self._calls = iter(range(1, 1_000_000))
        self._times = times
        self._skip = skip

    def __call__(self, arguments: object) -> None:
        if self._when not in repr(arguments):
            return
        call = next(self._calls) - self._skip
        if call < 1:
            return
        if call < self._times:
            threading.Event().wait()
        if call == self._times:
            # To this very thread: else it may go on until another one has taken the signal.
            signal.pthread_kill(threading.get_ident(), self._number)


def break_at(place: str, fall: Fall, *, after: bool) -> None:
    module, _, path = place.partition(":")
    owner = importlib.import_module(module)
    *owners, name = path.split(".")
    for each in owners:
        owner = getattr(owner, each)
    original = getattr(owner, name)

    @functools.wraps(original)
    def broken(*arguments: object, **named: object) -> object:
        if not after:
            fall(arguments)
        result = original(*arguments, **named)
        if after:
            fall(arguments)
        return result

    @functools.wraps(original)
    async def broken_coroutine(*arguments: object, **named: object) -> object:
        if not after:
            fall(arguments)
        result = await original(*arguments, **named)
        if after:
            fall(arguments)
        return result

    kind = broken_coroutine if inspect.iscoroutinefunction(original) else broken
    setattr(owner, name, kind)


if __name__ == "__main__":
    main()
