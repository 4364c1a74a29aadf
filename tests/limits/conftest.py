"""Virtual time for what waits."""

from datetime import UTC, datetime

import pytest

from gateway.clock import LoopClock
from tests import virtual

pytest_asyncio_loop_factories = virtual.loop_factories


@pytest.fixture
def clock() -> LoopClock:
    return LoopClock(datetime(2026, 11, 21, tzinfo=UTC))
