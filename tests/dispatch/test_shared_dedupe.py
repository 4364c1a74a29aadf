"""The same thing once, whichever tenant or channel it came through."""

from typing import Any

import pytest

from gateway.model.submission import Dedupe, StepRequest, Submission, Ticket, To

HOOK = {"url": "https://good.example.com", "secret": "whsec_" + "A" * 32}
RULE = {"categories": {"service": {"dedupe": {"window": "1h", "shared": True}}}}
LI = To(phone="+8613800138000", email="li@example.com", recipient="li")


@pytest.fixture
async def world(make_world: Any) -> Any:
    return await make_world(tenants={"shop": {"webhook": HOOK}}, **RULE)


async def ask(world: Any, tenant: str, **fields: Any) -> Ticket:
    usual: dict[str, Any] = {"to": LI, "category": "service", "content": {"text": "hello"}}
    (verdict,) = await world.intake.accept(
        world.caller(tenant), [Submission(**{**usual, **fields})]
    )
    assert isinstance(verdict, Ticket), verdict
    return verdict


async def test_second_tenant_learns_nothing_of_the_first(world: Any) -> None:
    first = await ask(world, "billing")

    second = await ask(world, "shop")

    assert second.duplicate
    assert second.id != first.id
    found = await world.desk.read(world.caller("shop"), second.id)
    assert (found.state, found.timeline[-1].detail) == ("suppressed", "sent already")
    (told,) = await world.sql("SELECT body FROM message WHERE internal = 1")
    assert second.id in told[0]
    assert first.id not in told[0]


async def test_it_is_sent_once(world: Any) -> None:
    for tenant in ("billing", "shop", "billing", "shop"):
        await ask(world, tenant)
    world.start()
    await world.settle()

    assert len(world.senders["a"].calls) == 1


async def test_it_is_the_same_on_another_channel(world: Any) -> None:
    await ask(world, "billing", chain=(StepRequest(channel="sms"),))

    again = await ask(world, "shop", chain=(StepRequest(channel="email"),))

    assert again.duplicate


async def test_business_key_holds_for_all_tenants(world: Any) -> None:
    await ask(world, "billing", dedupe=Dedupe(key="order-17", window=60.0))

    same = await ask(
        world, "shop", content={"text": "other"}, dedupe=Dedupe(key="order-17", window=60.0)
    )
    other = await ask(world, "shop", dedupe=Dedupe(key="order-18", window=60.0))

    assert same.duplicate
    assert not other.duplicate


async def test_repeated_request_gets_its_own_message_again(world: Any) -> None:
    await ask(world, "billing")
    keyed = {"idempotency_key": "k", "fingerprint": b"f"}

    second = await ask(world, "shop", **keyed)
    again = await ask(world, "shop", **keyed)

    assert again.repeated
    assert again.id == second.id


async def test_other_people_and_other_words_are_no_duplicates(world: Any) -> None:
    await ask(world, "billing")

    other_text = await ask(world, "shop", content={"text": "bye"})
    other_person = await ask(world, "shop", to=To(phone="+8613800138001", recipient="wang"))

    assert not other_text.duplicate
    assert not other_person.duplicate


async def test_name_that_two_tenants_have_for_two_people_is_no_duplicate(world: Any) -> None:
    await ask(world, "billing", to=To(phone="+8613800138000", recipient="user-42"))

    other = await ask(world, "shop", to=To(phone="+8613800138001", recipient="user-42"))
    same = await ask(world, "shop", to=To(phone="+86 138 0013 8000", recipient="user-7"))

    assert not other.duplicate
    assert same.duplicate


async def test_failed_message_may_be_sent_by_another(world: Any) -> None:
    first = await ask(world, "billing")
    await world.desk.cancel(world.caller("billing"), first.id)

    second = await ask(world, "shop")

    assert not second.duplicate
