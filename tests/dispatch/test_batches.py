"""Messages that share a call to their provider, on virtual time."""

from typing import Any

import pytest

from gateway.model import wire
from gateway.model.submission import StepRequest, To
from tests.dispatch.conftest import MakeWorld

OK = wire.Accepted()
SMS_ONLY = {"chain": (StepRequest(channel="sms"),)}
TO_EACH = [To(phone=f"+861380013800{number}") for number in range(3)]
ONE_SLOT = {"providers": {"a": {"concurrency": 1}}, "lanes": {"sms": {"providers": ["a"]}}}


@pytest.fixture
async def world(make_world: MakeWorld) -> Any:
    """One account with one slot, whose calls carry ten messages."""
    return await make_world(batches={"a": 10}, **ONE_SLOT)


async def test_message_alone_does_not_wait_for_company(world: Any) -> None:
    world.start()

    id_ = await world.post()
    await world.settle()

    assert world.senders["a"].groups == [[id_]]
    assert await world.state(id_) == "sent"


async def test_what_waits_when_a_slot_is_free_shares_a_call(world: Any) -> None:
    ids = await world.post_all([{}] * 25)

    world.start()
    await world.settle()

    assert world.senders["a"].groups == [ids[:10], ids[10:20], ids[20:]]
    assert world.senders["a"].most_in_flight == 1
    assert {await world.state(id_) for id_ in ids} == {"sent"}


async def test_each_message_of_a_call_has_its_own_result(world: Any) -> None:
    refused = wire.Rejected(code="no such number", scope=wire.Scope.RECIPIENT)
    ids = await world.post_all([SMS_ONLY] * 3)
    world.senders["a"].answer = lambda message, time: refused if message.id == ids[1] else OK

    world.start()
    await world.settle()

    assert len(world.senders["a"].groups) == 1
    assert [await world.state(id_) for id_ in ids] == ["sent", "failed", "sent"]


async def test_message_that_no_call_can_carry_does_not_hurt_the_others(world: Any) -> None:
    ids = await world.post_all([SMS_ONLY] * 3)
    world.senders["a"].unfit = {ids[1]}

    world.start()
    await world.settle()

    assert sorted(world.senders["a"].sent) == sorted([ids[0], ids[2]])
    assert [await world.state(id_) for id_ in ids] == ["sent", "failed", "sent"]
    assert world.accounts["a"].in_flight == 0


async def test_row_that_the_gate_refuses_leaves_its_call_to_the_others(world: Any) -> None:
    ids = await world.post_all([{**SMS_ONLY, "to": TO_EACH[number]} for number in range(3)])
    await world.bans.add_address(
        wire.Channel.SMS, wire.Address(phone=TO_EACH[1].phone), reason="stop", source="test"
    )

    world.start()
    await world.settle()

    assert world.senders["a"].groups == [[ids[0], ids[2]]]
    assert await world.state(ids[1]) == "suppressed"


async def test_call_that_failed_counts_once_against_the_account(world: Any) -> None:
    world.senders["a"].script(wire.Deferred(code="busy"), OK)
    ids = await world.post_all([SMS_ONLY] * 10)

    world.start()
    await world.settle()

    assert world.accounts["a"].breaker.state == "closed"
    assert len(world.senders["a"].groups[0]) == 10
    assert {await world.state(id_) for id_ in ids} == {"sent"}


async def test_tokens_are_paid_for_each_message_of_a_call(make_world: MakeWorld) -> None:
    limited = {"providers": {"a": {"concurrency": 1, "rate": 10.0, "burst": 10}}}
    world = await make_world(batches={"a": 10}, **{**ONE_SLOT, **limited})
    ids = await world.post_all([{}] * 100)

    world.start()
    await world.settle()

    times = world.senders["a"].times
    assert sorted(world.senders["a"].sent) == sorted(ids)
    for start in range(len(times)):
        for end in range(start, len(times)):
            assert end - start + 1 <= 10 + 10.0 * (times[end] - times[start] + 0.02) + 1


async def test_where_a_token_pays_for_a_call_calls_are_what_is_limited(
    make_world: MakeWorld,
) -> None:
    limited = {"concurrency": 4, "rate": 2.0, "burst": 1, "rate_unit": "request"}
    world = await make_world(batches={"a": 10}, **{**ONE_SLOT, "providers": {"a": limited}})
    ids = await world.post_all([{}] * 50)

    world.start()
    await world.settle()

    sender = world.senders["a"]
    calls = len(sender.groups)
    assert sorted(sender.sent) == sorted(ids)
    assert calls < 10
    assert calls <= 1 + 2.0 * (max(sender.times) - min(sender.times) + 0.02) + 1


async def test_urgent_row_does_not_wait_for_many_calls_that_rows_came_to(world: Any) -> None:
    sender = world.senders["a"]
    plan = sender.plan
    sender.plan = lambda messages: [call for one in messages for call in plan([one])]
    world.start()
    await world.post_all([{"category": "marketing"}] * 40)
    await world.sleep(0.3)
    urgent = await world.post(category="otp")
    sent = len(sender.sent)
    await world.settle()

    assert sent < 35
    assert sender.sent.index(urgent) - sent < 6


async def test_adapter_that_leaves_messages_out_loses_none(world: Any) -> None:
    sender = world.senders["a"]
    plan = sender.plan
    sender.plan = lambda messages: plan(messages[:1])
    ids = await world.post_all([{}] * 10)

    world.start()
    await world.settle()

    assert {await world.state(id_) for id_ in ids} == {"sent"}
    assert sorted(sender.sent) == sorted(ids)


