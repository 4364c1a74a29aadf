"""Chains in the best order for whom they are for: wishes, what has reached them, cost."""

from typing import Any

import pytest

from gateway.model import wire
from gateway.model.errors import InvalidMessage, StoreUnavailable
from gateway.model.message import ChainOrder
from gateway.model.recipient import PushDevice, Recipient
from gateway.model.submission import StepRequest, To
from gateway.store.habits import Habit, month_of

LI: dict[str, Any] = {"phone": "+8613800138000", "email": "li@example.com"}
CHAIN = [{"channel": "sms"}, {"channel": "email"}]
BEST: dict[str, Any] = {"categories": {"service": {"order": "best", "chain": CHAIN}}}
DELIVERED = wire.ReceiptEvent.DELIVERED


@pytest.fixture
async def world(make_world: Any) -> Any:
    return await make_world(**BEST)


async def put(world: Any, tenant: str, **more: Any) -> None:
    await world.recipients.put(world.caller(tenant), [Recipient(id="li", **LI, **more)])


async def known(world: Any, **more: Any) -> None:
    await put(world, "billing", **more)


async def send(world: Any, **fields: Any) -> list[str]:
    """The accounts that had it."""
    id_ = await world.post(
        **{"to": To(recipient="li"), "content": {"text": "t", "subject": "s"}, **fields}
    )
    await world.settle()
    return list(world.attempts()[id_])


async def test_what_the_recipient_asked_for_comes_first(world: Any) -> None:
    await known(world, preferences={"service": ("email",)})
    world.start()

    assert await send(world) == ["m"]


async def test_timeline_says_why(world: Any) -> None:
    await known(world, preferences={"service": ("email",)})

    id_ = await world.post(to=To(recipient="li"), content={"text": "t", "subject": "s"})

    found = await world.desk.read(world.caller(), id_)
    assert [(one.event, one.detail) for one in found.timeline][1:] == [
        ("chosen", "email: asked for; sms: not tried yet")
    ]


async def test_what_did_not_reach_them_comes_later(world: Any) -> None:
    await known(world)
    world.start()
    world.also(world.upkeep.run())

    before = [await send(world) for _ in range(12)]
    await world.sleep(3.0)

    assert before[0] == ["a"]
    assert await send(world) == ["m"]


async def test_what_was_delivered_stays_first(world: Any) -> None:
    await known(world)
    world.start()
    world.also(world.upkeep.run())

    for nth in range(12):
        await send(world)
        message = world.senders["a"].calls[nth].message
        await world.report("a", wire.DeliveryReceipt(event=DELIVERED, reference=message.reference))
    await world.sleep(3.0)

    assert await send(world) == ["a"]


async def test_what_was_read_comes_before_what_was_merely_delivered(make_world: Any) -> None:
    both = [{"channel": "push"}, {"channel": "sms"}]
    world = await make_world(categories={"service": {"order": "best", "chain": both}})
    await known(world, push=(PushDevice(app="ios", token="t"),))
    world.start()
    world.also(world.upkeep.run())
    fresh = await send(world)

    for account, events in (("p", (DELIVERED,)), ("a", (DELIVERED, wire.ReceiptEvent.READ))):
        channel = "push" if account == "p" else "sms"
        for _ in range(12):
            await send(world, chain=(StepRequest(channel=channel),))
            reference = world.senders[account].calls[-1].message.reference
            for event in events:
                await world.report(account, wire.DeliveryReceipt(event=event, reference=reference))
    await world.sleep(3.0)

    assert fresh == ["p"]
    assert await send(world) == ["a"]


@pytest.mark.parametrize(("months_ago", "account"), [(0, "a"), (5, "m")])
async def test_what_reached_them_long_ago_counts_less(
    world: Any, months_ago: int, account: str
) -> None:
    await known(world)
    world.start()
    subject, now = world.habits.subject("billing", "li"), month_of(world.clock.now_ms())
    await world.store.add_habits(
        [
            Habit(subject, "sms", now - months_ago, tries=30.0, reached=30.0),
            Habit(subject, "email", now, tries=20.0, reached=20.0),
        ]
    )

    assert await send(world) == [account]


async def test_people_of_other_tenants_are_others(world: Any) -> None:
    await known(world)
    await put(world, "shop")
    world.start()
    world.also(world.upkeep.run())
    for _ in range(12):
        await send(world)
    await world.sleep(3.0)

    assert await send(world, tenant="shop") == ["a"]


async def test_chain_of_the_message_is_taken_as_it_is(world: Any) -> None:
    await known(world, preferences={"service": ("email",)})
    world.start()
    chain = (StepRequest(channel="sms"), StepRequest(channel="email"))

    assert await send(world, chain=chain) == ["a"]
    assert await send(world, chain=chain, order=ChainOrder.BEST) == ["m"]
    assert await send(world, order=ChainOrder.GIVEN) == ["a"]


COSTS = {"providers": {"a": {"cost": 0.05}, "b": {"cost": 0.04}, "m": {"cost": 0.001}}}


async def test_what_costs_more_than_somebody_is_worth_is_left_out(make_world: Any) -> None:
    rule = {**BEST["categories"]["service"], "budget": 0.01, "budgets": {"gold": 1.0}}
    world = await make_world(categories={"service": rule}, **COSTS)
    await known(world, preferences={"service": ("sms",)})
    world.start()

    assert await send(world) == ["m"]
    await known(world, preferences={"service": ("sms",)}, tier="gold")
    assert await send(world) == ["a"]


async def test_nothing_within_the_budget_is_refused(make_world: Any) -> None:
    rule = {**BEST["categories"]["service"], "budget": 0.0001}
    world = await make_world(categories={"service": rule}, **COSTS)

    with pytest.raises(InvalidMessage) as refused:
        await world.post()

    assert "over the budget" in str(refused.value.faults)


async def test_what_another_node_had_counted_of_the_erased_does_not_come_back(
    make_world: Any,
) -> None:
    one, two = await make_world(owner="n1", **BEST), await make_world(owner="n2", **BEST)
    await known(one)
    two.start()
    await send(two)

    await one.recipients.erase(one.caller(), "li")
    await two.habits.flush()

    assert await one.habits.of("billing", ["li"]) == {}


async def test_what_could_not_be_written_for_hours_is_dropped(world: Any, monkeypatch: Any) -> None:
    async def fail(habits: Any) -> None:
        raise StoreUnavailable

    await known(world)
    world.start()
    await send(world)
    with monkeypatch.context() as broken:
        broken.setattr(world.store, "add_habits", fail)
        for _ in range(4):
            with pytest.raises(StoreUnavailable):
                await world.habits.flush()
            await world.sleep(1000.0)
    await world.habits.flush()

    assert await world.habits.of("billing", ["li"]) == {}
