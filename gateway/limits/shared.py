"""One node's part of a bucket that all nodes share.

The bucket itself is a row of the store, refilled by the store's clock. A node takes blocks of
tokens from it and holds each no longer than `hold` seconds; the row's capacity is smaller than
the burst by what can be minted in that time, so that all that is on its way to the sockets and
all that the row still gives stay within burst + rate·w together (design §6). Where that leaves
less than one token, the row gives out single sends, each with the moment from which it may go.
What is not on the wire in time lapses: tokens can be lost, never minted.

A token counts from when it was asked for, so where the store is slow to answer, blocks are held
longer and are smaller. Nodes may differ in that: the oldest block that may still be used was taken
from a row that held no more than its node's capacity, and all others came after it.
"""

import math
from collections import deque
from collections.abc import Callable
from typing import Protocol

from gateway.model.tokens import Demand, Grant

#: A block is held no longer than this, in seconds, while the store answers soon enough,
_LONGEST_HOLD = 0.2

#: and else for so many times as long as it lately took, which it forgets by this share an answer.
_PATIENCE, _FORGETS = 1.5, 0.1

#: A single dated send may be so late, in seconds.
_SLOT_HOLD = 0.02

#: and is asked for so long before its time, in seconds.
_AHEAD = 0.05

#: Seconds until the store is asked again after it could not be reached.
_RETRY = 0.5


class Row(Protocol):
    """The bucket of an account, as the store keeps it for all nodes."""

    async def take(self, demand: Demand) -> Grant | None:
        """None: it cannot be reached."""
        ...

    async def give_back(self, tokens: int, capacity: float) -> None:
        """Tokens that were not used; the row holds `capacity` at the most."""
        ...


class SharedBucket:
    """Has the interface of `TokenBucket`, and beside it `refill` and `give_back`."""

    def __init__(self, *, rate: float, burst: float, row: Row) -> None:
        self.rate = rate
        self.burst = burst
        #: share of the rate in use here, between 0 and 1; lowered when the provider throttles us
        self.factor = 1.0
        self._shortest = min(_LONGEST_HOLD, burst / (2 * rate))
        self.is_dated = burst - rate * self._shortest < 1.0
        #: seconds that the store takes to answer, of late
        self._line = 0.0
        self._row = row
        self._blocks: deque[list[float]] = deque()  # [usable from, until, tokens]
        self._next_refill = 0.0
        self._appetite = 1

    @property
    def hold(self) -> float:
        """Seconds that a token may be kept."""
        if self.is_dated:
            return _SLOT_HOLD
        most = max(self._shortest, (self.burst - 1.0) / self.rate)
        return min(most, max(self._shortest, _PATIENCE * self._line))

    @property
    def capacity(self) -> float:
        """What the row may hold when this node asks."""
        return 1.0 if self.is_dated else max(1.0, self.burst - self.rate * self.hold)

    @property
    def most(self) -> float:
        """Tokens that can ever be in hand."""
        return self.capacity

    def level(self, now: float) -> float:
        """Tokens that can be used now."""
        self._drop_lapsed(now)
        return sum(tokens for start, _, tokens in self._blocks if start <= now)

    def soon(self, now: float, ahead: float) -> float:
        """Tokens that can be used within `ahead` seconds: only those that have been given."""
        self._drop_lapsed(now)
        return sum(tokens for start, _, tokens in self._blocks if start <= now + ahead)

    def kept(self, share: float) -> float:
        """Nothing is kept of what has been given: that is done where it is given."""
        return 0.0

    def wait(self, tokens: float, now: float) -> float:
        """Seconds until so many may be there."""
        self._drop_lapsed(now)
        held = 0.0
        for start, _, count in self._blocks:
            held += count
            if held >= tokens:
                return max(0.0, start - now)
        return max(0.0, self._next_refill - now)

    def take(self, tokens: float, now: float, *, floor: float = 0.0) -> float:
        """Take tokens in hand; 0 when done, else seconds until it may work."""
        if self.level(now) < tokens:
            return max(0.001, self.wait(tokens, now))
        left = tokens
        while left > 0:
            block = self._blocks[0]
            used = min(left, block[2])
            block[2] -= used
            left -= used
            if block[2] <= 0:
                self._blocks.popleft()
        return 0.0

    def set_factor(self, factor: float, now: float) -> None:
        """Change the share of the rate from now on."""
        self.factor = factor

    async def refill(
        self,
        clock: Callable[[], float],
        *,
        wanted: int,
        least: int = 1,
        kept: float = 0.0,
    ) -> None:
        """Ask for tokens, unless it is too early to ask again.

        wanted: by what waits here already. kept: share of the burst to leave for more urgent ones.
        """
        asked, hold, capacity = clock(), self.hold, self.capacity
        if asked < self._next_refill:
            return
        most = 1 if self.is_dated and least <= 1 else max(wanted, self._appetite, least)
        grant = await self._row.take(
            Demand(
                rate=self.rate,
                capacity=capacity,
                most=most,
                least=least,
                floor=kept * capacity if capacity > 1.0 else 0.0,
                ahead=_AHEAD if self.is_dated else 0.0,
            )
        )
        now = clock()
        if grant is None:
            self._next_refill = now + _RETRY
            return
        self._line = max(now - asked, self._line * (1.0 - _FORGETS))
        self._settle(grant, asked, now, hold)

    def _settle(self, grant: Grant, asked: float, now: float, hold: float) -> None:
        pause = grant.wait
        if grant.tokens > 0:
            # a plain token counts from when it was asked for: the answer may have been slow
            start = now + grant.delay if self.is_dated else asked
            self._blocks.append([start, start + hold, float(grant.tokens)])
            if self.factor < 1.0:
                pause = max(pause, grant.tokens / (self.rate * self.factor))
        elif not self.is_dated:
            pause = max(pause, hold / 2)
        self._next_refill = now + pause

    async def give_back(self, now: float) -> None:
        """Let others have what is in hand: there is nothing to use it for."""
        self._drop_lapsed(now)
        tokens = int(sum(count for *_, count in self._blocks))
        self._blocks.clear()
        if tokens > 0:
            await self._row.give_back(tokens, self.capacity)

    def was_used(self, tokens: int, found: int) -> None:
        """For so many tokens in hand so much work was found: what to ask for next."""
        most = max(1, math.ceil(self.rate * self.hold))
        full = found >= tokens > 0
        self._appetite = min(most, self._appetite * 2) if full else 1

    def _drop_lapsed(self, now: float) -> None:
        while self._blocks and self._blocks[0][1] < now:
            self._blocks.popleft()
