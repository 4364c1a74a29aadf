"""Rules that let nothing pass for a time: what waits, what takes its place, what follows later."""

from typing import Any

from gateway.dispatch.gate import Hold
from gateway.model import wire
from gateway.model.case import Claimed
from gateway.model.state import State
from gateway.model.submission import Device, StepRequest, To

TO = To(phone="+8613800138000", email="li@example.com", push=(Device(app="ios", token="t1"),))
CHAIN = (StepRequest(channel="push", within=20.0), StepRequest(channel="sms"))
LONG = 90.0


def hold(world: Any, *channels: str, seconds: float) -> float:
    """Until so much later, nothing leaves on these channels; when that is, on the clock."""
    until_ms = world.clock.now_ms() + int(seconds * 1000)

    def hold_of(row: Claimed, now_ms: int) -> Hold | None:
        channel = row.case.message.chain[row.step].channel
        return Hold("night", until_ms) if channel in channels and now_ms < until_ms else None

    world.hold_of = hold_of
    return float(world.clock.monotonic() + seconds)


async def post(world: Any, **fields: Any) -> Any:
    usual = {"to": TO, "chain": CHAIN, "content": {"text": "t", "subject": "s"}}
    return await world.post(**{**usual, **fields})


async def test_held_message_leaves_when_the_rule_lets_it(world: Any) -> None:
    opens = hold(world, "push", "sms", seconds=LONG)
    world.start()

    id_ = await post(world, chain=CHAIN[:1])
    await world.settle(2 * LONG)

    (pushed,) = world.senders["p"].times
    assert opens <= pushed < opens + 1.0
    assert await world.state(id_) == "sent"
    assert await world.timeline(id_) == ["deferred", "attempt.accepted"]


async def test_steps_that_follow_by_time_limit_wait_with_it(world: Any) -> None:
    opens = hold(world, "push", "sms", seconds=LONG)
    world.start()

    await post(
        world, chain=(StepRequest(channel="push", until=State.DELIVERED, within=20.0), CHAIN[1])
    )
    await world.settle(2 * LONG)

    (pushed,), (texted,) = world.senders["p"].times, world.senders["a"].times
    assert opens <= pushed < opens + 1.0
    assert 19.9 <= texted - pushed < 21.0


async def test_a_wait_costs_no_attempt(world: Any) -> None:
    opens = hold(world, "push", seconds=LONG)
    world.start()

    id_ = await post(world, chain=CHAIN[:1])
    await world.settle(2 * LONG)

    assert world.clock.monotonic() >= opens
    assert [one.number for one in (await world.case(id_)).attempts] == [2]
    (row,) = await world.sql(f"SELECT count(*) FROM attempt WHERE message = '{id_}'")
    assert row == (1,)


async def test_step_whose_time_would_be_over_gives_way_to_the_next(world: Any) -> None:
    hold(world, "push", seconds=LONG)
    world.start()

    id_ = await post(world, expires_in=60.0)
    await world.settle(60.0)

    assert world.attempts()[id_] == ["a"]
    assert await world.timeline(id_) == ["suppressed", "fallback", "attempt.accepted"]


async def test_message_that_no_step_may_carry_in_time_ends_by_the_rule(world: Any) -> None:
    hold(world, "push", "sms", seconds=LONG)
    world.start()

    id_ = await post(world, expires_in=60.0)
    await world.settle(60.0)

    assert await world.state(id_) == "suppressed"
    assert world.attempts() == {}


async def test_limit_that_would_pass_after_the_end_leaves_the_next_step_to_a_failure(
    world: Any,
) -> None:
    opens = hold(world, "push", "sms", seconds=LONG)
    world.start()

    id_ = await post(world, expires_in=LONG + 10.0)
    await world.settle(2 * LONG)

    (pushed,) = world.senders["p"].times
    assert opens <= pushed < opens + 1.0
    assert world.attempts()[id_] == ["p"]


async def test_step_that_has_been_tried_is_not_put_off_with_the_one_before(world: Any) -> None:
    later = wire.Deferred(code="later", cause=wire.Cause.TEMPORARY, retry_after=60.0)
    for account in ("p", "a", "b"):
        world.senders[account].answer = lambda message, time: (
            later if time == 1 else wire.Accepted()
        )
    world.start()

    id_ = await post(world)
    await world.sleep(30.0)
    hold(world, "push", seconds=4 * 3600.0)
    await world.sleep(120.0)

    assert await world.state(id_) == "sent"
    assert "deferred" in await world.timeline(id_)
