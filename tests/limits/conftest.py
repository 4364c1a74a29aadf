"""Virtual time for what waits."""

import asyncio
import selectors
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.clock import LoopClock


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time jumps to the next timer when there is nothing to do."""

    def __init__(self) -> None:
        self._now = 1000.0
        super().__init__(_Jumper(self._jump))

    def time(self) -> float:
        return self._now

    def _jump(self, seconds: float) -> None:
        self._now += seconds


class _Jumper(selectors.DefaultSelector):
    def __init__(self, jump: Callable[[float], None]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> Any:
        if timeout:
            self._jump(timeout)
        return super().select(timeout if timeout is None else 0)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"virtual": VirtualLoop}


@pytest.fixture
def clock() -> LoopClock:
    return LoopClock(datetime(2026, 11, 21, tzinfo=UTC))
