"""Chains: what starts the next step, what stops the rest, and what late news changes."""

from collections import Counter
from typing import Any

import pytest

from gateway.model import wire
from gateway.model.errors import NotFound, StateConflict, StoreUnavailable
from gateway.model.message import Mode, OnUnknown
from gateway.model.state import State
from gateway.model.submission import Device, StepRequest, To

BAD = wire.Rejected(code="bad")
BUSY = wire.Deferred(code="busy")
LOST = wire.Unknown(code="lost")
OK = wire.Accepted()
EVENT = wire.ReceiptEvent

TO = To(
    phone="+8613800138000",
    email="li@example.com",
    push=(Device(app="ios", token="t1"), Device(app="web", token="t2")),
)
ONE_DEVICE = To(phone=TO.phone, email=TO.email, push=TO.push[:1])

PUSH_SMS_EMAIL = (
    StepRequest(channel="push", until=State.DELIVERED, within=20.0),
    StepRequest(channel="sms", until=State.DELIVERED, within=30.0),
    StepRequest(channel="email"),
)
PUSH_SMS = (StepRequest(channel="push"), StepRequest(channel="sms"))


def receipt(
    world: Any, account: str, event: wire.ReceiptEvent, nth: int = 0
) -> wire.DeliveryReceipt:
    """Of the nth message that an account got."""
    message = world.senders[account].calls[nth].message
    return wire.DeliveryReceipt(event=event, provider_id=f"{account}:{message.reference}")


def by_reference(message: wire.Message, event: wire.ReceiptEvent) -> wire.DeliveryReceipt:
    return wire.DeliveryReceipt(event=event, reference=message.reference)


async def post(world: Any, **fields: Any) -> Any:
    usual = {"to": ONE_DEVICE, "chain": PUSH_SMS_EMAIL, "content": {"text": "t", "subject": "s"}}
    return await world.post(**{**usual, **fields})


async def test_next_step_starts_when_the_time_limit_passes(world: Any) -> None:
    world.start()
    start = world.clock.monotonic()

    id_ = await post(world)
    await world.settle()

    (pushed,), (texted,), (mailed,) = (world.senders[name].times for name in "pam")
    assert pushed - start < 0.5
    assert 20.0 <= texted - start < 20.5
    assert 50.0 <= mailed - start < 50.5
    assert await world.state(id_) == "sent"
    assert (await world.timeline(id_)).count("fallback") == 2


async def test_delivery_in_time_stops_the_chain(world: Any) -> None:
    world.start()
    id_ = await post(world)
    await world.sleep(5.0)

    await world.report("p", receipt(world, "p", EVENT.DELIVERED))
    left = await world.rows()
    await world.sleep(60.0)

    assert left == []
    assert world.attempts() == {id_: ["p"]}
    assert await world.state(id_) == "delivered"


async def test_failed_receipt_starts_the_next_step_at_once(world: Any) -> None:
    world.start()
    await post(world)
    await world.sleep(5.0)

    await world.report("p", receipt(world, "p", EVENT.FAILED))
    failed = world.clock.monotonic()
    await world.settle()

    (texted,) = world.senders["a"].times
    assert texted - failed < 0.5


async def test_steps_after_one_that_was_brought_forward_move_with_it(world: Any) -> None:
    world.start()
    await post(world)
    await world.sleep(5.0)

    await world.report("p", receipt(world, "p", EVENT.FAILED))
    await world.settle()

    (texted,), (mailed,) = world.senders["a"].times, world.senders["m"].times
    assert 30.0 <= mailed - texted < 30.5


async def test_late_success_cancels_what_has_not_started(world: Any) -> None:
    world.start()
    id_ = await post(world)
    await world.sleep(25.0)

    await world.report("p", receipt(world, "p", EVENT.DELIVERED))
    await world.settle()

    assert world.attempts() == {id_: ["p", "a"]}
    assert await world.state(id_) == "delivered"
    assert await world.rows() == []


async def test_success_during_another_s_attempt_is_counted_as_double(world: Any) -> None:
    world.start()
    id_ = await post(world)
    await world.sleep(25.0)

    await world.report("p", receipt(world, "p", EVENT.DELIVERED))
    await world.report("a", receipt(world, "a", EVENT.DELIVERED))

    assert await world.state(id_) == "delivered"
    assert world.metrics.double_successes.labels("service")._value.get() == 1


async def test_sent_is_enough_where_no_more_is_asked(world: Any) -> None:
    world.start()

    id_ = await post(world, chain=PUSH_SMS)
    await world.settle()

    assert world.attempts() == {id_: ["p"]}


