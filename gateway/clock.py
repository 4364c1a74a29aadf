"""The only place that reads time or sleeps, so that tests can run weeks in a second."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time for what is stored and shown, monotonic time for how long something takes."""

    def now_ms(self) -> int:
        """UTC epoch milliseconds."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        return int(time.time() * 1000)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class LoopClock:
    """Wall and monotonic time both derived from the running loop's: virtual where the loop is."""

    def __init__(self, start: datetime) -> None:
        self._start_ms = int(start.timestamp() * 1000)

    def now_ms(self) -> int:
        return self._start_ms + int(self.monotonic() * 1000)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def to_datetime(ms: int) -> datetime:
    """An aware UTC datetime of epoch milliseconds."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def isoformat(ms: int) -> str:
    """RFC 3339 in UTC with milliseconds, as the API shows times."""
    return to_datetime(ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")
