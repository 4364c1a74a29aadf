"""One message by each way out: what the caller, the provider and the receiver see."""

import json
import time
from typing import Any

from gateway.sandbox.fcm import FcmSimulator
from tests.e2e.conftest import HOOK_SECRET

PHONE = "+14155550123"
BRITON = "+447400123456"
TEXT = {"text": "Your order is on its way", "subject": "Your order"}


async def test_sms_by_http_is_delivered(stand: Any, attempts: Any, happened: Any) -> None:
    gateway = await stand.start()

    id = await gateway.send(
        to={"phone": PHONE}, chain=[{"channel": "sms"}], content=TEXT, metadata={"order": "A17"}
    )
    seen = await gateway.until(id, "delivered")

    assert attempts(seen) == ["accepted/acme"]
    assert happened(seen) == {"accepted", "receipt.delivered/acme"}
    assert (seen["category"], seen["metadata"]) == ("service", {"order": "A17"})
    (arrival,) = stand.acme.log.arrivals
    assert (arrival.to, arrival.content["text"]) == (PHONE, TEXT["text"])
    assert arrival.reference.startswith(id)


async def test_email_goes_out_by_smtp(stand: Any, attempts: Any) -> None:
    gateway = await stand.start()

    id = await gateway.send(to={"email": "li@example.com"}, content=TEXT)
    seen = await gateway.until(id, "sent")

    assert attempts(seen) == ["accepted/relay"]
    (arrival,) = stand.relay.log.arrivals
    assert arrival.to == "li@example.com"
    assert arrival.content["headers"]["subject"] == TEXT["subject"]
    assert arrival.content["from"] == "no-reply@shop.example.com"
    assert arrival.reference.startswith(id)


