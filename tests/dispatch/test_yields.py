"""Categories that give way to others: what waits for how long, and what does not."""

from typing import Any

import pytest

from gateway.model import wire
from gateway.model.state import State
from gateway.model.submission import StepRequest, Submission, To
from tests.dispatch.conftest import MakeWorld

MINUTE = 60.0
SMS, EMAIL = (StepRequest(channel=name) for name in ("sms", "email"))
LI = To(phone="+8613800138000", email="li@example.com", recipient="li")
WANG = To(phone="+8613800138001", recipient="wang")
REJECTED = wire.Rejected(code="7", detail="no such number")


def yielding(**fields: Any) -> dict[str, Any]:
    """Marketing gives way to service for two minutes."""
    return {"marketing": {"yields_to": ["service"], "yields_for": "2m", **fields}}


async def post(world: Any, category: str = "marketing", **fields: Any) -> Any:
    return await world.post(**{"to": LI, "category": category, "expires_in": 600.0, **fields})


async def events(world: Any, id_: str) -> list[tuple[str, str]]:
    found = await world.sql(f"SELECT event, detail FROM event WHERE message = '{id_}'")
    return [(event, detail) for event, detail in found]


async def test_it_waits_until_the_last_of_the_others_is_long_enough_ago(
    make_world: MakeWorld,
) -> None:
    world = await make_world(categories=yielding())
    world.start()
    await post(world, "service")
    await world.sleep(MINUTE)
    await post(world, "service")
    await world.sleep(1.0)

    offer = await post(world)
    await world.settle(4 * MINUTE)

    times = world.senders["a"].times
    assert [round((one - times[0]) / MINUTE) for one in times] == [0, 1, 3]
    assert times[2] - times[1] >= 2 * MINUTE - 0.1  # what is counted is when its turn comes
    assert await world.state(offer) == "sent"
    assert ("deferred", "yields:service") in await events(world, offer)
    count = world.metrics.cap_decisions.labels
    assert count("yields:service", "deferred")._value.get() == 1.0
    assert count("yields:service", "passed")._value.get() == 1.0
    assert world.metrics.deferred.labels("marketing", "yields")._value.get() == 1.0


async def test_messages_that_yield_hold_nobody(make_world: MakeWorld) -> None:
    world = await make_world(categories=yielding())
    world.start()

    offers = [await post(world) for _ in range(3)]
    await world.settle()
    service = await post(world, "service")
    await world.settle()

    assert world.senders["a"].sent == [*offers, service]


async def test_other_people_tenants_and_categories_do_not_wait(make_world: MakeWorld) -> None:
    world = await make_world(categories=yielding())
    world.start()
    await post(world, "service")
    await post(world, "otp", to=WANG)
    await world.settle()

    others = [
        await post(world, to=WANG),
        await post(world, tenant="shop"),
        await post(world, "otp"),
        await post(world, "service"),
    ]
    await world.settle()

    assert [await world.state(one) for one in others] == ["sent"] * 4


async def test_person_is_one_over_all_channels(make_world: MakeWorld) -> None:
    world = await make_world(categories=yielding())
    world.start()
    await post(world, "service", chain=(EMAIL,))
    await world.settle(30.0)

    offer = await post(world, expires_in=90.0)
    await world.settle()

    assert await world.state(offer) == "suppressed"


@pytest.mark.parametrize("answer", ["rejected", "unknown"])
async def test_what_reached_nobody_holds_nothing(make_world: MakeWorld, answer: str) -> None:
    world = await make_world(categories={**yielding(), "service": {"on_unknown": "stop"}})
    result = REJECTED if answer == "rejected" else wire.Unknown(code="timeout")
    for name in "ab":
        world.senders[name].script(result)
    world.start()
    service = await post(world, "service", chain=(SMS,))
    await world.settle()
    before = await world.state(service)
    for name in "ab":
        world.senders[name].script(wire.Accepted())

    offer = await post(world)
    await world.sleep(30.0)

    assert before == ("failed" if answer == "rejected" else "unknown")
    sent = await world.state(offer) == "sent"
    assert sent is (answer == "rejected")  # by an unknown outcome they may have been reached


async def test_what_gave_way_to_a_message_that_reached_nobody_goes_at_once(
    make_world: MakeWorld,
) -> None:
    world = await make_world(categories=yielding())
    busy = wire.Deferred(code="busy", cause=wire.Cause.RECIPIENT)
    for name in "ab":
        world.senders[name].answer = lambda message, time: (
            (busy if time < 30.0 else REJECTED)
            if "code" in message.content.text
            else wire.Accepted()
        )
    world.start()
    began = world.clock.monotonic()
    service = await post(world, "service", chain=(SMS,), content={"text": "code"})
    await world.sleep(1.0)

    offers = [await post(world, expires_in=300.0) for _ in range(3)]
    await world.sleep(10.0)
    held = [await world.state(one) for one in offers]
    waiting = await world.sql("SELECT count(*) FROM cap_wait")
    while await world.state(service) != "failed":
        await world.sleep(0.1)
    failed = world.clock.monotonic()
    await world.sleep(1.0)

    assert held == ["queued"] * 3
    assert waiting == [(3,)]
    assert failed - began < 2 * MINUTE - 1.0
    assert [await world.state(one) for one in offers] == ["sent"] * 3
    assert await world.sql("SELECT * FROM cap_wait") == []


