"""The access token that nodes share, and the lease of the one that refreshes it."""

import asyncio

import pytest

from gateway.app.shelf import FleetShelf
from gateway.model import wire
from gateway.store.postgres.store import PostgresStore

OPTIONS = {"app_id": "wx1", "secret": "s3cret"}


def shelves(nodes: list[PostgresStore], account: str = "wechat") -> list[FleetShelf]:
    return [FleetShelf(node.fleet, account, OPTIONS) for node in nodes]


async def test_one_node_puts_it_there_for_all(nodes: list[PostgresStore]) -> None:
    first, second, third = shelves(nodes)
    assert await second.look() is None

    await first.put(wire.Token(value="t1", expires_in=7200.0))
    await second.put(wire.Token(value="t2", expires_in=3600.0))
    found = await third.look()

    assert found is not None
    assert (found.token, found.life) == ("t2", 3600.0)
    assert found.left == pytest.approx(3600.0, abs=60.0)


async def test_one_node_at_a_time_may_refresh(nodes: list[PostgresStore]) -> None:
    all_of_them = shelves(nodes)

    granted = await asyncio.gather(*(one.begin(60.0) for one in all_of_them * 3))
    winner = all_of_them[granted.index(True) % len(all_of_them)]
    for one in all_of_them:
        if one is not winner:
            await one.end()  # not theirs to end
    still = await asyncio.gather(*(one.begin(60.0) for one in all_of_them))
    await winner.end()

    assert granted.count(True) == 1
    assert not any(still)
    assert await all_of_them[0].begin(60.0)


async def test_lease_of_a_dead_node_ends_by_itself(nodes: list[PostgresStore]) -> None:
    first, second, _ = shelves(nodes)
    assert await first.begin(-1.0)

    assert await second.begin(60.0)


async def test_accounts_do_not_meet(nodes: list[PostgresStore]) -> None:
    ours, theirs = shelves(nodes, "a")[0], shelves(nodes, "b")[1]
    await ours.put(wire.Token(value="t1", expires_in=7200.0))

    assert await theirs.look() is None
    assert await ours.begin(60.0)
    assert await theirs.begin(60.0)


async def test_database_does_not_hold_the_token_in_clear(nodes: list[PostgresStore]) -> None:
    first, _, _ = shelves(nodes)
    await first.put(wire.Token(value="the-token", expires_in=7200.0))

    found = await nodes[1].fleet.read_access_token("wechat")
    changed = FleetShelf(nodes[1].fleet, "wechat", {**OPTIONS, "secret": "another"})

    assert found is not None
    assert "the-token" not in found[0]
    assert await changed.look() is None