async def test_failure_after_sent_goes_on_all_the_same(world: Any) -> None:
    world.start()
    id_ = await post(world, chain=PUSH_SMS)
    await world.settle()

    await world.report("p", receipt(world, "p", EVENT.FAILED))
    state = await world.state(id_)
    await world.settle()

    assert state in ("queued", "sending")
    assert world.attempts() == {id_: ["p", "a"]}
    assert await world.state(id_) == "sent"


async def test_failure_after_expiry_ends_the_message(world: Any) -> None:
    world.start()
    id_ = await post(world, chain=PUSH_SMS, expires_in=60.0)
    await world.sleep(61.0)

    await world.report("p", receipt(world, "p", EVENT.FAILED))
    await world.settle()

    assert world.attempts() == {id_: ["p"]}
    assert await world.state(id_) == "failed"


async def test_failed_receipt_that_overtakes_the_answer_starts_the_next_step(world: Any) -> None:
    async def fail(message: wire.Message) -> None:
        await world.report("p", by_reference(message, EVENT.FAILED))

    world.senders["p"].meanwhile = fail
    world.start()

    id_ = await post(world, chain=PUSH_SMS)
    await world.settle()

    assert world.attempts() == {id_: ["p", "a"]}
    assert await world.state(id_) == "sent"


async def test_failed_receipt_settles_an_unknown_outcome(world: Any) -> None:
    async def fail(message: wire.Message) -> None:
        await world.report("p", by_reference(message, EVENT.FAILED))

    world.senders["p"].meanwhile = fail
    world.senders["p"].script(LOST)
    world.start()

    id_ = await post(world, chain=PUSH_SMS, on_unknown=OnUnknown.STOP)
    await world.settle()

    assert world.attempts() == {id_: ["p", "a"]}


async def test_delivery_that_overtakes_the_answer_stops_the_chain(world: Any) -> None:
    async def deliver(message: wire.Message) -> None:
        await world.report("p", by_reference(message, EVENT.DELIVERED))

    world.senders["p"].meanwhile = deliver
    world.senders["p"].script(LOST)
    world.start()

    id_ = await post(world)
    await world.settle()

    assert world.attempts() == {id_: ["p"]}
    assert await world.state(id_) == "delivered"


async def test_receipt_by_a_name_not_known_yet_waits_for_it(world: Any) -> None:
    async def deliver(message: wire.Message) -> None:
        early = wire.DeliveryReceipt(event=EVENT.DELIVERED, provider_id=f"p:{message.reference}")
        await world.report("p", early)

    world.senders["p"].meanwhile = deliver
    world.start()

    id_ = await post(world)
    await world.sleep(1.0)

    assert await world.state(id_) == "delivered"
    await world.settle()
    assert world.attempts() == {id_: ["p"]}


async def test_receipts_may_come_often_and_in_any_order(world: Any) -> None:
    world.start()
    id_ = await post(world)
    await world.sleep(5.0)

    for event in (EVENT.READ, EVENT.SENT, EVENT.DELIVERED, EVENT.READ, EVENT.BOUNCED):
        await world.report("p", receipt(world, "p", event), receipt(world, "p", event))
    await world.settle()

    assert await world.state(id_) == "read"
    assert Counter(await world.timeline(id_))["receipt.read"] == 1
    assert world.attempts() == {id_: ["p"]}


async def test_lost_answer_goes_on_where_that_is_asked(world: Any) -> None:
    world.senders["p"].script(LOST)
    world.start()

    id_ = await post(world, chain=PUSH_SMS, on_unknown=OnUnknown.FALLBACK)
    await world.settle()

    assert world.attempts() == {id_: ["p", "a"]}
    assert await world.state(id_) == "sent"


async def test_lost_answer_stops_everything_where_that_is_asked(world: Any) -> None:
    world.senders["p"].script(LOST)
    world.start()

    id_ = await post(world, on_unknown=OnUnknown.STOP)
    await world.settle()

    assert world.attempts() == {id_: ["p"]}
    assert await world.state(id_) == "unknown"
    await world.report("p", by_reference(world.senders["p"].calls[0].message, EVENT.DELIVERED))
    assert await world.state(id_) == "delivered"


async def test_failure_reported_after_a_stop_starts_the_next_step(world: Any) -> None:
    world.senders["p"].script(LOST)
    world.start()
    id_ = await post(world, chain=PUSH_SMS, on_unknown=OnUnknown.STOP)
    await world.settle()

    await world.report("p", by_reference(world.senders["p"].calls[0].message, EVENT.FAILED))
    await world.settle()

    assert world.attempts() == {id_: ["p", "a"]}


async def test_each_device_gets_its_push(world: Any) -> None:
    world.start()

    id_ = await post(world, to=TO, chain=PUSH_SMS)
    await world.settle()

    assert {call.message.to.token for call in world.senders["p"].calls} == {"t1", "t2"}
    assert len({call.message.reference for call in world.senders["p"].calls}) == 2
    assert world.attempts() == {id_: ["p", "p"]}


