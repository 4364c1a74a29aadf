"""Tokens that a node took and found no work for."""

from gateway.store.postgres.store import PostgresStore
from tests.store.postgres.test_fleet import demand, pass_time


async def test_tokens_that_were_not_used_are_there_for_others(nodes: list[PostgresStore]) -> None:
    await nodes[0].fleet.take_tokens("acme", demand())
    await pass_time(nodes[0], 99_000.0)
    taken = await nodes[0].fleet.take_tokens("acme", demand(most=4))

    await nodes[0].fleet.give_tokens_back("acme", 3, capacity=10.0)
    rest = await nodes[1].fleet.take_tokens("acme", demand())
    await nodes[0].fleet.give_tokens_back("acme", 100, capacity=10.0)
    full = await nodes[1].fleet.take_tokens("acme", demand())

    assert (taken.tokens, rest.tokens, full.tokens) == (4, 9, 10)