async def test_adapter_that_leaves_results_out_leaves_them_unknown(world: Any) -> None:
    sender = world.senders["a"]
    make = sender._make

    async def short(group: Any, admit: Any) -> Any:
        return (await make(group, admit))[1:]

    sender._make = short
    ids = await world.post_all([{"category": "marketing"}] * 3)

    world.start()
    await world.settle()

    assert {await world.state(id_) for id_ in ids} == {"unknown"}
    assert world.accounts["a"].in_flight == 0


async def test_refused_company_goes_again_in_halves_until_the_culprit_is_alone(world: Any) -> None:
    sender = world.senders["a"]
    ids = await world.post_all([SMS_ONLY] * 10)
    make = sender._make

    async def whole_or_nothing(group: Any, admit: Any) -> Any:
        await make(group, admit)
        if ids[6] not in {one.id for one in group}:
            return [OK] * len(group)
        if len(group) > 1:
            return [wire.Deferred(code="one of them", apart=True)] * len(group)
        return [wire.Rejected(code="bad")]

    sender._make = whole_or_nothing
    world.start()
    await world.settle()

    sizes = [len(group) for group in sender.groups]
    assert sizes[0] == 10
    assert sorted(sizes[1:]) == [1, 1, 2, 3, 5, 5]
    states = [await world.state(id_) for id_ in ids]
    assert states == ["sent"] * 6 + ["failed"] + ["sent"] * 3
    assert await world.timeline(ids[0]) == ["attempt.accepted"]
    assert world.accounts["a"].in_flight == 0


async def test_message_alone_that_is_refused_for_its_company_is_tried_again_later(
    world: Any,
) -> None:
    world.senders["a"].script(wire.Deferred(code="odd", apart=True), OK)
    world.start()

    id_ = await world.post(**SMS_ONLY)
    await world.settle()

    assert await world.timeline(id_) == ["attempt.deferred", "attempt.accepted"]


def alone(sender: Any) -> None:
    """From now on no two messages can share a call."""
    plan = sender.plan
    sender.plan = lambda messages: [call for one in messages for call in plan([one])]


async def test_pause_holds_for_calls_that_have_been_planned(world: Any) -> None:
    sender = world.senders["a"]
    alone(sender)
    throttled = wire.Deferred(code="429", cause=wire.Cause.THROTTLED, retry_after=30.0)
    sender.answer = lambda message, time: throttled if time == 1 else OK
    await world.post_all([SMS_ONLY] * 50)
    world.start()

    await world.sleep(20.0)

    assert len(sender.times) == 1


async def test_what_expires_while_its_call_waits_is_not_sent(make_world: MakeWorld) -> None:
    limited = {"concurrency": 1, "rate": 1.0, "burst": 1, "rate_unit": "request"}
    world = await make_world(batches={"a": 10}, **{**ONE_SLOT, "providers": {"a": limited}})
    alone(world.senders["a"])
    begun = world.clock.monotonic()
    await world.post_all([{**SMS_ONLY, "expires_in": 5.0}] * 60)

    world.start()
    await world.settle()

    assert max(world.senders["a"].times) - begun < 7.0


async def test_few_failures_in_each_call_do_not_open_the_breaker(world: Any) -> None:
    opened: list[str] = []
    world.accounts["a"]._on_breaker = opened.append
    ids = await world.post_all([{}] * 300)
    bad = set(ids[::10])
    world.senders["a"].answer = lambda message, time: (
        wire.Deferred(code="busy") if message.id in bad and time == 1 else OK
    )

    world.start()
    await world.settle()

    assert opened == []


@pytest.mark.parametrize(("rate", "burst"), [(100.0, 20), (100.0, 1)])
async def test_call_takes_no_more_than_the_bucket_can_hold(
    make_world: MakeWorld, rate: float, burst: int
) -> None:
    limited = {"concurrency": 4, "rate": rate, "burst": burst}
    world = await make_world(batches={"a": 100}, **{**ONE_SLOT, "providers": {"a": limited}})
    world.start()
    await world.sleep(5.0)

    await world.post_all([{}] * 200)
    await world.settle()

    assert max(map(len, world.senders["a"].groups)) <= burst


async def test_halves_that_have_not_been_sent_when_time_is_up_are_given_back(world: Any) -> None:
    sender = world.senders["a"]
    sender.script(wire.Deferred(code="one of them", apart=True))
    sender.latency = 5.0
    await world.post_all([{"category": "marketing"}] * 8)
    world.start()
    await world.sleep(1.0)

    worker = world.workers["a"]
    worker.stop()
    await world.sleep(5.5)
    worker.cancel()
    await world.sleep(1.0)

    owners = [row[4] for row in await world.rows()]
    assert owners.count(None) >= 4


async def test_probe_whose_claim_was_lost_leaves_the_breaker_to_try_again(
    make_world: MakeWorld,
) -> None:
    may_send = True
    world: Any = await make_world(may_send=lambda: may_send, **ONE_SLOT)
    sender = world.senders["a"]
    for _ in range(5):
        world.accounts["a"].fail(connect=True)
    make = sender._make

    async def slow_connect(group: Any, admit: Any) -> Any:
        await world.clock.sleep(6.0)
        return await make(group, admit)

    sender._make = slow_connect
    id_ = await world.post(**SMS_ONLY)
    world.start()
    await world.sleep(8.0)  # the probe is connecting
    may_send = False
    await world.sleep(10.0)
    may_send = True

    await world.settle()

    assert await world.state(id_) == "sent"
    assert world.accounts["a"].breaker.state == "closed"
