"""The slots of one account: rows that have been claimed are sent, most urgent first, in as many
calls at once as the account may make, and what came of them is written.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from gateway.clock import Clock
from gateway.dispatch.attempt import Attempter, ClaimLost, Ready, Shipment
from gateway.dispatch.bans import Ban
from gateway.dispatch.calls import Calls
from gateway.dispatch.consequences import End, Ended
from gateway.dispatch.quota import DailyQuota
from gateway.dispatch.settler import Settler
from gateway.dispatch.standing import Standing
from gateway.limits.account import Account
from gateway.metrics import Metrics
from gateway.model import wire
from gateway.model.case import Claimed

_log = logging.getLogger(__name__)

#: Results that wait for the store, beyond which nothing new is to be claimed.
_MOST_UNFINISHED = 2_000


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
        quota: DailyQuota | None = None,
    ) -> None:
        """may_send: as for `Worker`. give_back: returns rows that are not ours to send any more.
        quota: of calls, from which each takes its share."""
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
        self._quota = quota
        self._token_wait = metrics.token_wait_seconds.labels(self.name)
        self._calls = Calls(
            account,
            attempter,
            clock,
            tokens_of=tokens_of,
            on_unsent=self._end_unsent,
            on_stale=self._hand_back,
        )
        self._standing = Standing(account, self.name, clock, metrics)
        self._unadmitted = 0
        self._unfinished = 0
        #: slots in use
        self._tasks: set[asyncio.Task[None]] = set()
        #: rows whose end sets `freed`
        self._wanted = 0

    @property
    def held(self) -> tuple[int, int]:
        """(rows without a slot, rows in flight without a token)."""
        return len(self._calls), self._unadmitted

    @property
    def is_full(self) -> bool:
        """Whether so many results wait for the store that nothing more should be sent."""
        return self._unfinished >= _MOST_UNFINISHED

    def wake_after(self, rows: int) -> None:
        """Set `freed` when so many rows are over, or nothing is left to start in their place."""
        self._wanted = rows

    def put(self, rows: Sequence[Claimed], bans: Sequence[Ban], asked: float) -> None:
        """Send these. bans: for each row whether its address must not be written to, as was asked
        at this time of the monotonic clock."""
        self._calls.add(rows, bans, asked)
        self.waiting.update(row.priority for row in rows)
        self._start_some()

    def take_back(self) -> Sequence[Claimed]:
        """What has not been started, and is not held any more."""
        rows = self._calls.take_back()
        self.waiting.subtract(row.priority for row in rows)
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
        """A task for each free slot that has something to send."""
        while (first := self._next()) is not None:
            task = asyncio.create_task(self._serve(first))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, shipment: Shipment) -> None:
        """One slot: makes one call after another, while there are any."""
        following: Shipment | None = shipment
        while following is not None:
            await self._carry_out(following)
            following = self._next()

    def _next(self) -> Shipment | None:
        """The most urgent call, which now has a slot; None without a call or a slot, or while
        nothing may be sent."""
        if self.account.in_flight >= self.account.limits.concurrency:
            return None
        if self.account.halted_for() > 0.0:
            return None
        while (shipment := self._calls.next()) is not None:
            if self._quota is None or self._quota.take(shipment.call.parts):
                self.account.start()
                self._unadmitted += len(shipment.rows)
                return shipment
            self._hand_back(shipment.rows)
        return None

    def _hand_back(self, rows: Sequence[Claimed]) -> None:
        """They have waited for so long that the gate must be asked again."""
        self.waiting.subtract(row.priority for row in rows)
        task = asyncio.create_task(self._return(rows))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _return(self, rows: Sequence[Claimed]) -> None:
        await self._give_back(rows)
        self.freed.set()

    def _end_unsent(self, one: End) -> None:
        self.waiting[one.row.priority] -= 1
        self._settle(one)
        self.freed.set()

    def _settle(self, one: End) -> None:
        self._unfinished += 1
        self._settler.add(one)

    async def _carry_out(self, shipment: Shipment) -> None:
        rows = shipment.rows
        ended: Sequence[Ended] = ()
        try:
            ended = await self._send(shipment)
        except ClaimLost:
            self.account.abandon()  # a probe that was not made has told nothing
            await self._give_back(rows)
        except Exception:  # a fault of ours must not leave rows claimed for ever
            self.account.abandon()
            _log.exception("attempt_failed provider=%s message=%s", self.name, rows[0].case.id)
            ended = [self._attempter.failed(row) for row in rows]
        for one in ended:
            self._settle(one)
        if self.account.halted_for() > 0.0:
            self.freed.set()  # whoever waits for a slot waits in vain

    def _finished(self, count: int) -> None:
        """So many rows are done with, their ends written."""
        was_full = self.is_full
        self._unfinished -= count
        if was_full and not self.is_full:
            self.freed.set()

    async def _send(self, shipment: Shipment) -> Sequence[Ended]:
        if self.account.limiter is None and self._is_alone:
            started_ms, results = await self._send_freely(shipment)
        else:
            started_ms, results = await self._send_admitted(shipment)
        self._standing.note(results, started_ms)
        if len(results) > 1:
            self._send_apart(shipment, results)
        return [
            self._attempter.ended(row, result, started_ms)
            for row, result in zip(shipment.rows, results, strict=True)
            if len(results) == 1 or not _is_apart(result)
        ]

    def _send_apart(self, shipment: Shipment, results: Sequence[wire.AttemptResult]) -> None:
        """Nothing was taken of what was refused together, perhaps for the sake of one: again in
        halves, under the same claims."""
        messages = zip(shipment.rows, shipment.call.messages, results, strict=True)
        again = [Ready(row, message) for row, message, result in messages if _is_apart(result)]
        self.waiting.update(one.row.priority for one in again)
        self._calls.add_halves(again)
        self._start_some()

    async def _send_freely(self, shipment: Shipment) -> tuple[int, Sequence[wire.AttemptResult]]:
        started_ms = self._clock.now_ms()
        self._go(shipment.rows)
        try:
            return started_ms, await self._attempter.send(shipment, None)
        finally:
            self._release(len(shipment.rows))

    async def _send_admitted(self, shipment: Shipment) -> tuple[int, Sequence[wire.AttemptResult]]:
        admitted = False
        started_ms = self._clock.now_ms()

        async def admit(part: int = 0) -> None:
            nonlocal admitted, started_ms
            waited = await self._admit(shipment, part)
            if part:  # whoever takes over the claim must take all of it to be under way
                return
            if not self._may_send() or (waited and self._attempter.are_held(shipment.rows)):
                raise ClaimLost
            if admitted:  # the same messages again, with a refreshed credential
                return
            admitted = True
            started_ms = self._clock.now_ms()
            self._go(shipment.rows)

        try:
            results = await self._attempter.send(shipment, admit)
        finally:
            if not admitted:
                self._go(shipment.rows)
            self._release(len(shipment.rows))
        return started_ms, results

    async def _admit(self, shipment: Shipment, part: int) -> float:
        """Returns when it has its tokens: after so many seconds."""
        tokens = self._price(shipment, part)
        if self.account.limiter is None or tokens == 0:
            return 0.0
        asked = self._clock.monotonic()
        await self.account.limiter.admit(tokens, shipment.rows[0].priority)
        waited = self._clock.monotonic() - asked
        self._token_wait.observe(waited)
        return waited

    def _price(self, shipment: Shipment, part: int) -> int:
        """Tokens for a part of a call: what leaves later is paid for later, and what was counted
        beyond that with the first."""
        limits, others = self.account.limits, shipment.call.parts - 1
        if limits.token_per_call:
            return 1
        if part:
            return int(limits.token_per_part)
        tokens = sum(map(self._tokens_of, shipment.rows))
        return max(1, tokens - others) if limits.token_per_part else tokens

    def _go(self, rows: Sequence[Claimed]) -> None:
        """They have their tokens."""
        self._unadmitted -= len(rows)
        for row in rows:
            self.waiting[row.priority] -= 1

    def _release(self, rows: int) -> None:
        self.account.end(rows)
        self._wanted -= rows
        if self._wanted <= 0 or not self._calls:
            self.freed.set()


def _is_apart(result: wire.AttemptResult) -> bool:
    return isinstance(result, wire.Deferred) and result.apart
