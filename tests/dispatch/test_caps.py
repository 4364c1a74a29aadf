"""Frequency caps: who is counted, what waits or is dropped, and what is given back."""

import asyncio
from typing import Any

import pytest

from gateway.dispatch.gate import Hold
from gateway.model import wire
from gateway.model.case import Claimed
from gateway.model.errors import StoreUnavailable
from gateway.model.state import State
from gateway.model.submission import Device, StepRequest, Submission, To
from tests.dispatch.conftest import MakeWorld

MINUTE = 60.0
SMS, EMAIL, PUSH = (StepRequest(channel=name) for name in ("sms", "email", "push"))
LI = To(phone="+8613800138000", email="li@example.com", recipient="li")
REJECTED = wire.Rejected(code="7", detail="no such number")


def offers(**fields: Any) -> dict[str, Any]:
    """A cap of two a minute."""
    usual = {"most": 2, "within": "1m", "categories": ["marketing"], "over": "defer"}
    return {"offers": {**usual, **fields}}


async def post(world: Any, **fields: Any) -> Any:
    usual = {"to": LI, "category": "marketing", "expires_in": 600.0}
    return await world.post(**{**usual, **fields})


async def uses(world: Any) -> list[tuple[str, str, bool]]:
    """(message, channel, whether it is taken) of all places."""
    found = await world.sql("SELECT message, channel, taken FROM cap_use ORDER BY at_ms, message")
    return [(message, channel, bool(taken)) for message, channel, taken in found]


async def test_what_is_over_the_cap_waits_for_its_place(make_world: MakeWorld) -> None:
    world = await make_world(caps=offers())
    world.start()

    ids = [await post(world) for _ in range(5)]
    await world.settle(4 * MINUTE)

    times = world.senders["a"].times
    assert [round((one - times[0]) / MINUTE) for one in times] == [0, 0, 1, 1, 2]
    gaps = [later - earlier for earlier, later in zip(times, times[2:], strict=False)]
    assert min(gaps) > MINUTE - 0.1  # what is counted is when its turn comes
    assert [await world.state(one) for one in ids] == ["sent"] * 5
    (events,) = await world.sql(
        f"SELECT event, channel, detail FROM event WHERE message = '{ids[2]}' LIMIT 1"
    )
    assert events == ("deferred", "sms", "cap:offers")


async def test_thousands_for_one_recipient_are_not_claimed_again_and_again(
    make_world: MakeWorld,
) -> None:
    world = await make_world(caps=offers())
    await world.post_all(
        [{"to": LI, "category": "marketing", "expires_in": 600.0}] * 300,
    )
    world.start()

    await world.sleep(2.5 * MINUTE)

    assert len(world.senders["a"].sent) == 6
    ((claims,),) = await world.sql("SELECT count(*) FROM event WHERE event = 'deferred'")
    assert claims <= 30  # 18 can wait; what cannot go in ten minutes gives way at once
    ((dropped,),) = await world.sql("SELECT count(*) FROM status WHERE state = 'suppressed'")
    assert dropped == 300 - 20


async def test_what_is_over_the_cap_is_dropped_where_the_cap_says_so(make_world: MakeWorld) -> None:
    world = await make_world(caps=offers(most=1, over="drop"))
    world.start()

    first, second = await post(world), await post(world)
    await world.settle()

    assert world.senders["a"].sent == [first]
    assert await world.state(second) == "suppressed"
    (event, _) = await world.sql(
        f"SELECT event, detail FROM event WHERE message = '{second}' ORDER BY rowid"
    )
    assert event == ("suppressed", "cap:offers")
    count = world.metrics.cap_decisions.labels
    assert count("offers", "passed")._value.get() == 1.0
    assert count("offers", "dropped")._value.get() == 1.0


async def test_step_that_may_not_go_in_time_gives_way(make_world: MakeWorld) -> None:
    world = await make_world(caps=offers(most=1, channels=["sms"]))
    world.start()

    first = await post(world, chain=(SMS, EMAIL), content={"text": "t", "subject": "s"})
    second = await post(
        world, chain=(SMS, EMAIL), content={"text": "t", "subject": "s"}, expires_in=50.0
    )
    await world.settle()

    assert world.attempts() == {first: ["a"], second: ["m"]}
    assert await world.timeline(second) == ["suppressed", "fallback", "attempt.accepted"]
    assert await uses(world) == [(first, "sms", True)]


