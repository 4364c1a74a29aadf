"""Failed authentications per remote address, so that keys cannot be tried at leisure.

A key that was good lately passes whatever its address has done: behind a proxy all callers share
one, and a stranger must not lock them out.
"""

import hashlib
from collections import OrderedDict

from aiohttp import web

from gateway.api.limits import Limits
from gateway.clock import Clock
from gateway.model.errors import TooManyRequests


class Throttle:
    """A token bucket of failures per address; both tables are bounded, oldest out first."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        #: failures that count at a time: (number, monotonic seconds)
        self._failures: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._good: OrderedDict[bytes, None] = OrderedDict()

    def check(self, address: str, token: str) -> None:
        """Raises TooManyRequests when the address has no failure left and the key is not known."""
        if address not in self._failures:
            return
        over = self._count(address) + 1 - self._limits.failure_burst
        if over > 0 and _digest(token) not in self._good:
            wait = over / self._limits.failure_rate
            raise TooManyRequests("Too many failed authentications from this address.", wait)

    def failed(self, address: str) -> None:
        """Count one."""
        self._failures[address] = (self._count(address) + 1, self._clock.monotonic())
        self._failures.move_to_end(address)
        if len(self._failures) > self._limits.remembered:
            self._failures.popitem(last=False)

    def succeeded(self, token: str) -> None:
        """Remember a good key, as a digest."""
        digest = _digest(token)
        self._good[digest] = None
        self._good.move_to_end(digest)
        if len(self._good) > self._limits.remembered:
            self._good.popitem(last=False)

    def _count(self, address: str) -> float:
        count, at = self._failures.get(address, (0.0, 0.0))
        return max(0.0, count - (self._clock.monotonic() - at) * self._limits.failure_rate)


def _digest(token: str) -> bytes:
    return hashlib.blake2b(token.encode(), digest_size=16).digest()


THROTTLE = web.AppKey("throttle", Throttle)
