"""Worlds for tests, on virtual time: weeks pass in a second, and no two runs differ."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from gateway import settings
from gateway.clock import LoopClock
from tests import virtual
from tests.dispatch.world import TABLES, World
from tests.tables import merge

pytest_asyncio_loop_factories = virtual.loop_factories

MakeWorld = Callable[..., Awaitable[World]]


@pytest.fixture(autouse=True)
def _time_waits_for_the_writer() -> Iterator[None]:
    with virtual.time_waits_for_writer():
        yield


@pytest.fixture
def clock() -> LoopClock:
    return LoopClock(datetime(2026, 11, 21, tzinfo=UTC))


@pytest.fixture
async def make_world(clock: LoopClock) -> AsyncIterator[MakeWorld]:
    """Opens a world: `await make_world(providers={"a": {"rate": 10}})`, laid over TABLES.

    A second one of another owner is another process on the same database.
    """
    memory = Path("/dev/shm")
    where = memory if os.access(memory, os.W_OK) else None
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(dir=where, prefix="gateway-"))

        async def make(
            *,
            owner: str = "n1",
            may_send: Callable[[], bool] | None = None,
            batches: Mapping[str, int] | None = None,
            **tables: Any,
        ) -> World:
            configured = settings.parse(merge(TABLES, tables), environ={})
            world = World(configured, Path(folder), clock, owner, may_send, batches)
            await stack.enter_async_context(world.store)
            await world.book.configure(configured.tenants)
            stack.push_async_callback(world.stop)
            return world

        yield make


@pytest.fixture
async def world(make_world: MakeWorld) -> World:
    return await make_world()
