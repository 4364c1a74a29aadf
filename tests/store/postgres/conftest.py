"""Nodes that share a database."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from gateway.store.postgres.store import PostgresStore


@pytest.fixture
async def nodes(database: str) -> AsyncIterator[list[PostgresStore]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(PostgresStore(database, owner=f"n{number}"))
            for number in range(3)
        ]
