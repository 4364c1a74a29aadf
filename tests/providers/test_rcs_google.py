"""Google's RCS for Business: requests, answers, and events with the vector of their signature."""

import hmac
from base64 import b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import google.auth.jwt
import orjson
import pytest

from gateway.model import errors, wire
from gateway.providers import rcs_google

Make = Callable[..., rcs_google.Provider]
Message = Callable[..., wire.Message]

TOKEN = "SJENCPGJESMGUFPY"
URL = "https://gw.example.com/v1/receipts/main"
PHONE = wire.Address(phone="+15005550001")
DELIVERED = (
    b'{"agentId":"agent1","senderPhoneNumber":"+15005550001","eventType":"DELIVERED",'
    b'"eventId":"ev-1","messageId":"m-42","sendTime":"2026-01-02T03:04:05.000Z"}'
)
SIGNATURE = (
    "l0lF+iBilZ3RHRprCa8r9fV2pSBoh7MmQPxtf9bPYYiPv2bvOygOP4AlbJM7RlmlS75mLq+0lWVKm54mNGs/Ww=="
)


@pytest.fixture(name="provider")
def fixture_provider(make: Make) -> rcs_google.Provider:
    return make("rcs_google")


def pushed(data: bytes, signature: str = "", **attributes: str) -> wire.HttpRequest:
    message = {"data": b64encode(data).decode(), "messageId": "1", "attributes": attributes}
    made = b64encode(hmac.digest(TOKEN.encode(), data, "sha512")).decode()
    return wire.HttpRequest(
        method="POST",
        url=URL,
        headers={"x-goog-signature": signature or made},
        body=orjson.dumps({"message": message, "subscription": "s"}),
    )


def event(**fields: Any) -> wire.HttpRequest:
    told = {"agentId": "agent1", "eventId": "ev-1", "sendTime": "2026-01-02T03:04:05.123Z"}
    return pushed(orjson.dumps({**told, **fields}))


def body_of(
    provider: rcs_google.Provider, message: wire.Message
) -> tuple[wire.HttpRequest, dict[str, Any]]:
    [(_, request)] = provider.build_requests([message])
    return request, orjson.loads(request.body)


def test_text_with_suggestions_is_what_the_api_takes(
    provider: rcs_google.Provider, message: Message, now: datetime
) -> None:
    suggestions = [
        {"text": "Fine", "postback": "ok"},
        {"text": "Track", "link": "https://example.com/t"},
        {"text": "Call us", "phone": "+15005550009"},
    ]
    content = wire.Content(text="Your parcel arrives today.", extra={"suggestions": suggestions})
    until = now + timedelta(hours=1)

    one = message(to=PHONE, content=content, expires_at=until, category="service")
    request, body = body_of(provider, one)

    url = urlsplit(request.url)
    assert url.netloc == "us-rcsbusinessmessaging.googleapis.com"
    assert url.path == "/v1/phones/%2B15005550001/agentMessages"
    query = parse_qs(url.query)
    assert query["agentId"] == ["agent1"]
    assert str(UUID(query["messageId"][0])) == query["messageId"][0]
    assert body == {
        "contentMessage": {
            "text": "Your parcel arrives today.",
            "suggestions": [
                {"reply": {"text": "Fine", "postbackData": "ok"}},
                {
                    "action": {
                        "text": "Track",
                        "postbackData": "Track",
                        "openUrlAction": {"url": "https://example.com/t"},
                    }
                },
                {
                    "action": {
                        "text": "Call us",
                        "postbackData": "Call us",
                        "dialAction": {"phoneNumber": "+15005550009"},
                    }
                },
            ],
        },
        "messageTrafficType": "TRANSACTION",
        "ttl": "3600s",
    }


def test_picture_makes_a_card(provider: rcs_google.Provider, message: Message) -> None:
    extra = {"image": "https://example.com/i.png", "link": "https://example.com/t"}
    content = wire.Content(title="Parcel", text="Arrives today.", extra=extra)

    _, body = body_of(provider, message(to=PHONE, content=content))

    assert body["contentMessage"]["richCard"] == {
        "standaloneCard": {
            "cardOrientation": "VERTICAL",
            "cardContent": {
                "title": "Parcel",
                "description": "Arrives today.\nhttps://example.com/t",
                "media": {
                    "height": "MEDIUM",
                    "contentInfo": {"fileUrl": "https://example.com/i.png"},
                },
            },
        }
    }


