"""Keeps a process from hammering a server that is away."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from gateway.model.errors import StoreUnavailable

T = TypeVar("T")

#: Seconds from a failed connect to the next: the first, and the most after doubling.
_FIRST, _LONGEST = 0.1, 2.0


class Backoff:
    """Lets attempts through while they succeed, and after a failure only from time to time."""

    def __init__(self) -> None:
        self._pause = 0.0
        self._closed_until = 0.0

    async def attempt(self, connect: Callable[[], Awaitable[T]]) -> T:
        """Raises StoreUnavailable at once while the last failure is too recent."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._closed_until:
            raise StoreUnavailable("the database is away")
        try:
            connection = await connect()
        except Exception:
            self._pause = min(_LONGEST, self._pause * 2 or _FIRST)
            self._closed_until = loop.time() + self._pause
            raise
        self._pause = self._closed_until = 0.0
        return connection
