"""Pulls work for one provider account: claims what it can start soon, starts it, and no more.

A worker holds only what its account has tokens and slots for within about a tenth of a second, so
memory is bounded whatever waits on disk, and something urgent waits behind a tenth of a second of
other work at the most.
"""

import asyncio
import heapq
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import count

from gateway.clock import Clock
from gateway.dispatch.attempt import Attempter, ClaimLost, Ended, Ready
from gateway.dispatch.bans import Bans
from gateway.dispatch.change import OUTCOMES
from gateway.dispatch.claims import Claimer
from gateway.dispatch.claims import ServedLane as ServedLane
from gateway.dispatch.lanes import Bells
from gateway.dispatch.quota import DailyQuota
from gateway.dispatch.settler import Settler
from gateway.limits.account import Account
from gateway.metrics import Metrics
from gateway.model import wire
from gateway.model.case import Claimed
from gateway.model.errors import StoreUnavailable
from gateway.model.message import Priority
from gateway.store import base

_log = logging.getLogger(__name__)

#: Longest wait for a bell, in seconds: what other processes queue is noticed by then.
_POLL = 1.0

#: Results that wait for the store, beyond which nothing new is claimed.
_MOST_UNFINISHED = 2_000

#: How long an account whose credential is refused is left alone, in seconds.
_CREDENTIAL_PAUSE = 30.0


