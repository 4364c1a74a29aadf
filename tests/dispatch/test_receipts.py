"""Receipts: verified, matched with what they are about, applied once, and bans that follow."""

from typing import Any

import pytest

from gateway.model import wire
from gateway.model.errors import (
    BadSignature,
    ErrandFailed,
    NotFound,
    NotSent,
    UnreadableReceipt,
)
from gateway.model.message import new_id
from gateway.model.submission import StepRequest
from gateway.model.wire import DeliveryReceipt, ReceiptEvent
from tests.dispatch.world import CERTIFICATE_URL, CONFIRM_URL

SMS_ONLY = (StepRequest(channel="sms"),)


def named(world: Any, event: ReceiptEvent, **fields: Any) -> DeliveryReceipt:
    reference = world.senders["a"].calls[0].message.reference
    return DeliveryReceipt(event=event, provider_id=f"a:{reference}", **fields)


async def sent(world: Any) -> Any:
    id_ = await world.post(chain=SMS_ONLY)
    world.start()
    await world.settle()
    return id_


def counted(world: Any, name: str, *labels: str) -> float:
    value: float = getattr(world.metrics, name).labels(*labels)._value.get()
    return value


@pytest.mark.parametrize(
    ("account", "body", "error"),
    [
        ("nobody", b"", NotFound),
        ("a", b"forged", BadSignature),
        ("a", b"garbled", UnreadableReceipt),
    ],
)
async def test_what_cannot_be_used_is_refused(
    world: Any, account: str, body: bytes, error: type[Exception]
) -> None:
    request = wire.HttpRequest(method="POST", url="https://gw", body=body)

    with pytest.raises(error):
        await world.receipts.take(account, request)


async def test_provider_hears_what_it_wants_to(world: Any) -> None:
    answer = await world.receipts.take("a", wire.HttpRequest(method="POST", url="https://gw"))

    assert answer.status == 204


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (ReceiptEvent.SENT, "sent"),
        (ReceiptEvent.DELIVERED, "delivered"),
        (ReceiptEvent.READ, "read"),
        (ReceiptEvent.FAILED, "failed"),
        (ReceiptEvent.BOUNCED, "failed"),
        (ReceiptEvent.EXPIRED, "failed"),
        (ReceiptEvent.OPTED_OUT, "failed"),
        (ReceiptEvent.COMPLAINED, "delivered"),
        (ReceiptEvent.UNKNOWN, "sent"),
    ],
)
async def test_event_becomes_a_state(world: Any, event: ReceiptEvent, state: str) -> None:
    id_ = await sent(world)

    await world.report("a", named(world, event))

    assert await world.state(id_) == state


@pytest.mark.parametrize(
    ("receipt", "is_banned"),
    [
        ({"event": ReceiptEvent.COMPLAINED}, True),
        ({"event": ReceiptEvent.OPTED_OUT}, False),  # of what can be refused alone
        ({"event": ReceiptEvent.BOUNCED, "suppress": True}, True),
        ({"event": ReceiptEvent.BOUNCED}, False),
        ({"event": ReceiptEvent.FAILED}, False),
    ],
)
async def test_address_is_banned_when_its_owner_or_the_provider_says_so(
    world: Any, receipt: dict[str, Any], is_banned: bool
) -> None:
    await sent(world)

    await world.report("a", named(world, **receipt))
    next_one = await world.post(chain=SMS_ONLY)

    assert (await world.state(next_one) == "suppressed") is is_banned


async def test_receipt_of_another_account_says_nothing(world: Any) -> None:
    id_ = await sent(world)
    reference = world.senders["a"].calls[0].message.reference

    await world.report("b", DeliveryReceipt(event=ReceiptEvent.READ, reference=reference))

    assert await world.state(id_) == "sent"
    assert counted(world, "receipts_refused", "b", "stranger") == 1


@pytest.mark.parametrize("place", ["0-5-0", "0-0-7", "3-0-0"])
async def test_receipt_of_a_part_that_is_not_there_says_nothing(world: Any, place: str) -> None:
    id_ = await sent(world)

    await world.report("a", DeliveryReceipt(event=ReceiptEvent.READ, reference=f"{id_}-{place}"))

    assert await world.state(id_) == "sent"


async def test_receipt_of_an_unknown_message_is_counted(world: Any) -> None:
    stranger = f"{new_id(0, bytes(10))}-0-0-0"

    await world.report("a", DeliveryReceipt(event=ReceiptEvent.READ, reference=stranger))

    assert counted(world, "receipts_refused", "a", "stranger") == 1


async def test_receipt_of_what_has_not_been_sent_says_nothing(world: Any) -> None:
    id_ = await world.post(chain=SMS_ONLY)

    await world.report("a", DeliveryReceipt(event=ReceiptEvent.READ, reference=f"{id_}-0-0-0"))

    assert await world.state(id_) == "queued"


async def test_foreign_reference_is_looked_up_by_the_provider_s_id(world: Any) -> None:
    id_ = await sent(world)
    name = f"a:{world.senders['a'].calls[0].message.reference}"

    await world.report(
        "a",
        DeliveryReceipt(event=ReceiptEvent.DELIVERED, provider_id=name, reference="order-17"),
    )

    assert await world.state(id_) == "delivered"