@pytest.mark.parametrize(
    ("own", "said"),
    [
        (
            {"card": {"carouselCard": {"cardContents": []}}},
            {"richCard": {"carouselCard": {"cardContents": []}}},
        ),
        (
            {"file": "https://example.com/f.pdf"},
            {"contentInfo": {"fileUrl": "https://example.com/f.pdf"}},
        ),
    ],
)
def test_cards_and_files_may_be_given_whole(
    provider: rcs_google.Provider, message: Message, own: Any, said: Any
) -> None:
    content = wire.Content(text="x", provider_templates={"rcs_google": own})

    _, body = body_of(provider, message(to=PHONE, content=content))

    assert body["contentMessage"] == said


@pytest.mark.parametrize(
    ("category", "kind"),
    [("otp", "AUTHENTICATION"), ("marketing", "PROMOTION"), ("service", "TRANSACTION")],
)
def test_category_says_what_traffic_it_is(
    provider: rcs_google.Provider, message: Message, category: str, kind: str
) -> None:
    _, body = body_of(provider, message(to=PHONE, category=category))

    assert body["messageTrafficType"] == kind


@pytest.mark.parametrize(
    ("seconds", "own", "ttl"),
    [(3600, 0, "3600s"), (3, 0, "10s"), (10**7, 0, "1296000s"), (3600, 60, "60s")],
)
def test_time_to_live_ends_with_the_message(
    make: Make, message: Message, now: datetime, seconds: int, own: int, ttl: str
) -> None:
    until = now + timedelta(seconds=seconds)

    _, body = body_of(make("rcs_google", ttl=own), message(to=PHONE, expires_at=until))

    assert body["ttl"] == ttl


def test_message_sent_again_has_the_same_id(
    provider: rcs_google.Provider, message: Message
) -> None:
    requests = [body_of(provider, message(to=PHONE))[0] for _ in range(2)]
    other, _ = body_of(provider, message(to=PHONE, reference="other"))

    assert requests[0].url == requests[1].url != other.url
    assert provider.drops_repeats


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (wire.Content(text="x" * 3073), "text: longer than 3072 characters"),
        (
            wire.Content(title="x" * 201, extra={"image": "https://example.com/i"}),
            "title: longer than 200",
        ),
        (
            wire.Content(text="x" * 2001, extra={"image": "https://example.com/i"}),
            "text: longer than 2000",
        ),
        (wire.Content(text="x", extra={"suggestions": [{}] * 12}), "suggestions: more than 11"),
        (wire.Content(text="x", extra={"suggestions": [{"link": "x"}]}), "suggestions[0]: no text"),
        (
            wire.Content(text="x", extra={"suggestions": [{"text": "x" * 26}]}),
            "suggestions[0].text: longer than 25",
        ),
        (
            wire.Content(provider_templates={"rcs_google": {"card": {"x": "y" * 256_000}}}),
            "content: more than 256000 bytes",
        ),
    ],
)
def test_what_cannot_be_sent_is_objected_to(
    provider: rcs_google.Provider, message: Message, content: wire.Content, fault: str
) -> None:
    assert provider.objection(content, PHONE).startswith(fault)
    with pytest.raises(ValueError, match=r"longer than|more than|no text"):
        provider.build_requests([message(to=PHONE, content=content)])


def test_what_can_be_sent_is_not(provider: rcs_google.Provider) -> None:
    assert provider.objection(wire.Content(text="x" * 3072), PHONE) == ""


def failure(status: int, state: str) -> wire.HttpResponse:
    error = {"code": status, "message": "Requested entity was not found.", "status": state}
    return wire.HttpResponse(status=status, body=orjson.dumps({"error": error}))


def test_success_has_the_id_that_events_bring(
    provider: rcs_google.Provider, message: Message
) -> None:
    request, _ = body_of(provider, message(to=PHONE))
    id = parse_qs(urlsplit(request.url).query)["messageId"][0]
    answer = orjson.dumps({"name": f"phones/+15005550001/agentMessages/{id}", "sendTime": "x"})

    [result] = provider.read_response([message()], wire.HttpResponse(status=200, body=answer))

    assert result == wire.Accepted(provider_id=id)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"name": 1}', b"x" * 10**6])
