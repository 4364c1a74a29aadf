"""What services say of an address before anything is sent there, kept for a while.

Such as whether a phone has RCS. An answer that was not given holds nothing up: the message goes,
and its own answer decides. Each process asks for itself.
"""

from collections import OrderedDict
from typing import Final

from gateway.clock import Clock
from gateway.model import wire

#: Milliseconds for which an answer holds: phones change slowly, and services ask for no more.
KEPT_MS: Final = 24 * 3600 * 1000
#: Addresses of which we know at a time, some 20 MB; the oldest are forgotten.
MOST: Final = 50_000


class Answers:
    """By address: what its service said of it, or why it refused a message for its sake."""

    def __init__(self, clock: Clock, *, most: int = MOST) -> None:
        self._clock = clock
        self._most = most
        self._kept: OrderedDict[wire.Address, tuple[int, wire.HttpResponse | wire.Rejected]] = (
            OrderedDict()
        )

    def get(self, to: wire.Address) -> wire.HttpResponse | wire.Rejected | None:
        found = self._kept.get(to)
        if found is None:
            return None
        until, answer = found
        if until > self._clock.now_ms():
            return answer
        del self._kept[to]
        return None

    def keep(self, to: wire.Address, answer: wire.HttpResponse | wire.Rejected) -> None:
        self._kept[to] = (self._clock.now_ms() + KEPT_MS, answer)
        self._kept.move_to_end(to)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