async def test_what_still_gives_way_to_another_message_waits_on(make_world: MakeWorld) -> None:
    world = await make_world(categories=yielding())
    world.start()
    await post(world, "service")
    await world.sleep(10.0)
    for name in "ab":
        world.senders[name].answer = lambda message, time: (
            wire.Deferred(code="busy", cause=wire.Cause.RECIPIENT)
            if "code" in message.content.text
            else wire.Accepted()
        )
    failing = await post(world, "service", chain=(SMS,), content={"text": "code"}, expires_in=60.0)
    await world.sleep(1.0)

    offer = await post(world)
    await world.settle(4 * MINUTE)

    assert await world.state(failing) in ("failed", "expired")
    times = world.senders["a"].times
    assert round((times[-1] - times[0]) / MINUTE) == 2
    assert await world.timeline(offer) == ["deferred", "deferred", "attempt.accepted"]


async def test_later_steps_of_what_is_woken_come_as_much_earlier(make_world: MakeWorld) -> None:
    world = await make_world(categories=yielding())
    busy = wire.Deferred(code="busy", cause=wire.Cause.RECIPIENT)
    for name in "ab":
        world.senders[name].answer = lambda message, time: (
            busy if "code" in message.content.text else wire.Accepted()
        )
    world.start()
    await post(world, "service", chain=(SMS,), content={"text": "code"}, expires_in=30.0)
    await world.sleep(1.0)

    first = StepRequest(channel="sms", until=State.DELIVERED, within=20.0)
    offer = await post(world, chain=(first, EMAIL), content={"text": "t", "subject": "s"})
    await world.sleep(1.0)
    await world.settle(MINUTE + 5.0)

    assert world.attempts()[offer] == ["a", "m"]
    assert round(world.senders["m"].times[0] - world.senders["a"].times[-1]) == 20


async def test_what_would_expire_before_is_not_sent(make_world: MakeWorld) -> None:
    world = await make_world(categories=yielding())
    world.start()
    await post(world, "service")
    await world.settle()

    offer = await post(world, expires_in=50.0)
    await world.settle()

    assert await world.state(offer) == "suppressed"
    assert ("suppressed", "yields:service") in await events(world, offer)
    count = world.metrics.cap_decisions.labels("yields:service", "dropped")
    assert count._value.get() == 1.0


async def test_what_is_sent_while_it_waits_holds_it_again(make_world: MakeWorld) -> None:
    world = await make_world(categories=yielding())
    world.start()
    await post(world, "service")
    await world.sleep(1.0)
    offer = await post(world)
    await world.sleep(MINUTE)

    await post(world, "service")
    await world.settle(5 * MINUTE)

    assert round((world.senders["a"].times[2] - world.senders["a"].times[1]) / MINUTE) == 2
    deferred = [one for one in await events(world, offer) if one[0] == "deferred"]
    assert deferred == [("deferred", "yields:service")] * 2


async def test_waiting_service_messages_hold_nothing(make_world: MakeWorld) -> None:
    """Service gives way to codes; marketing to service, of which none has been sent."""
    categories = {**yielding(), "service": {"yields_to": ["otp"], "yields_for": "5m"}}
    world = await make_world(categories=categories)
    world.start()
    await post(world, "otp")
    await world.settle()

    service = await post(world, "service")
    await world.sleep(1.0)
    offer = await post(world)
    await world.sleep(30.0)

    assert await world.state(offer) == "sent"
    assert ("deferred", "yields:otp") in await events(world, service)


async def test_it_gives_way_and_keeps_to_its_caps(make_world: MakeWorld) -> None:
    caps = {"offers": {"most": 1, "within": "1m", "categories": ["marketing"]}}
    world = await make_world(categories=yielding(), caps=caps)
    world.start()
    await post(world, "service")
    await world.sleep(1.0)

    for _ in range(3):
        await post(world)
    await world.settle(8 * MINUTE)

    times = world.senders["a"].times
    assert [round((one - times[0]) / MINUTE) for one in times] == [0, 2, 3, 4]


async def test_categories_that_nobody_yields_to_and_that_yield_to_none_ask_nothing(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await make_world(categories=yielding())

    async def take_caps(*args: Any, **values: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(world.store, "take_caps", take_caps)
    world.start()

    id_ = await post(world, "otp")
    await world.settle()

    assert await world.state(id_) == "sent"


async def preview(world: Any, **fields: Any) -> Any:
    usual = {"to": LI, "category": "marketing", "content": {"text": "t", "subject": "s"}}
    return await world.intake.preview(world.caller(), Submission(**{**usual, **fields}))


async def test_preview_says_to_whom_it_gives_way_and_until_when(make_world: MakeWorld) -> None:
    world = await make_world(categories=yielding(yields_to=["service", "otp"]))
    world.start()

    free = await preview(world)
    await post(world, "service")
    await world.sleep(MINUTE)
    await post(world, "otp")
    await world.sleep(1.0)
    held = await preview(world)
    short = await preview(world, expires_in=50.0)
    service = await preview(world, category="service")

    assert free.decision == "send"
    assert free.reasons == ["yields:service: none within 2m", "yields:otp: none within 2m"]
    assert held.decision == "defer"
    assert held.reasons == ["yields:service: sent within 2m", "yields:otp: sent within 2m"]
    assert held.until_ms - world.clock.now_ms() == pytest.approx(119_000, abs=100)
    assert (short.decision, short.until_ms) == ("suppress", None)
    assert (service.decision, service.reasons) == ("send", [])
