"""Whose webhooks are claimed next: each endpoint has slots, a breaker and pauses of its own, and
those that do not answer can never take all the room. Decisions only; times are a monotonic clock's.
"""

import heapq
import math
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from enum import IntEnum

from gateway.limits.breaker import Breaker, BreakerRules, BreakerState
from gateway.limits.throughput import Throughput
from gateway.model.case import Claimed

#: Rows claimed ahead of the free slots of an endpoint that answers: what it takes in a tenth of a
#: second, for a claim is a transaction, within these bounds.
_PREFETCH, _AHEAD, _MOST_AHEAD = 0.1, 8, 64


class Trust(IntEnum):
    """How likely an endpoint is to answer."""

    SILENT = 0  # it failed the last time, or has kept a request for a while
    NEW = 1  # nothing is known of it
    ANSWERING = 2


#: Rows held at once by endpoints of this trust and below.
_ROOM = {Trust.SILENT: 256, Trust.NEW: 384, Trust.ANSWERING: 512}

#: An endpoint that has kept a request for so many seconds may be dead.
_SILENCE = 1.0

#: Endpoints looked at in one claim.
_MOST_ENDPOINTS = 128

#: A receiver is worse company than a provider: it is left alone after fewer failures.
_BREAKER = BreakerRules(least=5, connects=3)

#: Endpoints whose state is remembered.
_MOST_REMEMBERED = 50_000


class Stop:
    """One endpoint's part of the round."""

    __slots__ = (
        "_heard",
        "_taken",
        "_trust",
        "breaker",
        "in_flight",
        "paused_until",
        "was_probing",
    )

    def __init__(self) -> None:
        self.breaker = Breaker(_BREAKER)
        self.in_flight = 0
        self.paused_until = 0.0
        #: what is in flight is to find out whether it answers again
        self.was_probing = False
        self._taken = Throughput()
        self._trust = Trust.NEW
        self._heard = 0.0

    def begin(self, now: float) -> None:
        """It is given a row."""
        if self.in_flight == 0:
            self._heard = now
        self.in_flight += 1
        self.breaker.start(now)
        self.was_probing = self.is_probing

    def end(self, now: float) -> None:
        self.in_flight -= 1
        self._heard = now
        self.breaker.abandon(now)  # a probe without a verdict

    def succeed(self, now: float) -> None:
        self._trust = Trust.ANSWERING
        self._taken.add(now, 1)
        self.breaker.succeed(now)

    def fail(self, now: float) -> None:
        self._trust = Trust.SILENT
        self.breaker.fail(now, connect=True)

    def trust(self, now: float) -> Trust:
        is_silent = self.in_flight > 0 and now - self._heard > _SILENCE
        return Trust.SILENT if is_silent else self._trust

    def free(self, slots: int, now: float) -> int:
        """How many rows it can be given."""
        if self.wait(now) > 0.0:
            return 0
        if self.breaker.state is not BreakerState.CLOSED:
            return int(self.in_flight == 0)
        ahead = self._ahead(now) if self.trust(now) is Trust.ANSWERING else 0
        free = slots + ahead - self.in_flight
        return free if free > 0 and free >= ahead // 2 else 0  # worth a claim

    def _ahead(self, now: float) -> int:
        """By its speed, not by what it has waiting: slow ones must not fill the room."""
        return min(max(_AHEAD, math.ceil(self._taken.rate(now) * _PREFETCH)), _MOST_AHEAD)

    @property
    def is_probing(self) -> bool:
        """What is in flight is to find out whether it answers again."""
        return self.breaker.state is BreakerState.HALF_OPEN

    def wait(self, now: float) -> float:
        """Seconds until it may be given something, slots aside; infinite while it is probed."""
        return max(self.paused_until - now, self.breaker.wait(now), 0.0)


