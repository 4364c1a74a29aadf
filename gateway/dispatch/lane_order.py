"""In which order the accounts of a lane are preferred.

As configured, or by what they have done of late (`order = "best"`). Only the order changes: a later
account still helps out where the earlier cannot keep up (design §6).
"""

import logging
from collections.abc import Callable, Mapping, Sequence

from gateway.clock import Clock
from gateway.limits.account import Account
from gateway.model.values import Value
from gateway.settings import LaneOrder, Settings

_log = logging.getLogger(__name__)

#: Seconds between two looks at how accounts do.
_LOOK_EVERY = 10.0

#: Accounts that reach within so much of the best are as good: the difference may be chance.
_AS_GOOD = 0.05

#: Accounts that take no longer than so many times the fastest, and these seconds, are as fast.
_AS_FAST, _SECONDS = 2.0, 0.25


class Candidate(Value):
    """An account of a lane, with what its place depends on."""

    name: str
    #: share of what it is given that arrives, 0 to 1
    reach: float
    #: of a call; None: unknown
    seconds: float | None
    cost: float
    weight: float


class Place(Value):
    """An account in the order of its lane."""

    name: str
    #: why those that were configured before it come after it; '' when it stands where it stood
    reason: str = ""


def rank(candidates: Sequence[Candidate]) -> Sequence[Place]:
    """Who reaches clearly more comes first; of those that reach as many who is clearly faster, of
    these the cheapest, then the one of most weight; of equals the first configured."""
    best = max(one.reach for one in candidates)
    fastest = min((one.seconds for one in candidates if one.seconds is not None), default=0.0)

    def merits(one: Candidate) -> tuple[float, bool, float, float]:
        missed = 0.0 if best - one.reach <= _AS_GOOD else best - one.reach
        is_slow = (one.seconds or 0.0) > fastest * _AS_FAST + _SECONDS
        return missed, is_slow, one.cost, -one.weight

    order = sorted(candidates, key=merits)
    return [
        Place(name=one.name, reason=_reason(one, _passed(one, candidates, order[place + 1 :])))
        for place, one in enumerate(order)
    ]


def _passed(
    one: Candidate, configured: Sequence[Candidate], behind: Sequence[Candidate]
) -> Candidate | None:
    """The first that was configured before it and now comes after it."""
    before = configured[: configured.index(one)]
    return next((other for other in before if other in behind), None)


def _reason(one: Candidate, other: Candidate | None) -> str:
    if other is None:
        return ""
    if one.reach - other.reach > _AS_GOOD:
        return f"reaches {one.reach:.0%}, {other.name} {other.reach:.0%}"
    if (other.seconds or 0.0) > (one.seconds or 0.0) * _AS_FAST + _SECONDS:
        return f"answers in {one.seconds or 0.0:.2g} s, {other.name} in {other.seconds:.2g} s"
    if one.cost < other.cost:
        return f"costs {one.cost:g}, {other.name} {other.cost:g}"
    return f"weighs {one.weight:g}, {other.name} {other.weight:g}"


class LaneOrders:
    """The order of each lane's accounts, now."""

    def __init__(
        self, settings: Settings, accounts: Callable[[], Mapping[str, Account]], clock: Clock
    ) -> None:
        """accounts: all of them, by name, as soon as there are any."""
        self._settings = settings
        self._accounts = accounts
        self._clock = clock
        self._orders = {name: lane.providers for name, lane in settings.lanes.items()}
        self._reasons: dict[tuple[str, str], str] = {}
        self._judged = frozenset(
            name for name, lane in settings.lanes.items() if lane.order is LaneOrder.BEST
        )
        self._look_at = 0.0

    def of(self, lane: str) -> Sequence[str]:
        """Its accounts, the preferred one first; none for a lane that is not configured."""
        if lane in self._judged and self._clock.monotonic() >= self._look_at:
            self._look()
        return self._orders.get(lane, ())

    def before(self, lane: str, account: str) -> Sequence[str]:
        """The accounts that are preferred to this one."""
        order = self.of(lane)
        return order[: order.index(account)]

    def reason(self, lane: str, account: str) -> str:
        """Why it comes before those that were configured before it; '' when it does not."""
        return self._reasons.get((lane, account), "")

    def _look(self) -> None:
        now = self._clock.monotonic()
        self._look_at = now + _LOOK_EVERY
        for lane in self._judged:
            places = rank(
                [self._candidate(one, now) for one in self._settings.lanes[lane].providers]
            )
            order = tuple(one.name for one in places)
            if order != self._orders[lane]:
                _log.info("lane_order lane=%s order=%s", lane, ",".join(order))
            self._orders[lane] = order
            for one in places:
                self._reasons[lane, one.name] = one.reason

    def _candidate(self, name: str, now: float) -> Candidate:
        configured, merit = self._settings.providers[name], self._accounts()[name].merit
        assert merit is not None, "of an account that is compared"
        return Candidate(
            name=name,
            reach=merit.reach(now),
            seconds=merit.seconds(now),
            cost=configured.cost,
            weight=configured.weight,
        )
