"""Writes what attempts came to, many in one commit: as much as ends while one is on its way."""

import asyncio
from collections import deque
from collections.abc import Callable

from gateway.dispatch.attempt import Attempter, Ended

#: Results that are decided on in one go, while which nothing else runs.
_AT_ONCE = 128


class Settler:
    """Takes results without making anybody wait. Whoever adds them sees to a bound."""

    def __init__(
        self, attempter: Attempter, on_written: Callable[[int], None] = lambda count: None
    ) -> None:
        """on_written: called with how many results have been written."""
        self._attempter = attempter
        self._on_written = on_written
        self._ended: deque[Ended] = deque()
        #: the commit that is on its way
        self.task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Results that nobody has begun to write."""
        return len(self._ended)

    def add(self, ended: Ended) -> None:
        self._ended.append(ended)
        if self.task is None:
            self.task = asyncio.create_task(self._write_all())

    def cancel(self) -> None:
        """Forget what has not been written."""
        if self.task is not None:
            self.task.cancel()

    async def _write_all(self) -> None:
        try:
            while self._ended:
                count = min(len(self._ended), _AT_ONCE)
                await self._attempter.finish_all([self._ended.popleft() for _ in range(count)])
                self._on_written(count)
        finally:
            self.task = None
