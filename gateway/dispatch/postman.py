"""Delivers webhooks. Each endpoint is served apart: its rows are pinned to it, and it has slots, a
breaker and pauses of its own, so one dead receiver among thousands stalls nobody (design §6).
"""

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import replace

from gateway.clock import Clock
from gateway.dispatch.attempt import Attempter, Ready
from gateway.dispatch.endpoints import EndpointBook
from gateway.dispatch.lanes import WEBHOOK_LANE, Bells
from gateway.limits.breaker import Breaker, BreakerRules, BreakerState
from gateway.model import wire
from gateway.model.case import Claimed
from gateway.model.errors import StoreUnavailable
from gateway.store import base

_log = logging.getLogger(__name__)

#: Requests in flight over all endpoints.
_CONCURRENCY = 256

#: Rows claimed ahead of an endpoint's free slots.
_AHEAD = 8

#: Endpoints looked at in one claim.
_MOST_ENDPOINTS = 128

#: Seconds between searches of the store for endpoints with work that no bell told of.
_SEARCH_EVERY = 1.0

#: A receiver is worse company than a provider: it is left alone after fewer failures.
_BREAKER = BreakerRules(least=5, connects=3)

#: Endpoints whose state is remembered.
_MOST_REMEMBERED = 50_000


class _Stop:
    """One endpoint's part of the round."""

    __slots__ = ("breaker", "in_flight", "paused_until")

    def __init__(self) -> None:
        self.breaker = Breaker(_BREAKER)
        self.in_flight = 0
        self.paused_until = 0.0

    def free(self, slots: int, now: float) -> int:
        """How many rows it can be given."""
        if now < self.paused_until or self.breaker.wait(now) > 0.0:
            return 0
        if self.breaker.state is not BreakerState.CLOSED:
            return int(self.in_flight == 0)
        return max(0, slots + _AHEAD - self.in_flight)

    @property
    def is_probing(self) -> bool:
        """What is in flight is to find out whether it answers again."""
        return self.breaker.state is BreakerState.HALF_OPEN

    def wait(self, now: float) -> float:
        """Seconds until it may be given something, slots aside."""
        return max(self.paused_until - now, self.breaker.wait(now), 0.0)