class Worker:
    """Serves the lanes of one account until it is told to stop."""

    def __init__(
        self,
        account: Account,
        attempter: Attempter,
        lanes: Sequence[ServedLane],
        *,
        store: base.Store,
        bells: Bells,
        bans: Bans,
        clock: Clock,
        metrics: Metrics,
        roster: Mapping[str, Account],
        quota: DailyQuota | None,
        tokens_of: Callable[[Claimed], int],
        may_send: Callable[[], bool] | None = None,
    ) -> None:
        """may_send: whether what this node has claimed is certain to be its own still; None: there
        are no other nodes."""
        self.account = account
        self.name = attempter.account
        self._attempter = attempter
        self._claimer = Claimer(
            self.name,
            account,
            lanes,
            store=store,
            clock=clock,
            roster=roster,
            quota=quota,
            tokens_of=tokens_of,
        )
        self._store = store
        self._bans = bans
        self._clock = clock
        self._metrics = metrics
        self._tokens_of = tokens_of
        self._is_alone = may_send is None
        self._may_send = may_send if may_send is not None else lambda: True
        self._bell = bells.listen(lane.name for lane in lanes)
        self._freed = asyncio.Event()
        self._buffer: list[tuple[int, float, int, Claimed, str]] = []
        self._order = count()
        self._unadmitted = 0
        self._unfinished = 0
        self._settler = Settler(attempter, self._finished)
        #: rows that wait for a slot or a token, by priority
        self._waiting: Counter[int] = Counter()
        self._urgent_may_wait = True
        self._stopping = False
        #: slots in use
        self._tasks: set[asyncio.Task[None]] = set()
        #: releases until there may be room worth a claim
        self._wanted = 0
        self._token_wait = metrics.token_wait_seconds.labels(self.name)

    async def run(self) -> None:
        """Until `stop`; then returns when nothing of it is in flight."""
        try:
            while not self._stopping:
                await self._turn()
        finally:
            await self._give_back()
        while under_way := [*self._tasks, *filter(None, [self._settler.task])]:
            await asyncio.wait(under_way)
        await self._claimer.close()

    def stop(self) -> None:
        """Claim no more. Stopping twice is harmless."""
        self._stopping = True
        self._bell.set()
        self._freed.set()

    def cancel(self) -> None:
        """Abandon what is in flight: its outcome is unknown."""
        for task in self._tasks:
            task.cancel()
        self._settler.cancel()

    async def _turn(self) -> None:
        self._wanted = 0
        self._urgent_may_wait |= self._bell.is_set()
        self._bell.clear()
        self._freed.clear()
        if not self._may_send():
            await self._clock.sleep(_POLL)
            return
        try:
            await self._stock_up()
            limit, startable, highest = self._room()
            if limit <= 0:
                await self._rest()
                return
            rows = await self._claimer.claim(limit, startable, highest=highest)
            await self._note_use(limit, len(rows))
        except StoreUnavailable as error:
            _log.warning("claim_waits_for_store provider=%s reason=%s", self.name, error)
            await self._clock.sleep(_POLL)
            return
        if rows:
            await self._take_in(rows)
        elif highest < Priority.BULK:
            self._urgent_may_wait = False
        elif startable <= 0:
            # what there may be must be able to start at once
            soonest = self.account.next_start(*self._held) or _POLL
            await self._wait(self._freed, min(soonest, _POLL))
        else:
            await self._wait(self._bell, self._claimer.poll_after(_POLL))

    async def _stock_up(self) -> None:
        """Where the bucket is shared with other nodes, tokens come first and rows for them next."""
        if self.account.limiter is not None and self.account.paused_for() <= 0.0:
            urgent = min(self.account.limits.reserve, default=Priority.BULK)
            await self.account.limiter.stock_up(urgent if self._urgent_may_wait else Priority.BULK)

    async def _note_use(self, tokens: int, found: int) -> None:
        if self.account.limiter is not None:
            await self.account.limiter.note_use(tokens, found)

    def _room(self) -> tuple[int, int, int]:
        """(how many rows to claim, how many of them could start, their least urgent priority)."""
        if self._unfinished >= _MOST_UNFINISHED:
            return 0, 0, Priority.BULK
        limit, startable = self.account.room(*self._held)
        if limit >= self._enough(limit):
            self._urgent_may_wait = True
            return limit, startable, Priority.BULK
        if self._urgent_may_wait:
            highest, limit = self.account.urgent_room(self._waiting)
            return limit, limit, highest
        return 0, 0, Priority.BULK

    @property
    def _held(self) -> tuple[int, int]:
        """(rows without a slot, rows in flight without a token)."""
        return len(self._buffer), self._unadmitted

    def _enough(self, limit: int) -> int:
        """Rows for which a claim, which is a transaction, is worth its while: any, when nothing is
        held that could go on meanwhile."""
        limiter = self.account.limiter
        held = self._waiting.total() if limiter is not None and limiter.keeps else len(self._buffer)
        most = min(max(0, limit) + self._waiting.total(), 4 * self.account.limits.concurrency)
        return max(1, most // 2) if held else 1

    async def _rest(self) -> None:
        """Nothing can be started: wait for the store, a slot, tokens, or the end of a pause.

        Where tokens are kept for urgent work, for that as well.
        """
        if self._unfinished >= _MOST_UNFINISHED:
            await self._wait(self._freed, _POLL)
            return
        if self.account.paused_for() > 0.0:
            await self._claimer.hand_over()
            await self._wait(self._freed, min(self.account.paused_for(), _POLL))
            return
        limit, _ = self.account.room(*self._held)
        self._wanted = self._enough(limit) - limit
        until = self.account.next_room(self._enough(limit), *self._held) or _POLL
        await self._wait(self._bell if self.account.limits.reserve else self._freed, until)

    async def _wait(self, event: asyncio.Event, seconds: float) -> None:
        # A loop takes a timer nearer than its clock's resolution for due, and time may not have
        # moved since: what asks again would ask without end.
        try:
            async with asyncio.timeout(max(0.001, seconds)):
                await event.wait()
        except TimeoutError:
            pass

    async def _take_in(self, rows: Sequence[Claimed]) -> None:
        for row, ban in zip(rows, await self._bans_of(rows), strict=True):
            heapq.heappush(self._buffer, (row.priority, row.rank, next(self._order), row, ban))
            self._waiting[row.priority] += 1
        self._start_some()

    async def _bans_of(self, rows: Sequence[Claimed]) -> Sequence[str]:
        while True:
            try:
                return await self._bans.of(rows)
            except StoreUnavailable as error:
                _log.warning("bans_wait_for_store provider=%s reason=%s", self.name, error)
                await self._clock.sleep(_POLL)

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
            ended = self._attempter.ended(row, wire.Unknown(code="internal_error"))
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
            await self._claimer.give_back([row])
            return None
        self._judge(result)
        return self._attempter.ended(row, result, started_ms)

    def _finished(self, count: int) -> None:
        """So many rows are done with, their ends written."""
        was_full = self._unfinished >= _MOST_UNFINISHED
        self._unfinished -= count
        if was_full and self._unfinished < _MOST_UNFINISHED:
            self._freed.set()

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
        self._waiting[row.priority] -= 1

    def _release(self, row: Claimed, *, admitted: bool) -> None:
        if not admitted:
            self._goes(row)
        self.account.end(1)
        self._wanted -= 1
        if self._wanted <= 0 or not self._buffer:
            self._freed.set()

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

    async def _give_back(self) -> None:
        """Return what has not been started."""
        rows = [entry[3] for entry in self._buffer]
        self._buffer.clear()
        await self._claimer.give_back(rows, insist=False)
