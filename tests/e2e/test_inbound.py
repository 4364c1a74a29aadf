"""What recipients write comes back through the real wires: to their tenant, and as their wish."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.sandbox.smpp import SmppSimulator

ME, US = "+447700900123", "+15005550006"
TEXT = {"text": "Sale today. Reply STOP to opt out"}
SMS = [{"channel": "sms"}]
OFFERS = {"categories": {"offers": {"unsubscribe": True}}}


def inbound_url(stand: Any) -> str:
    return f"http://127.0.0.1:{stand.port}/v1/receipts/twilio"


async def received(hooks: Any) -> list[dict[str, Any]]:
    return [body["data"] for _, body in hooks.taken if body["type"] == "message.received"]


async def test_reply_by_twilio_reaches_the_tenant_once(stand: Any, eventually: Any) -> None:
    stand.twilio.knobs.receipt = None
    stand.twilio.knobs.receipt_repeats = 1
    gateway = await stand.start(OFFERS)
    hooks = await stand.hooks(gateway, events=["message.received"])
    id = await gateway.send(
        to={"phone": ME}, content=TEXT, chain=SMS, category="offers", metadata={"order": "A17"}
    )
    await gateway.until(id, "sent")

    stand.twilio.write(ME, "Is it blue? ✓", to=US, url=inbound_url(stand))
    (data,) = await eventually(lambda: received(hooks))

    assert data == {
        "from": ME,
        "to": US,
        "text": "Is it blue? ✓",
        "channel": "sms",
        "provider": "twilio",
        "answers": id,
        "metadata": {"order": "A17"},
        "keyword": None,
    }
    await stand.twilio.reporter.join()
    assert set(stand.twilio.reporter.counts) == {"2xx"}
    name = "gateway_inbound_messages_total"
    assert await gateway.metric(name, provider="twilio", kind="reply") == 1


async def test_stop_ends_offers_that_wait_and_start_brings_them_back(
    stand: Any, eventually: Any
) -> None:
    gateway = await stand.start(OFFERS)
    stand.twilio.knobs.receipt = None
    offer = {"to": {"phone": ME}, "content": TEXT, "chain": SMS, "category": "offers"}

    async def write(text: str, kind: str) -> None:
        stand.twilio.write(ME, text, to=US, url=inbound_url(stand))
        name = "gateway_inbound_messages_total"

        async def is_taken() -> bool:
            return bool(await gateway.metric(name, provider="twilio", kind=kind))

        await eventually(is_taken)

    soon = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    waiting = await gateway.send(**offer, send_at=soon)
    await write("stop", "opt_out")
    refused = await gateway.send(**offer)
    code = await gateway.send(**{**offer, "category": "otp"})
    await gateway.until(code, "sent")
    await gateway.until(waiting, "suppressed")
    await write("START", "opt_in")
    again = await gateway.send(**offer)

    await gateway.until(again, "sent")
    assert (await gateway.read(refused))["state"] == "suppressed"
    assert {one.content["To"] for one in stand.twilio.log.arrivals} == {ME}
    assert len(stand.twilio.log.arrivals) == 2


async def test_forged_reply_changes_nothing(stand: Any) -> None:
    gateway = await stand.start(OFFERS)
    form = {"MessageSid": "SM1", "SmsStatus": "received", "From": ME, "To": US, "Body": "STOP"}

    async with gateway.session.post(inbound_url(stand), data=form) as answer:
        status = answer.status

    assert status in (401, 403)
    assert stand.database.one("SELECT count(*) FROM suppression") == 0


def served_by(centre: SmppSimulator, **lane: Any) -> dict[str, Any]:
    """Tables of a lane for British numbers."""
    return {
        **OFFERS,
        "lanes": {"sms.uk": {"providers": ["centre"], **lane}},
        "providers": {
            "centre": {
                "kind": "smpp",
                "host": "127.0.0.1",
                "port": centre.port,
                "system_id": centre.system_id,
                "password": centre.password,
                "from": "Acme",
            }
        },
    }


@pytest.mark.parametrize("text", ["STOP", "hello"])
async def test_reply_by_a_message_centre_reaches_the_tenant(
    stand: Any, eventually: Any, text: str
) -> None:
    centre = SmppSimulator()
    await stand.enter(centre)
    gateway = await stand.start(served_by(centre))
    hooks = await stand.hooks(gateway, events=["message.received"])
    id = await gateway.send(to={"phone": ME}, content=TEXT, chain=SMS, category="offers")
    await gateway.until(id, "sent", "delivered")

    centre.write(ME.removeprefix("+"), "60606", text)
    (data,) = await eventually(lambda: received(hooks))

    assert (data["from"], data["text"], data["answers"]) == (ME, text, id)
    banned = stand.database.rows("SELECT sender, detail FROM suppression")
    assert banned == ([("centre", "opted_out")] if text == "STOP" else [])


async def test_who_writes_stop_gets_one_confirmation(stand: Any, eventually: Any) -> None:
    centre = SmppSimulator()
    await stand.enter(centre)
    answers = {"category": "service", "stop": "You will get no more offers."}
    gateway = await stand.start(served_by(centre, sms={"sign": "Acme", "answers": answers}))
    hooks = await stand.hooks(gateway)
    id = await gateway.send(to={"phone": ME}, content=TEXT, chain=SMS, category="offers")
    await gateway.until(id, "sent", "delivered")

    for _ in range(2):
        centre.write(ME.removeprefix("+"), "60606", "STOP")

    async def told() -> list[dict[str, Any]]:
        """Reports on the confirmation, once both words have been heard."""
        data = [body["data"] for _, body in hooks.taken]
        news = [one for one in data if one["metadata"] == {"answers": id}]
        return news if len(await received(hooks)) == 2 else []

    confirmed = await eventually(told)
    assert {one["category"] for one in confirmed} == {"service"}
    texts = [one.content["text"] for one in centre.log.arrivals]
    assert texts[1:] == ["[Acme] You will get no more offers."]