async def test_other_categories_and_people_and_tenants_are_not_held(make_world: MakeWorld) -> None:
    world = await make_world(caps=offers(most=1))
    world.start()

    await post(world)
    others = [
        await post(world, category="service"),
        await post(world, to=To(phone="+8613800138001", recipient="wang")),
        await post(world, tenant="shop"),
    ]
    await world.settle(60.0)

    assert [await world.state(one) for one in others] == ["sent"] * 3


async def test_person_is_one_over_all_channels_and_an_address_is_itself(
    make_world: MakeWorld,
) -> None:
    world = await make_world(caps=offers(most=1, over="drop"))
    nobody = To(phone=LI.phone, email=LI.email)
    world.start()

    named = [await post(world, chain=(SMS,)), await post(world, chain=(EMAIL,))]
    unnamed = [
        await post(world, to=nobody, chain=(SMS,)),
        await post(world, to=nobody, chain=(EMAIL,)),
        await post(world, to=nobody, chain=(SMS,)),
    ]
    await world.settle()

    assert [await world.state(one) for one in named] == ["sent", "suppressed"]
    assert [await world.state(one) for one in unnamed] == ["sent", "sent", "suppressed"]


async def test_shared_cap_counts_an_address_over_tenants_and_their_names(
    make_world: MakeWorld,
) -> None:
    world = await make_world(caps=offers(most=1, over="drop", shared=True))
    world.start()

    first = await post(world)
    second = await post(world, tenant="shop", to=To(phone=LI.phone, recipient="4711"))
    await world.settle()

    assert [await world.state(one) for one in (first, second)] == ["sent", "suppressed"]


async def test_message_that_reached_nobody_gives_its_place_back(make_world: MakeWorld) -> None:
    world = await make_world(caps=offers(most=1, over="drop"))
    for name in "ab":
        world.senders[name].answer = lambda message, time: (
            REJECTED if "bad" in message.content.text else wire.Accepted()
        )
    world.start()

    bad = await post(world, content={"text": "bad"})
    await world.settle()
    good = await post(world)
    await world.settle()

    assert (await world.state(bad), await world.state(good)) == ("failed", "sent")
    assert await uses(world) == [(good, "", True)]


async def test_message_that_nobody_can_carry_gives_its_place_back(make_world: MakeWorld) -> None:
    world = await make_world(caps=offers(most=1))
    id_ = await post(world)
    for name in "ab":  # they could carry it when it was accepted
        world.senders[name].provider.object = lambda content, to: "no"
    world.start()

    await world.settle()

    assert await world.state(id_) == "failed"
    assert await uses(world) == []


async def test_unknown_outcome_keeps_its_place(make_world: MakeWorld) -> None:
    world = await make_world(caps=offers(most=1, over="drop"))
    world.senders["a"].answer = lambda message, time: wire.Unknown(code="timeout")
    world.start()

    unknown, later = await post(world), await post(world)
    await world.settle()

    assert (await world.state(unknown), await world.state(later)) == ("unknown", "suppressed")
    assert await uses(world) == [(unknown, "", True)]


async def test_retries_count_once(make_world: MakeWorld) -> None:
    world = await make_world(caps=offers(most=1), lanes={"sms": {"providers": ["a"]}})
    busy = wire.Deferred(code="busy", cause=wire.Cause.RECIPIENT)
    world.senders["a"].script(busy, busy, wire.Accepted())
    world.start()

    id_ = await post(world)
    await world.settle()

    assert world.attempts()[id_] == ["a"] * 3
    assert await uses(world) == [(id_, "", True)]
    assert "deferred" not in await world.timeline(id_)


async def test_fallback_of_a_message_counts_once(make_world: MakeWorld) -> None:
    world = await make_world(caps=offers(most=1))
    world.senders["a"].script(REJECTED)
    world.start()

    id_ = await post(world, chain=(SMS, EMAIL), content={"text": "t", "subject": "s"})
    await world.settle()

    assert world.attempts()[id_] == ["a", "m"]
    assert await uses(world) == [(id_, "", True)]