def test_unreadable_answer_leaves_it_open(
    provider: rcs_google.Provider, message: Message, body: bytes
) -> None:
    [result] = provider.read_response([message()], wire.HttpResponse(status=200, body=body))

    assert isinstance(result, wire.Unknown)


def test_phone_without_rcs_is_left_to_the_next_step_and_not_banned(
    provider: rcs_google.Provider, message: Message
) -> None:
    [result] = provider.read_response([message()], failure(404, "NOT_FOUND"))

    assert isinstance(result, wire.Rejected)
    assert (result.scope, result.suppress) == (wire.Scope.RECIPIENT, False)


def test_quota_says_how_long(provider: rcs_google.Provider, message: Message) -> None:
    answer = wire.HttpResponse(status=429, headers={"retry-after": "7"})

    [result] = provider.read_response([message()], answer)

    assert isinstance(result, wire.Deferred)
    assert (result.cause, result.retry_after) == (wire.Cause.THROTTLED, 7.0)


def test_signature_is_that_of_the_vector(provider: rcs_google.Provider) -> None:
    request = pushed(DELIVERED, SIGNATURE)

    [receipt] = provider.read_receipts(request)

    assert provider.verify_receipt(request)
    assert receipt == wire.DeliveryReceipt(
        event=wire.ReceiptEvent.DELIVERED,
        provider_id="m-42",
        code="DELIVERED",
        at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )
    assert provider.answer_receipt(request).body == b""


@pytest.mark.parametrize("signature", ["x", SIGNATURE[:-3] + "A==", SIGNATURE.lower()])
def test_other_signatures_are_not_believed(
    make: Make, provider: rcs_google.Provider, signature: str
) -> None:
    assert not provider.verify_receipt(pushed(DELIVERED, signature))
    assert not make("rcs_google", client_token="").verify_receipt(pushed(DELIVERED, SIGNATURE))


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("DELIVERED", wire.ReceiptEvent.DELIVERED),
        ("READ", wire.ReceiptEvent.READ),
        ("TTL_EXPIRATION_REVOKED", wire.ReceiptEvent.EXPIRED),
        ("TTL_EXPIRATION_REVOKE_FAILED", wire.ReceiptEvent.UNKNOWN),
        ("SOMETHING_NEW", wire.ReceiptEvent.UNKNOWN),
    ],
)
def test_events_are_receipts(
    provider: rcs_google.Provider, kind: str, told: wire.ReceiptEvent
) -> None:
    request = event(eventType=kind, messageId="m-1", phoneNumber="+15005550001")

    [receipt] = provider.read_receipts(request)

    assert (receipt.event, receipt.provider_id) == (told, "m-1")
    assert provider.read_inbound(request) == []


@pytest.mark.parametrize(
    "request_",
    [
        event(eventType="IS_TYPING", senderPhoneNumber="+15005550001"),
        event(eventType="DELIVERED", messageId="m", agentId="another"),
        pushed(b'{"newLaunchState": "SUSPENDED"}', type="agent_launch_event"),
        wire.HttpRequest(method="POST", url=URL, body=b'{"clientToken": "x", "secret": "y"}'),
    ],
)
def test_what_is_about_no_message_of_ours_brings_nothing(
    provider: rcs_google.Provider, request_: wire.HttpRequest
) -> None:
    assert provider.read_receipts(request_) == []
    assert provider.read_inbound(request_) == []


@pytest.mark.parametrize(
    ("fields", "text", "wish"),
    [
        ({"text": "Thanks", "messageId": "m"}, "Thanks", None),
        (
            {"suggestionResponse": {"postbackData": "ok", "text": "Fine"}, "messageId": "m"},
            "Fine",
            None,
        ),
        ({"suggestionResponse": {"postbackData": "ok"}, "messageId": "m"}, "ok", None),
        ({"userFile": {"payload": {}}, "messageId": "m"}, "", None),
        ({"eventType": "UNSUBSCRIBE"}, "", wire.Wish.OPT_OUT),
        ({"eventType": "SUBSCRIBE"}, "", wire.Wish.OPT_IN),
    ],
)
def test_what_people_write_and_wish_comes_in(
    provider: rcs_google.Provider, fields: Any, text: str, wish: wire.Wish | None
) -> None:
    request = event(senderPhoneNumber="+15005550001", **fields)

    [message] = provider.read_inbound(request)

    assert provider.read_receipts(request) == []
    assert (message.sender, message.to, message.text) == ("+15005550001", "agent1", text)
    assert message.wish is wish
    assert message.provider_id in ("m", "ev-1")


