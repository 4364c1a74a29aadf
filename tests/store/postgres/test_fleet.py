"""What nodes share of providers' limits goes by the database's clock."""

import asyncio
from typing import Any

import pytest

from gateway.clock import SystemClock
from gateway.dispatch.keys import Keys
from gateway.model.errors import StoreUnavailable, TooManyRequests
from gateway.model.submission import Caller
from gateway.model.tokens import Demand
from gateway.settings import Tenant
from gateway.store.postgres.store import PostgresStore
from tests.store.server import Databases


def demand(**fields: Any) -> Demand:
    """Of a bucket that fills so slowly that a test's own time does not count."""
    return Demand(**{"rate": 0.001, "capacity": 10.0, "most": 100, **fields})


async def pass_time(node: PostgresStore, seconds: float) -> None:
    statement = "UPDATE bucket SET at = at - make_interval(secs => $1)"
    await node._engine.run(lambda session: session.connection.execute(statement, seconds))


async def test_new_bucket_is_empty_and_never_fuller_than_it_may_be(
    nodes: list[PostgresStore],
) -> None:
    first = await nodes[0].fleet.take_tokens("acme", demand())
    await pass_time(nodes[0], 3_500.0)
    some = await nodes[1].fleet.take_tokens("acme", demand())
    await pass_time(nodes[0], 99_000.0)
    most = await nodes[2].fleet.take_tokens("acme", demand())

    assert (first.tokens, some.tokens, most.tokens) == (0, 3, 10)
    assert some.wait == pytest.approx(500.0, abs=100.0)
    assert some.delay == 0.0


async def test_tokens_are_given_out_once(nodes: list[PostgresStore]) -> None:
    await nodes[0].fleet.take_tokens("acme", demand())
    await pass_time(nodes[0], 99_000.0)

    grants = await asyncio.gather(
        *(node.fleet.take_tokens("acme", demand(most=1)) for node in nodes * 6)
    )

    assert sum(one.tokens for one in grants) == 10


async def test_tokens_are_left_for_more_urgent_ones(nodes: list[PostgresStore]) -> None:
    await nodes[0].fleet.take_tokens("acme", demand())
    await pass_time(nodes[0], 99_000.0)

    plain = await nodes[0].fleet.take_tokens("acme", demand(floor=4.0))
    again = await nodes[0].fleet.take_tokens("acme", demand(floor=4.0))
    urgent = await nodes[0].fleet.take_tokens("acme", demand())

    assert (plain.tokens, again.tokens, urgent.tokens) == (6, 0, 4)
    assert again.wait == pytest.approx(1_000.0, abs=100.0)


async def test_tokens_that_belong_together_are_given_together(nodes: list[PostgresStore]) -> None:
    await nodes[0].fleet.take_tokens("acme", demand())
    await pass_time(nodes[0], 3_500.0)

    none = await nodes[0].fleet.take_tokens("acme", demand(least=5, most=5))
    await pass_time(nodes[0], 2_000.0)
    all_five = await nodes[0].fleet.take_tokens("acme", demand(least=5, most=5))

    assert (none.tokens, all_five.tokens) == (0, 5)
    assert none.wait == pytest.approx(1_500.0, abs=100.0)


async def test_dated_token_is_given_before_its_time(nodes: list[PostgresStore]) -> None:
    one = demand(capacity=1.0, most=1, ahead=400.0)
    await nodes[0].fleet.take_tokens("acme", one)
    await pass_time(nodes[0], 700.0)

    given = await nodes[0].fleet.take_tokens("acme", one)
    next_ = await nodes[0].fleet.take_tokens("acme", one)

    assert given.tokens == 1
    assert given.delay == pytest.approx(300.0, abs=100.0)
    assert given.wait == pytest.approx(900.0, abs=100.0)
    assert (next_.tokens, next_.delay) == (0, 0.0)
    assert next_.wait == pytest.approx(900.0, abs=100.0)


