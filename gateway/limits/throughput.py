"""How much is done a second, to know how much to claim ahead. Times are a monotonic clock's."""


class Throughput:
    """What is done a second, over about the last second."""

    def __init__(self) -> None:
        self._since = 0.0
        self._count = 0
        self._last = 0.0

    def add(self, now: float, count: int) -> None:
        self.rate(now)
        self._count += count

    def rate(self, now: float) -> float:
        elapsed = now - self._since
        if elapsed >= 1.0:
            self._last = self._count / elapsed if elapsed < 10.0 else 0.0
            self._since = now
            self._count = 0
        return max(self._last, float(self._count))
