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
from gateway.dispatch.attempt import Attempter, Ready
from gateway.dispatch.bans import Bans
from gateway.dispatch.change import OUTCOMES
from gateway.dispatch.lanes import Bells
from gateway.dispatch.quota import DailyQuota
from gateway.limits.account import Account
from gateway.metrics import Metrics
from gateway.model import wire
from gateway.model.case import Claimed
from gateway.model.errors import StoreUnavailable
from gateway.model.values import value
from gateway.store import base

_log = logging.getLogger(__name__)

#: Longest wait for a bell, in seconds: what other processes queue is noticed by then.
_POLL = 1.0

#: Results that wait for the store, beyond which nothing new is claimed.
_MOST_UNFINISHED = 2_000

#: Share of an account's tokens that each lower priority with work gets at the least (design §6).
_LEAST_SHARE = 0.02

#: Rows unpinned at once when their account cannot take them.
_UNPIN = 500

#: How long an account whose credential is refused is left alone, in seconds.
_CREDENTIAL_PAUSE = 30.0


@value()
class ServedLane:
    """A lane as one account sees it."""

    name: str
    #: the accounts preferred to this one, in order
    before: Sequence[str]
    #: seconds that the lane's head must have waited before this account helps out
    spill_after: float
    #: whether others serve it too
    shared: bool


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
        tokens_of: Callable[[wire.Message], float],
    ) -> None:
        self.account = account
        self.name = attempter.account
        self._attempter = attempter
        self._lanes = list(lanes)
        self._store = store
        self._bans = bans
        self._clock = clock
        self._metrics = metrics
        self._roster = roster
        self._quota = quota
        self._tokens_of = tokens_of
        self._bell = bells.listen(lane.name for lane in lanes)
        self._freed = asyncio.Event()
        self._buffer: list[tuple[int, float, int, Claimed, str]] = []
        self._order = count()
        self._unadmitted = 0
        self._unfinished = 0
        self._share: Counter[int] = Counter()
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._token_wait = metrics.token_wait_seconds.labels(self.name)

    async def run(self) -> None:
        """Until `stop`; then returns when nothing of it is in flight."""
        try:
            while not self._stopping:
                await self._turn()
        finally:
            await self._give_back()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def stop(self) -> None:
        """Claim no more. Stopping twice is harmless."""
        self._stopping = True
        self._bell.set()
        self._freed.set()

    def cancel(self) -> None:
        """Abandon what is in flight: its outcome is unknown."""
        for task in self._tasks:
            task.cancel()

    async def _turn(self) -> None:
        try:
            limit, startable = self._room()
            if limit <= 0:
                await self._rest()
                return
            self._bell.clear()
            self._freed.clear()
            rows = await self._claim(limit, startable)
        except StoreUnavailable as error:
            _log.warning("claim_waits_for_store provider=%s reason=%s", self.name, error)
            await self._clock.sleep(_POLL)
            return
        if rows:
            await self._take_in(rows)
        elif startable <= 0:
            await self._wait(self._freed, self.account.next_room() or _POLL)
        else:
            await self._wait(self._bell, self._poll_after())

    def _room(self) -> tuple[int, int]:
        if self._unfinished >= _MOST_UNFINISHED:
            return 0, 0
        held = len(self._buffer) + self._unadmitted
        limit, startable = self.account.room(held)
        enough = max(1, min(limit + held, 4 * self.account.limits.concurrency) // 2)
        if self._buffer and limit < enough:
            return 0, 0
        return limit, startable

    async def _rest(self) -> None:
        """Nothing can be started: wait for a slot, tokens, or the end of a pause."""
        self._freed.clear()
        if self.account.paused_for() > 0.0:
            await self._hand_over()
            await self._wait(self._freed, min(self.account.paused_for(), _POLL))
        else:
            await self._wait(self._freed, self.account.next_room() or _POLL)

    async def _wait(self, event: asyncio.Event, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass

    def _poll_after(self) -> float:
        return min([_POLL, *(lane.spill_after for lane in self._lanes if lane.before)]) or _POLL

    async def _claim(self, limit: int, startable: int) -> list[Claimed]:
        if self._quota is not None:
            limit = await self._quota.reserve(limit)
            if limit == 0:
                self.account.pause(_POLL)
                return []
        claimed: list[Claimed] = []
        for lane in self._lanes:
            room = limit - len(claimed)
            if room <= 0:
                break
            claimed += await self._store.claim(
                base.ClaimRequest(
                    lane=lane.name,
                    provider=self.name,
                    limit=room,
                    startable=max(0, startable - len(claimed)),
                    head_due_by_ms=self._head_due_by_ms(lane),
                )
            )
        self._lanes.append(self._lanes.pop(0))
        if len(claimed) >= limit:
            claimed += await self._claim_shares(claimed)
        if self._quota is not None:
            self._quota.spend(len(claimed))
        return claimed

    async def _claim_shares(self, claimed: Sequence[Claimed]) -> list[Claimed]:
        """What lower priorities have saved up while higher ones took everything."""
        lowest = max(row.priority for row in claimed)
        extra: list[Claimed] = []
        for priority in range(lowest + 1, 4):
            self._share[priority] += len(claimed)
            owed = int(self._share[priority] * _LEAST_SHARE)
            if self._quota is not None:
                held = len(claimed) + len(extra)
                owed = await self._quota.reserve(held + owed) - held
            if owed <= 0:
                continue
            self._share[priority] = 0
            extra += await self._store.claim(
                base.ClaimRequest(
                    lane=self._lanes[-1].name,
                    provider=self.name,
                    limit=owed,
                    startable=owed,
                    lowest=priority,
                    head_due_by_ms=self._head_due_by_ms(self._lanes[-1]),
                )
            )
        return extra

    def _head_due_by_ms(self, lane: ServedLane) -> int | None:
        """Help out only where the preferred accounts do not keep up."""
        if all(self._is_away(name) for name in lane.before):
            return None
        return self._clock.now_ms() - int(lane.spill_after * 1000)

    def _is_away(self, name: str) -> bool:
        return self._roster[name].paused_for() > 0.0

    async def _hand_over(self) -> None:
        """While the account cannot send, others may take what was kept for it."""
        for lane in self._lanes:
            if lane.shared:
                await self._store.unpin(lane.name, self.name, limit=_UNPIN)

    async def _take_in(self, rows: Sequence[Claimed]) -> None:
        for row, ban in zip(rows, await self._bans_of(rows), strict=True):
            heapq.heappush(self._buffer, (row.priority, row.rank, next(self._order), row, ban))
        self._start_some()

    async def _bans_of(self, rows: Sequence[Claimed]) -> Sequence[str]:
        while True:
            try:
                return await self._bans.of(rows)
            except StoreUnavailable as error:
                _log.warning("bans_wait_for_store provider=%s reason=%s", self.name, error)
                await self._clock.sleep(_POLL)

    def _start_some(self) -> None:
        while self._buffer and self.account.in_flight < self.account.limits.concurrency:
            *_, row, ban = heapq.heappop(self._buffer)
            self.account.start(1)
            self._unadmitted += 1
            self._unfinished += 1
            task = asyncio.create_task(self._attempt(row, ban))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _attempt(self, row: Claimed, ban: str) -> None:
        try:
            ready = await self._prepare(row, ban)
            if ready is None:
                return
            started_ms, result = await self._send(ready)
            self._judge(result)
            await self._attempter.finish(row, result, started_ms)
        finally:
            self._unfinished -= 1

    async def _prepare(self, row: Claimed, ban: str) -> Ready | None:
        """The message to send; without one the slot is free again, and a probe has told nothing."""
        ready = None
        try:
            ready = await self._attempter.prepare(row, ban)
        finally:
            if ready is None:
                self.account.abandon()
                self._release(admitted=False)
        return ready

    async def _send(self, ready: Ready) -> tuple[int, wire.AttemptResult]:
        admitted = False
        started_ms = self._clock.now_ms()

        async def admit() -> None:
            nonlocal admitted, started_ms
            if admitted:  # a second request for the same message: a refreshed token
                return
            await self._admit(ready)
            admitted = True
            started_ms = self._clock.now_ms()
            self._unadmitted -= 1

        try:
            if self.account.limiter is None:
                admitted = True
                self._unadmitted -= 1
                results = await self._attempter.send([ready], None)
            else:
                results = await self._attempter.send([ready], admit)
        finally:
            self._release(admitted=admitted)
        return started_ms, results[0]

    async def _admit(self, ready: Ready) -> None:
        assert self.account.limiter is not None
        asked = self._clock.monotonic()
        await self.account.limiter.admit(self._tokens_of(ready.message), ready.row.priority)
        self._token_wait.observe(self._clock.monotonic() - asked)

    def _release(self, *, admitted: bool) -> None:
        if not admitted:
            self._unadmitted -= 1
        self.account.end(1)
        self._start_some()
        self._freed.set()

    def _judge(self, result: wire.AttemptResult) -> None:
        """What a result says of the account."""
        self.account.tally.add(OUTCOMES[type(result)], self._clock.monotonic())
        match result:
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
        if not rows:
            return
        try:
            await self._store.give_back(rows)
        except StoreUnavailable as error:  # the next process takes them over, as not known
            _log.error(
                "rows_not_given_back provider=%s rows=%d reason=%s", self.name, len(rows), error
            )
