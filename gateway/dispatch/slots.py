"""The slots of one account: rows that have been claimed are sent, most urgent first, as many at
once as the account may, and what came of them is written.
"""

import asyncio
import heapq
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from itertools import count

from gateway.clock import Clock
from gateway.dispatch.attempt import Attempter, ClaimLost, Ended, Ready
from gateway.dispatch.change import OUTCOMES
from gateway.dispatch.settler import Settler
from gateway.limits.account import Account
from gateway.metrics import Metrics
from gateway.model import wire
from gateway.model.case import Claimed

_log = logging.getLogger(__name__)

#: Results that wait for the store, beyond which nothing new is to be claimed.
_MOST_UNFINISHED = 2_000

#: How long an account whose credential is refused is left alone, in seconds.
_CREDENTIAL_PAUSE = 30.0


class Slots:
    """Sends what it is given."""

    def __init__(
        self,
        account: Account,
        attempter: Attempter,
        *,
        clock: Clock,
        metrics: Metrics,
        tokens_of: Callable[[Claimed], int],
        may_send: Callable[[], bool] | None,
        give_back: Callable[[Sequence[Claimed]], Awaitable[None]],
    ) -> None:
        """may_send: as for `Worker`. give_back: returns rows that are not ours to send any more."""
        self.account = account
        self.name = attempter.account
        #: set when there may be room again; whoever waits for it clears it
        self.freed = asyncio.Event()
        #: rows that wait for a slot or a token, by priority
        self.waiting: Counter[int] = Counter()
        self._attempter = attempter
        self._settler = Settler(attempter, self._finished)
        self._clock = clock
        self._tokens_of = tokens_of
        self._is_alone = may_send is None
        self._may_send = may_send if may_send is not None else lambda: True
        self._give_back = give_back
        self._token_wait = metrics.token_wait_seconds.labels(self.name)
        self._buffer: list[tuple[int, float, int, Claimed, str]] = []
        self._order = count()
        self._unadmitted = 0
        self._unfinished = 0
        #: slots in use
        self._tasks: set[asyncio.Task[None]] = set()
        #: releases until `freed` is set
        self._wanted = 0

    @property
    def held(self) -> tuple[int, int]:
        """(rows without a slot, rows in flight without a token)."""
        return len(self._buffer), self._unadmitted

    @property
    def is_full(self) -> bool:
        """Whether so many results wait for the store that nothing more should be sent."""
        return self._unfinished >= _MOST_UNFINISHED

    def wake_after(self, releases: int) -> None:
        """Set `freed` when so many slots have become free, or nothing is left to start in them."""
        self._wanted = releases

    def put(self, rows: Sequence[Claimed], bans: Sequence[str]) -> None:
        """Send these. bans: why a row's address must not be written to, empty when it may."""
        for row, ban in zip(rows, bans, strict=True):
            heapq.heappush(self._buffer, (row.priority, row.rank, next(self._order), row, ban))
            self.waiting[row.priority] += 1
        self._start_some()

    def take_back(self) -> Sequence[Claimed]:
        """What has not been started, and now never will."""
        rows = [entry[3] for entry in self._buffer]
        self._buffer.clear()
        return rows

    async def drain(self) -> None:
        """Returns when nothing is in flight and everything has been written."""
        while under_way := [*self._tasks, *self._settler.tasks]:
            await asyncio.wait(under_way)

    def cancel(self) -> None:
        """Abandon what is in flight: its outcome is unknown."""
        for task in self._tasks:
            task.cancel()
        self._settler.cancel()

    def _start_some(self) -> None:
        """A task for each free slot that has a row to send."""
        while (first := self._next()) is not None:
            task = asyncio.create_task(self._serve(*first))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _next(self) -> tuple[Claimed, str] | None:
        """The most urgent row, now on its way, and its ban; None without a row or a slot."""
        if not self._buffer or self.account.in_flight >= self.account.limits.concurrency:
            return None
        *_, row, ban = heapq.heappop(self._buffer)
        self.account.start(1)
        self._unadmitted += 1
        self._unfinished += 1
        return row, ban

    async def _serve(self, row: Claimed, ban: str) -> None:
        """One slot: sends one row after another, while there are any."""
        following: tuple[Claimed, str] | None = (row, ban)
        while following is not None:
            await self._attempt(*following)
            following = self._next()

    async def _attempt(self, row: Claimed, ban: str) -> None:
        ended = None
        try:
            ended = await self._carry_out(row, ban)
        except Exception:  # a fault of ours must not leave the row claimed for ever
            _log.exception("attempt_failed provider=%s message=%s", self.name, row.case.id)
            ended = self._attempter.failed(row)
        finally:
            if ended is None:
                self._finished(1)
        if ended is not None:
            self._settler.add(ended)

    async def _carry_out(self, row: Claimed, ban: str) -> Ended | None:
        """What came of it; None when it was not sent, and that has been written."""
        ready = await self._prepare(row, ban)
        if ready is None:
            return None
        try:
            started_ms, result = await self._send(ready)
        except ClaimLost:
            await self._give_back([row])
            return None
        self._judge(result)
        return self._attempter.ended(row, result, started_ms)

    def _finished(self, count: int) -> None:
        """So many rows are done with, their ends written."""
        was_full = self.is_full
        self._unfinished -= count
        if was_full and not self.is_full:
            self.freed.set()

    async def _prepare(self, row: Claimed, ban: str) -> Ready | None:
        """The message to send; without one the slot is free again, and a probe has told nothing."""
        ready = None
        try:
            ready = await self._attempter.prepare(row, ban)
        finally:
            if ready is None:
                self.account.abandon()
                self._release(row, admitted=False)
        return ready

    async def _send(self, ready: Ready) -> tuple[int, wire.AttemptResult]:
        admitted = False
        started_ms = self._clock.now_ms()

        async def admit() -> None:
            nonlocal admitted, started_ms
            await self._admit(ready)
            if not self._may_send():
                raise ClaimLost
            if admitted:  # the same message again, with a refreshed credential
                return
            admitted = True
            started_ms = self._clock.now_ms()
            self._goes(ready.row)

        try:
            if self.account.limiter is None and self._is_alone:
                admitted = True
                self._goes(ready.row)
                results = await self._attempter.send([ready], None)
            else:
                results = await self._attempter.send([ready], admit)
        finally:
            self._release(ready.row, admitted=admitted)
        return started_ms, results[0]

    async def _admit(self, ready: Ready) -> None:
        if self.account.limiter is None:
            return
        asked = self._clock.monotonic()
        await self.account.limiter.admit(self._tokens_of(ready.row), ready.row.priority)
        self._token_wait.observe(self._clock.monotonic() - asked)

    def _goes(self, row: Claimed) -> None:
        """A row has its token."""
        self._unadmitted -= 1
        self.waiting[row.priority] -= 1

    def _release(self, row: Claimed, *, admitted: bool) -> None:
        if not admitted:
            self._goes(row)
        self.account.end(1)
        self._wanted -= 1
        if self._wanted <= 0 or not self._buffer:
            self.freed.set()

    def _judge(self, result: wire.AttemptResult) -> None:
        """What a result says of the account."""
        self.account.tally.add(OUTCOMES[type(result)], self._clock.monotonic())
        match result:
            case wire.Accepted():
                self.account.succeed()
            case wire.Deferred(cause=wire.Cause.THROTTLED):
                self.account.throttle(result.retry_after)
            case wire.Deferred(cause=wire.Cause.CREDENTIAL):
                _log.error("credential_refused provider=%s code=%s", self.name, result.code)
                self.account.pause(_CREDENTIAL_PAUSE)
                self.account.abandon()
            case wire.Deferred(cause=wire.Cause.CONNECT):
                self.account.fail(connect=True)
            case wire.Deferred(cause=wire.Cause.TEMPORARY) | wire.Unknown():
                self.account.fail(connect=False)
            case _:
                self.account.succeed()