async def test_one_device_that_takes_it_is_enough(world: Any) -> None:
    world.senders["p"].answer = lambda message, time: BAD if message.to.token == "t1" else OK
    world.start()

    id_ = await post(world, to=TO, chain=PUSH_SMS)
    await world.settle()

    assert world.attempts() == {id_: ["p", "p"]}
    assert await world.state(id_) == "sent"


async def test_next_step_waits_until_the_last_device_has_failed(world: Any) -> None:
    def answer(message: wire.Message, time: int) -> wire.AttemptResult:
        return BAD if message.to.token == "t1" or time > 1 else BUSY

    world.senders["p"].answer = answer
    world.start()

    id_ = await post(world, to=TO, chain=PUSH_SMS)
    await world.settle()

    assert world.attempts() == {id_: ["p", "p", "p", "a"]}


async def test_success_of_one_device_leaves_the_other_its_retry(world: Any) -> None:
    def answer(message: wire.Message, time: int) -> wire.AttemptResult:
        return OK if message.to.token == "t1" or time > 1 else BUSY

    world.senders["p"].answer = answer
    world.start()

    id_ = await post(world, to=TO, chain=PUSH_SMS)
    await world.settle()

    assert world.attempts() == {id_: ["p", "p", "p"]}


async def test_mode_all_starts_every_step_and_lets_each_end(world: Any) -> None:
    world.senders["a"].answer = lambda message, time: OK if time > 1 else BUSY
    world.senders["b"].script(BUSY)
    world.senders["m"].script(BAD)
    world.start()
    start = world.clock.monotonic()

    id_ = await post(world, mode=Mode.ALL, chain=PUSH_SMS_EMAIL)
    await world.settle()

    first = {name: world.senders[name].times[0] - start for name in "pam"}
    assert max(first.values()) < 0.5
    assert Counter(world.attempts()[id_])["a"] == 2
    assert await world.state(id_) == "sent"
    assert "fallback" not in await world.timeline(id_)


async def test_delivery_on_one_channel_does_not_stop_mode_all(world: Any) -> None:
    world.senders["a"].answer = lambda message, time: OK if time > 1 else BUSY
    world.senders["b"].script(BUSY)
    world.start()
    id_ = await post(world, mode=Mode.ALL, chain=PUSH_SMS)
    await world.sleep(0.1)

    await world.report("p", receipt(world, "p", EVENT.DELIVERED))
    await world.settle()

    assert Counter(world.attempts()[id_])["a"] == 2


async def test_banned_step_gives_way_to_the_next(world: Any) -> None:
    id_ = await post(world, chain=PUSH_SMS)
    await world.bans.add_address(
        wire.Channel.PUSH, wire.Address(app="ios", token="t1"), reason="gone", source="test"
    )
    world.start()
    await world.settle()

    assert world.attempts() == {id_: ["a"]}
    assert await world.timeline(id_) == ["suppressed", "fallback", "attempt.accepted"]


async def test_message_with_nowhere_left_to_go_is_suppressed(world: Any) -> None:
    id_ = await post(world, chain=PUSH_SMS[:1])
    await world.bans.add_address(
        wire.Channel.PUSH, wire.Address(app="ios", token="t1"), reason="gone", source="test"
    )
    world.start()
    await world.settle()

    assert await world.state(id_) == "suppressed"


async def test_late_failure_does_not_start_again_what_was_tried(world: Any) -> None:
    """Push waits for its receipt, SMS is banned, email has gone: then push fails."""
    email_too = (*PUSH_SMS_EMAIL[:2], StepRequest(channel="email", until=State.DELIVERED, within=9))
    id_ = await post(world, chain=email_too)
    await world.bans.add_address(
        wire.Channel.SMS, wire.Address(phone=TO.phone), reason="opted out", source="test"
    )
    world.start()
    await world.sleep(30.0)
    assert world.attempts() == {id_: ["p", "m"]}

    await world.report("p", receipt(world, "p", EVENT.FAILED))
    await world.settle()

    assert world.attempts() == {id_: ["p", "m"]}


async def test_chain_that_is_spent_has_failed_and_can_be_redriven(world: Any) -> None:
    for name in ("p", "a", "b", "m"):
        world.senders[name].script(BAD)
    world.start()
    id_ = await post(world)
    await world.settle()
    failed = await world.state(id_)

    for name in ("p", "a", "b", "m"):
        world.senders[name].script(OK)
    await world.desk.redrive(world.caller(), id_)
    await world.settle()

    references = [call.message.reference for call in world.senders["p"].calls]
    assert failed == "failed"
    assert len(set(references)) == 2
    assert await world.state(id_) == "sent"


