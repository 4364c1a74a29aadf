"""Vonage's SMS API against recorded bytes, the published signatures and its own SDK."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vonage_http_client.auth import Auth
from vonage_sms.requests import SmsMessage

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.model.values import replace
from gateway.providers import vonage_sms, vonage_sms_codes
from tests.providers.answers import result

Make = Callable[..., vonage_sms.Provider]
Message = Callable[..., wire.Message]
Faults = Callable[..., Sequence[str]]
Request = Callable[[str], wire.HttpRequest]
Answer = Callable[[str], wire.HttpResponse]
At = Callable[[int], Clock]

SECRET = "my_secret_key_for_testing"
URL = "https://gw.example.com/receipts/vonage"
FIELDS = {
    "message-timestamp": "2013-11-21 15:27:30",
    "messageId": "020000001B0FE827",
    "msisdn": "14843472194",
    "text": "Test again",
    "timestamp": "1385047698",
    "to": "13239877404",
    "type": "text",
}
SIGNATURES: dict[vonage_sms.Method, str] = {
    "md5hash": "d2e7b1dc968737c5998ad624e02f90b7",
    "md5": "DDEBD46008C2D4E93CCE578A332A52D5",
    "sha1": "27D0D05C2876C7CB1720DBCDBA4D492E1E55C09A",
    "sha256": "DDB8397C2B90AAC7F3882D306475C9A5058C92322EEF43C92B298B6E0FC0D330",
    "sha512": (
        "E0D3C650F8C9D1A5C174D10DDDBFB003E561F59B265616208B0487C5D819481C"
        "D3C311D59CF6165ECD1139622D5BA3A256C0D763AC4A9AD9144B5A426B94FE82"
    ),
}


@pytest.fixture(name="provider")
def fixture_provider(make: Make) -> vonage_sms.Provider:
    return make("vonage_sms")


def form(provider: vonage_sms.Provider, message: wire.Message) -> dict[str, str]:
    [(_, request)] = provider.build_requests([message])
    return dict(parse_qsl(request.body.decode(), strict_parsing=True, keep_blank_values=True))


def get(fields: dict[str, str]) -> wire.HttpRequest:
    return wire.HttpRequest(method="GET", url=f"{URL}?{urlencode(fields)}")


def post(fields: dict[str, str]) -> wire.HttpRequest:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    body = urlencode(fields).encode()
    return wire.HttpRequest(method="POST", url=URL, headers=headers, body=body)


def post_json(fields: dict[str, str]) -> wire.HttpRequest:
    headers = {"content-type": "application/json"}
    return wire.HttpRequest(method="POST", url=URL, headers=headers, body=orjson.dumps(fields))


WAYS = pytest.mark.parametrize("way", [get, post, post_json])


def answer(*segments: dict[str, str]) -> bytes:
    return orjson.dumps({"message-count": str(len(segments)), "messages": segments})


def test_request_is_as_recorded(
    provider: vonage_sms.Provider, message: Message, recorded_request: Request
) -> None:
    one = message(callback_url=URL)

    [(carried, request)] = provider.build_requests([one])

    assert carried == (one,)
    assert request == recorded_request("vonage_sms/send")


def test_request_is_as_the_sdk_makes_it(provider: vonage_sms.Provider, message: Message) -> None:
    given = form(provider, message(callback_url=URL))

    theirs = SmsMessage(
        to=given["to"],
        from_=given["from"],
        text=given["text"],
        type=given["type"],
        ttl=int(given["ttl"]),
        callback=given["callback"],
        client_ref=given["client-ref"],
    )
    dumped = theirs.model_dump(by_alias=True, exclude_none=True)
    assert {name: str(value) for name, value in dumped.items()} == given


@pytest.mark.parametrize(
    ("text", "kind"), [("5 € {a}", "text"), ("您好", "unicode"), ("ç", "unicode"), ("", "text")]
)
def test_text_beyond_the_gsm_alphabet_is_unicode(
    provider: vonage_sms.Provider, message: Message, text: str, kind: str
) -> None:
    given = form(provider, message(content=wire.Content(text=text)))

    assert (given["text"], given["type"]) == (text, kind)


@pytest.mark.parametrize(
    ("lasts", "ttl"), [(-5, "20000"), (59.5, "59500"), (1e6, "604800000"), (1, "20000")]
)
def test_time_to_live_ends_with_the_message(
    provider: vonage_sms.Provider, message: Message, now: datetime, lasts: float, ttl: str
) -> None:
    assert form(provider, message(expires_at=now + timedelta(seconds=lasts)))["ttl"] == ttl


def test_callback_that_is_too_long_is_left_to_the_account(
    provider: vonage_sms.Provider, message: Message
) -> None:
    longest = "https://gw.example.com/".ljust(100, "x")

    assert form(provider, message(callback_url=longest))["callback"] == longest
    assert "callback" not in form(provider, message(callback_url=longest + "x"))


def test_ids_of_dlt(make: Make, message: Message) -> None:
    content = wire.Content(text="x", provider_templates={"vonage_sms": {"template": "1107"}})

    given = form(make("vonage_sms", entity_id="1100"), message(content=content))

    assert (given["entity-id"], given["content-id"]) == ("1100", "1107")


@pytest.mark.parametrize("method", ["md5", "sha1", "sha256", "sha512"])
def test_request_without_secret_is_signed_as_the_sdk_signs(
    make: Make, message: Message, now: datetime, method: str
) -> None:
    provider = make("vonage_sms", api_secret="", signature_method=method)
    one = message(content=wire.Content(text="a=b & c=d, 您好"))

    [(_, request)] = provider.build_requests([one])
    given = form(provider, one)

    assert "authorization" not in request.headers
    assert (given["api_key"], given["timestamp"]) == ("abcd1234", str(int(now.timestamp())))
    theirs = Auth(api_key="abcd1234", signature_secret=SECRET, signature_method=method)
    assert theirs.check_signature(dict(given))


@pytest.mark.parametrize(("method", "expected"), SIGNATURES.items())
def test_published_signatures(method: vonage_sms.Method, expected: str) -> None:
    assert vonage_sms.signature(FIELDS, SECRET, method) == expected.lower()


@pytest.mark.parametrize(
    ("changes", "method", "expected"),
    [
        ({}, "sha256", "280c4320703dbc98bfa22db676655ed2acfbfe8792b062ff7622e67f1183c287"),
        ({}, "md5", "724c2bf6ca423c36e20631b11d1c5753"),
        (
            {"param1": "value&1", "param2": "value=2"},
            "md5",
            "2bbf0abafb2c55e5af6231513896a2ac",
        ),
    ],
)
def test_other_published_signatures(
    changes: dict[str, str], method: vonage_sms.Method, expected: str
) -> None:
    fields = {"param1": "value1", "param2": "value2", "timestamp": "1234567890", **changes}

    assert vonage_sms.signature(fields, "signature_secret", method) == expected


@given(
    fields=st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=6),
    method=st.sampled_from(["md5", "sha1", "sha256", "sha512"]),
)
def test_signatures_are_those_of_the_sdk(fields: dict[str, str], method: vonage_sms.Method) -> None:
    fields = {name: value for name, value in fields.items() if name != "sig"} | {"timestamp": "1"}
    theirs = Auth(api_key="x", signature_secret=SECRET, signature_method=method)

    assert vonage_sms.signature(fields, SECRET, method) == theirs.sign_params(dict(fields))


@WAYS
@pytest.mark.parametrize(("method", "expected"), SIGNATURES.items())
def test_published_webhook_is_believed_whatever_way_it_comes(
    make: Make,
    clock_at: At,
    way: Callable[[dict[str, str]], wire.HttpRequest],
    method: str,
    expected: str,
) -> None:
    provider = make("vonage_sms", signature_method=method, clock=clock_at(1_385_047_698))

    for sig in (expected, expected.lower(), expected.upper()):
        assert provider.verify_receipt(way({**FIELDS, "sig": sig}))
    for forged in ({"text": "Test"}, {"sig": "x"}, {"sig": ""}, {"more": ""}, {"sig": "é"}):
        assert not provider.verify_receipt(way({**FIELDS, "sig": expected, **forged}))


@WAYS
@pytest.mark.parametrize(
    ("changes", "believed"),
    [
        ({}, True),
        ({"api-key": "abcd1234"}, True),
        ({"api-key": "another"}, False),
        ({"timestamp": "1385047398"}, True),
        ({"timestamp": "1385047397"}, False),
        ({"timestamp": "1385047999"}, False),
        ({"timestamp": ""}, False),
        ({"timestamp": "now"}, False),
        ({"timestamp": "-1"}, False),
    ],
)
def test_signed_webhook_must_be_ours_and_recent(
    make: Make,
    clock_at: At,
    way: Callable[[dict[str, str]], wire.HttpRequest],
    changes: dict[str, str],
    believed: bool,
) -> None:
    provider = make("vonage_sms", clock=clock_at(1_385_047_698))
    fields = {**FIELDS, **changes}
    fields["sig"] = vonage_sms.signature(fields, SECRET, "sha256")

    assert provider.verify_receipt(way(fields)) is believed


def test_account_without_signature_secret_believes_nobody(make: Make, clock_at: At) -> None:
    provider = make("vonage_sms", signature_secret="", clock=clock_at(1_385_047_698))
    fields = {**FIELDS, "sig": vonage_sms.signature(FIELDS, "", "sha256")}

    assert not provider.verify_receipt(get(fields))
    assert provider.reports == frozenset()


def test_account_without_signature_secret_asks_for_no_receipt(make: Make, message: Message) -> None:
    assert "callback" not in form(
        make("vonage_sms", signature_secret=""), message(callback_url=URL)
    )


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"from": ""}, "from: is empty"),
        ({"api_key": ""}, "api_key: is empty"),
        ({"api_secret": "", "signature_secret": ""}, "api_secret: missing"),
        ({"signature_method": "crc32"}, "signature_method: not one of"),
    ],
)
def test_settings_that_cannot_work_name_the_key(
    faults_of: Faults, changes: dict[str, str], fault: str
) -> None:
    assert any(one.startswith(fault) for one in faults_of("vonage_sms", changes))


def test_sent_message_has_its_id(
    provider: vonage_sms.Provider, message: Message, recorded_answer: Answer
) -> None:
    results = provider.read_response([message()], recorded_answer("vonage_sms/answer_sent"))

    assert results == [wire.Accepted(provider_id="0A0000000123ABCD1")]


def test_throttled_message(
    provider: vonage_sms.Provider, message: Message, recorded_answer: Answer
) -> None:
    [one] = provider.read_response([message()], recorded_answer("vonage_sms/answer_throttled"))

    assert isinstance(one, wire.Deferred)
    assert (one.code, one.cause) == ("1", wire.Cause.THROTTLED)


def test_message_is_taken_when_any_segment_is(
    provider: vonage_sms.Provider, message: Message
) -> None:
    body = answer(
        {"status": "1", "error-text": "Throttled"},
        {"status": "0", "message-id": "A2"},
        {"status": "0", "message-id": "A3"},
    )

    assert result(provider, message(), 200, body) == wire.Accepted(
        provider_id="A2", detail="segments refused: 1", segments=("", "A2", "A3")
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"messages": []}',
        b'{"messages": {}}',
        b'{"messages": [7]}',
        b'{"messages": [{}]}',
        b'{"messages": [{"status": null}]}',
        b'{"messages": [{"status": "+447700900000"}]}',
    ],
)
@pytest.mark.parametrize("status", [200, 204])
def test_answer_without_status_is_unknown(
    provider: vonage_sms.Provider, message: Message, status: int, body: bytes
) -> None:
    assert isinstance(result(provider, message(), status, body), wire.Unknown)


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (400, wire.Cause.TEMPORARY),
        (404, wire.Cause.TEMPORARY),
        (401, wire.Cause.CREDENTIAL),
        (429, wire.Cause.THROTTLED),
        (500, wire.Cause.TEMPORARY),
        (503, wire.Cause.TEMPORARY),
    ],
)
def test_other_http_statuses_may_be_repeated(
    provider: vonage_sms.Provider, message: Message, status: int, cause: wire.Cause
) -> None:
    one = result(provider, message(), status, b"<html>")

    assert isinstance(one, wire.Deferred)
    assert (one.code, one.cause) == (f"http_{status}", cause)


CAUSES = {
    wire.Cause.THROTTLED: "1 10",
    wire.Cause.CREDENTIAL: "4 8 9 11 14 32",
    wire.Cause.TEMPORARY: "5",
}


@pytest.mark.parametrize(
    ("code", "cause"), [(code, cause) for cause in CAUSES for code in CAUSES[cause].split()]
)
def test_deferring_statuses(
    provider: vonage_sms.Provider, message: Message, code: str, cause: wire.Cause
) -> None:
    one = result(provider, message(), 200, answer({"status": code}))

    assert isinstance(one, wire.Deferred)
    assert (one.code, one.cause) == (code, cause)


REFUSALS = {
    (wire.Scope.RECIPIENT, True): "33",
    (wire.Scope.RECIPIENT, False): "7",
    (wire.Scope.MESSAGE, False): "2 3 6 12 22 99",
    (wire.Scope.PROVIDER, False): "15 23 29",
}


@pytest.mark.parametrize(
    ("code", "scope", "suppress"),
    [(code, *kind) for kind, codes in REFUSALS.items() for code in codes.split()],
)
def test_refusing_statuses(
    provider: vonage_sms.Provider, message: Message, code: str, scope: wire.Scope, suppress: bool
) -> None:
    one = result(provider, message(), 200, answer({"status": code, "error-text": "4477 is bad"}))

    assert isinstance(one, wire.Rejected)
    assert (one.code, one.scope, one.suppress) == (code, scope, suppress)
    assert "4477" not in one.detail


def test_recorded_receipt(provider: vonage_sms.Provider, recorded_request: Request) -> None:
    request = recorded_request("vonage_sms/receipt_delivered")

    assert provider.read_inbound(request) == []
    assert provider.read_receipts(request) == [
        wire.DeliveryReceipt(
            event=wire.ReceiptEvent.DELIVERED,
            provider_id="0A0000000123ABCD1",
            reference="m-42",
            code="delivered",
            at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
            of_segment=True,
        )
    ]


@WAYS
@pytest.mark.parametrize(
    ("status", "code", "event", "suppress"),
    [
        ("accepted", "0", wire.ReceiptEvent.SENT, False),
        ("buffered", "0", wire.ReceiptEvent.SENT, False),
        ("delivered", "0", wire.ReceiptEvent.DELIVERED, False),
        ("failed", "1", wire.ReceiptEvent.FAILED, False),
        ("failed", "2", wire.ReceiptEvent.FAILED, False),
        ("failed", "3", wire.ReceiptEvent.FAILED, True),
        ("failed", "9", wire.ReceiptEvent.OPTED_OUT, True),
        ("rejected", "9", wire.ReceiptEvent.OPTED_OUT, True),
        ("rejected", "6", wire.ReceiptEvent.FAILED, False),
        ("expired", "2", wire.ReceiptEvent.EXPIRED, False),
        ("unknown", "0", wire.ReceiptEvent.UNKNOWN, False),
        ("teleported", "77", wire.ReceiptEvent.UNKNOWN, False),
    ],
)
def test_statuses_of_receipts(
    provider: vonage_sms.Provider,
    way: Callable[[dict[str, str]], wire.HttpRequest],
    status: str,
    code: str,
    event: wire.ReceiptEvent,
    suppress: bool,
) -> None:
    fields = {"messageId": "A1", "status": status, "err-code": code}

    [receipt] = provider.read_receipts(way(fields))

    assert (receipt.event, receipt.suppress) == (event, suppress)
    assert receipt.code == (status if code in ("0", "77") else code)


RECEIPT_CODES = {
    wire.Cause.TEMPORARY: "1 8 12 99",
    wire.Cause.RECIPIENT: "2 7",
    None: "3 4 5 6 9 10 11 13 14 15",
}


@pytest.mark.parametrize(
    ("code", "cause"),
    [(code, one) for one, codes in RECEIPT_CODES.items() for code in codes.split()],
)
def test_codes_of_receipts_are_known(code: str, cause: wire.Cause | None) -> None:
    known = vonage_sms_codes.ERRORS[code]

    assert (known.cause if isinstance(known, wire.Deferred) else None) is cause


def test_what_a_recipient_writes_is_no_receipt(
    make: Make, recorded_request: Request, clock_at: At
) -> None:
    provider = make("vonage_sms", clock=clock_at(1_385_047_698))
    request = recorded_request("vonage_sms/receipt_inbound")

    assert provider.verify_receipt(request)
    assert provider.read_receipts(request) == []
    assert provider.read_inbound(request) == [
        wire.InboundMessage(
            sender="+14843472194",
            to="13239877404",
            text="Test again",
            provider_id="020000001B0FE827",
            at=datetime(2013, 11, 21, 15, 27, 30, tzinfo=UTC),
        )
    ]


@WAYS
@pytest.mark.parametrize("fields", [{}, {"messageId": ""}, {"messageId": "A", "status": ""}])
def test_webhook_without_id_or_status_is_unreadable(
    provider: vonage_sms.Provider,
    way: Callable[[dict[str, str]], wire.HttpRequest],
    fields: dict[str, str],
) -> None:
    with pytest.raises(errors.UnreadableReceipt):
        provider.read_receipts(way(fields))


def test_inbound_message_without_sender_is_unreadable(provider: vonage_sms.Provider) -> None:
    with pytest.raises(errors.UnreadableReceipt):
        provider.read_inbound(post({"messageId": "A", "text": "x"}))


@pytest.mark.parametrize("body", [b"\xff", b"a=1&" * 101, b"x" * 100_000, b"[1]"])
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
def test_garbage_says_nothing(
    provider: vonage_sms.Provider, message: Message, body: bytes, kind: str
) -> None:
    request = replace(post({}), body=body, headers={"content-type": kind})

    assert not provider.verify_receipt(request)
    with pytest.raises(errors.UnreadableReceipt):
        provider.read_receipts(request)


def test_numbers_in_json_are_read_as_text(provider: vonage_sms.Provider) -> None:
    fields: Any = {"messageId": "A", "status": "failed", "err-code": 3, "to": None}

    [receipt] = provider.read_receipts(post_json(fields))

    assert (receipt.code, receipt.suppress) == ("3", True)


def test_webhooks_are_answered(provider: vonage_sms.Provider) -> None:
    assert provider.answer_receipt(post({})) == wire.HttpResponse(status=200)