async def test_channel_that_reached_nobody_gives_its_place_back(make_world: MakeWorld) -> None:
    world = await make_world(caps=offers(most=1, channels=["sms", "email"]))
    world.senders["a"].script(REJECTED)
    world.start()

    id_ = await post(world, chain=(SMS, EMAIL), content={"text": "t", "subject": "s"})
    await world.settle()

    assert world.attempts()[id_] == ["a", "m"]
    assert await uses(world) == [(id_, "email", True)]


async def test_address_that_was_not_reached_gives_its_place_back(make_world: MakeWorld) -> None:
    world = await make_world(caps=offers(categories=["service"]))
    for account in ("a", "b"):
        world.senders[account].script(REJECTED)
    world.start()

    to = To(phone="+8613800138000", email="li@example.com")
    id_ = await post(world, to=to, category="service", chain=(SMS, EMAIL))
    await world.settle()

    assert await uses(world) == [(id_, "email", True)]


async def test_devices_of_a_message_count_once(make_world: MakeWorld) -> None:
    world = await make_world(caps=offers(most=1))
    world.start()

    to = To(push=tuple(Device(app="ios", token=f"t{n}") for n in range(3)), recipient="li")
    id_ = await post(world, to=to, chain=(PUSH,))
    await world.settle()

    assert world.attempts()[id_] == ["p"] * 3
    assert await uses(world) == [(id_, "", True)]


async def test_what_waits_for_the_night_to_end_uses_nothing(make_world: MakeWorld) -> None:
    world = await make_world(caps=offers(most=1))
    opens = world.clock.now_ms() + int(2 * MINUTE * 1000)
    world.hold_of = lambda row, now_ms: Hold("night", opens) if now_ms < opens else None
    world.start()

    await post(world)
    await world.sleep(MINUTE)

    assert await uses(world) == []


async def test_what_the_night_held_when_places_were_given_does_not_go_without_one(
    make_world: MakeWorld,
) -> None:
    world = await make_world(caps=offers(most=1))
    asked: list[int] = []

    def hold_of(row: Claimed, now_ms: int) -> Hold | None:
        asked.append(now_ms)
        return Hold("night", now_ms) if len(asked) == 1 else None  # it ends in between

    world.hold_of = hold_of
    world.start()

    id_ = await post(world)
    await world.settle()

    assert await world.timeline(id_) == ["deferred", "attempt.accepted"]
    assert await uses(world) == [(id_, "", True)]


async def test_banned_and_cancelled_use_nothing(make_world: MakeWorld) -> None:
    world = await make_world(caps=offers(most=1))
    await world.bans.add_address(
        wire.Channel.SMS, wire.Address(phone=LI.phone), reason="bounced", source="a"
    )
    world.start()

    banned = await post(world)
    wang = To(phone="+8613800138001")
    await post(world, to=wang)
    waiting = await post(world, to=wang)
    await world.sleep(5.0)
    before = await uses(world)
    await world.desk.cancel(world.caller(), waiting)

    assert await world.state(banned) == "suppressed"
    assert [one for one in before if one[0] == waiting] == [(waiting, "sms", False)]
    assert waiting not in [one[0] for one in await uses(world)]


