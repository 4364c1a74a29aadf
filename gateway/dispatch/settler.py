"""Writes what attempts came to, many in one commit: as much as ends while one is on its way."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence

from gateway.dispatch.attempt import Attempter
from gateway.dispatch.consequences import End

_log = logging.getLogger(__name__)

#: Results that are decided on in one go, while which nothing else runs.
_AT_ONCE = 128


class Settler:
    """Takes results without making anybody wait. Whoever adds them sees to a bound."""

    def __init__(self, attempter: Attempter, on_written: Callable[[int], None]) -> None:
        """on_written: called with how many results have been written."""
        self._attempter = attempter
        self._on_written = on_written
        self._ends: deque[End] = deque()
        self._writing: asyncio.Task[None] | None = None
        #: what could not be written with the others: it must not hold them up
        self._alone: set[asyncio.Task[None]] = set()

    @property
    def tasks(self) -> Sequence[asyncio.Task[None]]:
        """What is on its way; without any, everything has been written."""
        return [*filter(None, [self._writing]), *self._alone]

    def add(self, one: End) -> None:
        self._ends.append(one)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all())

    def cancel(self) -> None:
        """Forget what has not been written."""
        self._ends.clear()
        for task in self.tasks:
            task.cancel()

    async def _write_all(self) -> None:
        try:
            while self._ends:
                count = min(len(self._ends), _AT_ONCE)
                await self._write([self._ends.popleft() for _ in range(count)])
        finally:
            self._writing = None

    async def _write(self, ended: Sequence[End]) -> None:
        left = ended
        try:
            left = await self._attempter.try_together(ended)
        except Exception:  # a fault of ours: alone, it meets the one that it is about
            _log.exception("results_not_written_together")
        for one in left:
            task = asyncio.create_task(self._write_alone(one))
            self._alone.add(task)
            task.add_done_callback(self._alone.discard)
        self._on_written(len(ended) - len(left))

    async def _write_alone(self, one: End) -> None:
        try:
            await self._attempter.finish_alone(one)
        finally:
            self._on_written(1)