async def test_success_of_the_past_stops_a_redrive(world: Any) -> None:
    world.senders["p"].script(LOST)
    world.start()
    id_ = await post(world, on_unknown=OnUnknown.STOP)
    await world.settle()
    lost = world.senders["p"].calls[0].message
    world.accounts["p"].pause(60.0)

    await world.desk.redrive(world.caller(), id_)
    await world.report("p", by_reference(lost, EVENT.DELIVERED))
    await world.settle()

    assert world.attempts() == {id_: ["p"]}
    assert await world.state(id_) == "delivered"


async def test_only_dead_letters_can_be_redriven(world: Any) -> None:
    world.start()
    id_ = await post(world)
    await world.sleep(1.0)

    with pytest.raises(StateConflict):
        await world.desk.redrive(world.caller(), id_)
    with pytest.raises(NotFound):
        await world.desk.redrive(world.caller("shop"), id_)


async def test_redriven_message_lives_as_long_as_it_did(world: Any) -> None:
    world.senders["m"].script(BAD)
    world.start()
    chain = (StepRequest(channel="email"),)
    id_ = await post(world, chain=chain, expires_in=300.0)
    await world.settle()
    await world.jump(3600.0)

    await world.desk.redrive(world.caller(), id_)

    first = (await world.case(id_)).expires_ms - world.clock.now_ms()
    await world.settle()
    await world.desk.redrive(world.caller(), id_)
    second = (await world.case(id_)).expires_ms - world.clock.now_ms()

    assert (first, second) == (300_000, 300_000)


async def test_store_that_cannot_commit_refuses_what_is_asked_for(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = await post(world)

    async def away(transitions: object) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(world.store, "commit", away)
    with pytest.raises(StoreUnavailable):
        await world.desk.cancel(world.caller(), id_)

    monkeypatch.undo()
    assert await world.state(id_) == "queued"


async def test_report_of_sending_resolves_an_unknown_attempt(world: Any) -> None:
    world.senders["a"].script(wire.Unknown(code="timeout"))
    world.start("a")
    id_ = await post(world, chain=(StepRequest(channel="sms"),), on_unknown=OnUnknown.STOP)
    await world.settle()
    before = await world.state(id_)

    reference = world.senders["a"].calls[0].message.reference
    await world.report("a", wire.DeliveryReceipt(event=wire.ReceiptEvent.SENT, reference=reference))

    assert (before, await world.state(id_)) == ("unknown", "sent")


async def test_message_is_cancelled_until_it_is_claimed(world: Any) -> None:
    id_ = await post(world)

    found = await world.desk.cancel(world.caller(), id_)
    world.start()
    await world.settle()

    assert found.state == "cancelled"
    assert world.attempts() == {}
    with pytest.raises(StateConflict):
        await world.desk.cancel(world.caller(), id_)


async def test_message_that_is_being_sent_cannot_be_cancelled(world: Any) -> None:
    world.senders["p"].latency = 5.0
    world.start()
    id_ = await post(world)
    await world.sleep(1.0)

    with pytest.raises(StateConflict):
        await world.desk.cancel(world.caller(), id_)
    with pytest.raises(NotFound):
        await world.desk.cancel(world.caller("shop"), id_)


async def test_cancel_and_claim_in_one_instant_agree(world: Any) -> None:
    """Whoever comes first: a cancelled message is not sent, a sent one is not cancelled."""
    world.start()

    for _ in range(30):
        id_ = await post(world, chain=PUSH_SMS)
        try:
            await world.desk.cancel(world.caller(), id_)
            expected: tuple[str, int] = ("cancelled", 0)
        except StateConflict:
            expected = ("sent", 1)
        await world.settle()
        assert (await world.state(id_), world.senders["p"].sent.count(id_)) == expected


async def test_expiry_ends_what_waits(world: Any) -> None:
    world.senders["p"].script(BUSY)
    world.start()

    id_ = await post(world, chain=PUSH_SMS[:1], expires_in=3.0)
    await world.settle()

    assert await world.state(id_) in ("expired", "failed")
    assert await world.rows() == []


async def test_expiry_leaves_what_was_taken_as_sent(world: Any) -> None:
    world.start()

    id_ = await post(world, expires_in=30.0)
    await world.sleep(31.0)

    assert world.attempts() == {id_: ["p", "a"]}
    assert await world.state(id_) == "sent"
    await world.report("p", receipt(world, "p", EVENT.FAILED))
    await world.report("a", receipt(world, "a", EVENT.FAILED))
    assert await world.state(id_) in ("expired", "failed")
    assert await world.rows() == []