async def test_caps_wait_while_the_store_is_away(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await make_world(caps=offers(most=1))
    ordinary, times = world.store.take_caps, 0

    async def take_caps(*args: Any, **values: Any) -> Any:
        nonlocal times
        times += 1
        if times < 3:
            raise StoreUnavailable("away")
        return await ordinary(*args, **values)

    monkeypatch.setattr(world.store, "take_caps", take_caps)
    world.start()

    capped, other = await post(world), await post(world, category="service")
    await world.settle()

    assert await world.state(capped) == await world.state(other) == "sent"
    assert times == 3


async def test_ban_that_comes_while_caps_wait_for_the_store_is_heeded(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await make_world(caps=offers(most=1))
    ordinary, times = world.store.take_caps, 0

    async def take_caps(*args: Any, **values: Any) -> Any:
        nonlocal times
        times += 1
        if times == 1:
            number = wire.Address(phone=LI.phone)
            await world.bans.add_address(
                wire.Channel.SMS, number, reason="complaint", source="test"
            )
            raise StoreUnavailable("away")
        return await ordinary(*args, **values)

    monkeypatch.setattr(world.store, "take_caps", take_caps)
    world.start()

    id_ = await post(world)
    await world.settle()

    assert await world.state(id_) == "suppressed"
    assert world.attempts() == {}


@pytest.mark.parametrize("is_banned", [True, False])
async def test_what_was_asked_of_a_slow_store_is_asked_again(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, is_banned: bool
) -> None:
    """Else a message would leave by answers that have long been wrong."""
    world = await make_world(caps=offers(most=1))
    ordinary, seconds = world.store.take_caps, [4.0]

    async def take_caps(*args: Any, **values: Any) -> Any:
        found = await ordinary(*args, **values)
        while seconds:
            await world.sleep(seconds.pop() / 2)
            if is_banned:
                number = wire.Address(phone=LI.phone)
                await world.bans.add_address(
                    wire.Channel.SMS, number, reason="complaint", source="test"
                )
            await world.sleep(2.0)
        return found

    monkeypatch.setattr(world.store, "take_caps", take_caps)
    world.start()

    id_ = await post(world)
    await world.settle()

    assert await world.state(id_) == ("suppressed" if is_banned else "sent")
    assert len(world.attempts()) == (0 if is_banned else 1)


async def test_rows_without_a_cap_ask_nothing(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await make_world(caps=offers(most=1, channels=["email"]))

    async def take_caps(*args: Any, **values: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(world.store, "take_caps", take_caps)
    world.start()

    ids = [await post(world, chain=(SMS,)), await post(world, category="service")]
    await world.settle()

    assert [await world.state(one) for one in ids] == ["sent", "sent"]


async def test_processes_that_share_a_store_count_together(make_world: MakeWorld) -> None:
    worlds = [await make_world(owner=name, caps=offers()) for name in ("n1", "n2")]
    for world in worlds:
        world.start("a", "b")
    await asyncio.gather(*(post(world) for world in worlds for _ in range(4)))

    await worlds[0].sleep(MINUTE / 2)

    assert sum(len(one.senders["a"].sent + one.senders["b"].sent) for one in worlds) == 2


async def preview(world: Any, **fields: Any) -> Any:
    usual = {"to": LI, "category": "marketing", "content": {"text": "t", "subject": "s"}}
    return await world.intake.preview(world.caller(), Submission(**{**usual, **fields}))


async def test_preview_says_how_the_caps_stand_and_uses_nothing(make_world: MakeWorld) -> None:
    world = await make_world(caps=offers())
    world.start()
    await post(world)
    await world.settle()

    for _ in range(3):
        free = await preview(world)
    await post(world)
    await world.settle()
    full = await preview(world)
    short = await preview(world, expires_in=50.0)
    other = await preview(world, category="service")

    assert (free.decision, free.reasons) == ("send", ["cap:offers: 1 of 2 within 1m used"])
    assert (full.decision, full.reasons) == ("defer", ["cap:offers: 2 of 2 within 1m used"])
    assert (short.decision, short.until_ms) == ("suppress", None)
    assert 0 < full.until_ms - world.clock.now_ms() <= MINUTE * 1000
    assert (other.decision, other.reasons) == ("send", [])


async def test_preview_looks_at_the_step_that_takes_over(make_world: MakeWorld) -> None:
    world = await make_world(
        caps={
            "offers": {
                "most": 1,
                "calendar": "day",
                "categories": ["marketing"],
                "over": "drop",
                "channels": ["sms"],
            }
        }
    )
    world.start()
    await post(world)
    await world.settle()

    found = await preview(world, chain=(SMS, EMAIL))
    alone = await preview(world, chain=(SMS,))

    assert (found.decision, found.reasons) == ("send", ["cap:offers: 1 of 1 a day used"])
    assert alone.decision == "suppress"


async def test_redrive_takes_a_new_place(make_world: MakeWorld) -> None:
    world = await make_world(caps=offers(most=1))
    world.senders["a"].script(REJECTED)
    world.start()
    id_ = await post(world)
    await world.settle()
    assert await uses(world) == []
    world.senders["a"].script(wire.Accepted())

    await world.desk.redrive(world.caller(), id_)
    await world.settle()

    assert State(await world.state(id_)) is State.SENT
    assert await uses(world) == [(id_, "", True)]
