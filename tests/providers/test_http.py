"""The configurable provider against recorded bytes and the Standard Webhooks library."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson
import pytest
import standardwebhooks

from gateway.model import errors, wire
from gateway.model.values import replace
from gateway.providers import http

Make = Callable[..., http.Provider]
Message = Callable[..., wire.Message]
Request = Callable[[str], wire.HttpRequest]

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def build(make: Make, message: wire.Message, **changes: Any) -> wire.HttpRequest:
    [(carried, request)] = make("http", changes).build_requests([message])
    assert carried == (message,)
    return request


def read(make: Make, message: wire.Message, status: int, body: bytes, **changes: Any) -> object:
    response = wire.HttpResponse(status=status, body=body)
    [result] = make("http", changes).read_response([message], response)
    return result


def test_request_is_as_recorded(make: Make, message: Message, recorded_request: Request) -> None:
    assert build(make, message()) == recorded_request("http/send")


def test_everything_of_a_message_can_be_named(make: Make, message: Message) -> None:
    one = message(
        callback_url="https://gw.example.com/r",
        data={"code": "4711"},
        content=wire.Content(text=""),
    )
    names = ("to.email", "message_id", "reference", "callback_url", "category", "data.code")

    request = build(make, one, body={name: f"{{{{ {name} }}}}" for name in names})

    assert list(orjson.loads(request.body).values()) == [
        "li@example.com",
        one.id,
        one.reference,
        "https://gw.example.com/r",
        "otp",
        "4711",
    ]


def test_form(make: Make, message: Message) -> None:
    request = build(make, message(), form=True, body={"To": "{{ to.phone }}", "n": 1, "t": "a b"})

    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.body == b"To=%2B15005550009&n=1&t=a+b"


def test_get_with_a_templated_url(make: Make, message: Message) -> None:
    url = "https://sms.internal/{{ category }}?to={{ to.phone }}&text={{ content.text | upper }}"

    request = build(make, message(), url=url, method="get", body=None, headers={})

    assert request == wire.HttpRequest(
        method="GET",
        url="https://sms.internal/otp?to=%2B15005550009&text=YOUR%20CODE%20IS%204711",
    )


@pytest.mark.parametrize("url", ["/v1/send?x=1", "https://sms.internal/v1/send?x=1"])
def test_base_url_takes_the_place_of_the_origin(make: Make, message: Message, url: str) -> None:
    request = build(make, message(), url=url, base_url="http://127.0.0.1:9999/")

    assert request.url == "http://127.0.0.1:9999/v1/send?x=1"


def test_text_body_of_another_type(make: Make, message: Message) -> None:
    one = message(content=wire.Content(text="a < b"))

    request = build(make, one, body="<m>{{ content.text }}</m>", content_type="text/xml")

    assert request.headers["content-type"] == "text/xml"
    assert request.body == b"<m>a &lt; b</m>"


def test_header_of_the_configuration_wins_over_the_content_type(
    make: Make, message: Message
) -> None:
    headers = {"Content-Type": "application/vnd.acme+json", "X-Ref": "{{ reference }}"}

    request = build(make, message(), headers=headers)

    assert request.headers == {
        "content-type": "application/vnd.acme+json",
        "x-ref": message().reference,
    }


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (202, b'{"data": {"id": "a1"}}', wire.Accepted(provider_id="a1")),
        (200, b'{"data": {"id": 81723}}', wire.Accepted(provider_id="81723")),
        (200, b'{"data": []}', wire.Accepted(detail="answer without an id")),
        (200, b"[]", wire.Accepted(detail="answer without an id")),
        (200, b"OK", wire.Unknown(code="http_200", detail="answer is not JSON")),
        (401, b"", wire.Deferred(code="http_401", cause=wire.Cause.CREDENTIAL)),
        (429, b"", wire.Deferred(code="http_429", cause=wire.Cause.THROTTLED)),
        (503, b"", wire.Deferred(code="http_503", cause=wire.Cause.TEMPORARY)),
        (400, b"", wire.Rejected(code="http_400")),
        (409, b'{"data": {"id": "a1"}}', wire.Rejected(code="http_409")),
    ],
)
def test_answers(
    make: Make, message: Message, status: int, body: bytes, expected: wire.AttemptResult
) -> None:
    assert read(make, message(), status, body) == expected


def test_recorded_answer(
    make: Make, message: Message, recorded_answer: Callable[[str], wire.HttpResponse]
) -> None:
    results = make("http").read_response([message()], recorded_answer("http/answer_taken"))

    assert results == [wire.Accepted(provider_id="81723")]


def test_further_statuses_may_mean_taken(make: Make, message: Message) -> None:
    body = b'{"data": {"id": "a1"}}'

    assert read(make, message(), 409, body, accept=[409]) == wire.Accepted(provider_id="a1")


def test_answer_is_not_read_when_no_id_is_wanted(make: Make, message: Message) -> None:
    assert read(make, message(), 200, b"OK", message_id="") == wire.Accepted()


def signed(request: wire.HttpRequest, key: str | bytes, at: datetime) -> wire.HttpRequest:
    """The request as the reference library signs it."""
    signature = standardwebhooks.Webhook(key).sign("evt_1", at, request.body.decode())
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signature,
    }
    return replace(request, headers={**request.headers, **headers})


def test_signed_receipts_are_read(make: Make, now: datetime, recorded_request: Request) -> None:
    request = signed(recorded_request("http/receipts"), SECRET, now)
    provider = make("http")

    receipts = provider.read_receipts(request)

    assert provider.verify_receipt(request)
    assert receipts == [
        wire.DeliveryReceipt(
            event=wire.ReceiptEvent.DELIVERED, provider_id="81723", code="DELIVRD"
        ),
        wire.DeliveryReceipt(
            event=wire.ReceiptEvent.FAILED,
            reference="0195500a-5c00-7000-8000-000000000001-0-0-0",
            code="23",
        ),
        wire.DeliveryReceipt(
            event=wire.ReceiptEvent.OPTED_OUT, provider_id="81725", code="REJECTD", suppress=True
        ),
        wire.DeliveryReceipt(event=wire.ReceiptEvent.UNKNOWN, provider_id="81726", code="NEWWORD"),
    ]
    assert provider.answer_receipt(request) == wire.HttpResponse(status=204)


def test_single_receipt_with_flat_paths_and_a_plain_secret(make: Make, now: datetime) -> None:
    config = {"secret": "hook secret!", "id": "id", "status": "status", "map": {"OK": "delivered"}}
    body = b'{"id": "a1", "status": "OK"}'
    request = wire.HttpRequest(method="POST", url="https://gw.example.com/r", body=body)
    provider = make("http", receipt=config)

    [receipt] = provider.read_receipts(request)

    assert provider.verify_receipt(signed(request, b"hook secret!", now))
    assert (receipt.event, receipt.provider_id) == (wire.ReceiptEvent.DELIVERED, "a1")


def test_forged_or_stale_receipt_is_refused(
    make: Make, now: datetime, recorded_request: Request
) -> None:
    request = recorded_request("http/receipts")
    stale = datetime.fromtimestamp(now.timestamp() - 301, now.tzinfo)
    provider = make("http")

    assert not provider.verify_receipt(request)
    assert not provider.verify_receipt(signed(request, b"x" * 24, now))
    assert not provider.verify_receipt(signed(request, SECRET, stale))
    assert not provider.verify_receipt(replace(signed(request, SECRET, now), body=b"[]"))


@pytest.mark.parametrize(
    "body", [b"", b"{", b"{}", b"7", b'{"id": "a1"}', b'{"report": {"status": "DELIVRD"}}', b"[{}]"]
)
def test_receipt_that_names_no_message_is_unreadable(make: Make, body: bytes) -> None:
    request = wire.HttpRequest(method="POST", url="https://gw.example.com/r", body=body)

    with pytest.raises(errors.UnreadableReceipt):
        make("http").read_receipts(request)


def test_empty_list_holds_no_receipts(make: Make) -> None:
    request = wire.HttpRequest(method="POST", url="https://gw.example.com/r", body=b"[]")

    assert make("http").read_receipts(request) == []


def test_without_receipts_nothing_is_reported_or_verified(make: Make) -> None:
    provider = make("http", receipt=None)
    request = wire.HttpRequest(method="POST", url="https://gw.example.com/r", body=b"[]")

    assert not provider.reports
    assert not provider.verify_receipt(request)
    with pytest.raises(errors.UnreadableReceipt):
        provider.read_receipts(request)


def test_reports_are_the_events_of_the_map_that_steps_can_wait_for(make: Make) -> None:
    provider = make("http")

    assert provider.channel is wire.Channel.SMS
    assert provider.reports == {wire.ReceiptEvent.DELIVERED}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a.b", "x"),
        ("list.1.id", "7"),
        ("list.9.id", ""),
        ("list.x", ""),
        ("a", ""),
        ("a.b.c", ""),
        ("yes", ""),
        ("long", ""),
        ("", ""),
    ],
)
def test_paths(path: str, found: str) -> None:
    value = {"a": {"b": "x"}, "list": [{}, {"id": 7}], "yes": True, "long": "x" * 300}

    assert http.at_path(value, path) == found


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({"url": "sms.internal/send"}, ["url: not http(s)://host/… with a fixed host"]),
        ({"url": "https://{{ to.url }}/x"}, ["url: not http(s)://host/… with a fixed host"]),
        ({"form": True, "body": ["x"]}, ["body: a form needs a table"]),
        ({"channel": "pigeon"}, ["channel: not one of sms, email, push, wechat, wecom, rcs, chat"]),
        ({"body": {"x": "{{ to."}}, ["body.x: "]),
        (
            {"receipt": {"secret": "", "status": "s", "map": {"X": "gone"}, "ids": "x"}},
            ['receipt.ids: unknown key; did you mean "id"?', "receipt.map.X: not one of "],
        ),
        (
            {"receipt": {"secret": "", "status": "s", "map": {}}},
            ["receipt.secret: is empty", "receipt.id: missing, unless receipt.reference is set"],
        ),
    ],
)
def test_settings_that_cannot_work(make: Make, changes: dict[str, Any], faults: list[str]) -> None:
    with pytest.raises(errors.SettingsError) as caught:
        make("http", changes)

    found = caught.value.faults
    assert len(found) == len(faults)
    for one, expected in zip(found, faults, strict=True):
        assert one.startswith(f"providers.main.{expected}")
