"""Group commit: what arrives while one transaction runs goes into the next together.

A caller waits at most `patience` for its operation to begin; then the operation is withdrawn and
was never done. Once begun it is finished, whatever its caller does.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ffrtmp.domain.errors import DomainError, StoreBusy, StoreFailing, Unavailable
from ffrtmp.store.connection import Begin
from ffrtmp.store.errors import Conflict
from ffrtmp.store.transaction import Ahead, Transaction

T = TypeVar("T")
Apply = Callable[[Transaction], Awaitable[T]]

LARGEST_GROUP = 512
MOST_WAITING = 2048
"""What no store can begin in time is refused at once: callers that try again must not drown it."""
TRIES = 4
BACK_OFF_SECONDS = 0.05


@dataclass(slots=True)
class _Operation(Generic[T]):
    apply: Apply[T]
    done: asyncio.Future[T]
    ahead: Ahead
    until: float
    begun: bool = False
    withdrawn: bool = False


class Writer:
    def __init__(
        self,
        begin: Begin,
        *,
        patience: float,
        chance: Callable[[], float],
        spacing: float = 0.0,
        committed: Callable[[int], None] = lambda _operations: None,
    ) -> None:
        """Groups begin at least `spacing` seconds apart. `committed` is told after each how many
        operations were in it."""
        self._begin = begin
        self._patience = patience
        self._chance = chance
        self._spacing = spacing
        self._committed = committed
        self._waiting: deque[_Operation[Any]] = deque()
        self._arrived = asyncio.Event()
        self._group: list[_Operation[Any]] = []
        self._closing = False
        self._late: asyncio.TimerHandle | None = None
        self.commits = 0
        self.operations = 0
        self.refused = 0

    @property
    def waiting(self) -> int:
        """Operations that have not begun."""
        return sum(not operation.withdrawn for operation in self._waiting)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Writes while the block runs; what was begun is finished before it ends."""
        failure: Exception | None = None
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self._run())
            try:
                yield
            except Exception as error:  # noqa: BLE001 - raised below, outside the group
                failure = error
            finally:
                self._close(running)
        if failure is not None:
            raise failure  # as it was, not as a member of an ExceptionGroup

    def _close(self, running: "asyncio.Task[None]") -> None:
        self._closing = True
        self._arrived.set()
        if self._late is not None:
            self._late.cancel()
        if self._group:
            return  # it finishes them, and what waits
        running.cancel()
        for operation in self._waiting:
            _settle(operation, _Refused(StoreFailing("it is being closed")))

    async def do(self, apply: Apply[T], ahead: Ahead | None = None) -> T:
        """Runs `apply` in a transaction and returns after its commit.

        After a Conflict it is run again. Raises what `apply` raised, StoreBusy, or another
        Unavailable.
        """
        if self._closing:
            raise StoreFailing("it is being closed")
        if len(self._waiting) >= MOST_WAITING:
            self.refused += 1
            raise StoreBusy(0)
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience
        operation: _Operation[T] = _Operation(apply, loop.create_future(), ahead or Ahead(), until)
        self._waiting.append(operation)
        self._arrived.set()
        self._late = self._late or loop.call_at(until, self._refuse_late)
        try:
            return await operation.done
        finally:
            operation.withdrawn = not operation.begun

    def _refuse_late(self) -> None:
        """One timer for all: who came first is late first."""
        loop = asyncio.get_running_loop()
        while self._waiting and self._waiting[0].until <= loop.time():
            operation = self._waiting.popleft()
            if not operation.withdrawn:
                self.refused += 1
                _settle(operation, _Refused(StoreBusy(self._patience)))
        first = self._waiting[0] if self._waiting else None
        self._late = loop.call_at(first.until, self._refuse_late) if first else None

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._closing:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                began = loop.time()
                await self._write_group()
                await asyncio.sleep(max(0.0, began + self._spacing - loop.time()))

    async def _write_group(self) -> None:
        results: list[object] = []
        for tries_left in reversed(range(TRIES)):
            try:
                results = await self._try_group()
            except Conflict as error:
                if tries_left:
                    await asyncio.sleep(BACK_OFF_SECONDS * (1 + self._chance()))
                    continue
                results = self._refuse(StoreFailing(str(error)))
            except Unavailable as error:
                results = self._refuse(error)
            else:
                self.commits += 1
                self.operations += len(results)
                self._committed(len(results))
            break
        group, self._group = self._group, []
        for operation, result in zip(group, results, strict=True):
            _settle(operation, result)

    async def _try_group(self) -> list[object]:
        async with self._begin() as connection:
            self._take_group()
            transaction = Transaction(connection)
            await transaction.read_ahead([operation.ahead for operation in self._group])
            results = [await _apply(transaction, operation) for operation in self._group]
            await transaction.flush()
        return results

    def _refuse(self, why: Unavailable) -> list[object]:
        self._take_group()
        return [_Refused(why)] * len(self._group)

    def _take_group(self) -> None:
        """What waits; after a Conflict the group is there already."""
        while not self._group and self._waiting:
            most = min(len(self._waiting), LARGEST_GROUP)
            taken = [self._waiting.popleft() for _ in range(most)]
            self._group = [operation for operation in taken if not operation.withdrawn]
        for operation in self._group:
            operation.begun = True


async def _apply(transaction: Transaction, operation: _Operation[Any]) -> object:
    """A refusal is this operation's own; it wrote nothing before it refused."""
    try:
        return await operation.apply(transaction)
    except DomainError as error:
        return _Refused(error)


@dataclass(frozen=True, slots=True)
class _Refused:
    error: DomainError


def _settle(operation: _Operation[Any], result: object) -> None:
    if operation.done.done():
        return
    if isinstance(result, _Refused):
        operation.done.set_exception(result.error)
    else:
        operation.done.set_result(result)
