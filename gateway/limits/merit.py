"""How well a provider account has done of late: what it took, what arrived, how fast it answers.

Counts fade by half in ten minutes, so that a bad hour is forgiven without being forgotten at once:
an account that gets nothing to do would otherwise look well as soon as its window is empty. A few
good ones are assumed before the first, so that no single failure decides.
"""

import math

#: Seconds in which what happened comes to count half.
_HALF_LIFE = 600.0

#: What is assumed before anything is known: so many tries, of which this share went well.
_PRIOR, _PRIOR_SHARE = 20.0, 0.98


class Fading:
    """A share of good ones among many, of which older ones count less. Times are seconds of a
    monotonic clock."""

    def __init__(self) -> None:
        self._good = 0.0
        self._all = 0.0
        self._at = 0.0

    def add(self, good: float, all_: float, now: float) -> None:
        self._fade(now)
        self._good += good
        self._all += all_

    def share(self, now: float) -> float:
        """Between 0 and 1; near the prior while little is known."""
        self._fade(now)
        return (self._good + _PRIOR * _PRIOR_SHARE) / (self._all + _PRIOR)

    def mean(self, now: float) -> float | None:
        """Of what was added as `good`, by what was added as `all_`; None when that is nothing."""
        self._fade(now)
        return self._good / self._all if self._all > 0.01 else None

    def _fade(self, now: float) -> None:
        if now > self._at:
            left = math.exp2((self._at - now) / _HALF_LIFE)
            self._good *= left
            self._all *= left
            self._at = now


class Merit:
    """Of one account, in this process."""

    def __init__(self) -> None:
        self._taken = Fading()
        self._arrived = Fading()
        self._seconds = Fading()

    def note_answers(self, taken: int, failed: int, now: float) -> None:
        """Messages that it took, and that it could not take for a trouble of its own."""
        self._taken.add(taken, taken + failed, now)

    def note_receipt(self, *, arrived: bool, now: float) -> None:
        self._arrived.add(arrived, 1.0, now)

    def note_call(self, seconds: float, now: float) -> None:
        self._seconds.add(seconds, 1.0, now)

    def reach(self, now: float) -> float:
        """The share of messages given to it that arrive, as far as it tells; 0 to 1."""
        return self._taken.share(now) * self._arrived.share(now)

    def seconds(self, now: float) -> float | None:
        """What a call takes on average; None while nothing is known."""
        return self._seconds.mean(now)
