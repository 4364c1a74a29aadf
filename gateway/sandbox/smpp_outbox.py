"""What a message centre has to deliver: when it is due, to a bind that receives, until it is taken.

Bounded, with one timer for all.
"""

import asyncio
import heapq
import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

#: Deliveries that wait; more are dropped.
LIMIT = 1_000_000

#: Tries of one delivery that is refused.
_TRIES = 5

#: Unanswered on one bind.
_WINDOW = 32


class Receiver(Protocol):
    """A bind that receives."""

    #: sequence numbers of deliveries that are not answered
    unanswered: dict[int, "Delivery"]

    def deliver(self, delivery: "Delivery") -> None: ...


@dataclass(slots=True, kw_only=True)
class Delivery:
    """A deliver_sm without its header."""

    body: bytes
    tries: int = 0


class Outbox:
    """Hands deliveries to receivers."""

    def __init__(
        self, receivers: Callable[[], Iterable[Receiver]], retry_delay: Callable[[], float]
    ) -> None:
        self._receivers = receivers
        self._retry_delay = retry_delay
        self._heap: list[tuple[float, int, Delivery]] = []
        self._order = itertools.count()
        self._ready: deque[Delivery] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        #: not yet taken, nor given up
        self.pending = 0
        #: `taken`, `refused` for each refusal, `dropped`
        self.counts: Counter[str] = Counter()

    def schedule(self, delay: float, body: bytes) -> None:
        """Deliver it in `delay` seconds, or when somebody receives."""
        if self.pending >= LIMIT:
            self.counts["dropped"] += 1
            return
        self.pending += 1
        self._idle.clear()
        self._push(delay, Delivery(body=body))

    async def join(self) -> None:
        """Wait until everything has been taken or given up."""
        await self._idle.wait()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._heap.clear()
        self._ready.clear()

    def answered(self, delivery: Delivery, status: int) -> None:
        """A receiver has taken it, or refused it."""
        if status == 0:
            self._finish("taken")
        else:
            self.counts["refused"] += 1
            self._again(delivery)
        self.serve()

    def lost(self, deliveries: Iterable[Delivery]) -> None:
        """A receiver has gone without an answer to these."""
        self._ready.extendleft(deliveries)
        self.serve()

    def serve(self) -> None:
        """Hand out what is due."""
        for receiver in self._receivers():
            while self._ready and len(receiver.unanswered) < _WINDOW:
                receiver.deliver(self._ready.popleft())

    def _again(self, delivery: Delivery) -> None:
        delivery.tries += 1
        if delivery.tries >= _TRIES:
            self._finish("dropped")
        else:
            self._push(self._retry_delay(), delivery)

    def _finish(self, what: str) -> None:
        self.counts[what] += 1
        self.pending -= 1
        if not self.pending:
            self._idle.set()

    def _push(self, delay: float, delivery: Delivery) -> None:
        due = asyncio.get_running_loop().time() + delay
        heapq.heappush(self._heap, (due, next(self._order), delivery))
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(self._heap[0][0], self._ring) if self._heap else None

    def _ring(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._heap and self._heap[0][0] <= now + 0.001:
            self._ready.append(heapq.heappop(self._heap)[2])
        self._arm()
        self.serve()
