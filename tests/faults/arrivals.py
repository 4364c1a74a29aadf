"""What reached the providers: how often each reference, and when, where a rate is promised.

The simulators live in the loop of the test, so their dates are late by as long as the loop was
busy. A clock of the loop's own turns tells by how much at the most: an arrival did not come before
the turns that had ended when it was noticed.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gateway.sandbox.base import Simulator
from gateway.sandbox.log import Arrival

#: Seconds between the ticks that tell the loop's turns apart.
_TICK = 0.002

#: A request takes so many turns from the socket to its date.
_TURNS = 4

#: Seconds of slack that a server on loopback must grant (reliability, guarantee 6).
SLACK = 0.02


class Turns:
    """Notes when the loop was at work."""

    def __init__(self) -> None:
        self._ticks: deque[float] = deque(maxlen=_TURNS)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._ticks.append(time.monotonic())
            await asyncio.sleep(_TICK)

    def earliest(self) -> float:
        """When something that is noticed now may have come, at the earliest."""
        return self._ticks[0] if self._ticks else time.monotonic()


@dataclass(slots=True)
class Dates:
    """Of one account's arrivals, in order, in seconds."""

    #: earliest, latest
    pairs: list[tuple[float, float]] = field(default_factory=list)


class Arrivals:
    """The log of all simulators."""

    def __init__(self) -> None:
        self.turns = Turns()
        #: messages that some simulator has, by our reference
        self.copies: Counter[str] = Counter()
        #: requests that came, whatever became of them
        self.total = 0
        self.dates: dict[str, Dates] = {}

    def watch(self, simulator: Simulator, *, metered: str = "") -> None:
        """metered: the account whose rate is to be checked."""
        if metered:
            self.dates[metered] = Dates()
        simulator.log.watchers.append(self._noting(metered))

    def _noting(self, metered: str) -> Callable[[Arrival], None]:
        def note(arrival: Arrival) -> None:
            self.total += 1
            if arrival.taken:
                self.copies[arrival.reference] += 1
            if metered:
                self.dates[metered].pairs.append((self.turns.earliest(), time.monotonic()))

        return note


def worst_excess(pairs: Sequence[tuple[float, float]], rate: float, burst: float) -> float:
    """How far the worst window is over burst + rate·(w + 20 ms) + 1; negative: all stay below.

    pairs: (earliest, latest) of each arrival, latest in order. A window is taken to be as long as
    it may have been, so that nothing counts as an excess that may be none.
    """
    bound = burst + rate * SLACK + 1
    lowest, worst = float("inf"), -float("inf")
    for number, (earliest, latest) in enumerate(pairs):
        lowest = min(lowest, number - rate * earliest)
        worst = max(worst, number - rate * latest - lowest + 1 - bound)
    return worst
