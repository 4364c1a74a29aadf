"""Delivers webhooks. Each endpoint is served apart: its rows are pinned to it, and it has slots, a
breaker and pauses of its own, so one dead receiver among thousands stalls nobody (design §6).
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from gateway.clock import Clock
from gateway.dispatch.attempt import Attempter, Ready, Shipment
from gateway.dispatch.bans import FREE
from gateway.dispatch.consequences import End, Ended
from gateway.dispatch.endpoints import EndpointBook
from gateway.dispatch.lanes import WEBHOOK_LANE, Bells
from gateway.dispatch.rounds import Round, Stop
from gateway.dispatch.settler import Settler
from gateway.model import view, wire
from gateway.model.case import Claimed
from gateway.model.errors import StoreUnavailable
from gateway.model.values import replace
from gateway.store import base

_log = logging.getLogger(__name__)

#: Seconds between searches of the store for endpoints with work that no bell told of.
_SEARCH_EVERY = 1.0

#: Results that wait for the store, beyond which nothing new is claimed.
_MOST_UNWRITTEN = 1_000


#: What comes of a webhook for an endpoint that is not there any more.
_GONE = wire.Rejected(code="endpoint_gone", detail="deleted or switched off")


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
        may_send: Callable[[], bool] = lambda: True,
    ) -> None:
        """may_send: whether what this node has claimed is certain to be its own still."""
        self._attempter = attempter
        self._book = book
        self._store = store
        self._bells = bells
        self._bell = bells.listen([WEBHOOK_LANE])
        self._clock = clock
        self._slots = slots
        self._may_send = may_send
        self._round = Round(slots)
        self._semaphores: dict[str, asyncio.Semaphore] = {}
        self._settler = Settler(attempter, self._note_written)
        self._unwritten = 0
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
        while under_way := [*self._tasks, *self._settler.tasks]:
            await asyncio.wait(under_way)

    def stop(self) -> None:
        """Claim no more, and give back what waits for a slot. Stopping twice is harmless."""
        self._stopping = True
        self._bell.set()
        for endpoint, slots in self._semaphores.items():
            for _ in range(self._round.held(endpoint)):  # nobody sends now: whoever waits may go on
                slots.release()

    def cancel(self) -> None:
        """Abandon what is in flight."""
        for task in self._tasks:
            task.cancel()
        self._settler.cancel()

    async def _turn(self) -> None:
        self._bell.clear()
        if not self._may_send():
            await self._clock.sleep(_SEARCH_EVERY)
            return
        if self._unwritten >= _MOST_UNWRITTEN:
            await self._wait(_SEARCH_EVERY)
            return
        await self._find_work()
        wanted = self._round.wanted(self._clock.monotonic())
        rows = await self._store.claim_pinned(WEBHOOK_LANE, wanted) if wanted else []
        self._round.settle(wanted, rows)
        if self._stopping:
            await self._give_back(rows)
            return
        for row in rows:
            self._begin(row)
        if not rows:
            await self._rest()

    async def _find_work(self) -> None:
        self._round.add(self._bells.take_pins(WEBHOOK_LANE))
        now = self._clock.monotonic()
        if now - self._searched >= _SEARCH_EVERY:
            self._searched = now
            self._round.add(await self._store.ready_pins(WEBHOOK_LANE))

    def _begin(self, row: Claimed) -> None:
        stop = self._round.begin(row.pin, self._clock.monotonic())
        task = asyncio.create_task(self._deliver(row, stop))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, row: Claimed, stop: Stop) -> None:
        ended = None
        try:
            async with self._slots_of(row.pin):
                ended = await self._attempt(row, stop)
        except Exception:  # a fault of ours must not leave the row claimed for ever
            _log.exception("webhook_failed endpoint=%s message=%s", row.pin, row.case.id)
            ended = self._attempter.failed(row)
        finally:
            if self._round.end(row.pin, self._clock.monotonic()):
                self._semaphores.pop(row.pin, None)
            self._bell.set()
        if ended is not None:
            self._settle(ended)
            await self._note(row.pin, ended.result)

    def _note_written(self, count: int) -> None:
        self._unwritten -= count
        self._bell.set()

    def _slots_of(self, endpoint: str) -> asyncio.Semaphore:
        return self._semaphores.setdefault(endpoint, asyncio.Semaphore(self._slots))

    async def _attempt(self, row: Claimed, stop: Stop) -> Ended | None:
        """What came of it; None when it was not sent, and that has been seen to."""
        endpoint = self._book.get(row.pin)
        if endpoint is None or endpoint.disabled_ms is not None:
            return self._attempter.ended(row, _GONE)
        failed_since = stop.wait(self._clock.monotonic()) > 0.0 and not stop.is_probing
        # it was claimed ahead: back, at no cost
        if failed_since or self._stopping or not self._may_send():
            await self._give_back([row])
            return None
        shipment = self._plan(row, endpoint)
        if not isinstance(shipment, Shipment):
            self._settle(shipment)
            return None
        started_ms = self._clock.now_ms()
        results = await self._attempter.send(shipment, None)
        self._judge(stop, results[0])
        return self._attempter.ended(row, results[0], started_ms)

    def _plan(self, row: Claimed, endpoint: view.Endpoint) -> Shipment | End:
        one = self._attempter.prepare(row, FREE)
        if not isinstance(one, Ready):
            return one
        message = replace(
            one.message,
            to=replace(one.message.to, url=endpoint.url),
            content=replace(one.message.content, extra={"secrets": list(endpoint.secrets)}),
        )
        return self._attempter.plan([Ready(row, message)])[0]

    def _settle(self, one: End) -> None:
        self._unwritten += 1
        self._settler.add(one)

    async def _give_back(self, rows: Sequence[Claimed]) -> None:
        while rows:
            try:
                await self._store.give_back(rows)
                return
            except StoreUnavailable:
                await self._clock.sleep(_SEARCH_EVERY)

    def _judge(self, stop: Stop, result: wire.AttemptResult) -> None:
        """What a result says of the endpoint's health."""
        now = self._clock.monotonic()
        match result:
            case wire.Accepted():
                stop.succeed(now)
            case wire.Rejected(suppress=True):
                pass
            case wire.Deferred(cause=wire.Cause.THROTTLED):
                stop.paused_until = now + (result.retry_after or 1.0)
                stop.breaker.abandon(now)
            case _:
                stop.fail(now)

    async def _note(self, endpoint: str, result: wire.AttemptResult) -> None:
        """What is remembered of it."""
        try:
            match result:
                case wire.Accepted():
                    await self._book.note_success(endpoint)
                case wire.Rejected(suppress=True):
                    await self._book.disable(endpoint, "it answered 410 Gone")
                case wire.Rejected(code=_GONE.code):
                    pass
                case _:
                    await self._book.note_failure(endpoint)
        except Exception as error:  # the next result is noted again
            reason = type(error).__name__
            _log.warning("endpoint_not_noted endpoint=%s reason=%s", endpoint, reason)

    async def _rest(self) -> None:
        """Wait for a bell, a freed slot, or the end of somebody's pause."""
        await self._wait(min(self._round.next_wake(self._clock.monotonic()), _SEARCH_EVERY))

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._bell.wait()
        except TimeoutError:
            pass
