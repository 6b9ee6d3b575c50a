"""An event loop whose time is virtual, and processes that live on it.

Nothing sleeps: when nothing is ready, time jumps to the next timer. Every callback belongs to a
process, or to nobody (the network, the one who injects faults). A process can be frozen, and killed
between any two steps: what it does afterwards reaches nobody. The same seed makes the same steps;
for that, sets of tasks are ordered as the tasks were made.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from itertools import count
from typing import Any, TypeVar

T = TypeVar("T")


class Stuck(Exception):
    """Nothing is ready, and nothing ever will be."""


class Process:
    """One run of a simulated process. `die_at`: the step before which it is killed."""

    def __init__(self, name: str, *, die_at: int | None = None) -> None:
        self.name = name
        self.alive = True
        self.frozen = False
        self.steps = 0
        self.die_at = die_at
        self.held: list[asyncio.Handle] = []
        self.on_death: Callable[[], None] = lambda: None
        self.context: Context = copy_context()
        self.context.run(PROCESS.set, self)
        self._task: asyncio.Task[None] | None = None

    def start(self, main: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(main, context=self.context)
        return self._task

    def kill(self) -> None:
        """As SIGKILL would: from now on nothing of it is seen by others."""
        if self.alive:
            self.alive = False
            self.thaw()
            if self._task is not None:
                self._task.cancel()
            self.on_death()

    def freeze(self) -> None:
        self.frozen = self.alive

    def thaw(self) -> None:
        self.frozen = False
        held, self.held = self.held, []
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.take_back(held)


PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)
NOBODY = Context()
"""To schedule what no process does."""


def require_alive() -> None:
    """Before anything that others can see. Raises CancelledError in a process that was killed."""
    process = PROCESS.get()
    if process is not None and not process.alive:
        raise asyncio.CancelledError


class _Task(asyncio.Task[T]):
    def __init__(self, work: Coroutine[Any, Any, T], *, number: int, **named: Any) -> None:
        self._number = number
        super().__init__(work, **named)

    def __hash__(self) -> int:
        """Sets of tasks are gone through in one order, wherever the tasks lie in memory."""
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class VirtualLoop(asyncio.BaseEventLoop):
    """`thread_seconds`: how long a call in a thread takes, drawn anew for each."""

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self, thread_seconds: Callable[[], float]) -> None:
        super().__init__()
        self._now = 1000.0
        self._thread_seconds = thread_seconds
        numbers = count()
        self.set_task_factory(
            lambda loop, work, **named: _Task(work, number=next(numbers), loop=loop, **named)
        )

    def time(self) -> float:
        return self._now

    def take_back(self, handles: list[asyncio.Handle]) -> None:
        """Of a process that was frozen."""
        self._ready.extend(handles)

    def _run_once(self) -> None:
        """All that is ready; what that makes ready comes next time."""
        timers = self._scheduled
        while timers and timers[0].cancelled():
            heapq.heappop(timers)
        if not self._ready:
            if not timers:
                raise Stuck
            self._now = max(self._now, timers[0].when())
        while timers and timers[0].when() <= self._now:
            self._ready.append(heapq.heappop(timers))
        for _ in range(len(self._ready)):
            self._step(self._ready.popleft())

    def _step(self, handle: asyncio.Handle) -> None:
        if handle.cancelled():
            return
        process = handle._context.get(PROCESS)  # type: ignore[attr-defined]  # noqa: SLF001
        if process is not None:
            if process.frozen:
                process.held.append(handle)
                return
            process.steps += 1
            if process.steps == process.die_at:
                process.kill()
        handle._run()  # noqa: SLF001

    def run_in_executor(  # type: ignore[override]  # a future, as there; typeshed says coroutine
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> "asyncio.Future[T]":
        """In no thread: at one moment of a span, and never when its process was killed before."""
        future: asyncio.Future[T] = self.create_future()
        process = PROCESS.get()

        def work() -> None:
            if process is not None and not process.alive:
                future.cancel()
                return
            try:
                done = func(*args)
            except Exception as error:  # noqa: BLE001  # the caller's
                self.call_later(self._thread_seconds(), _settle, future, error, None)
            else:
                self.call_later(self._thread_seconds(), _settle, future, None, done)

        self.call_later(self._thread_seconds(), work)
        return future

    def _process_events(self, event_list: list[Any]) -> None:
        """There is no selector."""

    def _write_to_self(self) -> None:
        """There is nothing to wake."""

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is dropped when its time comes."""


def _settle(future: "asyncio.Future[T]", error: Exception | None, result: Any) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
