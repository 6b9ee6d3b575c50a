"""Group commit for SQLite: what arrives while one transaction runs goes into the next together.

One connection writes. A caller waits at most `patience` for its operation to begin; then the
operation is withdrawn and was never done. Once begun it is finished, whatever its caller does.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ffrtmp.domain.errors import DomainError, StoreBusy, StoreFailing
from ffrtmp.store.transaction import Transaction

T = TypeVar("T")
Apply = Callable[[Transaction], Awaitable[T]]

LARGEST_GROUP = 512
RETRY_SECONDS = 0.02


@dataclass(slots=True)
class _Operation(Generic[T]):
    apply: Apply[T]
    done: asyncio.Future[T]
    job_ids: frozenset[str]
    begun: bool = False
    withdrawn: bool = False


class Writer:
    def __init__(self, transaction: Transaction, *, patience: float) -> None:
        self._transaction = transaction
        self._patience = patience
        self._waiting: deque[_Operation[Any]] = deque()
        self._arrived = asyncio.Event()
        self._closing = False
        self.commits = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Writes while the block runs; what was begun is finished before it ends."""
        failure: Exception | None = None
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._run())
            try:
                yield
            except Exception as error:  # noqa: BLE001 - raised below, outside the group
                failure = error
            finally:
                self._closing = True
                self._arrived.set()
        if failure is not None:
            raise failure  # as it was, not as a member of an ExceptionGroup

    async def do(self, apply: Apply[T], job_ids: frozenset[str] = frozenset()) -> T:
        """Runs `apply` in a transaction and returns after its commit.

        `job_ids` are the jobs it will ask for, read ahead for the whole group at once. Raises
        what `apply` raised, StoreBusy, or StoreFailing.
        """
        operation = _Operation(apply, asyncio.get_running_loop().create_future(), job_ids)
        operation.done.add_done_callback(_retrieve)
        self._waiting.append(operation)
        self._arrived.set()
        try:
            async with asyncio.timeout(self._patience):
                return await asyncio.shield(operation.done)
        except TimeoutError:
            if operation.begun:
                return await asyncio.shield(operation.done)
            raise StoreBusy(self._patience) from None
        finally:
            operation.withdrawn = not operation.begun

    async def _run(self) -> None:
        while not self._closing:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                await self._write_group()
        for operation in self._waiting:
            _settle(operation, _Refused(StoreFailing("it is being closed")))

    async def _write_group(self) -> None:
        group: list[_Operation[Any]] = []
        try:
            await self._begin()
            group = self._take_group()
            await self._transaction.read_ahead({name for each in group for name in each.job_ids})
            results = [await self._apply(operation) for operation in group]
            await self._transaction.commit()
        except sqlite3.Error as error:
            await self._transaction.roll_back()
            for operation in group or self._take_group():
                _settle(operation, _Refused(StoreFailing(str(error))))
            return
        self.commits += 1
        for operation, result in zip(group, results, strict=True):
            _settle(operation, result)

    async def _begin(self) -> None:
        """Another process may hold the lock for as long as it likes; callers do not wait so."""
        while not await self._transaction.try_begin():
            if self._closing:
                raise sqlite3.OperationalError("it is being closed")
            await asyncio.sleep(RETRY_SECONDS)

    def _take_group(self) -> list[_Operation[Any]]:
        group: list[_Operation[Any]] = []
        while self._waiting and len(group) < LARGEST_GROUP:
            operation = self._waiting.popleft()
            if not operation.withdrawn:
                operation.begun = True
                group.append(operation)
        return group

    async def _apply(self, operation: _Operation[Any]) -> object:
        """A refusal is this operation's own; it wrote nothing before it refused."""
        try:
            return await operation.apply(self._transaction)
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


def _retrieve(done: "asyncio.Future[Any]") -> None:
    """A caller that went away leaves a result nobody fetches; that is no error."""
    if not done.cancelled():
        done.exception()
