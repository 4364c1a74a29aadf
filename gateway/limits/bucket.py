"""A token bucket as arithmetic: no clock, no waiting.

For any window w, what it grants is at most burst + rate·w. It starts empty, so a restart never
grants a second burst. Tokens may be lost, never minted.
"""


class TokenBucket:
    """rate: tokens a second. burst: the most it can hold, at least 1.

    Times are seconds of one monotonic clock and never go back.
    """

    __slots__ = ("_level", "_since", "burst", "factor", "rate")

    def __init__(self, *, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = burst
        #: share of the rate in use, between 0 and 1; lowered when a provider throttles
        self.factor = 1.0
        self._level = 0.0
        self._since = now

    @property
    def most(self) -> float:
        """Tokens that can ever be in hand."""
        return self.burst

    def level(self, now: float) -> float:
        """Tokens in hand."""
        elapsed = max(0.0, now - self._since)
        self._level = min(self.burst, self._level + elapsed * self.rate * self.factor)
        self._since = max(now, self._since)
        return self._level

    def soon(self, now: float, ahead: float) -> float:
        """Tokens that can be used within `ahead` seconds."""
        return self.level(now) + self.rate * self.factor * ahead

    def kept(self, share: float) -> float:
        """Tokens that such a share of the bucket amounts to."""
        return share * self.burst

    def wait(self, tokens: float, now: float) -> float:
        """Seconds until so many are in hand."""
        return max(0.0, (tokens - self.level(now)) / (self.rate * self.factor))

    def take(self, tokens: float, now: float, *, floor: float = 0.0) -> float:
        """Take tokens, leaving at least `floor`; 0 when done, else seconds until it may work.

        More than the bucket can ever hold above the floor is granted when it is full, and leaves
        it in debt: a message of many parts must get through, and the rate holds all the same.
        """
        level = self.level(now)
        needed = min(tokens + floor, self.burst)
        if level >= needed - _ROUNDING:
            self._level = level - tokens
            return 0.0
        return self.wait(needed, now)

    def set_factor(self, factor: float, now: float) -> None:
        """Change the share of the rate from now on."""
        self.level(now)
        self.factor = factor


#: Far below one token; absorbs floating-point error after a wait of exactly the right length.
_ROUNDING = 1e-9
