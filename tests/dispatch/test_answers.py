"""What recipients get back for STOP, START and HELP: once, by the account that they wrote to."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.model import wire
from gateway.model.submission import StepRequest, To
from gateway.model.wire import InboundMessage
from tests.dispatch.world import World

ME = "+447700900000"
SMS_ONLY = (StepRequest(channel="sms"),)
STOP, START, HELP = "You get no more offers.", "You get offers again.", "Call 0800 100 100."
TABLES: dict[str, Any] = {
    "categories": {"marketing": {"unsubscribe": True}},
    "lanes": {
        "sms": {
            "sms": {
                "sign": "Acme",
                "answers": {"category": "otp", "stop": STOP, "start": START, "help": HELP},
            }
        }
    },
}

MakeWorld = Callable[..., Awaitable[World]]


@pytest.fixture(name="world")
async def fixture_world(make_world: MakeWorld) -> World:
    """Two accounts in lane sms; the first has sent an offer."""
    world = await make_world(**TABLES)
    world.start()
    await offer(world)
    return world


async def offer(world: World, phone: str = ME) -> str:
    id_ = await world.post(to=To(phone=phone), category="marketing", chain=SMS_ONLY)
    await world.settle()
    return id_


async def hear(world: World, text: str, id_: str = "", account: str = "a", **fields: Any) -> None:
    one = InboundMessage(
        **{"sender": ME, "to": "60606", "text": text, "provider_id": id_, **fields}
    )
    await world.hear(account, one)
    await world.settle()


def texts(world: World, account: str) -> list[str]:
    """Of what the account has sent since the offer."""
    return [call.message.content.text for call in world.senders[account].calls[1:]]


@pytest.mark.parametrize(
    ("text", "answer"), [("STOP", STOP), ("start", START), ("Help!", HELP), ("Is it blue?", "")]
)
async def test_each_wish_has_its_answer(world: World, text: str, answer: str) -> None:
    await hear(world, text)

    assert texts(world, "a") == ([f"[Acme] {answer}"] if answer else [])
    assert not world.senders["b"].calls


async def test_answer_to_stop_goes_out_although_offers_no_longer_do(world: World) -> None:
    await hear(world, "STOP")

    await offer(world)

    assert texts(world, "a") == [f"[Acme] {STOP}"]
    (call,) = world.senders["b"].calls
    assert call.message.category == "marketing"


async def test_tenant_can_tell_what_the_answer_is(make_world: MakeWorld) -> None:
    world = await make_world(**TABLES)
    world.start()
    id_ = await offer(world)

    await hear(world, "STOP")

    call = world.senders["a"].calls[-1]
    case = await world.case(call.message.id)
    assert (case.tenant, case.message.category) == ("billing", "otp")
    assert case.message.metadata == {"answers": id_}


async def test_two_machines_do_not_go_on_for_ever(world: World) -> None:
    for turn in range(5):
        await hear(world, "STOP", f"in-{turn}")
        await hear(world, "STOP")

    assert texts(world, "a") == [f"[Acme] {STOP}"]


async def test_there_is_an_answer_again_the_next_day(world: World) -> None:
    await hear(world, "HELP")
    await world.jump(86_401)
    await hear(world, "HELP")

    assert texts(world, "a") == [f"[Acme] {HELP}"] * 2


async def test_service_that_has_confirmed_is_not_repeated(world: World) -> None:
    await hear(world, "STOP", confirmed=True)

    assert texts(world, "a") == []


@pytest.mark.parametrize("sender", ["+447700900999", "60606", ""])
async def test_strangers_and_short_codes_are_not_answered(world: World, sender: str) -> None:
    await hear(world, "STOP", sender=sender)

    assert texts(world, "a") == []


async def test_answer_that_its_account_cannot_carry_is_none(world: World) -> None:
    world.senders["a"].provider.object = lambda content, to: "needs a template"

    await hear(world, "STOP")

    assert texts(world, "a") == []
    assert await world.rows() == []


async def test_answer_that_is_late_is_not_sent(world: World) -> None:
    world.senders["a"].script(*[wire.Deferred(code="busy", retry_after=301.0)])

    await hear(world, "STOP")
    await world.sleep(600)

    assert len(texts(world, "a")) == 1
    assert await world.rows() == []


async def test_lane_without_answers_gives_none(make_world: MakeWorld) -> None:
    world = await make_world(categories={"marketing": {"unsubscribe": True}})
    world.start()
    await offer(world)

    await hear(world, "STOP")

    assert texts(world, "a") == []
