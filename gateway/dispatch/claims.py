"""Which rows one account takes: urgent ones of all its lanes first, then lane by lane in turn, with
the least share of low priorities and within the daily quota.
"""

import logging
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate

from gateway.clock import Clock
from gateway.dispatch.quota import DailyQuota
from gateway.limits.account import Account
from gateway.model.case import Claimed
from gateway.model.errors import StoreUnavailable
from gateway.model.message import Priority
from gateway.model.values import Value, replace
from gateway.store import base

_log = logging.getLogger(__name__)

#: How long an account rests whose quota is used up, in seconds; then it looks again.
_QUOTA_PAUSE = 1.0

#: Seconds between tries while the store cannot commit.
_RETRY = 0.5

#: Share of an account's tokens that each lower priority with work gets at the least (design §6).
_LEAST_SHARE = 0.02

#: Rows unpinned at once when their account cannot take them.
_UNPIN = 500


class ServedLane(Value):
    """A lane as one account sees it."""

    name: str
    #: seconds that the lane's head must have waited before this account helps out
    spill_after: float
    #: whether others serve it too
    shared: bool


class Claimer:
    """Claims for one account."""

    def __init__(
        self,
        name: str,
        account: Account,
        lanes: Sequence[ServedLane],
        *,
        store: base.Store,
        clock: Clock,
        roster: Mapping[str, Account],
        quota: DailyQuota | None,
        tokens_of: Callable[[Claimed], int],
        before: Callable[[str], Sequence[str]],
    ) -> None:
        """before: the accounts that are preferred to this one in a lane, now."""
        self._name = name
        self._account = account
        self._lanes = list(lanes)
        self._store = store
        self._clock = clock
        self._roster = roster
        self._quota = quota
        self._tokens_of = tokens_of
        self._before = before
        self._share: Counter[int] = Counter()

    async def claim(
        self, limit: int, startable: int, *, highest: int = Priority.BULK, held: int = 0
    ) -> list[Claimed]:
        """Rows to send, at most `limit` and a few shares. held: rows that wait for a call already.
        Raises StoreUnavailable, and then holds none."""
        if self._quota is not None:
            limit = await self._covered(self._quota, limit, held)
            if limit == 0 or self._quota.is_short:
                self._account.rest(_QUOTA_PAUSE)
                return []
        claimed: list[Claimed] = []
        try:
            await self._claim_into(claimed, limit, startable, highest, held)
        except StoreUnavailable:
            if not claimed:
                raise
        if self._quota is not None and claimed and not self._account.limits.token_per_call:
            claimed = await self._within_quota(claimed, self._quota)
        return claimed

    async def _covered(self, quota: DailyQuota, rows: int, held: int) -> int:
        """How many more rows today's quota has something for. A call takes its share of it when it
        is made (`Slots`); what others cost is known when they have been claimed."""
        if not self._account.limits.token_per_call:
            return await quota.reserve(rows)
        each = self._account.rows_per_token()
        calls = await quota.reserve(math.ceil((held + rows) / each))
        return max(0, min(rows, calls * each - held))

    async def _within_quota(self, claimed: list[Claimed], quota: DailyQuota) -> list[Claimed]:
        """Those that the quota covers; the others go back. A row may cost several tokens, which
        is known only now; one that no day has enough for costs nothing, and is refused when its
        turn comes (`Allowance`)."""
        each = map(self._tokens_of, claimed)
        costs = list(accumulate(0 if quota.never(one) else one for one in each))
        try:
            granted = await quota.reserve(costs[-1])
        except StoreUnavailable:
            granted = quota.left
        covered = bisect_right(costs, granted)
        if covered > 0:
            quota.spend(costs[covered - 1])
        if covered < len(claimed):
            self._account.rest(_QUOTA_PAUSE)
            await self.give_back(claimed[covered:])
        return claimed[:covered]

    async def give_back(self, rows: Sequence[Claimed], *, insist: bool = True) -> None:
        """Return rows that were not tried, at no cost. insist: wait while the store is away; else
        the next process takes them over, as not known."""
        while rows:
            try:
                await self._store.give_back(rows)
                return
            except StoreUnavailable as error:
                _log.warning(
                    "rows_not_given_back provider=%s rows=%d reason=%s",
                    self._name,
                    len(rows),
                    error,
                )
            if not insist:
                return
            await self._clock.sleep(_RETRY)

    async def close(self) -> None:
        """Nothing more will be claimed."""
        if self._quota is None:
            return
        try:
            await self._quota.close()
        except StoreUnavailable as error:
            _log.warning("quota_not_given_back provider=%s reason=%s", self._name, error)

    async def hand_over(self) -> None:
        """While the account cannot send, others may take what was kept for it."""
        for lane in self._lanes:
            if lane.shared:
                await self._store.unpin(lane.name, self._name, limit=_UNPIN)

    def poll_after(self, longest: float) -> float:
        """Seconds after which an empty lane may have become one to help out in."""
        return min([longest, *(one.spill_after for one in self._lanes if one.shared)]) or longest

    async def _claim_into(
        self, claimed: list[Claimed], limit: int, startable: int, highest: int, held: int
    ) -> None:
        # over several lanes, nothing of one priority before all of the next
        first = Priority.CRITICAL if len(self._lanes) > 1 else highest
        for most in range(first, highest + 1):
            for lane in self._lanes:
                if len(claimed) < limit:
                    start = max(0, startable - len(claimed))
                    claimed += await self._claim_from(
                        lane, limit - len(claimed), start, highest=most
                    )
        self._lanes.append(self._lanes.pop(0))
        if len(claimed) >= limit and highest == Priority.BULK:
            await self._claim_shares(claimed, held)

    async def _claim_shares(self, claimed: list[Claimed], held: int) -> None:
        """What lower priorities have saved up while higher ones took everything.

        These take their turn with the others: behind them, they would only fill the room.
        """
        taken, last = len(claimed), claimed[-1]
        lowest = max(row.priority for row in claimed)
        for priority in range(lowest + 1, Priority.BULK + 1):
            self._share[priority] += taken
            owed = int(self._share[priority] * _LEAST_SHARE)
            if self._quota is not None:
                covered = await self._covered(self._quota, len(claimed) + owed, held)
                owed = covered - len(claimed)
            if owed <= 0:
                continue
            self._share[priority] = 0
            extra = await self._claim_from(self._lanes[-1], owed, owed, lowest=priority)
            claimed += [replace(row, priority=last.priority, rank=last.rank) for row in extra]

    async def _claim_from(
        self,
        lane: ServedLane,
        limit: int,
        startable: int,
        *,
        lowest: int = Priority.CRITICAL,
        highest: int = Priority.BULK,
    ) -> Sequence[Claimed]:
        return await self._store.claim(
            base.ClaimRequest(
                lane=lane.name,
                provider=self._name,
                limit=limit,
                startable=startable,
                head_due_by_ms=self._head_due_by_ms(lane),
                lowest=lowest,
                highest=highest,
            )
        )

    def _head_due_by_ms(self, lane: ServedLane) -> int | None:
        """Help out only where the preferred accounts do not keep up."""
        if all(self._roster[name].paused_for() > 0.0 for name in self._before(lane.name)):
            return None
        return self._clock.now_ms() - int(lane.spill_after * 1000)
