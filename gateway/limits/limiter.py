"""Waiting for tokens, most urgent first."""

import asyncio
import heapq
from collections.abc import Mapping
from itertools import count

from gateway.clock import Clock
from gateway.limits.bucket import TokenBucket


class Limiter:
    """Gives out a bucket's tokens in order of priority, at the moment of sending.

    The token is taken when the caller goes on, not when it asks, so that nothing which was held up
    in between can add to a later burst.

    reserve: by priority number, the share of the bucket that less urgent ones leave untouched.
    """

    def __init__(self, bucket: TokenBucket, clock: Clock, reserve: Mapping[int, float]) -> None:
        self.bucket = bucket
        self._clock = clock
        self._reserve = dict(reserve)
        self._order = count()
        self._waiting: list[tuple[int, int, float, asyncio.Future[None]]] = []
        self._pump: asyncio.Task[None] | None = None

    async def admit(self, tokens: float, priority: int) -> None:
        """Return when the tokens have been taken."""
        if not self._waiting and self._take(tokens, priority) == 0.0:
            return
        future = asyncio.get_running_loop().create_future()
        entry = (priority, next(self._order), tokens, future)
        heapq.heappush(self._waiting, entry)
        if self._waiting[0] is entry:
            self.close()  # it may have to wait for less than the one that was first
            self._pump = asyncio.create_task(self._give_out())
        await future

    def floor(self, priority: int) -> float:
        """Tokens that this priority must leave for more urgent ones."""
        return sum(
            share * self.bucket.burst for level, share in self._reserve.items() if level < priority
        )

    def close(self) -> None:
        """Give out no more. Closing twice is harmless."""
        if self._pump is not None:
            self._pump.cancel()

    def _take(self, tokens: float, priority: int) -> float:
        return self.bucket.take(tokens, self._clock.monotonic(), floor=self.floor(priority))

    async def _give_out(self) -> None:
        while self._waiting:
            priority, _, tokens, future = self._waiting[0]
            if future.done():
                heapq.heappop(self._waiting)
                continue
            wait = self._take(tokens, priority)
            if wait > 0.0:
                await self._clock.sleep(wait)
                continue
            heapq.heappop(self._waiting)
            future.set_result(None)
