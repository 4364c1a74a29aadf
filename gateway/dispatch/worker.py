"""Pulls work for one provider account: claims what it can start soon, starts it, and no more.

A worker holds only what its account has tokens and slots for within about a tenth of a second, so
memory is bounded whatever waits on disk, and something urgent waits behind a tenth of a second of
other work at the most.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import compress

from gateway.clock import Clock
from gateway.dispatch.attempt import Attempter
from gateway.dispatch.bans import Ban, Bans
from gateway.dispatch.caps import Caps
from gateway.dispatch.claims import Claimer
from gateway.dispatch.claims import ServedLane as ServedLane
from gateway.dispatch.lanes import Bells
from gateway.dispatch.merging import Merging
from gateway.dispatch.quota import DailyQuota
from gateway.dispatch.replacing import Replacing
from gateway.dispatch.slots import Slots
from gateway.limits.account import Account
from gateway.metrics import Metrics
from gateway.model.case import Claimed
from gateway.model.errors import StoreUnavailable
from gateway.model.message import MessageId, Priority
from gateway.model.values import replace
from gateway.store import base

_log = logging.getLogger(__name__)

#: Longest wait for a bell, in seconds: what other processes queue is noticed by then.
_POLL = 1.0


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
        replacing: Replacing,
        caps: Caps,
        merging: Merging,
        clock: Clock,
        metrics: Metrics,
        roster: Mapping[str, Account],
        before: Callable[[str], Sequence[str]],
        quota: DailyQuota | None,
        tokens_of: Callable[[Claimed], int],
        may_send: Callable[[], bool] | None = None,
    ) -> None:
        """before: as for `Claimer`. may_send: whether what this node has claimed is certain to be
        its own still; None: there are no other nodes."""
        self.account = account
        self.name = attempter.account
        self._claimer = Claimer(
            self.name,
            account,
            lanes,
            store=store,
            clock=clock,
            roster=roster,
            quota=quota,
            tokens_of=tokens_of,
            before=before,
        )
        self._slots = Slots(
            account,
            attempter,
            clock=clock,
            metrics=metrics,
            tokens_of=tokens_of,
            may_send=may_send,
            give_back=self._claimer.give_back,
            quota=quota if account.limits.token_per_call else None,
        )
        self._bans = bans
        self._replacing = replacing
        self._caps = caps
        self._merging = merging
        self._judge = attempter.judge
        self._clock = clock
        self._may_send = may_send if may_send is not None else lambda: True
        self._bell = bells.listen(lane.name for lane in lanes)
        self._urgent_may_wait = True
        self._stopping = False

    async def run(self) -> None:
        """Until `stop`; then returns when nothing of it is in flight."""
        try:
            while not self._stopping:
                await self._turn()
        finally:
            await self._claimer.give_back(self._slots.take_back(), insist=False)
        await self._slots.drain()
        # what was to be sent apart when the end came
        await self._claimer.give_back(self._slots.take_back(), insist=False)
        await self._claimer.close()

    def stop(self) -> None:
        """Claim no more. Stopping twice is harmless."""
        self._stopping = True
        self._bell.set()
        self._slots.freed.set()

    def cancel(self) -> None:
        """Abandon what is in flight: its outcome is unknown."""
        self._slots.cancel()

    async def _turn(self) -> None:
        self._urgent_may_wait |= self._bell.is_set()
        self._bell.clear()
        self._slots.freed.clear()
        self._slots.wake_after(1)
        if not self._may_send():
            await self._clock.sleep(_POLL)
            return
        try:
            await self._stock_up()
            limit, startable, highest = self._room()
            if limit <= 0:
                await self._rest()
                return
            rows = await self._claimer.claim(
                limit, startable, highest=highest, held=self._slots.held[0]
            )
            await self._note_use(limit, len(rows))
        except StoreUnavailable as error:
            _log.warning("claim_waits_for_store provider=%s reason=%s", self.name, error)
            await self._clock.sleep(_POLL)
            return
        if rows:
            await self._start(rows)
        elif highest < Priority.BULK:
            self._urgent_may_wait = False
        elif startable <= 0:
            # what there may be must be able to start at once
            soonest = self.account.next_start(*self._slots.held) or _POLL
            await self._wait(self._slots.freed, min(soonest, _POLL))
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
        if self._slots.is_full:
            return 0, 0, Priority.BULK
        limit, startable = self.account.room(*self._slots.held)
        if limit >= self._enough(limit):
            self._urgent_may_wait = True
            return limit, startable, Priority.BULK
        if self._urgent_may_wait:
            highest, limit = self.account.urgent_room(self._slots.waiting)
            return limit, limit, highest
        return 0, 0, Priority.BULK

    def _enough(self, limit: int) -> int:
        """Rows for which a claim, which is a transaction, is worth its while: any, when nothing is
        held that could go on meanwhile."""
        limiter = self.account.limiter
        held = (
            self._slots.waiting.total()
            if limiter is not None and limiter.keeps
            else self._slots.held[0]
        )
        most = min(max(0, limit) + self._slots.waiting.total(), 4 * self.account.limits.concurrency)
        return max(1, most // 2) if held else 1

    async def _rest(self) -> None:
        """Nothing can be started: wait for the store, a slot, tokens, or the end of a pause.

        Where tokens are kept for urgent work, for that as well.
        """
        if self._slots.is_full:
            await self._wait(self._slots.freed, _POLL)
            return
        if self.account.paused_for() > 0.0:
            if self.account.halted_for() > 0.0:
                await self._claimer.give_back(self._slots.take_back())
            await self._claimer.hand_over()
            await self._wait(self._slots.freed, min(self.account.paused_for(), _POLL))
            return
        limit, _ = self.account.room(*self._slots.held)
        self._slots.wake_after(self._enough(limit) - limit)
        until = self.account.next_room(self._enough(limit), *self._slots.held) or _POLL
        await self._wait(self._bell if self.account.limits.reserve else self._slots.freed, until)

    async def _wait(self, event: asyncio.Event, seconds: float) -> None:
        # A loop takes a timer nearer than its clock's resolution for due, and time may not have
        # moved since: what asks again would ask without end.
        try:
            async with asyncio.timeout(max(0.001, seconds)):
                await event.wait()
        except TimeoutError:
            pass

    async def _start(self, rows: Sequence[Claimed]) -> None:
        """Have these sent; those that a cap counts follow when they have their places."""
        asked, bans = await self._bans_of(rows)
        covered = [self._caps.covers(row) for row in rows] if self._caps.categories else ()
        if not any(covered):
            self._slots.put(rows, bans, asked)
            return
        others = [not one for one in covered]
        self._slots.put([*compress(rows, others)], [*compress(bans, others)], asked)
        rows, bans = [*compress(rows, covered)], [*compress(bans, covered)]
        asked, bans = await self._places_of(rows, asked, bans)
        judged = list(zip(rows, bans, strict=True))
        self._put([one for one in judged if not one[1].mates], asked)
        if mated := [one for one in judged if one[1].mates]:
            self._put(await self._merging.merge(mated, self._judge), asked)

    def _put(self, judged: Sequence[tuple[Claimed, Ban]], asked: float) -> None:
        self._slots.put([row for row, _ in judged], [ban for _, ban in judged], asked)

    async def _places_of(
        self, rows: Sequence[Claimed], asked: float, bans: Sequence[Ban]
    ) -> tuple[float, Sequence[Ban]]:
        """As `_bans_of`, with those that find no place held."""
        while True:
            try:
                return asked, await self._caps.take(rows, bans, self._judge)
            except StoreUnavailable as error:
                _log.warning("caps_wait_for_store provider=%s reason=%s", self.name, error)
                await self._clock.sleep(_POLL)
                # some of them may have been banned meanwhile
                asked, bans = await self._bans_of(rows)

    async def _bans_of(self, rows: Sequence[Claimed]) -> tuple[float, Sequence[Ban]]:
        """When they were asked for, by the monotonic clock, and what they were: an answer that a
        slow store gives is as old as the question."""
        while True:
            asked = self._clock.monotonic()
            try:
                bans = await self._bans.of(rows, self.name)
                heirs = await self._replacing.heirs([row.case for row in rows])
                return asked, bans if not heirs else _with_heirs(rows, bans, heirs)
            except StoreUnavailable as error:
                _log.warning("bans_wait_for_store provider=%s reason=%s", self.name, error)
                await self._clock.sleep(_POLL)


def _with_heirs(
    rows: Sequence[Claimed], bans: Sequence[Ban], heirs: Mapping[MessageId, MessageId]
) -> Sequence[Ban]:
    return [
        replace(ban, heir=heirs.get(row.case.id, "")) for row, ban in zip(rows, bans, strict=True)
    ]