class Round:
    """The endpoints that have work, in turn."""

    def __init__(self, slots: int) -> None:
        """slots: requests that one endpoint may have in flight."""
        self._slots = slots
        self._turn: OrderedDict[str, None] = OrderedDict()
        self._stops: dict[str, Stop] = {}
        self._busy: dict[str, Stop] = {}
        #: endpoints that are left alone, by when that ends
        self._resting: list[tuple[float, str]] = []
        self._asleep: set[str] = set()

    def add(self, endpoints: Iterable[str]) -> None:
        """These have, or may have, something to be claimed."""
        for endpoint in endpoints:
            if endpoint not in self._asleep:
                self._turn.setdefault(endpoint)

    def wanted(self, now: float) -> dict[str, int]:
        """How many rows to claim for whom, from where the last round ended."""
        self._wake(now)
        room = self._room(now)
        wanted: dict[str, int] = {}
        for endpoint in list(self._turn):
            if room[Trust.ANSWERING] <= 0 or len(wanted) >= _MOST_ENDPOINTS:
                break
            stop = self.stop(endpoint, now)
            if (wait := stop.wait(now)) > 0.0:
                self._rest(endpoint, now + wait)
                continue
            above = [one for one in Trust if one >= stop.trust(now)]
            free = min(stop.free(self._slots, now), *(room[one] for one in above))
            if free > 0:
                wanted[endpoint] = free
                for one in above:
                    room[one] -= free
        return wanted

    def _room(self, now: float) -> dict[Trust, int]:
        """How many rows endpoints of each trust, and those below it, may still be given."""
        held = Counter[Trust]()
        for stop in self._busy.values():
            held[stop.trust(now)] += stop.in_flight
        return {one: _ROOM[one] - sum(held[low] for low in Trust if low <= one) for one in Trust}

    def settle(self, wanted: dict[str, int], rows: Sequence[Claimed]) -> None:
        """What came of a claim: who got less than wanted has nothing more, until a bell says so."""
        got = Counter(row.pin for row in rows)
        for endpoint, count in wanted.items():
            if got[endpoint] < count:
                del self._turn[endpoint]
            else:
                self._turn.move_to_end(endpoint)

    def stop(self, endpoint: str, now: float) -> Stop:
        stop = self._stops.get(endpoint)
        if stop is None:
            if len(self._stops) >= _MOST_REMEMBERED:
                self._forget_idle(now)
            stop = self._stops[endpoint] = Stop()
        return stop

    def begin(self, endpoint: str, now: float) -> Stop:
        """An endpoint is given a row."""
        stop = self._busy[endpoint] = self.stop(endpoint, now)
        stop.begin(now)
        return stop

    def end(self, endpoint: str, now: float) -> bool:
        """A row of an endpoint is done with; whether nothing else of it is in flight."""
        stop = self._busy[endpoint]
        stop.end(now)
        if stop.was_probing:  # it was left out meanwhile
            stop.was_probing = False
            self.add([endpoint])
        if stop.in_flight > 0:
            return False
        del self._busy[endpoint]
        return True

    def held(self, endpoint: str) -> int:
        """Rows that it has been given and that are not done with."""
        return stop.in_flight if (stop := self._busy.get(endpoint)) is not None else 0

    def next_wake(self, now: float) -> float:
        """Seconds until somebody's rest ends; infinite when nobody rests."""
        return max(0.0, self._resting[0][0] - now) if self._resting else float("inf")

    def _rest(self, endpoint: str, until: float) -> None:
        """Leave an endpoint out; one that is probed comes back when its probe ends."""
        del self._turn[endpoint]
        if until < float("inf"):
            self._asleep.add(endpoint)
            heapq.heappush(self._resting, (until, endpoint))

    def _wake(self, now: float) -> None:
        while self._resting and self._resting[0][0] <= now:
            _, endpoint = heapq.heappop(self._resting)
            self._asleep.discard(endpoint)
            self._turn.setdefault(endpoint)

    def _forget_idle(self, now: float) -> None:
        for endpoint, stop in list(self._stops.items()):
            if stop.in_flight == 0 and stop.wait(now) == 0.0:
                del self._stops[endpoint]
