"""A later message takes the place of an earlier one that has not left."""

from typing import Any

from gateway.dispatch.gate import Hold
from gateway.model import wire
from gateway.model.message import Mode
from gateway.model.state import State
from gateway.model.submission import StepRequest

HOOK = {"url": "https://good.example.com", "secret": "whsec_" + "A" * 32}
SMS = (StepRequest(channel="sms"),)
BOTH = (
    StepRequest(channel="sms", until=State.DELIVERED, within=30.0),
    StepRequest(channel="email"),
)


async def say(world: Any, text: str, **fields: Any) -> Any:
    usual = {"chain": SMS, "replaces": "order-17", "content": {"text": text, "subject": "s"}}
    return await world.post(**{**usual, **fields})


def texts(world: Any) -> list[str]:
    """What left, in order."""
    calls = [call for sender in world.senders.values() for call in sender.calls]
    return [call.message.content.text for call in sorted(calls, key=lambda call: call.at)]


async def test_only_the_last_word_is_sent(world: Any) -> None:
    first = await say(world, "delayed")
    second = await say(world, "arrived")
    world.start()
    await world.settle()

    assert texts(world) == ["arrived"]
    assert await world.state(first) == "cancelled"
    assert await world.timeline(first) == ["cancelled"]
    assert await world.state(second) == "sent"


async def test_replaced_message_says_by_which(world: Any) -> None:
    first = await say(world, "delayed")
    second = await say(world, "arrived")

    found = await world.desk.read(world.caller(), first)

    assert found.timeline[-1].detail == f"replaced by {second}"


async def test_tenant_is_told(make_world: Any) -> None:
    world = await make_world(tenants={"billing": {"webhook": HOOK}})
    first = await say(world, "delayed")
    await say(world, "arrived")

    (told,) = await world.sql("SELECT body FROM message WHERE internal = 1")

    assert "message.cancelled" in told[0]
    assert first in told[0]


async def test_other_words_and_other_tenants_are_left_alone(world: Any) -> None:
    await say(world, "a")
    await say(world, "b", replaces="order-18")
    await say(world, "c", tenant="shop")
    await say(world, "d", replaces="")
    world.start()
    await world.settle()

    assert sorted(texts(world)) == ["a", "b", "c", "d"]


async def test_of_a_batch_the_last_counts(world: Any) -> None:
    ids = await world.post_all(
        [
            {"chain": SMS, "replaces": "order-17", "content": {"text": text}}
            for text in ("one", "two", "three")
        ]
    )
    world.start()
    await world.settle()

    assert texts(world) == ["three"]
    assert [await world.state(one) for one in ids] == ["cancelled", "cancelled", "sent"]


async def test_message_that_was_not_cancelled_in_time_is_still_not_sent(
    world: Any, monkeypatch: Any
) -> None:
    async def forget(*_: Any) -> None: ...

    monkeypatch.setattr(world.replacing, "retire", forget)
    first = await say(world, "delayed")
    await say(world, "arrived")
    world.start()
    await world.settle()

    assert texts(world) == ["arrived"]
    assert await world.state(first) == "cancelled"
    assert (await world.desk.read(world.caller(), first)).timeline[-1].detail.startswith("replaced")


async def test_fallback_of_what_has_left_already_is_dropped(world: Any) -> None:
    world.start()
    first = await say(world, "delayed", chain=BOTH)
    await world.sleep(1.0)

    await say(world, "arrived")
    await world.settle()

    assert texts(world) == ["delayed", "arrived"]
    assert await world.state(first) == "sent"
    assert await world.timeline(first) == ["attempt.accepted", "replaced"]


async def test_retry_of_what_nobody_took_is_dropped(make_world: Any) -> None:
    world = await make_world(lanes={"sms": {"providers": ["a"]}})
    world.senders["a"].script(wire.Deferred(code="busy", retry_after=5.0), wire.Accepted())
    world.start()
    first = await say(world, "delayed")
    await world.sleep(1.0)

    await say(world, "arrived")
    await world.settle()

    assert texts(world) == ["delayed", "arrived", "arrived"]  # each deferred once
    assert await world.state(first) == "cancelled"


async def test_what_somebody_may_have_is_not_called_cancelled(make_world: Any) -> None:
    world = await make_world(lanes={"sms": {"providers": ["a"]}})
    world.senders["a"].script(wire.Unknown(code="lost"), wire.Accepted())
    world.start()
    first = await say(world, "delayed")
    await world.sleep(0.1)

    await say(world, "arrived")
    await world.settle()

    assert texts(world)[0] == "delayed"
    assert "delayed" not in texts(world)[1:]
    assert await world.state(first) == "unknown"


async def test_every_step_of_mode_all_is_dropped(world: Any) -> None:
    await say(world, "delayed", chain=(*SMS, StepRequest(channel="email")), mode=Mode.ALL)
    await say(world, "arrived")
    world.start()
    await world.settle()

    assert texts(world) == ["arrived"]


async def test_message_that_ends_at_once_takes_nobodys_place(world: Any) -> None:
    first = await say(world, "delayed")
    await world.bans.add_address(
        wire.Channel.EMAIL, wire.Address(email="li@example.com"), reason="bounced", source="m"
    )

    second = await say(world, "arrived", chain=(StepRequest(channel="email"),))
    world.start()
    await world.settle()

    assert await world.state(second) == "suppressed"
    assert await world.state(first) == "sent"


async def test_duplicate_takes_nobodys_place(make_world: Any) -> None:
    rule = {"dedupe": {"window": 60, "shared": True}}
    world = await make_world(categories={"service": rule})
    first = await say(world, "arrived")

    second = await say(world, "arrived")
    world.start()
    await world.settle()

    assert await world.state(second) == "suppressed"
    assert await world.state(first) == "sent"
    assert texts(world) == ["arrived"]


async def test_held_message_is_replaced_while_it_waits(world: Any) -> None:
    until_ms = world.clock.now_ms() + 60_000
    world.hold_of = lambda row, now_ms: Hold("night", until_ms) if now_ms < until_ms else None
    world.start()
    first = await say(world, "delayed")
    await world.sleep(2.0)

    await say(world, "arrived")
    await world.settle()

    assert texts(world) == ["arrived"]
    assert await world.timeline(first) == ["deferred", "cancelled"]


async def test_word_of_a_slower_clock_is_sent(world: Any, monkeypatch: Any) -> None:
    first = await say(world, "delayed")
    now_ms = world.clock.now_ms
    with monkeypatch.context() as slow:
        slow.setattr(world.clock, "now_ms", lambda: now_ms() - 50)
        second = await say(world, "arrived")
    world.start()
    await world.settle()

    assert [await world.state(one) for one in (first, second)] == ["cancelled", "sent"]


async def test_what_another_tenant_has_said_replaces_nothing(make_world: Any) -> None:
    world = await make_world(
        categories={"service": {"dedupe": {"window": "1h", "shared": True}}},
    )
    await say(world, "arrived", tenant="shop")
    first = await say(world, "delayed")
    second = await say(world, "arrived")
    world.start()
    await world.settle()

    assert [await world.state(one) for one in (first, second)] == ["sent", "suppressed"]
