"""Decides from knobs and addresses what becomes of each send."""

import random
import time
from collections.abc import Callable

from gateway.model import wire
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.magic import ORDINARY, Fate, Magic


class Judge:
    """Reads the knobs at each call, so turning one works at once. Never waits."""

    def __init__(self, knobs: Knobs, *, now: Callable[[], float] = time.monotonic) -> None:
        self._knobs = knobs
        self._now = now
        self._random = random.Random(knobs.seed)
        self._tokens = 0.0
        self._filled_at: float | None = None
        knobs.watchers.append(self._on_turn)

    def _on_turn(self, name: str) -> None:
        if name == "seed":
            self._random.seed(self._knobs.seed)
        elif name == "throttle":
            self._filled_at = None

    def decide(self, magic: Magic = ORDINARY) -> Fate:
        """The fate of a valid send: throttling first, then its address, then chance."""
        if self.throttled():
            return Fate.THROTTLED
        return self.draw(magic)

    def draw(self, magic: Magic = ORDINARY) -> Fate:
        """As `decide`, for a send that was counted against the throttle before."""
        knobs = self._knobs
        if knobs.hang:
            return Fate.HUNG
        if magic.fate is not Fate.TAKEN:
            return magic.fate
        if self._happens(knobs.error_rate):
            return knobs.error
        return Fate.LOST if self._happens(knobs.lost_answer_rate) else Fate.TAKEN

    def throttled(self) -> bool:
        """Count one send against the throttle: a bucket of one second's worth, full at first."""
        rate = self._knobs.throttle
        if not rate:
            return False
        now = self._now()
        size = max(1.0, rate)
        filled_at = self._filled_at
        self._tokens = (
            size if filled_at is None else min(size, self._tokens + (now - filled_at) * rate)
        )
        self._filled_at = now
        if self._tokens < 1:
            return True
        self._tokens -= 1
        return False

    def latency(self) -> float:
        """Seconds from a request to its answer."""
        knobs = self._knobs
        return knobs.latency + (self._random.random() * knobs.jitter if knobs.jitter else 0.0)

    def receipt(self, magic: Magic = ORDINARY) -> wire.ReceiptEvent | None:
        """What a message that was taken is to be reported as; None: no receipt."""
        knobs = self._knobs
        if magic.silent or knobs.receipt is None:
            return None
        if knobs.receipt_rate < 1 and not self._happens(knobs.receipt_rate):
            return None
        return magic.receipt or knobs.receipt

    def receipt_delay(self) -> float:
        """Seconds from taking a message to its last receipt."""
        knobs = self._knobs
        spread = knobs.receipt_jitter
        return knobs.receipt_delay + (self._random.random() * spread if spread else 0.0)

    def _happens(self, share: float) -> bool:
        return share > 0 and self._random.random() < share