async def test_clock_that_was_set_back_mints_nothing_and_goes_on(
    nodes: list[PostgresStore],
) -> None:
    await nodes[0].fleet.take_tokens("acme", demand())
    await pass_time(nodes[0], 3_500.0)
    await nodes[0].fleet.take_tokens("acme", demand(most=1))
    await pass_time(nodes[0], -86_400.0)

    after = await nodes[0].fleet.take_tokens("acme", demand(most=1))
    await pass_time(nodes[0], 1_000.0)
    later = await nodes[0].fleet.take_tokens("acme", demand())

    assert (after.tokens, later.tokens) == (1, 2)


async def test_taker_who_began_before_another_adds_nothing(nodes: list[PostgresStore]) -> None:
    """As if the one before had been served 15 s later than this one began."""
    fast = demand(rate=1.0, capacity=1000.0, most=0)
    await nodes[0].fleet.take_tokens("acme", fast)
    await pass_time(nodes[0], -15.0)

    await nodes[0].fleet.take_tokens("acme", fast)
    await pass_time(nodes[0], 10.0)
    later = await nodes[0].fleet.take_tokens("acme", demand(rate=1.0, capacity=1000.0))

    assert later.tokens == 0


async def test_pause_is_heard_of_and_never_shortened(nodes: list[PostgresStore]) -> None:
    await nodes[0].fleet.pause_account("acme", seconds=600.0, reason="429\x00")
    await nodes[1].fleet.pause_account("acme", seconds=5.0, reason="breaker")
    await nodes[1].fleet.pause_account("other", seconds=-1.0, reason="over")

    paused = await nodes[2].fleet.paused_accounts()

    assert set(paused) == {"acme"}
    assert paused["acme"][0] == pytest.approx(600.0, abs=60.0)
    assert paused["acme"][1] == "429\x00"


async def test_longer_pause_takes_its_place(nodes: list[PostgresStore]) -> None:
    await nodes[0].fleet.pause_account("acme", seconds=5.0, reason="breaker")
    await nodes[1].fleet.pause_account("acme", seconds=600.0, reason="429")

    assert (await nodes[2].fleet.paused_accounts())["acme"][1] == "429"


async def test_hints_reach_the_other_nodes(nodes: list[PostgresStore]) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    own: list[str] = []
    tasks = [
        asyncio.create_task(nodes[0].fleet.listen(own.append)),
        asyncio.create_task(nodes[1].fleet.listen(heard.put_nowait)),
    ]
    while heard.empty():  # until it listens
        await nodes[2].fleet.hint(["sms", "web hook"])
        await asyncio.sleep(0.01)

    await nodes[0].fleet.hint(["email"])
    async with asyncio.timeout(20.0):
        lanes = [await heard.get()]
        while lanes[-1] != "email":
            lanes.append(await heard.get())

    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert set(lanes) == {"sms", "web hook", "email"}
    assert "email" not in own


async def test_lost_line_is_noticed(nodes: list[PostgresStore], databases: Databases) -> None:
    task = asyncio.create_task(nodes[0].fleet.listen(lambda lane: None))
    await asyncio.sleep(0.2)

    while not task.done():
        databases.run(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE query LIKE 'LISTEN%'"
        )
        await asyncio.sleep(0.05)

    with pytest.raises(StoreUnavailable):
        await task


async def test_tenant_s_rate_holds_over_all_nodes(nodes: list[PostgresStore]) -> None:
    tenants = {"shop": Tenant(rate=0.001)}  # the burst is one message
    caller = Caller(tenant="shop", scopes=frozenset())
    each = [Keys(tenants, node, SystemClock()) for node in nodes]
    with pytest.raises(TooManyRequests):  # which makes the bucket
        await each[0].admit(caller, 1)
    await pass_time(nodes[0], 5_000.0)

    await each[1].admit(caller, 1)

    with pytest.raises(TooManyRequests) as refused:
        await each[2].admit(caller, 1)
    assert refused.value.retry_after == pytest.approx(1000.0, abs=60.0)
