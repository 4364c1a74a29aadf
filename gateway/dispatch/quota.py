"""A provider account's tokens a day, over all nodes: by message, part or call, as its rate."""

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from gateway.clock import Clock, to_datetime
from gateway.model.case import Claimed
from gateway.store import base


class Allowance:
    """What one message may use of its account at the most. Pure.

    A rate has no such bound: a bucket that is full gives more than it holds, and is paid back.
    """

    def __init__(
        self,
        *,
        a_day: int | None = None,
        tokens_of: Callable[[Claimed], int] = lambda row: 1,
        by_call: bool = False,
    ) -> None:
        """a_day: the account's quota. by_call: requests are what it counts."""
        self._a_day = a_day
        self._tokens_of = tokens_of
        self._by_call = by_call

    def objection(self, row: Claimed) -> str:
        """Why no day will ever do for the row; '' when one may."""
        return "" if self._by_call else self._say(self._tokens_of(row))

    def objection_to_call(self, requests: int) -> str:
        """The same for a call that takes so many requests."""
        return self._say(requests) if self._by_call else ""

    def _say(self, tokens: int) -> str:
        if self._a_day is None or tokens <= self._a_day:
            return ""
        return f"takes {tokens} of a daily_quota of {self._a_day}"


class DailyQuota:
    """Reserves a day's quota in the store before it is used: a crash loses some, mints none."""

    def __init__(
        self, store: base.Store, clock: Clock, *, account: str, limit: int, zone: str
    ) -> None:
        self._store = store
        self._clock = clock
        self._account = account
        self._limit = limit
        self._zone = ZoneInfo(zone)
        self._day = ""
        self._left = 0
        #: what a call wanted for which too little was set aside
        self._short = 0

    async def reserve(self, wanted: int) -> int:
        """How many of `wanted` may be sent today; these are set aside until `spend`."""
        day = self._today().date().isoformat()
        if day != self._day:
            self._day, self._left, self._short = day, 0, 0
        aside = max(wanted, self._short)
        if self._left < aside:
            granted = await self._store.take_quota(
                self._account, day, amount=aside - self._left, limit=self._limit
            )
            self._left += granted  # not in one: some may have been taken meanwhile
        return min(wanted, self._left)

    def never(self, tokens: int) -> bool:
        """Whether a whole day has not as many."""
        return tokens > self._limit

    @property
    def left(self) -> int:
        """What is set aside and not used yet."""
        return self._left

    @property
    def is_short(self) -> bool:
        """Whether the day has too little left for a call that waits."""
        return self._left < self._short

    def spend(self, count: int) -> None:
        """So many of the reserved are used."""
        self._left -= count

    def take(self, count: int) -> bool:
        """Use so many of what is set aside for today, if they are there; else they are to be set
        aside by the next `reserve`."""
        if self._left < count or self._day != self._today().date().isoformat():
            self._short = count
            return False
        self._left -= count
        self._short = 0
        return True

    async def close(self) -> None:
        """Give back what was set aside for nothing. Raises StoreUnavailable."""
        unused, self._left = self._left, 0
        if unused > 0 and self._day == self._today().date().isoformat():
            await self._store.take_quota(
                self._account, self._day, amount=-unused, limit=self._limit
            )

    def _today(self) -> datetime:
        return to_datetime(self._clock.now_ms()).astimezone(self._zone)
