"""Twilio against recorded bytes, its published vectors and its own SDK's validator."""

from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlencode
from xml.etree import ElementTree

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator
from twilio.twiml.messaging_response import MessagingResponse

from gateway.clock import Clock, SystemClock
from gateway.model import errors, wire
from gateway.model.values import replace
from gateway.providers import twilio
from tests.providers.answers import result

Make = Callable[..., twilio.Provider]
Message = Callable[..., wire.Message]
Request = Callable[[str], wire.HttpRequest]
Answer = Callable[[str], wire.HttpResponse]

VECTOR_URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
VECTOR_FORM = (
    b"CallSid=CA1234567890ABCDE&Digits=1234&From=%2B14158675309"
    b"&To=%2B18005551212&Caller=%2B14158675309"
)


@pytest.fixture(name="provider")
def fixture_provider(make: Make) -> twilio.Provider:
    return make("twilio")


@pytest.fixture(name="vector")
def fixture_vector(make: Make) -> twilio.Provider:
    """With the token of the published vectors."""
    return make("twilio", auth_token="12345")


def callback(
    url: str, body: bytes, signature: str, kind: str = "application/x-www-form-urlencoded"
) -> wire.HttpRequest:
    headers = {"x-twilio-signature": signature, "content-type": kind}
    return wire.HttpRequest(method="POST", url=url, headers=headers, body=body)


def test_request_is_as_recorded(
    provider: twilio.Provider, message: Message, recorded_request: Request
) -> None:
    one = message(callback_url="https://gw.example.com/receipts/twilio")

    [(carried, request)] = provider.build_requests([one])

    assert carried == (one,)
    assert request == recorded_request("twilio/send")


def test_number_as_sender_and_no_callback(make: Make, message: Message) -> None:
    options = {"from": "+15005550006", "messaging_service_sid": ""}

    [(_, request)] = make("twilio", options).build_requests([message()])

    form = parse_qs(request.body.decode())
    assert form["From"] == ["+15005550006"]
    assert form.keys() == {"To", "From", "Body", "ValidityPeriod"}


@pytest.mark.parametrize(("lasts", "period"), [(-5, "1"), (0.4, "1"), (59.9, "59"), (9e4, "36000")])
def test_validity_period_ends_with_the_message(
    provider: twilio.Provider, message: Message, now: datetime, lasts: float, period: str
) -> None:
    one = message(expires_at=now + timedelta(seconds=lasts))

    [(_, request)] = provider.build_requests([one])

    assert parse_qs(request.body.decode())["ValidityPeriod"] == [period]


def test_created_message_is_accepted_with_its_sid(
    provider: twilio.Provider, message: Message, recorded_answer: Answer
) -> None:
    results = provider.read_response([message()], recorded_answer("twilio/answer_created"))

    assert results == [wire.Accepted(provider_id="SM00000000000000000000000000000001")]


def test_invalid_number_is_suppressed_and_not_repeated_in_the_detail(
    provider: twilio.Provider, message: Message, recorded_answer: Answer
) -> None:
    [one] = provider.read_response([message()], recorded_answer("twilio/answer_invalid_number"))

    assert isinstance(one, wire.Rejected)
    assert (one.code, one.scope, one.suppress) == ("21211", wire.Scope.RECIPIENT, True)
    assert "1500" not in one.detail


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"sid": null}', b'{"sid": 7}'])
def test_success_without_sid_is_unknown(
    provider: twilio.Provider, message: Message, body: bytes
) -> None:
    assert isinstance(result(provider, message(), 201, body), wire.Unknown)


CAUSES = {
    wire.Cause.CREDENTIAL: "10001 20003 20005 20006 20403 20404 21701 21705 30002",
    wire.Cause.THROTTLED: "14107 20429 21611 30001 30022 30023 30027 30454 63017 63018 63038",
    wire.Cause.TEMPORARY: "20500 20503 20504 30008 30017 30020 30021 30410 30500 63009 63010 63012",
    wire.Cause.RECIPIENT: "30003 30450 30453 30485 30610",
}


@pytest.mark.parametrize(
    ("code", "cause"), [(int(code), cause) for cause in CAUSES for code in CAUSES[cause].split()]
)
def test_deferring_codes(
    provider: twilio.Provider, message: Message, code: int, cause: wire.Cause
) -> None:
    one = result(provider, message(), 400, orjson.dumps({"code": code}))

    assert isinstance(one, wire.Deferred)
    assert (one.code, one.cause) == (str(code), cause)


