"""How much one provider account may be given now: tokens, slots, breaker, pauses, quota."""

import math
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway.clock import Clock
from gateway.limits.breaker import Breaker, BreakerRules, BreakerState
from gateway.limits.bucket import TokenBucket
from gateway.limits.limiter import Limiter
from gateway.limits.merit import Merit
from gateway.limits.shared import Row, SharedBucket
from gateway.limits.throughput import Throughput

#: How far ahead of its tokens an account claims, in seconds (design §5).
PREFETCH = 0.1

#: After a throttling answer without a time of its own: first and longest pause, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0

#: Rows held at the most, whatever calls could carry.
_MOST_HELD = 2_000

#: The share of the rate never falls below this, and regains this much a second without trouble.
_LEAST_FACTOR, _REGAIN = 0.1, 0.05

_CLOSED = BreakerState.CLOSED

#: The priority that must leave all reserves untouched.
_LEAST_URGENT = 3

#: Health is judged over the last so many minutes.
_MINUTES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLimits:
    """Configured limits of an account."""

    #: tokens a second; None: no limit
    rate: float | None = None
    burst: float = 1.0
    #: calls in flight
    concurrency: int = 32
    #: rows that a call can carry
    batch: int = 1
    #: whether a token pays for a whole call
    token_per_call: bool = False
    #: whether each part of a text that goes in parts is paid for by itself, when it leaves
    token_per_part: bool = False
    #: whether a lane orders its accounts by what they have done of late
    compared: bool = False
    #: by priority number: share of the bucket kept for it
    reserve: Mapping[int, float] = field(default_factory=dict)
    breaker: BreakerRules = field(default_factory=BreakerRules)


