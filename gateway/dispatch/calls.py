"""What waits for a slot of one account: rows, and the calls that have been made of them.

A call carries what waits when a slot is free, as much as the provider allows; nothing waits for
company. Decisions only: nothing here is sent or written.
"""

import heapq
import logging
from collections.abc import Callable, Sequence
from itertools import count

from gateway.dispatch.attempt import Attempter, End, Ready, Shipment, halves
from gateway.dispatch.bans import Ban
from gateway.limits.account import Account
from gateway.model.case import Claimed

_log = logging.getLogger(__name__)


class Calls:
    """The most urgent first."""

    def __init__(
        self, account: Account, attempter: Attempter, on_unsent: Callable[[End], None]
    ) -> None:
        """on_unsent: told of each row that no call will carry."""
        self._account = account
        self._attempter = attempter
        self._on_unsent = on_unsent
        #: rows without a call: (priority, rank, order, row, ban)
        self._rows: list[tuple[int, float, int, Claimed, Ban]] = []
        #: calls, by their first row: (priority, rank, order, number, call)
        self._planned: list[tuple[int, float, int, int, Shipment]] = []
        self._order = count()

    def __len__(self) -> int:
        """Rows, with a call or without."""
        return len(self._rows) + sum(len(entry[4].rows) for entry in self._planned)

    def add(self, rows: Sequence[Claimed], bans: Sequence[Ban]) -> None:
        """bans: for each row whether its address must not be written to."""
        for row, ban in zip(rows, bans, strict=True):
            heapq.heappush(self._rows, (row.priority, row.rank, next(self._order), row, ban))

    def next(self) -> Shipment | None:
        """The most urgent call."""
        while self._rows and (not self._planned or self._rows[0][:3] < self._planned[0][:3]):
            self._plan()
        return heapq.heappop(self._planned)[4] if self._planned else None

    def take_back(self) -> Sequence[Claimed]:
        """All rows, which are not to be sent any more."""
        rows = [entry[3] for entry in self._rows]
        rows += [row for entry in self._planned for row in entry[4].rows]
        self._rows.clear()
        self._planned.clear()
        return rows

    def add_halves(self, refused: Sequence[Ready]) -> None:
        """What was refused together, perhaps for the sake of one: again, apart."""
        order = next(self._order)
        for half in filter(None, halves(refused)):
            self._line_up(half, order)

    def _plan(self) -> None:
        """Make calls of the most urgent rows, as many as could share one."""
        order = self._rows[0][2]
        ready: list[Ready] = []
        for _ in range(min(self._account.limits.batch, len(self._rows))):
            *_, row, ban = heapq.heappop(self._rows)
            one = self._prepare(row, ban)
            if isinstance(one, Ready):
                ready.append(one)
            else:
                self._on_unsent(one)
        if ready:
            self._line_up(ready, order)

    def _prepare(self, row: Claimed, ban: Ban) -> Ready | End:
        try:
            return self._attempter.prepare(row, ban)
        except Exception:  # a fault of ours must not leave the row claimed for ever
            account, message = self._attempter.account, row.case.id
            _log.exception("attempt_failed provider=%s message=%s", account, message)
            return self._attempter.failed(row)

    def _line_up(self, ready: Sequence[Ready], order: int) -> None:
        planned = self._attempter.plan(ready)
        if self._account.limits.batch > 1:
            self._account.note_plan(len(ready), len(planned))
        for each in planned:
            if isinstance(each, Shipment):
                first = each.rows[0]
                entry = (first.priority, first.rank, order, next(self._order), each)
                heapq.heappush(self._planned, entry)
            else:
                self._on_unsent(each)
