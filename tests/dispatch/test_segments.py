"""A text in segments arrives when all of them do, whatever comes when and whoever dies."""

from collections.abc import Awaitable, Callable
from itertools import permutations
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.model import wire
from gateway.model.case import shares
from gateway.model.state import AttemptEvidence, Outcome, ReceiptEvidence, State
from gateway.model.submission import StepRequest
from gateway.model.values import replace
from gateway.model.wire import DeliveryReceipt, ReceiptEvent

TAKEN = wire.Accepted(provider_id="s1", segments=("s1", "s2", "s3"))
SMS_ONLY = {"chain": (StepRequest(channel="sms"),)}
ARRIVED, FAILED = ReceiptEvent.DELIVERED, ReceiptEvent.FAILED


def about(name: str, event: ReceiptEvent = ARRIVED, **fields: Any) -> DeliveryReceipt:
    return DeliveryReceipt(event=event, provider_id=name, of_segment=True, **fields)


async def sent(world: Any, taken: wire.AttemptResult = TAKEN, **fields: Any) -> Any:
    world.senders["a"].script(taken)
    id_ = await world.post(**(fields or SMS_ONLY))
    world.start()
    await world.sleep(5.0)
    return id_


async def test_message_is_delivered_when_its_last_segment_is(world: Any) -> None:
    id_ = await sent(world)
    states = []

    for name in ("s3", "s1", "s1", "s2"):
        await world.report("a", about(name))
        states.append(await world.state(id_))

    assert states == ["sent", "sent", "sent", "delivered"]


@pytest.mark.parametrize(
    "order", list(permutations((("s1", ARRIVED), ("s2", FAILED), ("s3", ARRIVED))))
)
async def test_message_has_failed_when_one_segment_has(
    world: Any, order: tuple[tuple[str, ReceiptEvent], ...]
) -> None:
    id_ = await sent(world)

    for name, event in order:
        await world.report("a", about(name, event))

    assert await world.state(id_) == "failed"


async def test_timeline_tells_how_much_of_the_message_a_receipt_is_about(world: Any) -> None:
    id_ = await sent(world)

    await world.report("a", about("s2", FAILED, detail="handset off"))

    timeline = (await world.desk.read(world.caller(), id_)).timeline
    [told] = [one.detail for one in timeline if one.event == "receipt.failed"]
    assert told == "handset off (one of 3 segments)"


async def test_segments_are_counted_over_a_restart(
    make_world: Callable[..., Awaitable[Any]],
) -> None:
    first = await make_world()
    id_ = await sent(first)
    await first.report("a", about("s1"))
    await first.crash()

    second = await make_world(owner="n2")
    await second.report("a", about("s3"))
    before = await second.state(id_)
    await second.report("a", about("s2"))

    assert (before, await second.state(id_)) == ("sent", "delivered")


async def test_receipts_may_come_before_the_answer(world: Any) -> None:
    async def report(message: wire.Message) -> None:
        await world.report("a", about("s1"), about("s2"))

    world.senders["a"].meanwhile = report
    id_ = await sent(world)
    await world.receipts.apply_parked()
    before = await world.state(id_)
    await world.report("a", about("s3"))

    assert (before, await world.state(id_)) == ("sent", "delivered")


async def test_receipts_that_name_our_reference_say_which_segment(world: Any) -> None:
    id_ = await sent(world)
    reference = world.senders["a"].calls[0].message.reference
    states = []

    for name in ("s1", "s2", "s3"):
        await world.report("a", about(name, reference=reference))
        states.append(await world.state(id_))

    assert states == ["sent", "sent", "delivered"]


async def test_segment_that_was_refused_never_arrives(world: Any) -> None:
    id_ = await sent(world, wire.Accepted(provider_id="s1", segments=("s1", "", "s3")))

    await world.report("a", about("s1"), about("s3"))

    assert await world.state(id_) == "sent"


async def test_next_step_is_spared_only_when_all_have_arrived(world: Any) -> None:
    chain = (
        StepRequest(channel="sms", until=State.DELIVERED, within=60.0),
        StepRequest(channel="email"),
    )
    late = await sent(world, chain=chain)
    await world.report("a", about("s1"))
    await world.settle()

    assert await world.state(late) == "sent"
    assert len(world.senders["m"].calls) == 1


async def test_next_step_is_dropped_when_all_have_arrived(world: Any) -> None:
    chain = (
        StepRequest(channel="sms", until=State.DELIVERED, within=60.0),
        StepRequest(channel="email"),
    )
    id_ = await sent(world, chain=chain)
    await world.report("a", about("s1"), about("s2"), about("s3"))
    await world.settle()

    assert await world.state(id_) == "delivered"
    assert world.senders["m"].calls == []


async def test_redriven_message_stops_when_all_of_the_first_time_arrive_after_all(
    world: Any,
) -> None:
    id_ = await sent(world)
    await world.report("a", about("s1", FAILED))
    world.accounts["a"].pause(600.0)
    world.accounts["b"].pause(600.0)
    await world.desk.redrive(world.caller(), id_)

    await world.report("a", about("s2"), about("s3"))
    waits = await world.sql("SELECT count(*) FROM queue")
    await world.report("a", about("s1"))

    assert waits == [(1,)]
    assert await world.sql("SELECT count(*) FROM queue") == [(0,)]
    assert await world.state(id_) == "delivered"


def test_what_a_segment_tells_is_a_share_of_the_whole() -> None:
    """Whoever counts what has reached people counts no message thrice."""
    attempts = [AttemptEvidence(0, 0, 0, number, "a", Outcome.ACCEPTED, 3) for number in (1, 2)]
    case = SimpleNamespace(attempts=attempts)
    segment = ReceiptEvidence(0, 0, 0, None, "a", ARRIVED, "s1")

    assert shares(case, segment) == 3  # type: ignore[arg-type]
    assert shares(case, replace(segment, segment="")) == 1  # type: ignore[arg-type]
    assert shares(case, replace(segment, step=1)) == 1  # type: ignore[arg-type]
