"""What waits for a slot of one account: rows, and the calls that have been made of them.

A call carries what waits when a slot is free, as much as the provider and its tokens allow; nothing
waits for company. What has had to wait for long goes back to the store instead of out, since bans
and times may have changed. Decisions only: nothing here is sent or written.
"""

import heapq
import logging
from collections.abc import Callable, Sequence
from itertools import count
from typing import NamedTuple

from gateway.clock import Clock
from gateway.dispatch.attempt import Attempter, Ready, Shipment, halves
from gateway.dispatch.bans import Ban
from gateway.dispatch.consequences import End
from gateway.limits.account import Account
from gateway.model.case import Claimed

_log = logging.getLogger(__name__)

#: Seconds that a row may wait after its bans were asked for, and after which its time to live is
#: looked at again. A ban must hold within five seconds, of which others may take two.
_LONGEST_WAIT, _LOOK_AGAIN = 3.0, 0.5


class _Row(NamedTuple):
    """A row without a call. Compared by its first fields, which no two share."""

    priority: int
    rank: float
    order: int
    since: float
    row: Claimed
    ban: Ban


class _Planned(NamedTuple):
    """A call, compared by its first row's fields."""

    priority: int
    rank: float
    order: int
    number: int
    since: float
    shipment: Shipment


class Calls:
    """The most urgent first."""

    def __init__(
        self,
        account: Account,
        attempter: Attempter,
        clock: Clock,
        *,
        tokens_of: Callable[[Claimed], int],
        on_unsent: Callable[[End], None],
        on_stale: Callable[[Sequence[Claimed]], None],
    ) -> None:
        """on_unsent: told of each row that no call will carry. on_stale: told of rows that have
        waited too long, and are not here any more."""
        self._account = account
        self._attempter = attempter
        self._clock = clock
        self._tokens_of = tokens_of
        self._on_unsent = on_unsent
        self._on_stale = on_stale
        self._rows: list[_Row] = []
        self._planned: list[_Planned] = []
        self._order = count()

    def __len__(self) -> int:
        """Rows, with a call or without."""
        return len(self._rows) + sum(len(one.shipment.rows) for one in self._planned)

    def add(self, rows: Sequence[Claimed], bans: Sequence[Ban], asked: float) -> None:
        """bans: for each row whether its address must not be written to. asked: when that was
        asked, by the monotonic clock."""
        for row, ban in zip(rows, bans, strict=True):
            entry = _Row(row.priority, row.rank, next(self._order), asked, row, ban)
            heapq.heappush(self._rows, entry)

    def next(self) -> Shipment | None:
        """The most urgent call."""
        while self._rows or self._planned:
            while self._rows and (not self._planned or self._rows[0][:3] < self._planned[0][:3]):
                self._plan()
            if not self._planned:
                continue
            first = heapq.heappop(self._planned)
            if not self._is_stale(first):
                return first.shipment
            self._on_stale(first.shipment.rows)
        return None

    def take_back(self) -> Sequence[Claimed]:
        """All rows, which are not to be sent any more."""
        rows = [one.row for one in self._rows]
        rows += [row for one in self._planned for row in one.shipment.rows]
        self._rows.clear()
        self._planned.clear()
        return rows

    def add_halves(self, refused: Sequence[Ready]) -> None:
        """What was refused together, perhaps for the sake of one: again, apart."""
        order, now = next(self._order), self._clock.monotonic()
        for half in filter(None, halves(refused)):
            self._line_up(half, order, now)

    def _is_stale(self, one: _Planned) -> bool:
        waited = self._clock.monotonic() - one.since
        if waited < _LOOK_AGAIN:
            return False
        now_ms = self._clock.now_ms()
        rows = one.shipment.rows
        if waited > _LONGEST_WAIT or any(row.case.expires_ms <= now_ms for row in rows):
            return True
        return self._attempter.are_held(rows)

    def _plan(self) -> None:
        """Make calls of the most urgent rows, as many as could share one."""
        order, since = self._rows[0].order, self._rows[0].since
        ready: list[Ready] = []
        stale: list[Claimed] = []
        now, left = self._clock.monotonic(), self._account.call_tokens()
        while self._rows and len(ready) < self._account.limits.batch:
            left -= self._tokens_of(self._rows[0].row)
            if ready and left < 0:
                break
            entry = heapq.heappop(self._rows)
            if now - entry.since > _LONGEST_WAIT:
                stale.append(entry.row)
                continue
            one = self._prepare(entry.row, entry.ban)
            if isinstance(one, Ready):
                ready.append(one)
            else:
                self._on_unsent(one)
        if stale:
            self._on_stale(stale)
        if ready:
            self._line_up(ready, order, since)

    def _prepare(self, row: Claimed, ban: Ban) -> Ready | End:
        try:
            return self._attempter.prepare(row, ban)
        except Exception:  # a fault of ours must not leave the row claimed for ever
            account, message = self._attempter.account, row.case.id
            _log.exception("attempt_failed provider=%s message=%s", account, message)
            return self._attempter.failed(row)

    def _line_up(self, ready: Sequence[Ready], order: int, since: float) -> None:
        planned = self._attempter.plan(ready)
        if self._account.limits.batch > 1:
            self._account.note_plan(len(ready), len(planned))
        for each in planned:
            if isinstance(each, Shipment):
                first = each.rows[0]
                number = next(self._order)
                entry = _Planned(first.priority, first.rank, order, number, since, each)
                heapq.heappush(self._planned, entry)
            else:
                self._on_unsent(each)
