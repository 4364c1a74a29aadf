"""Which lane serves an address, what it can tell, and how it calls for workers.

Pure but for the bells.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping

from gateway.model import wire
from gateway.model.state import State
from gateway.settings import Lane, LaneMatch

#: The lane of our own reports. Each endpoint is served apart: its rows are pinned to it.
WEBHOOK_LANE = "webhook"


def match(
    lanes: Mapping[str, Lane], *, channel: wire.Channel, category: str, address: wire.Address
) -> str | None:
    """The name of the most specific lane that serves it; None without one.

    The longest phone prefix wins, then a category; of equals the first configured.
    """
    best, best_fit = None, (-1, -1)
    for name, lane in lanes.items():
        if lane.channel is channel:
            fit = _fit(lane.match, category, address)
            if fit is not None and fit > best_fit:
                best, best_fit = name, fit
    return best


def can_tell(reports: frozenset[wire.ReceiptEvent], until: State) -> bool:
    """Whether receipts with these events can end a step with this `until`."""
    if until is State.SENT:
        return True
    wanted = {State.DELIVERED: wire.ReceiptEvent.DELIVERED, State.READ: wire.ReceiptEvent.READ}
    return wanted[until] in reports


def _fit(match: LaneMatch, category: str, address: wire.Address) -> tuple[int, int] | None:
    """How specific (prefix length, named category); None when it does not match."""
    if match.category and category not in match.category:
        return None
    length = 0
    if match.phone_prefix:
        lengths = [len(one) for one in match.phone_prefix if address.phone.startswith(one)]
        if not lengths:
            return None
        length = max(lengths)
    return length, int(bool(match.category))


class Bells:
    """Tells workers that a lane may have work. Rings are merged; a missed one costs a poll."""

    def __init__(self) -> None:
        #: called with each lane that rings here, to tell other nodes
        self.on_ring: Callable[[str], None] = lambda lane: None
        self._listeners: dict[str, list[asyncio.Event]] = {}
        self._pins: dict[str, set[str]] = {}

    def listen(self, lanes: Iterable[str]) -> asyncio.Event:
        """An event that is set when one of the lanes rings; the listener clears it."""
        event = asyncio.Event()
        for lane in lanes:
            self._listeners.setdefault(lane, []).append(event)
        return event

    def ring(self, lane: str, pin: str = "") -> None:
        """A lane has ready work; a pin names whose, where it is kept for somebody."""
        if pin:
            self._pins.setdefault(lane, set()).add(pin)
        self.on_ring(lane)
        self.echo(lane)

    def echo(self, lane: str) -> None:
        """It rang at another node."""
        for event in self._listeners.get(lane, ()):
            event.set()

    def take_pins(self, lane: str) -> set[str]:
        """The pins that rang since the last call."""
        return self._pins.pop(lane, set())
