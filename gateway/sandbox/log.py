"""What arrived at a simulator and what became of it, bounded."""

import re
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.sandbox.magic import Fate

#: How the gateway names a part in a provider's world: a UUID, in attempts followed by three
#: hexadecimal numbers (`gateway.model.message.reference`).
_REFERENCE = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?:(?:-[0-9a-f]{1,4}){3})?")


def find_reference(*texts: str) -> str:
    """The first reference of the gateway in any of the texts; empty when there is none."""
    for text in texts:
        if found := _REFERENCE.search(text):
            return found.group()
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One message, for one recipient, that a client sent to the simulator."""

    #: seconds of the monotonic clock when the whole request had been read
    at: float
    #: the simulator's own id; empty unless the message was taken
    id: str = ""
    #: the client's
    reference: str = ""
    to: str = ""
    fate: Fate
    #: what was answered, or would have been: a status or reply code, with the service's own
    answer: str = ""
    #: the fields of the message that are worth a look, cut to size
    content: Mapping[str, Any] = field(default_factory=dict)

    @property
    def taken(self) -> bool:
        """Whether the simulator has the message."""
        return self.fate in (Fate.TAKEN, Fate.LOST)


class Log:
    """The last arrivals and counts of all."""

    def __init__(self, limit: int) -> None:
        self._arrivals: deque[Arrival] = deque(maxlen=limit)
        self.counts: Counter[Fate] = Counter()
        #: called with each arrival
        self.watchers: list[Callable[[Arrival], None]] = []

    def add(self, arrival: Arrival) -> None:
        self._arrivals.append(arrival)
        self.counts[arrival.fate] += 1
        for watcher in self.watchers:
            watcher(arrival)

    def clear(self) -> None:
        self._arrivals.clear()
        self.counts.clear()

    @property
    def total(self) -> int:
        """Arrivals since the start or the last `clear`, also those no longer kept."""
        return self.counts.total()

    @property
    def taken(self) -> int:
        """Messages that the simulator has, also those no longer kept."""
        return self.counts[Fate.TAKEN] + self.counts[Fate.LOST]

    @property
    def arrivals(self) -> list[Arrival]:
        """Those kept, oldest first."""
        return list(self._arrivals)

    def after(self, position: int, limit: int) -> list[Arrival]:
        """At most `limit` of those kept, from the arrival that had `position` others before it."""
        skip = max(0, position - (self.total - len(self._arrivals)))
        return self.arrivals[skip : skip + limit]

    def copies(self) -> Counter[str]:
        """How often each reference was taken, among those kept."""
        return Counter(one.reference for one in self._arrivals if one.taken)

    def busiest(self, window: float) -> int:
        """The most arrivals, taken or not, in any span of `window` seconds, among those kept."""
        return busiest((one.at for one in self._arrivals), window)


def busiest(times: Iterable[float], window: float) -> int:
    """The most of the times that lie in any half-open span of `window` seconds."""
    ordered = sorted(times)
    return max(
        (bisect_left(ordered, at + window) - index for index, at in enumerate(ordered)), default=0
    )