async def test_recipient_leaves_by_the_link_of_a_mail(stand: Any) -> None:
    origin = "https://gw.example.com"
    gateway = await stand.start(
        {"api": {"public_url": origin}, "categories": {"letters": {"unsubscribe": True}}}
    )
    pdf = {"name": "a.pdf", "type": "application/pdf", "data": "JVBERi0xLjc="}
    mail = {"to": {"email": "li@example.com"}, "content": {**TEXT, "email": {"attachments": [pdf]}}}
    first = await gateway.send(**mail, category="letters")
    await gateway.until(first, "sent")
    (arrival,) = stand.relay.log.arrivals
    headers = arrival.content["headers"]
    link = headers["list-unsubscribe"].strip("<>")

    form = {"List-Unsubscribe": "One-Click"}
    async with gateway.session.post(gateway.url + link.removeprefix(origin), data=form) as answer:
        assert answer.status == 200
    second = await gateway.send(**mail, category="letters")
    other = await gateway.send(**mail)

    assert headers["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
    assert headers["feedback-id"] == "letters:shop:gateway"
    assert headers["content-type"].startswith("multipart/mixed")
    await gateway.until(second, "suppressed")
    await gateway.until(other, "sent")


async def test_file_that_mailboxes_refuse_is_refused_at_once(stand: Any) -> None:
    gateway = await stand.start()
    exe = {"name": "a.exe", "type": "application/octet-stream", "data": "TVo="}

    status, problem = await gateway.call(
        "POST",
        "/v1/messages",
        {"to": {"email": "li@example.com"}, "content": {**TEXT, "email": {"attachments": [exe]}}},
    )

    assert status == 422
    assert problem["faults"][0]["field"] == "content.email.attachments[0].name"


async def test_twilio_reports_sent_and_then_delivered(
    stand: Any, attempts: Any, happened: Any
) -> None:
    gateway = await stand.start()

    id = await gateway.send(to={"phone": BRITON}, content=TEXT)
    await gateway.until(id, "delivered")
    await stand.twilio.reporter.join()
    seen = await gateway.read(id)

    assert (seen["state"], attempts(seen)) == ("delivered", ["accepted/twilio"])
    assert happened(seen) >= {"receipt.sent/twilio", "receipt.delivered/twilio"}
    assert [one.content["Body"] for one in stand.twilio.log.arrivals] == [TEXT["text"]]
    assert stand.twilio.reporter.counts == {"2xx": 2}


async def test_sms_is_signed_as_its_lane_says_and_counted_so(stand: Any) -> None:
    gateway = await stand.start({"lanes": {"sms.uk": {"sms": {"sign": "Acme"}}}})
    body = {"to": {"phone": BRITON}, "content": {"text": "x" * 160}}

    _, preview = await gateway.call("POST", "/v1/preview", body)
    id = await gateway.send(**body)
    await gateway.until(id, "delivered")
    seen = await gateway.read(id)

    (arrival,) = stand.twilio.log.arrivals
    step = preview["chain"][0]
    assert step["content"]["text"] == arrival.content["Body"] == "[Acme] " + "x" * 160
    assert (step["sms"]["characters"], step["sms"]["segments"]) == (167, 2)
    (attempt,) = [one for one in seen["timeline"] if one["event"] == "attempt.accepted"]
    assert attempt["segments"] == 2


async def test_forged_receipt_of_twilio_is_refused(stand: Any, eventually: Any) -> None:
    stand.twilio.knobs.receipt = None
    gateway = await stand.start()
    id = await gateway.send(to={"phone": BRITON}, content=TEXT)
    await gateway.until(id, "sent")
    url = stand.twilio.log.arrivals[0].content["StatusCallback"].partition("#")[0]
    forged = {"MessageSid": stand.twilio.log.arrivals[0].id, "MessageStatus": "delivered"}

    async with gateway.session.post(
        url, data=forged, headers={"X-Twilio-Signature": "bm90IGEgc2lnbmF0dXJlIQ=="}
    ) as answer:
        status = answer.status

    assert status == 403
    assert (await gateway.read(id))["state"] == "sent"
    assert await gateway.metric("gateway_receipts_refused_total", reason="signature") == 1


async def test_push_gets_a_token_first_and_keeps_it(stand: Any, attempts: Any) -> None:
    fcm = await stand.enter(FcmSimulator())
    account = {
        "kind": "fcm",
        "service_account": json.dumps(fcm.service_account()),
        "base_url": fcm.url,
    }
    gateway = await stand.start(
        {"providers": {"fcm": account}, "lanes": {"push": {"providers": ["fcm"]}}}
    )
    device = {"app": "android", "token": "device-token-1"}

    first = await gateway.send(to={"push": [device]}, content={"title": "Hello", "text": "There"})
    await gateway.until(first, "sent")
    second = await gateway.send(to={"push": [device]}, content={"title": "Hello", "text": "Again"})
    seen = await gateway.until(second, "sent")

    assert attempts(seen) == ["accepted/fcm"]
    assert fcm.tokens.issued == 1
    assert [one.to for one in fcm.log.arrivals] == ["device-token-1"] * 2
    assert fcm.log.arrivals[0].content["notification"] == {"title": "Hello", "body": "There"}


async def test_withdrawn_push_token_is_renewed_without_losing_the_message(
    stand: Any, attempts: Any
) -> None:
    fcm = await stand.enter(FcmSimulator())
    account = {
        "kind": "fcm",
        "service_account": json.dumps(fcm.service_account()),
        "base_url": fcm.url,
    }
    gateway = await stand.start(
        {"providers": {"fcm": account}, "lanes": {"push": {"providers": ["fcm"]}}}
    )
    to = {"push": [{"app": "android", "token": "device-token-1"}]}
    await gateway.until(await gateway.send(to=to, content=TEXT), "sent")
    fcm.tokens.revoke()

    seen = await gateway.until(await gateway.send(to=to, content=TEXT), "sent")

    assert attempts(seen) == ["accepted/fcm"]
    assert fcm.tokens.issued == 2


async def test_own_system_of_a_recipient_gets_a_signed_message(stand: Any, attempts: Any) -> None:
    gateway = await stand.start(
        {
            "providers": {"devices": {"kind": "endpoint", "secret": HOOK_SECRET}},
            "lanes": {"devices": {"channel": "webhook", "providers": ["devices"]}},
            "tenants": {"shop": {"webhook": {"events": ["message.failed"]}}},
        }
    )
    chain = [{"channel": "webhook"}]
    url = f"{stand.receiver.url}/door"

    id = await gateway.send(
        to={"url": url}, chain=chain, content={"title": "Alarm", "text": "Door"}
    )
    seen = await gateway.until(id, "sent")

    assert attempts(seen) == ["accepted/devices"]
    ((reference, body),) = stand.receiver.bodies.items()
    assert reference.startswith(id)
    assert (body["type"], body["data"]["id"], body["data"]["text"]) == ("message", id, "Door")


async def test_template_is_rendered_for_the_recipient(stand: Any) -> None:
    gateway = await stand.start()

    id = await gateway.send(
        to={"phone": PHONE}, template="login-code", data={"code": "834201", "name": "Ada"}
    )
    seen = await gateway.until(id, "delivered")

    assert seen["category"] == "otp"
    assert stand.acme.log.arrivals[0].content["text"] == "834201 for Ada"


async def test_reports_are_signed_so_that_anybody_can_verify_them(
    stand: Any, eventually: Any
) -> None:
    gateway = await stand.start()
    hooks = await stand.hooks(gateway)
    stand.acme.knobs.receipt_delay = 0.3

    id = await gateway.send(to={"phone": PHONE}, content=TEXT, metadata={"order": "A17"})
    await eventually(lambda: hooks.types(id) == ["message.delivered", "message.sent"])

    sent = next(body for _, body in hooks.taken if body["type"] == "message.sent")
    assert {key: sent["data"][key] for key in ("id", "state", "channel", "provider")} == {
        "id": id,
        "state": "sent",
        "channel": "sms",
        "provider": "acme",
    }
    assert sent["data"]["metadata"] == {"order": "A17"}
    # The sandbox's receiver, at the configured endpoint, checks signatures by its own code.
    await eventually(lambda: len(stand.receiver.bodies) == 2)
    assert stand.receiver.log.counts == {"taken": 2}


async def test_reports_of_other_tenants_are_not_ours(stand: Any, eventually: Any) -> None:
    gateway = await stand.start()
    hooks = await stand.hooks(gateway, events=["message.sent"])

    status, answer = await gateway.call(
        "POST",
        "/v1/messages",
        {"to": {"phone": PHONE}, "content": TEXT},
        key="gw_e2e_key_of_other",
    )
    assert status == 202
    id = await gateway.send(to={"phone": PHONE}, content=TEXT)
    await gateway.until(id, "delivered")
    await eventually(lambda: hooks.types(id) == ["message.sent"])

    assert {body["data"]["id"] for _, body in hooks.taken} == {id}
    assert hooks.types(answer["id"]) == []


async def test_metrics_count_what_the_database_has(stand: Any, eventually: Any) -> None:
    gateway = await stand.start()
    stand.backup.knobs.error_rate = 0.5
    lanes = ({"phone": PHONE}, {"phone": BRITON}, {"email": "li@example.com"})
    ids = [await gateway.send(to=lanes[at % 3], content=TEXT) for at in range(30)]
    ids += [await gateway.send(to={"phone": "+15005550002"}, content=TEXT) for _ in range(3)]
    for id in ids:
        await gateway.until(
            id, "sent" if await _goes_by_email(gateway, id) else "delivered", "failed"
        )
    await eventually(lambda: stand.database.one("SELECT count(*) FROM queue") == 0)

    for outcome, count in stand.database.rows(
        "SELECT outcome, count(*) FROM attempt JOIN message ON id = message"
        " WHERE internal = 0 GROUP BY 1"
    ):
        counted = sum(
            [
                await gateway.metric("gateway_attempts_total", result=outcome, provider=name)
                for name in ("acme", "backup", "twilio", "relay", "beacon")
            ]
        )
        assert counted == count
    for event, count in stand.database.rows("SELECT event, count(*) FROM receipt GROUP BY 1"):
        assert await gateway.metric("gateway_receipts_total", event=event) == count
    assert await gateway.metric("gateway_messages_accepted_total") == 33
    failed = stand.database.one("SELECT count(*) FROM status WHERE state = 'failed'")
    assert await gateway.metric("gateway_messages_entered_total", state="failed") == failed == 3


async def _goes_by_email(gateway: Any, id: str) -> bool:
    seen = await gateway.read(id)
    skipped = {one["channel"] for one in seen["timeline"] if one["event"] == "skipped"}
    return "sms" in skipped


async def test_message_reads_its_times_in_order(stand: Any) -> None:
    before = time.time() - 1
    gateway = await stand.start()

    seen = await gateway.until(await gateway.send(to={"phone": PHONE}, content=TEXT), "delivered")

    times = [one["at"] for one in seen["timeline"]]
    assert times == sorted(times)
    assert times[0] == seen["created_at"] < seen["expires_at"]
    assert seen["created_at"] >= time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(before))
