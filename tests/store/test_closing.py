"""A store that is closed finishes what was asked of it, and says no to what comes after."""

import asyncio

import pytest

from gateway.model.errors import StoreUnavailable
from gateway.store.base import Store


async def test_closed_store_says_so(store: Store) -> None:
    await store.__aexit__(None, None, None)
    await store.__aexit__(None, None, None)

    with pytest.raises(StoreUnavailable, match="closed"):
        await store.keys()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.check()


async def test_closing_waits_for_what_was_asked(store: Store) -> None:
    asked = asyncio.gather(*(store.secret(f"s{number}") for number in range(20)))
    await asyncio.sleep(0)

    await store.__aexit__(None, None, None)

    assert len(set(await asked)) == 20
