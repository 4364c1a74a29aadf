"""Lets concurrent callers share one flush: what comes while a flush runs goes into the next."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from gateway.model.errors import StoreUnavailable

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Collects items and flushes them together, without a timer.

    flushes: how many are on their way at once; items wait only while so many are.
    flush: gets up to `largest` items (more only when one caller brought more), gives one result
    each, in order; all or nothing. When it fails for another reason than that the store is away,
    each caller's items are flushed alone, so that only the culprit gets the exception.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        largest: int,
        flushes: int = 1,
    ) -> None:
        self._flush = flush
        self._largest = largest
        self._flushes = flushes
        self._waiting: deque[tuple[Sequence[Item], asyncio.Future[Sequence[Result]]]] = deque()
        self._running: set[asyncio.Task[None]] = set()

    async def submit(self, items: Sequence[Item]) -> Sequence[Result]:
        """The results of the items, once their flush has ended.

        Cancelling the caller does not undo what may already be on its way.
        """
        future: asyncio.Future[Sequence[Result]] = asyncio.get_running_loop().create_future()
        self._waiting.append((items, future))
        if len(self._running) < self._flushes:
            self._running.add(asyncio.create_task(self._run()))
        return await future

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._flush_group(self._next_group())
        finally:
            self._running -= {asyncio.current_task()}

    def _next_group(self) -> list[tuple[Sequence[Item], asyncio.Future[Sequence[Result]]]]:
        group = [self._waiting.popleft()]
        size = len(group[0][0])
        while self._waiting and size + len(self._waiting[0][0]) <= self._largest:
            group.append(self._waiting.popleft())
            size += len(group[-1][0])
        return group

    async def _flush_group(
        self, group: Sequence[tuple[Sequence[Item], asyncio.Future[Sequence[Result]]]]
    ) -> None:
        items = [item for part, _ in group for item in part]
        try:
            results = await self._flush(items)
        except Exception as error:  # it belongs to the callers, who are told
            if len(group) > 1 and not isinstance(error, StoreUnavailable):
                for one in group:
                    await self._flush_group([one])
                return
            for _, future in group:
                if not future.done():
                    future.set_exception(error)
            return
        start = 0
        for part, future in group:
            if not future.done():
                future.set_result(results[start : start + len(part)])
            start += len(part)