class Account:
    """The state of one account in this process. All decisions are synchronous."""

    def __init__(
        self,
        limits: AccountLimits,
        clock: Clock,
        on_breaker: Callable[[BreakerState], None],
        *,
        row: Row | None = None,
    ) -> None:
        """row: the bucket that all nodes share; None: this process is alone."""
        self.limits = limits
        self.breaker = Breaker(limits.breaker)
        self.limiter = self._limiter(limits, clock, row)
        self.in_flight = 0
        self._clock = clock
        self._on_breaker = on_breaker
        self._paused_until = 0.0
        self._told_until = 0.0
        self._resting_until = 0.0
        self._pause = _FIRST_PAUSE
        self._factor_since = clock.monotonic()
        #: rows that share a call where there are enough of them, as it has turned out lately
        self._per_call = 1.0
        self._sent = Throughput()
        self.tally = Tally()
        self.merit = Merit() if limits.compared else None

    def _limiter(self, limits: AccountLimits, clock: Clock, row: Row | None) -> Limiter | None:
        if limits.rate is None:
            return None
        bucket: TokenBucket | SharedBucket
        if row is not None:
            bucket = SharedBucket(rate=limits.rate, burst=limits.burst, row=row)
        else:
            bucket = TokenBucket(rate=limits.rate, burst=limits.burst, now=clock.monotonic())
        return Limiter(bucket, clock, limits.reserve)

    def paused_for(self) -> float:
        """Seconds for which nothing more is to be taken on, by pause, rest or breaker; else 0."""
        return max(self.halted_for(), self._resting_until - self._clock.monotonic())

    def halted_for(self) -> float:
        """Seconds for which nothing may be sent, by pause or breaker; 0 when something may."""
        if not (self._paused_until or self._told_until or self.breaker.state is not _CLOSED):
            return 0.0  # nearly always, and asked for each call
        now = self._clock.monotonic()
        return max(0.0, self._paused_until - now, self._told_until - now, self.breaker.wait(now))

    def own_pause(self) -> tuple[float, str]:
        """(seconds, why) of a pause that this process found a reason for, which others may not
        know; 0 seconds without one."""
        now = self._clock.monotonic()
        if self.breaker.state is BreakerState.OPEN:
            return self.breaker.wait(now), "breaker"
        return max(0.0, self._paused_until - now, self._resting_until - now), "pause"

    def heed(self, seconds: float) -> None:
        """Another process says that nothing may be sent for so long."""
        self._told_until = max(self._told_until, self._clock.monotonic() + seconds)

    def room(self, waiting: int, started: int = 0) -> tuple[int, int]:
        """(how many more rows to hold, how many of these could start now).

        Held already are `waiting` rows without a slot; of those in flight, `started` have no token.
        """
        if self.paused_for() > 0.0:
            return 0, 0
        slots = self.limits.concurrency - self.in_flight
        batch = math.ceil(self._per_call)
        free = min(slots * batch, max(slots, _MOST_HELD)) - waiting
        if self.breaker.state is not BreakerState.CLOSED:
            probe = int(self.in_flight + waiting == 0)
            return probe, probe
        now = self._clock.monotonic()
        if self.limiter is None:
            ahead = math.ceil(self._sent.rate(now) * PREFETCH)
            if batch > 1:  # or a call that ends finds too little to fill the next
                ahead = max(ahead, batch)
            return max(0, free + ahead), max(0, free)
        floor = self.limiter.floor(_LEAST_URGENT)
        tokens = math.floor(self.limiter.bucket.level(now) - floor) * self.rows_per_token()
        held = waiting + started
        return max(0, self._soon(_LEAST_URGENT) - held), max(0, min(free, tokens - held))

    def urgent_room(self, held: Mapping[int, int]) -> tuple[int, int]:
        """(least urgent priority that tokens are kept for, how many rows up to it to hold); (0, 0)
        without any. held: rows held already, by priority."""
        if self.limiter is None or self.paused_for() > 0.0:
            return 0, 0
        if self.breaker.state is not BreakerState.CLOSED:
            return 0, 0
        for priority in sorted(self.limits.reserve, reverse=True):
            before = sum(count for level, count in held.items() if level <= priority)
            if (room := self._soon(priority) - before) > 0:
                return priority, room
        return 0, 0

    def _soon(self, priority: int) -> int:
        """Rows that a priority has tokens for, within the time that is claimed ahead."""
        assert self.limiter is not None
        soon = self.limiter.bucket.soon(self._clock.monotonic(), PREFETCH)
        return math.floor(soon - self.limiter.floor(priority)) * self.rows_per_token()

    def next_room(self, wanted: int = 1, waiting: int = 0, started: int = 0) -> float:
        """Seconds until `room` gives `wanted` by itself; 0: it depends on what is in flight."""
        if (paused := self.paused_for()) > 0.0:
            return min(paused, _LONGEST_PAUSE)
        if self.limiter is None or self.breaker.state is not BreakerState.CLOSED:
            return 0.0
        return max(0.001, self._until_tokens(wanted + waiting + started) - PREFETCH)

    def next_start(self, waiting: int, started: int) -> float:
        """Seconds until one more could start by itself; 0: it depends on what is in flight."""
        slots = self.limits.concurrency - self.in_flight
        if self.limiter is None or waiting >= slots * self._per_call:
            return 0.0
        return max(0.001, self._until_tokens(1 + waiting + started))

    def _until_tokens(self, rows: int) -> float:
        assert self.limiter is not None
        wanted = math.ceil(rows / self.rows_per_token()) + self.limiter.floor(_LEAST_URGENT)
        return self.limiter.bucket.wait(wanted, self._clock.monotonic())

    def call_tokens(self) -> float:
        """Tokens that one call may take: what waits in the bucket must not go beyond the burst."""
        if self.limiter is None or self.limits.token_per_call:
            return math.inf
        return max(1.0, self.limiter.bucket.most - self.limiter.floor(_LEAST_URGENT))

    def rows_per_token(self) -> int:
        """Rows that a token pays for, as it has turned out lately."""
        return math.ceil(self._per_call) if self.limits.token_per_call else 1

    def note_plan(self, rows: int, calls: int) -> None:
        """So many rows came to so many calls, as few as they could."""
        if calls > 1:
            self._per_call = max(1.0, (self._per_call + rows / calls) / 2)
        else:
            self._per_call = min(float(self.limits.batch), max(self._per_call, 2.0 * rows))

    def start(self) -> None:
        """A call is on its way."""
        self.in_flight += 1
        if self.breaker.state is BreakerState.OPEN:
            self._watching(self.breaker.start)

    def end(self, rows: int) -> None:
        """A call of so many rows is over."""
        self.in_flight -= 1
        self._sent.add(self._clock.monotonic(), rows)

    def succeed(self) -> None:
        """The provider answered sensibly, whatever it said of the message."""
        self._pause = _FIRST_PAUSE
        self._regain()
        self._watching(self.breaker.succeed)

    def note_receipt(self, *, arrived: bool, now: float) -> None:
        """A message that it had taken has arrived, or never will."""
        self.tally.add("delivered" if arrived else "undelivered", now)
        if self.merit is not None:
            self.merit.note_receipt(arrived=arrived, now=now)

    def fail(self, *, connect: bool) -> None:
        """The provider did not answer, or only of its own trouble."""
        self._watching(lambda now: self.breaker.fail(now, connect=connect))

    def throttle(self, retry_after: float | None) -> None:
        """It asked for less: pause, and go on at half the rate.

        What comes back while it is paused was sent before, and adds no more than its own time.
        """
        now = self._clock.monotonic()
        if now >= self._paused_until:
            self._slow_down(now)
            self.pause(self._pause if retry_after is None else retry_after)
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        elif retry_after is not None:
            self.pause(retry_after)
        self.abandon()

    def abandon(self) -> None:
        """What was tried says nothing about whether the provider is well."""
        self._watching(self.breaker.abandon)

    def _slow_down(self, now: float) -> None:
        if self.limiter is not None:
            bucket = self.limiter.bucket
            bucket.set_factor(max(_LEAST_FACTOR, bucket.factor / 2), now)
            self._factor_since = now

    def pause(self, seconds: float) -> None:
        """Send nothing for so long."""
        self._paused_until = max(self._paused_until, self._clock.monotonic() + seconds)

    def rest(self, seconds: float) -> None:
        """Take on nothing more for so long; what has been taken on may go."""
        self._resting_until = max(self._resting_until, self._clock.monotonic() + seconds)

    def _regain(self) -> None:
        if self.limiter is None or self.limiter.bucket.factor == 1.0:
            return
        now = self._clock.monotonic()
        factor = self.limiter.bucket.factor + (now - self._factor_since) * _REGAIN
        self.limiter.bucket.set_factor(min(1.0, factor), now)
        self._factor_since = now

    def _watching(self, act: Callable[[float], None]) -> None:
        before = self.breaker.state
        act(self._clock.monotonic())
        if self.breaker.state is not before:
            self._on_breaker(self.breaker.state)


class Tally:
    """What happened in the last minutes, by name."""

    def __init__(self) -> None:
        self._minutes: deque[tuple[int, Counter[str]]] = deque(maxlen=_MINUTES)

    def add(self, name: str, now: float, times: int = 1) -> None:
        minute = int(now // 60)
        if not self._minutes or self._minutes[-1][0] != minute:
            self._minutes.append((minute, Counter()))
        self._minutes[-1][1][name] += times

    def counts(self, now: float) -> Counter[str]:
        total: Counter[str] = Counter()
        for minute, counter in self._minutes:
            if minute > int(now // 60) - _MINUTES:
                total += counter
        return total