REFUSALS = {
    (wire.Scope.RECIPIENT, True): (
        "21610 30630 30640 63014 63033 21211 21217 21614 21635 30005 30006 63003 63024"
    ),
    (wire.Scope.RECIPIENT, False): "21214 21265 21266 21268 21604 30004 30011 63036",
    (wire.Scope.MESSAGE, False): (
        "21602 21617 21618 21619 21620 21623 21654 21655 21656 30007 30010 30019 30036 30038"
        " 63005 63013 63016"
    ),
    (wire.Scope.PROVIDER, False): (
        "21212 21408 21601 21603 21606 21608 21609 21612 21659 21660 21661 21702 21703 21704"
        " 30018 30024 30032 30033 30034 30037 30040 30041 30042"
    ),
}


@pytest.mark.parametrize(
    ("code", "scope", "suppress"),
    [(int(code), *kind) for kind, codes in REFUSALS.items() for code in codes.split()],
)
def test_refusing_codes(
    provider: twilio.Provider, message: Message, code: int, scope: wire.Scope, suppress: bool
) -> None:
    one = result(provider, message(), 400, orjson.dumps({"code": code}))

    assert isinstance(one, wire.Rejected)
    assert (one.code, one.scope, one.suppress) == (str(code), scope, suppress)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, wire.Deferred(code="99999", cause=wire.Cause.CREDENTIAL)),
        (429, wire.Deferred(code="99999", cause=wire.Cause.THROTTLED)),
        (503, wire.Deferred(code="99999", cause=wire.Cause.TEMPORARY)),
        (400, wire.Rejected(code="99999")),
    ],
)
def test_unheard_of_code_goes_by_the_status(
    provider: twilio.Provider, message: Message, status: int, expected: wire.AttemptResult
) -> None:
    assert result(provider, message(), status, b'{"code": 99999}') == expected


def test_throttling_obeys_retry_after(provider: twilio.Provider, message: Message) -> None:
    response = wire.HttpResponse(
        status=429, headers={"retry-after": "7"}, body=b'{"type": "x", "code": 20429}'
    )

    [one] = provider.read_response([message()], response)

    assert isinstance(one, wire.Deferred)
    assert one.retry_after == 7.0


def test_recorded_receipt(provider: twilio.Provider, recorded_request: Request) -> None:
    request = recorded_request("twilio/receipt_undelivered")

    receipts = provider.read_receipts(request)

    assert provider.verify_receipt(request)
    assert receipts == [
        wire.DeliveryReceipt(
            event=wire.ReceiptEvent.FAILED,
            provider_id="SM00000000000000000000000000000001",
            code="30003",
            detail="not now",
        )
    ]


@pytest.mark.parametrize("given", ["https://gw.example.com/r", "https://gw.example.com/r?a=1"])
def test_reference_travels_in_the_callback_url(
    provider: twilio.Provider, message: Message, given: str
) -> None:
    one = message(callback_url=given)

    [(_, request)] = provider.build_requests([one])
    [url] = parse_qs(request.body.decode())["StatusCallback"]
    called, _, fragment = url.partition("#")
    [receipt] = provider.read_receipts(
        callback(called, b"MessageSid=SM1&MessageStatus=delivered", "")
    )

    assert called.startswith(given)
    assert fragment == "rc=3&rp=all"
    assert receipt.reference == one.reference


@settings(deadline=None)
@given(text=st.text(), phone=st.text("+0123456789 &=", max_size=20))
def test_form_carries_every_text_whole(text: str, phone: str, message: Message) -> None:
    one = message(to=wire.Address(phone=phone), content=wire.Content(text=text))

    [(_, request)] = provider_with_token("t", "").build_requests([one])

    form = parse_qs(request.body.decode("ascii"), keep_blank_values=True)
    assert (form["To"], form["Body"], form["From"]) == ([phone], [text], ["+1"])


