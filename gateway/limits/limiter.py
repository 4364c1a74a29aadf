"""Waiting for tokens, most urgent first."""

import asyncio
import heapq
import math
from collections.abc import Mapping
from itertools import count

from gateway.clock import Clock
from gateway.limits.bucket import TokenBucket
from gateway.limits.shared import SharedBucket


class Limiter:
    """Gives out a bucket's tokens in order of priority, at the moment of sending.

    The token is taken when the caller goes on, not when it asks, so that nothing which was held up
    in between can add to a later burst.

    reserve: by priority number, the share of the bucket that less urgent ones leave untouched.
    """

    def __init__(
        self, bucket: TokenBucket | SharedBucket, clock: Clock, reserve: Mapping[int, float]
    ) -> None:
        self.bucket = bucket
        self._clock = clock
        self._reserve = dict(reserve)
        self._order = count()
        self._waiting: list[tuple[int, int, float, asyncio.Future[None]]] = []
        self._pump: asyncio.Task[None] | None = None
        self._refilling: asyncio.Task[None] | None = None

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

    @property
    def keeps(self) -> bool:
        """Whether tokens stay in hand until they are used; those of a shared bucket lapse."""
        return not isinstance(self.bucket, SharedBucket)

    def floor(self, priority: int) -> float:
        """Tokens that this priority must leave for more urgent ones."""
        return self.bucket.kept(self._kept(priority))

    async def stock_up(self, priority: int) -> None:
        """Get tokens into hand where they are shared with other nodes; else they are there."""
        if isinstance(self.bucket, SharedBucket):
            await self._refill(self.bucket, priority)

    async def note_use(self, tokens: int, found: int) -> None:
        """For so many tokens in hand so much work was found."""
        if isinstance(self.bucket, SharedBucket):
            self.bucket.was_used(tokens, found)
            if found == 0 and not self._waiting:
                await self.bucket.give_back(self._clock.monotonic())

    def close(self) -> None:
        """Give out no more. Closing twice is harmless."""
        if self._pump is not None:
            self._pump.cancel()

    def _kept(self, priority: int) -> float:
        return sum(share for level, share in self._reserve.items() if level < priority)

    async def _refill(self, bucket: SharedBucket, priority: int, least: float = 1.0) -> None:
        """Whoever waits for it may go away: what was asked for comes in all the same."""
        if self._refilling is None:
            asking = bucket.refill(
                self._clock.monotonic,
                wanted=math.ceil(sum(entry[2] for entry in self._waiting)),
                least=math.ceil(least),
                kept=self._kept(priority),
            )
            self._refilling = asyncio.create_task(asking)
            self._refilling.add_done_callback(self._refilled)
        await asyncio.shield(self._refilling)

    def _refilled(self, task: "asyncio.Task[None]") -> None:
        self._refilling = None

    def _take(self, tokens: float, priority: int) -> float:
        return self.bucket.take(tokens, self._clock.monotonic(), floor=self.floor(priority))

    async def _give_out(self) -> None:
        while self._waiting:
            priority, _, tokens, future = self._waiting[0]
            if future.done():
                heapq.heappop(self._waiting)
                continue
            wait = self._take(tokens, priority)
            if wait > 0.0 and isinstance(self.bucket, SharedBucket):
                await self._refill(self.bucket, priority, tokens)
                if future.done():  # it has given up meanwhile
                    continue
                wait = self._take(tokens, priority)
            if wait > 0.0:
                await self._clock.sleep(wait)
                continue
            heapq.heappop(self._waiting)
            future.set_result(None)