async def test_many_receipts_of_one_request_are_applied(world: Any) -> None:
    ids = await world.post_all([{"chain": SMS_ONLY}] * 40)
    world.start()
    await world.settle()

    await world.report(
        "a",
        *(
            DeliveryReceipt(event=ReceiptEvent.DELIVERED, reference=call.message.reference)
            for call in world.senders["a"].calls
        ),
    )

    assert {await world.state(id_) for id_ in ids} == {"delivered"}
    assert counted(world, "receipts", "a", "delivered") == 40


async def test_early_receipt_of_nobody_is_dropped_after_its_time(world: Any) -> None:
    await world.report("a", DeliveryReceipt(event=ReceiptEvent.READ, provider_id="never"))
    await world.upkeep.purge()
    kept = await world.sql("SELECT count(*) FROM reference")
    await world.jump(901.0)

    await world.upkeep.purge()

    assert kept == [(1,)]
    assert await world.sql("SELECT count(*) FROM reference") == [(0,)]


async def test_health_counts_what_was_delivered(world: Any) -> None:
    await sent(world)

    await world.report("a", named(world, ReceiptEvent.DELIVERED))
    await world.report("a", named(world, ReceiptEvent.FAILED))

    counts = world.accounts["a"].tally.counts(world.clock.monotonic())
    assert (counts["accepted"], counts["delivered"], counts["undelivered"]) == (1, 1, 1)


async def test_many_receipts_of_one_request_share_commits(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.start()
    ids = await world.post_all([{"chain": SMS_ONLY}] * 300)
    await world.settle()
    commit, commits = world.store.commit, []

    async def counted_commit(transitions: Any) -> Any:
        commits.append(len(transitions))
        return await commit(transitions)

    monkeypatch.setattr(world.store, "commit", counted_commit)
    reports = [
        DeliveryReceipt(event=ReceiptEvent.DELIVERED, reference=call.message.reference)
        for call in world.senders["a"].calls
    ]
    of_a = {call.message.id for call in world.senders["a"].calls}
    await world.report("a", *reports, *reports)

    assert {await world.state(id_) for id_ in ids if id_ in of_a} == {"delivered"}
    assert len(commits) <= 2 * len(reports) // 128 + 1


def signed(body: bytes) -> wire.HttpRequest:
    return wire.HttpRequest(method="POST", url="https://gw", body=body)


async def test_receipt_that_needs_a_certificate_is_believed_with_it(world: Any) -> None:
    id_ = await sent(world)
    world.web.answers[CERTIFICATE_URL] = wire.HttpResponse(status=200, body=b"certificate")
    world.senders["a"].provider.receipts = [named(world, ReceiptEvent.DELIVERED)]

    for _ in range(3):
        await world.receipts.take("a", signed(b"signed"))

    assert await world.state(id_) == "delivered"
    assert world.web.asked == [CERTIFICATE_URL]


async def test_receipt_of_another_signer_is_refused(world: Any) -> None:
    world.web.answers[CERTIFICATE_URL] = wire.HttpResponse(status=200, body=b"certificate")

    with pytest.raises(BadSignature):
        await world.receipts.take("a", signed(b"signed by another"))

    assert counted(world, "receipts_refused", "a", "signature") == 1


async def test_receipt_waits_for_a_certificate_that_cannot_be_had(world: Any) -> None:
    id_ = await sent(world)
    world.senders["a"].provider.receipts = [named(world, ReceiptEvent.DELIVERED)]
    world.web.answers[CERTIFICATE_URL] = NotSent("dns")

    with pytest.raises(ErrandFailed):
        await world.receipts.take("a", signed(b"signed"))
    assert await world.state(id_) == "sent"
    world.web.answers[CERTIFICATE_URL] = wire.HttpResponse(status=200, body=b"certificate")
    await world.receipts.take("a", signed(b"signed"))

    assert await world.state(id_) == "delivered"


async def test_certificate_that_is_none_spoils_nothing(world: Any) -> None:
    world.web.answers[CERTIFICATE_URL] = wire.HttpResponse(status=200, body=b"<html>")

    with pytest.raises(BadSignature):
        await world.receipts.take("a", signed(b"signed"))
    world.web.answers[CERTIFICATE_URL] = wire.HttpResponse(status=200, body=b"certificate")

    assert (await world.receipts.take("a", signed(b"signed"))).status == 204


async def test_subscription_is_confirmed_once_it_is_proved(world: Any) -> None:
    world.web.answers[CERTIFICATE_URL] = wire.HttpResponse(status=200, body=b"<html>")
    with pytest.raises(BadSignature):
        await world.receipts.take("a", signed(b"signed subscribe"))
    assert CONFIRM_URL not in world.web.asked

    world.web.answers[CERTIFICATE_URL] = wire.HttpResponse(status=200, body=b"certificate")
    with pytest.raises(ErrandFailed):
        await world.receipts.take("a", signed(b"signed subscribe"))
    world.web.answers[CONFIRM_URL] = wire.HttpResponse(status=200)
    answer = await world.receipts.take("a", signed(b"signed subscribe"))

    assert answer.status == 204
    assert world.web.asked.count(CONFIRM_URL) == 2


async def test_only_a_service_that_adds_a_path_may_report_below_its_address(world: Any) -> None:
    request = wire.HttpRequest(method="POST", url="https://gw/v1/receipts/a/more")
    with pytest.raises(NotFound):
        await world.receipts.take("a", request, below=True)

    world.senders["a"].provider.adds_path = True

    assert (await world.receipts.take("a", request, below=True)).status == 204
