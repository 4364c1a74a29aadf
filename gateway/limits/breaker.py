"""A circuit breaker as a state machine: no clock, no waiting.

Closed: asks go through. Open: none do, until the next probe is due. Half open: one probe is out.
Opens at 50% failures of at least 20 in 10 s, or at 5 failed connects in a row (design §8).
"""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRules:
    """When to open and when to try again; times in seconds."""

    window: float = 10.0
    least: int = 20
    share: float = 0.5
    connects: int = 5
    first_probe: float = 5.0
    last_probe: float = 60.0


class Breaker:
    """Of one provider account or endpoint. Times are seconds of a monotonic clock."""

    def __init__(self, rules: BreakerRules) -> None:
        self._rules = rules
        self._recent: deque[tuple[float, bool]] = deque(maxlen=1_000)
        self._failures = 0
        self._connects = 0
        self._probe_after = rules.first_probe
        self._probe_at = 0.0
        self.state = BreakerState.CLOSED

    def wait(self, now: float) -> float:
        """Seconds until something may be tried; infinite while a probe is out."""
        if self.state is BreakerState.CLOSED:
            return 0.0
        if self.state is BreakerState.HALF_OPEN:
            return float("inf")
        return max(0.0, self._probe_at - now)

    def start(self, now: float) -> None:
        """Something is being tried: on an open breaker, the probe."""
        if self.state is BreakerState.OPEN and now >= self._probe_at:
            self.state = BreakerState.HALF_OPEN

    def abandon(self, now: float) -> None:
        """What was tried says nothing about the provider (it was throttled, or given up)."""
        if self.state is BreakerState.HALF_OPEN:
            self._open(now, self._probe_after)

    def succeed(self, now: float) -> None:
        if self.state is BreakerState.OPEN:
            return  # it was under way when the breaker opened; only a probe closes it
        if self.state is BreakerState.HALF_OPEN:
            self._close()
        self._connects = 0
        self._note(now, failed=False)

    def fail(self, now: float, *, connect: bool = False) -> None:
        """connect: not even a connection came about."""
        if self.state is BreakerState.HALF_OPEN:
            self._open(now, min(self._probe_after * 2, self._rules.last_probe))
            return
        self._connects = self._connects + 1 if connect else 0
        self._note(now, failed=True)
        if self.state is BreakerState.CLOSED and self._is_broken():
            self._open(now, self._rules.first_probe)

    def _note(self, now: float, *, failed: bool) -> None:
        if len(self._recent) == self._recent.maxlen:
            self._forget_oldest()
        self._recent.append((now, failed))
        self._failures += failed
        while self._recent and self._recent[0][0] < now - self._rules.window:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        _, failed = self._recent.popleft()
        self._failures -= failed

    def _is_broken(self) -> bool:
        if self._connects >= self._rules.connects:
            return True
        total = len(self._recent)
        return total >= self._rules.least and self._failures >= total * self._rules.share

    def _open(self, now: float, probe_after: float) -> None:
        self.state = BreakerState.OPEN
        self._probe_after = probe_after
        self._probe_at = now + probe_after

    def _close(self) -> None:
        self.state = BreakerState.CLOSED
        self._recent.clear()
        self._failures = 0
        self._connects = 0