@pytest.mark.parametrize("data", [b"", b"[]", b"x", b'{"eventType":"DELIVERED"}'])
def test_event_that_names_nothing_is_unreadable(provider: rcs_google.Provider, data: bytes) -> None:
    with pytest.raises(errors.UnreadableReceipt):
        provider.read_receipts(pushed(data))


@pytest.mark.parametrize(("token", "believed"), [(TOKEN, True), ("x", False), ("", False)])
def test_address_is_proved_by_giving_the_secret_back(
    provider: rcs_google.Provider, token: str, believed: bool
) -> None:
    body = orjson.dumps({"clientToken": token, "secret": "1234567890"})
    request = wire.HttpRequest(method="POST", url=URL, body=body)

    answer = provider.answer_receipt(request)

    assert provider.verify_receipt(request) is believed
    assert (answer.status, answer.body) == (200, b"1234567890")
    assert answer.headers["content-type"].startswith("text/plain")


def features(*names: str) -> wire.HttpResponse:
    return wire.HttpResponse(status=200, body=orjson.dumps({"features": list(names)}))


def test_phone_is_asked_what_it_can_do_where_that_is_wanted(make: Make, message: Message) -> None:
    asked = make("rcs_google", check=True).inquiry(message(to=PHONE))

    assert make("rcs_google").inquiry(message(to=PHONE)) is None
    assert asked is not None
    url = urlsplit(asked.url)
    assert (asked.method, url.path) == ("GET", "/v1/phones/%2B15005550001/capabilities")
    assert parse_qs(url.query)["agentId"] == ["agent1"]
    assert UUID(parse_qs(url.query)["requestId"][0])


CARD: Any = {"image": "https://example.com/i.png"}
DIAL: Any = {"suggestions": [{"text": "Call", "phone": "+15005550009"}]}


@pytest.mark.parametrize(
    ("extra", "answer", "code"),
    [
        ({}, wire.HttpResponse(status=404), "NOT_FOUND"),
        ({}, features(), ""),
        (CARD, features(), "no_feature"),
        (CARD, features("RICHCARD_STANDALONE"), ""),
        (DIAL, features("RICHCARD_STANDALONE"), "no_feature"),
        (DIAL, features("ACTION_DIAL"), ""),
        ({}, wire.HttpResponse(status=403), ""),
        ({}, wire.HttpResponse(status=200, body=b"<html>"), ""),
    ],
)
def test_answer_says_whether_there_is_use_in_a_message(
    provider: rcs_google.Provider,
    message: Message,
    extra: Any,
    answer: wire.HttpResponse,
    code: str,
) -> None:
    one = message(to=PHONE, content=wire.Content(text="x", extra=extra))

    refused = provider.read_inquiry(one, answer)

    assert (refused.code if refused else "") == code


def test_access_token_is_asked_for_by_a_key_for_rcs(
    provider: rcs_google.Provider, rsa_pem: str, now: datetime
) -> None:
    assert provider.credential
    request = provider.credential.token_request()
    assertion = parse_qs(request.body.decode())["assertion"][0]

    decode: Callable[..., Any] = google.auth.jwt.decode
    claims = decode(assertion, verify=False)

    assert request.url == "https://oauth2.googleapis.com/token"
    assert claims["scope"] == "https://www.googleapis.com/auth/rcsbusinessmessaging"
    assert claims["exp"] - claims["iat"] == 3600


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({"agent_id": ""}, ["agent_id: is empty"]),
        ({"ttl": 5}, ["ttl: not between 10 and 1296000 seconds"]),
        ({"region": "mars"}, ["region"]),
        ({"service_account": "{}"}, ["service_account: no client_email", "no private_key"]),
    ],
)
def test_settings_that_cannot_work_are_named(
    make: Make, changes: dict[str, Any], faults: Sequence[str]
) -> None:
    with pytest.raises(errors.SettingsError) as caught:
        make("rcs_google", changes)

    assert all(fault in str(caught.value) for fault in faults)


@pytest.mark.parametrize("region", ["us", "europe", "asia"])
def test_region_decides_the_host(make: Make, message: Message, region: str) -> None:
    request, _ = body_of(make("rcs_google", region=region), message(to=PHONE))

    assert request.url.startswith(f"https://{region}-rcsbusinessmessaging.googleapis.com/v1/")