class Postman:
    """Serves lane `webhook` until it is told to stop."""

    def __init__(
        self,
        attempter: Attempter,
        book: EndpointBook,
        *,
        store: base.Store,
        bells: Bells,
        clock: Clock,
        slots: int,
    ) -> None:
        self._attempter = attempter
        self._book = book
        self._store = store
        self._bells = bells
        self._bell = bells.listen([WEBHOOK_LANE])
        self._clock = clock
        self._slots = slots
        self._round: OrderedDict[str, None] = OrderedDict()
        self._stops: dict[str, _Stop] = {}
        self._semaphores: dict[str, asyncio.Semaphore] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._searched = 0.0

    async def run(self) -> None:
        """Until `stop`; then returns when nothing is in flight."""
        while not self._stopping:
            try:
                await self._turn()
            except StoreUnavailable as error:
                _log.warning("webhooks_wait_for_store reason=%s", error)
                await self._clock.sleep(_SEARCH_EVERY)
        while self._tasks:
            await asyncio.wait(self._tasks)

    def stop(self) -> None:
        self._stopping = True
        self._bell.set()

    def cancel(self) -> None:
        """Abandon what is in flight."""
        for task in self._tasks:
            task.cancel()

    @property
    def in_flight(self) -> int:
        return len(self._tasks)

    async def _turn(self) -> None:
        self._bell.clear()
        await self._find_work()
        wanted = self._wanted()
        rows = await self._store.claim_pinned(WEBHOOK_LANE, wanted) if wanted else []
        self._settle_round(wanted, rows)
        for row in rows:
            self._begin(row)
        if not rows:
            await self._rest()

    async def _find_work(self) -> None:
        for endpoint in self._bells.take_pins(WEBHOOK_LANE):
            self._round.setdefault(endpoint)
        now = self._clock.monotonic()
        if now - self._searched >= _SEARCH_EVERY:
            self._searched = now
            for endpoint in await self._store.ready_pins(WEBHOOK_LANE):
                self._round.setdefault(endpoint)

    def _wanted(self) -> dict[str, int]:
        """What to claim, endpoint by endpoint, where the last round ended."""
        wanted: dict[str, int] = {}
        room = _CONCURRENCY * 2 - len(self._tasks)
        now = self._clock.monotonic()
        for endpoint in self._round:
            if room <= 0 or len(wanted) >= _MOST_ENDPOINTS:
                break
            free = min(self._stop_of(endpoint).free(self._slots, now), room)
            if free > 0:
                wanted[endpoint] = free
                room -= free
        return wanted

    def _settle_round(self, wanted: dict[str, int], rows: Sequence[Claimed]) -> None:
        got = Counter(row.pin for row in rows)
        for endpoint, count in wanted.items():
            if got[endpoint] < count:
                del self._round[endpoint]  # it has nothing more; a bell brings it back
            else:
                self._round.move_to_end(endpoint)

    def _stop_of(self, endpoint: str) -> _Stop:
        stop = self._stops.get(endpoint)
        if stop is None:
            if len(self._stops) >= _MOST_REMEMBERED:
                self._forget_idle()
            stop = self._stops[endpoint] = _Stop()
        return stop

    def _forget_idle(self) -> None:
        now = self._clock.monotonic()
        for endpoint, stop in list(self._stops.items()):
            if stop.in_flight == 0 and stop.wait(now) == 0.0:
                del self._stops[endpoint]

    def _begin(self, row: Claimed) -> None:
        stop = self._stop_of(row.pin)
        stop.in_flight += 1
        stop.breaker.start(self._clock.monotonic())
        task = asyncio.create_task(self._deliver(row, stop))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, row: Claimed, stop: _Stop) -> None:
        try:
            async with self._slots_of(row.pin):
                await self._attempt(row, stop)
        finally:
            stop.in_flight -= 1
            stop.breaker.abandon(self._clock.monotonic())  # a probe without a verdict
            if stop.in_flight == 0:
                self._semaphores.pop(row.pin, None)
            self._bell.set()

    def _slots_of(self, endpoint: str) -> asyncio.Semaphore:
        return self._semaphores.setdefault(endpoint, asyncio.Semaphore(self._slots))

    async def _attempt(self, row: Claimed, stop: _Stop) -> None:
        endpoint = self._book.get(row.pin)
        if endpoint is None or endpoint.disabled_ms is not None:
            gone = wire.Rejected(code="endpoint_gone", detail="deleted or switched off")
            await self._attempter.finish(row, gone)
            return
        if stop.wait(self._clock.monotonic()) > 0.0 and not stop.is_probing:
            # claimed ahead, and the endpoint has failed since: back, at no cost
            await self._give_back(row)
            return
        ready = await self._attempter.prepare(row, "")
        if ready is None:
            return
        started_ms = self._clock.now_ms()
        message = replace(
            ready.message,
            to=replace(ready.message.to, url=endpoint.url),
            content=replace(ready.message.content, extra={"secrets": list(endpoint.secrets)}),
        )
        results = await self._attempter.send([Ready(row=row, message=message)], None)
        self._judge(stop, results[0])
        await self._attempter.finish(row, results[0], started_ms)
        await self._note(row.pin, results[0])

    async def _give_back(self, row: Claimed) -> None:
        while True:
            try:
                await self._store.give_back([row])
                return
            except StoreUnavailable:
                await self._clock.sleep(_SEARCH_EVERY)

    def _judge(self, stop: _Stop, result: wire.AttemptResult) -> None:
        """What a result says of the endpoint's health."""
        now = self._clock.monotonic()
        match result:
            case wire.Accepted():
                stop.breaker.succeed(now)
            case wire.Rejected(suppress=True):
                pass
            case wire.Deferred(cause=wire.Cause.THROTTLED):
                stop.paused_until = now + (result.retry_after or 1.0)
                stop.breaker.abandon(now)
            case _:
                stop.breaker.fail(now, connect=True)

    async def _note(self, endpoint: str, result: wire.AttemptResult) -> None:
        """What is remembered of it."""
        try:
            match result:
                case wire.Accepted():
                    await self._book.note_success(endpoint)
                case wire.Rejected(suppress=True):
                    await self._book.disable(endpoint, "it answered 410 Gone")
                case _:
                    await self._book.note_failure(endpoint)
        except StoreUnavailable as error:
            _log.warning("endpoint_not_noted endpoint=%s reason=%s", endpoint, error)

    async def _rest(self) -> None:
        """Wait for a bell, a freed slot, or the end of somebody's pause."""
        now = self._clock.monotonic()
        waits = [self._stop_of(endpoint).wait(now) for endpoint in self._round]
        soonest = min([one for one in waits if one > 0.0], default=_SEARCH_EVERY)
        try:
            async with asyncio.timeout(min(soonest, _SEARCH_EVERY)):
                await self._bell.wait()
        except TimeoutError:
            pass