@pytest.mark.parametrize(
    ("url", "signature"),
    [
        (VECTOR_URL, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        (VECTOR_URL, "kvajT1Ptam85bY51eRf/AJRuM3w="),
        (VECTOR_URL.replace("https", "http"), "0ZXoZLH/DfblKGATFgpif+LLRf4="),
        ("http://mycompany.com:1234/myapp.php?foo=1&bar=2", "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
        (VECTOR_URL.replace(".com", ".com:1234"), "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
    ],
)
def test_published_signatures(vector: twilio.Provider, url: str, signature: str) -> None:
    good = callback(url, VECTOR_FORM, signature)

    assert vector.verify_receipt(good)
    assert not vector.verify_receipt(replace(good, body=VECTOR_FORM + b"&Digits=9"))
    assert not vector.verify_receipt(replace(good, url=url + "&more=1"))


def test_published_signature_with_repeated_names(vector: twilio.Provider) -> None:
    body = b"Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234"

    assert vector.verify_receipt(callback(VECTOR_URL, body, "IK+Dwps556ElfBT0I3Rgjkr1wJU="))


def test_published_signature_of_a_json_body(vector: twilio.Provider) -> None:
    digest = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
    url = f"{VECTOR_URL}&bodySHA256={digest}"
    body = b'{"property": "value", "boolean": true}'
    good = callback(url, body, "a9nBmqA0ju/hNViExpshrM61xv4=", "application/json")

    assert vector.verify_receipt(good)
    assert not vector.verify_receipt(replace(good, body=body + b" "))


def test_json_body_that_the_url_does_not_cover_is_refused(vector: twilio.Provider) -> None:
    signature = RequestValidator("12345").compute_signature(VECTOR_URL, {})

    assert not vector.verify_receipt(callback(VECTOR_URL, b"{}", signature, "application/json"))


def test_token_of_before_the_rotation_still_verifies(make: Make) -> None:
    rotated = make("twilio", auth_token="new", auth_token_previous="12345")

    assert rotated.verify_receipt(callback(VECTOR_URL, VECTOR_FORM, "RSOYDt4T1cUTdK1PDd93/VVr8B8="))


FORMS = st.dictionaries(st.text(min_size=1), st.text(), max_size=8)
URLS = st.sampled_from(
    [VECTOR_URL, "http://gw.example.com:8080/r", "https://gw.example.com/r?a=%2B"]
)


@settings(deadline=None)
@given(form=FORMS, url=URLS)
def test_verifies_what_the_sdk_signs(form: dict[str, str], url: str) -> None:
    provider = provider_with_token("other", "secret")
    signature = RequestValidator("secret").compute_signature(url, form)

    request = callback(url, urlencode(form).encode(), signature)

    assert provider.verify_receipt(request)


@settings(deadline=None)
@given(form=FORMS, url=URLS, forged=st.text())
def test_refuses_what_was_not_signed(form: dict[str, str], url: str, forged: str) -> None:
    provider = provider_with_token("secret", "")
    wrong = RequestValidator("guess").compute_signature(url, form)

    for signature in (forged, wrong, ""):
        request = callback(url, urlencode(form).encode(), signature)

        assert not provider.verify_receipt(request)


def provider_with_token(token: str, previous: str) -> twilio.Provider:
    settings = twilio.Settings(
        account_sid="AC1", auth_token=token, auth_token_previous=previous, from_="+1"
    )
    clock: Clock = SystemClock()
    return twilio.Provider("main", settings, clock)


@pytest.mark.parametrize(
    ("fields", "event", "suppress"),
    [
        ("MessageStatus=queued", wire.ReceiptEvent.ACCEPTED, False),
        ("MessageStatus=sent", wire.ReceiptEvent.SENT, False),
        ("MessageStatus=delivered", wire.ReceiptEvent.DELIVERED, False),
        ("MessageStatus=read", wire.ReceiptEvent.READ, False),
        ("MessageStatus=canceled", wire.ReceiptEvent.FAILED, False),
        ("MessageStatus=failed&ErrorCode=30036", wire.ReceiptEvent.EXPIRED, False),
        ("MessageStatus=undelivered&ErrorCode=21610", wire.ReceiptEvent.OPTED_OUT, True),
        # nobody may write to a known litigator, whoever sends it
        ("MessageStatus=undelivered&ErrorCode=30640", wire.ReceiptEvent.FAILED, True),
        ("MessageStatus=undelivered&ErrorCode=30005", wire.ReceiptEvent.FAILED, True),
        ("MessageStatus=undelivered&ErrorCode=x", wire.ReceiptEvent.FAILED, False),
        ("MessageStatus=teleported", wire.ReceiptEvent.UNKNOWN, False),
    ],
)
def test_statuses(
    provider: twilio.Provider, fields: str, event: wire.ReceiptEvent, suppress: bool
) -> None:
    request = callback("https://gw.example.com/r", f"MessageSid=SM1&{fields}".encode(), "")

    [receipt] = provider.read_receipts(request)

    assert (receipt.event, receipt.suppress, receipt.provider_id) == (event, suppress, "SM1")


def test_what_a_recipient_writes_is_no_receipt(
    provider: twilio.Provider, recorded_request: Request
) -> None:
    request = recorded_request("twilio/receipt_inbound")

    assert provider.read_receipts(request) == []
    assert provider.read_inbound(request) == [
        wire.InboundMessage(
            sender="+15005550001",
            to="+15005550006",
            text="STOP",
            provider_id="SM00000000000000000000000000000002",
        )
    ]


def test_a_receipt_is_no_inbound_message(
    provider: twilio.Provider, recorded_request: Request
) -> None:
    assert provider.read_inbound(recorded_request("twilio/receipt_undelivered")) == []


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ("Body=Hi%2C+it%27s+me+%F0%9F%98%80", "Hi, it's me 😀"),
        ("Body=", ""),
        ("NumMedia=1", ""),
        ("Body=Arr%C3%AAte+%C3%A7a&OptOutType=STOP", "STOP"),
        ("Body=re&OptOutType=START", "START"),
    ],
)
def test_what_advanced_opt_out_understood_stands_for_the_words(
    provider: twilio.Provider, fields: str, text: str
) -> None:
    body = f"MessageSid=SM1&SmsStatus=received&From=%2B15005550001&{fields}"

    [inbound] = provider.read_inbound(callback("https://gw.example.com/r", body.encode(), ""))

    assert inbound.text == text
    assert inbound.confirmed is ("OptOutType" in fields)


def test_sender_on_another_channel_is_its_number(provider: twilio.Provider) -> None:
    body = b"MessageSid=SM1&SmsStatus=received&From=rcs%3A%2B15005550001&Body=x"

    [inbound] = provider.read_inbound(callback("https://gw.example.com/r", body, ""))

    assert inbound.sender == "+15005550001"


@pytest.mark.parametrize("body", [b"SmsStatus=received&From=1", b"SmsStatus=received&SmsSid=SM1"])
def test_inbound_message_without_id_or_sender_is_unreadable(
    provider: twilio.Provider, body: bytes
) -> None:
    with pytest.raises(errors.UnreadableReceipt):
        provider.read_inbound(callback("https://gw.example.com/r", body, ""))


def test_inbound_message_is_answered_by_twiml_that_says_nothing(
    provider: twilio.Provider, recorded_request: Request
) -> None:
    answer = provider.answer_receipt(recorded_request("twilio/receipt_inbound"))

    assert (answer.status, answer.headers["content-type"]) == (200, "text/xml")
    theirs = str(MessagingResponse())
    assert ElementTree.canonicalize(answer.body.decode()) == ElementTree.canonicalize(theirs)


def test_template_of_twilio_stands_for_the_text(
    provider: twilio.Provider, message: Message
) -> None:
    template = {"template": "HX0123", "params": {"1": "4711", "name": "Zoë & Li"}}
    content = wire.Content(text="x", provider_templates={"twilio": template})

    [(_, request)] = provider.build_requests([message(content=content)])

    form = parse_qs(request.body.decode())
    assert "Body" not in form
    assert form["ContentSid"] == ["HX0123"]
    assert orjson.loads(form["ContentVariables"][0]) == {"1": "4711", "name": "Zoë & Li"}


@pytest.mark.parametrize("table", [{}, {"template": ""}, {"params": {"a": "b"}}])
def test_without_a_template_the_text_is_sent(
    provider: twilio.Provider, message: Message, table: dict[str, object]
) -> None:
    content = wire.Content(text="hello", provider_templates={"twilio": table})

    [(_, request)] = provider.build_requests([message(content=content)])

    assert parse_qs(request.body.decode())["Body"] == ["hello"]


def test_smart_encoding_is_asked_for(make: Make, message: Message) -> None:
    [(_, request)] = make("twilio", smart_encoded=True).build_requests([message()])

    assert parse_qs(request.body.decode())["SmartEncoded"] == ["true"]


@pytest.mark.parametrize("body", [b"", b"MessageSid=SM1", b"MessageStatus=sent", b"\xff\xfe"])
def test_callback_without_id_or_status_is_unreadable(
    provider: twilio.Provider, body: bytes
) -> None:
    with pytest.raises(errors.UnreadableReceipt):
        provider.read_receipts(callback("https://gw.example.com/r", body, ""))


def test_receipts_are_answered_without_content(
    provider: twilio.Provider, recorded_request: Request
) -> None:
    answer = provider.answer_receipt(recorded_request("twilio/receipt_undelivered"))

    assert answer == wire.HttpResponse(status=204)
